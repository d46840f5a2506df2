//! A computation on all cores, by rayon, over data that lies on a task's stack, cut off by a deadline.
//!
//! Run: `cargo run --release --example rayon -- 2000` (milliseconds that it may take)
//! Expect: the number of primes found, of how many candidates, and whether there was time for all.
//!
//! The task waits; its worker serves other tasks meanwhile, such as the one here that reports progress.
//! `par_iter` runs on rayon's threads, which borrow `candidates` and `found` from this task, and each chunk
//! asks the waiting task whether it is cancelled.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use conbrio::prelude::*;
use rayon::prelude::*;

const CANDIDATES: u64 = 4_000_000;
const CHUNK: usize = 10_000;

fn main() {
    let millis = std::env::args().nth(1).map_or(2_000, |word| word.parse().expect("milliseconds"));
    conbrio::run(|cx| {
        let candidates: Vec<u64> = (2..CANDIDATES).collect();
        let (found, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let outcome = cx.nursery(|cx, n| -> Result<Option<()>, Cancelled> {
            let reporter = n.spawn(|cx| {
                loop {
                    cx.sleep(Duration::from_millis(250))?;
                    println!("{} of {} candidates", seen.load(Relaxed), candidates.len());
                }
                #[allow(unreachable_code, reason = "it says what the child returns")]
                Ok(())
            });
            let outcome = cx.move_on_after(Duration::from_millis(millis), |cx| {
                cx.blocking_with(|host| {
                    candidates.par_chunks(CHUNK).try_for_each(|chunk| {
                        host.check_cancelled()?;
                        let primes = chunk.iter().filter(|number| is_prime(**number)).count();
                        found.fetch_add(primes, Relaxed);
                        seen.fetch_add(chunk.len(), Relaxed);
                        Ok::<(), Cancelled>(())
                    })
                })?
            });
            reporter.cancel();
            outcome
        });
        let verdict = match outcome {
            Ok(Some(())) => "all of them",
            Ok(None) => "then the time was over",
            Err(error) => panic!("nobody else cancels: {error}"),
        };
        println!("{} primes among {} candidates: {verdict}", found.into_inner(), seen.into_inner());
    });
}

fn is_prime(number: u64) -> bool {
    (2..)
        .take_while(|divisor| divisor * divisor <= number)
        .all(|divisor| !number.is_multiple_of(divisor))
}
