//! Batches that are cancelled again and again: over loopback, with room enough, none is lost.

use std::time::Duration;

use conbrio::net::DatagramBatch;
use conbrio::prelude::*;
use conbrio::{Builder, OrCancelled};

use crate::support::{reactors, udp};

const MESSAGES: u32 = 2000;
/// How many may be on the way, so that no buffer overflows: the receiver says how far it is.
const AHEAD: u32 = 50;

fn storm(cx: &mut Cx, seed: u64) {
    let ((mut client, _), (mut server, to)) = (udp(cx), udp(cx));
    let progress = std::sync::atomic::AtomicU32::new(0);
    let progress = &progress;
    cx.nursery(|_, n| -> std::io::Result<()> {
        n.spawn(move |cx| {
            let (mut next, mut tries) = (0, seed);
            while next < MESSAGES {
                let end = MESSAGES.min(progress.load(std::sync::atomic::Ordering::SeqCst) + AHEAD);
                if next == end {
                    cx.yield_now()?;
                    continue;
                }
                let batch: Vec<_> = (next..end).map(|number| (number.to_le_bytes(), to)).collect();
                let patience = Duration::from_micros(tries % 7 * 10);
                tries += 1;
                let sent = cx.move_on_after(patience, |cx| {
                    next += client.send_batch(cx, &batch)? as u32;
                    Ok::<(), OrCancelled<std::io::Error>>(())
                });
                sent?;
            }
            Ok(())
        });
        n.spawn(move |cx| {
            let (mut batch, mut next, mut tries) = (DatagramBatch::new(20, 8), 0, seed);
            while next < MESSAGES {
                let patience = Duration::from_micros(tries % 5 * 20);
                tries += 1;
                let got = cx.move_on_after(patience, |cx| server.recv_batch(cx, &mut batch));
                let count = got.map_err(std::io::Error::from)?.unwrap_or(0);
                assert_eq!(count, batch.len());
                for datagram in batch.iter() {
                    assert_eq!(datagram.data, next.to_le_bytes());
                    next += 1;
                }
                progress.store(next, std::sync::atomic::Ordering::SeqCst);
            }
            Ok(())
        });
        Ok(())
    })
    .unwrap();
}

// spec: N17
#[test]
fn no_batch_is_lost_or_doubled() {
    for reactor in reactors() {
        for workers in [1, 2] {
            for seed in 0..3 {
                Builder::new().workers(workers).reactor(reactor).run(|cx| storm(cx, seed)).unwrap();
            }
        }
    }
}
