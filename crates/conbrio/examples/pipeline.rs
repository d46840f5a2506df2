//! A pipeline whose slowest stage sets the pace: a source, three workers, and one that collects in order.
//!
//! Run: `cargo run --example pipeline`
//! Expect: all results, in the order of the source, and never more than a few items under way, because a
//! sender waits while its channel is full.
//!
//! smoke:
//! smoke-expect: 200 results, in order, the last is 199 * 199 = 39601
//! smoke-expect: at most 4 items waited for a worker

use conbrio::channel::{self, OrderedSender, Receiver, Sender, Slot};
use conbrio::prelude::*;
use std::io;
use std::time::Duration;

const ITEMS: u64 = 200;
const WORKERS: usize = 3;
const WAITING_MAX: usize = 4;

/// A number, and the place of its result.
type Job = (u64, Slot<u64>);

/// Dropping `jobs` and `places` at the end closes both channels, so that the others end, too.
fn source(cx: &mut Cx, jobs: Sender<Job>, places: OrderedSender<u64>) -> io::Result<usize> {
    for number in 0..ITEMS {
        let place = places.slot(cx)?; // waits while too many results are missing
        jobs.send(cx, (number, place))?; // waits while the workers are busy
    }
    Ok(jobs.statistics().peak)
}

fn work(cx: &mut Cx, jobs: Receiver<Job>) -> io::Result<()> {
    while let Some((number, place)) = jobs.next(cx)? {
        cx.sleep(Duration::from_micros(50 * (number % 7)))?; // some take longer than others
        // Whoever collects may be gone: then the result is not wanted.
        let _ = place.fill(number * number);
    }
    Ok(())
}

fn main() -> io::Result<()> {
    conbrio::run(|cx| {
        let (jobs, queue) = channel::bounded(WAITING_MAX);
        let (places, mut results) = channel::ordered(2 * WORKERS);
        let (squares, peak) = cx.nursery(|cx, n| -> io::Result<_> {
            let mut source = n.task("source").spawn(move |cx| source(cx, jobs, places));
            for _ in 0..WORKERS {
                let queue = queue.clone();
                n.task("worker").spawn(move |cx| work(cx, queue));
            }
            let mut squares = Vec::new();
            while let Some(square) = results.next(cx)? {
                squares.push(square);
            }
            Ok((squares, source.join(cx)?))
        })?;
        assert!(squares.iter().zip(0_u64..).all(|(square, number)| *square == number * number));
        let last = squares.len() - 1;
        println!(
            "{} results, in order, the last is {last} * {last} = {}",
            squares.len(),
            squares[last]
        );
        println!("at most {peak} items waited for a worker");
        Ok(())
    })
}
