//! Reading that brings no buffer: `read_with`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use conbrio::testing::settle;

use crate::support::{CUSHION, cancel_when_blocked, cancelled_before, on_workers, pair, pattern};

#[test]
fn what_is_there_and_what_comes_is_shown_once_and_then_the_end() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        left.write_all(cx, b"there").unwrap();
        assert_eq!(right.read_with(cx, <[u8]>::to_vec).unwrap(), b"there");
        let sent = pattern(300_000);
        let mut got: Vec<u8> = Vec::new();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| {
                for piece in sent.chunks(40_000) {
                    cx.yield_now()?;
                    left.write_all(cx, piece)?;
                }
                left.shutdown(std::net::Shutdown::Write)
            });
            while right.read_with(cx, |bytes| {
                got.extend(bytes);
                !bytes.is_empty()
            })? {}
            Ok(())
        })
        .unwrap();
        assert!(got == sent);
        // The end stays the end.
        assert!(right.read_with(cx, <[u8]>::is_empty).unwrap());
    });
}

#[test]
fn a_cancelled_look_has_seen_nothing() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        let seen = AtomicUsize::new(0);
        let look = |bytes: &[u8]| {
            seen.fetch_add(1, Ordering::SeqCst);
            bytes.to_vec()
        };
        for _ in 0..10 {
            let _ = cancel_when_blocked(cx, |cx| right.read_with(cx, look));
        }
        left.write_all(cx, b"kept").unwrap();
        let _ = cancelled_before(cx, |cx| right.read_with(cx, look));
        assert_eq!(seen.load(Ordering::SeqCst), 0);
        assert_eq!(right.read_with(cx, look).unwrap(), b"kept");
    });
}

#[test]
fn a_closure_that_panics_gives_the_buffer_back() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        // More often than there are buffers.
        for _ in 0..200 {
            left.write_all(cx, b"x").unwrap();
            let look = |_: &[u8]| -> () { std::panic::resume_unwind(Box::new("seen")) };
            let looked = AssertUnwindSafe(|| right.read_with(cx, look));
            assert_eq!(*catch_unwind(looked).unwrap_err().downcast::<&str>().unwrap(), "seen");
        }
        left.write_all(cx, b"y").unwrap();
        assert_eq!(right.read_with(cx, <[u8]>::to_vec).unwrap(), b"y");
    });
}

/// Three times as many as a worker's ring has buffers, all of which have data at the same time.
#[test]
fn idle_connections_all_hear_what_comes_at_once() {
    const CONNECTIONS: usize = 200;
    on_workers(|cx| {
        let (mut ours, mut peers): (Vec<_>, Vec<_>) = (0..CONNECTIONS).map(|_| pair(cx)).unzip();
        for round in 0..3u8 {
            let heard = Mutex::new(Vec::new());
            cx.nursery(|cx, n| -> std::io::Result<()> {
                for (at, stream) in ours.iter_mut().enumerate() {
                    let heard = &heard;
                    n.spawn(move |cx| {
                        let bytes = stream.read_with(cx, <[u8]>::to_vec)?;
                        heard.lock().unwrap().push((at, bytes));
                        Ok(())
                    });
                }
                settle(cx, CUSHION)?;
                assert!(heard.lock().unwrap().is_empty());
                for (at, peer) in peers.iter_mut().enumerate() {
                    peer.write_all(cx, &[round, at as u8])?;
                }
                Ok(())
            })
            .unwrap();
            let mut heard = heard.into_inner().unwrap();
            heard.sort();
            let said = |at| (at, vec![round, at as u8]);
            assert_eq!(heard, (0..CONNECTIONS).map(said).collect::<Vec<_>>());
        }
    });
}
