//! What only a kernel that writes into lent memory can get wrong, seen from tasks: cancel storms over
//! borrowed buffers, operations whose source is closed, completions that come before their cancellation.
//!
//! All of it runs on epoll as well, where it has to come to the same.

use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use conbrio::prelude::*;
use conbrio::testing::settle;

use crate::support::{CUSHION, in_a_process_of_its_own, on_workers, pair, pattern};

/// A number for the bytes of a buffer that nobody may write to any more.
const POISON: u8 = 0xA5;

/// A read into a buffer on the stack of a function that returns at once after it. Whatever is there
/// afterwards belongs to somebody else.
#[inline(never)]
fn read_into_the_stack(cx: &mut Cx, stream: &mut TcpStream) -> Result<usize, conbrio::io::Error> {
    let mut buf = [POISON; 4096];
    let count = stream.read(cx, &mut buf)?;
    assert!(buf[..count].iter().all(|byte| *byte == b'd'), "bytes of somebody else");
    assert!(buf[count..].iter().all(|byte| *byte == POISON), "more was written than was said");
    Ok(count)
}

/// Stands where the buffer was, and looks whether anybody still writes there.
#[inline(never)]
fn watch_the_stack(cx: &mut Cx) -> Result<(), Cancelled> {
    let canary = std::hint::black_box([POISON; 8192]);
    for _ in 0..3 {
        cx.yield_now()?;
        assert!(std::hint::black_box(&canary).iter().all(|byte| *byte == POISON));
    }
    Ok(())
}

// Reads into stack memory are cancelled all the time while their data arrives. Not a byte is lost, and
// none is written after the call has returned.
// spec: N13, S55, S24
#[test]
fn a_cancel_storm_over_borrowed_buffers_loses_and_leaks_no_byte() {
    const STREAMS: usize = 16;
    const BYTES: usize = 300;
    on_workers(|cx| {
        let (mut ours, mut peers): (Vec<_>, Vec<_>) = (0..STREAMS).map(|_| pair(cx)).unzip();
        let (read, cancelled) = (AtomicUsize::new(0), AtomicUsize::new(0));
        cx.nursery(|_, n| -> std::io::Result<()> {
            for (at, stream) in ours.iter_mut().enumerate() {
                let (read, cancelled) = (&read, &cancelled);
                n.spawn(move |cx| {
                    let mut left = BYTES;
                    let mut round = at;
                    while left > 0 {
                        round += 1;
                        let mut got = None;
                        cx.nursery(|cx, inner| -> Result<(), Cancelled> {
                            let scope = inner.handle();
                            let got = &mut got;
                            let stream = &mut *stream;
                            inner.spawn_local(cx, move |cx| {
                                *got = Some(read_into_the_stack(cx, stream));
                                // The storm does not end what stands where the buffer was.
                                cx.shield(watch_the_stack)
                            });
                            for _ in 0..round % 4 {
                                cx.yield_now()?;
                            }
                            scope.cancel();
                            Ok(())
                        })
                        .unwrap();
                        // Who was cancelled before it began has not read either.
                        match got {
                            Some(Ok(count)) => {
                                read.fetch_add(1, Ordering::Relaxed);
                                left -= count;
                            }
                            Some(Err(error)) => {
                                assert!(error.cancelled().is_some(), "{error}");
                                cancelled.fetch_add(1, Ordering::Relaxed);
                            }
                            None => {}
                        }
                    }
                    Ok(())
                });
            }
            for peer in &mut peers {
                n.spawn(|cx| {
                    for _ in 0..BYTES {
                        peer.write_all(cx, b"d")?;
                        cx.yield_now()?;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        let (read, cancelled) = (read.into_inner(), cancelled.into_inner());
        println!("{read} reads, {cancelled} cancelled");
        assert!(read > 0 && cancelled > 0, "{read} reads, {cancelled} cancelled");
    });
}

// spec: test_windows.too_late_to_cancel
#[test]
fn a_cancellation_that_comes_too_late_leaves_the_data_in_the_buffer() {
    on_workers(|cx| {
        let (mut ours, mut peer) = pair(cx);
        let mut too_late = 0;
        for _ in 0..200 {
            let mut buf = [0; 8];
            let outcome = cx.cancel_scope(|cx, scope| -> std::io::Result<usize> {
                let (cancel, peer, ours, buf) = (scope.handle(), &mut peer, &mut ours, &mut buf);
                Ok(cx.nursery(|cx, n| -> std::io::Result<usize> {
                    n.spawn_local(cx, move |cx| {
                        // The read waits by now. What it waits for comes, and then the cancellation, in
                        // one turn.
                        peer.write_all(cx, b"data")?;
                        cancel.cancel();
                        Ok(())
                    });
                    Ok(ours.read(cx, buf)?)
                })?)
            });
            let outcome = outcome.unwrap();
            match outcome {
                Some(count) => {
                    assert_eq!((count, &buf[..4]), (4, &b"data"[..]));
                    too_late += 1;
                }
                None => {
                    // Without effect: the data is where it was.
                    assert_eq!(buf, [0; 8]);
                    ours.read_exact(cx, &mut buf[..4]).unwrap();
                    assert_eq!(&buf[..4], b"data");
                }
            }
        }
        println!("{too_late} of 200 were too late");
        // The next operation works.
        peer.write_all(cx, b"next").unwrap();
        let mut buf = [0; 4];
        ours.read_exact(cx, &mut buf).unwrap();
        assert_eq!(&buf, b"next");
    });
}

// Borrowed parts of one buffer, one for each child. (That the target has to be mutable is the compiler's.)
// spec: test_windows.readinto_overlapped
#[test]
fn children_read_into_parts_of_one_buffer() {
    const PARTS: usize = 8;
    const PART: usize = 512;
    on_workers(|cx| {
        let sent = pattern(PARTS * PART);
        let mut buffer = vec![POISON; PARTS * PART];
        let (mut ours, mut peers): (Vec<_>, Vec<_>) = (0..PARTS).map(|_| pair(cx)).unzip();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            for (part, stream) in buffer.chunks_mut(PART).zip(&mut ours) {
                n.spawn(move |cx| Ok(stream.read_exact(cx, part)?));
            }
            settle(cx, CUSHION)?;
            // The last one first, and each in two pieces.
            for (part, peer) in sent.chunks(PART).zip(&mut peers).rev() {
                let (one, two) = part.split_at(PART / 3);
                peer.write_all(cx, one)?;
                cx.yield_now()?;
                peer.write_all(cx, two)?;
            }
            Ok(())
        })
        .unwrap();
        assert!(buffer == sent);
    });
}

// The socket is shut down, and then closed, while operations on it are in flight.
// spec: N13
#[test]
fn what_waits_at_a_socket_that_is_shut_down_ends() {
    on_workers(|cx| {
        for _ in 0..5 {
            let (ours, peer) = pair(cx);
            let (mut reader, mut writer) = ours.into_split();
            let (ends, much) = (Mutex::new(Vec::new()), vec![b'm'; 8 << 20]);
            let ends = &ends;
            cx.nursery(|cx, n| -> std::io::Result<()> {
                n.spawn(|cx| {
                    let mut buf = [POISON; 64];
                    let count = reader.read(cx, &mut buf)?;
                    assert_eq!((count, buf), (0, [POISON; 64]));
                    ends.lock().unwrap().push("read");
                    drop(reader);
                    Ok(())
                });
                n.spawn(|cx| {
                    let error = writer.write_all(cx, &much).unwrap_err();
                    assert!(!error.is_cancelled(), "{error}");
                    ends.lock().unwrap().push("write");
                    drop(writer);
                    Ok(())
                });
                settle(cx, CUSHION)?;
                assert!(ends.lock().unwrap().is_empty());
                // The end of its direction, and then a reset, because it has not read what we sent.
                peer.shutdown(Shutdown::Write)?;
                settle(cx, CUSHION)?;
                assert_eq!(*ends.lock().unwrap(), ["read"]);
                drop(peer);
                Ok(())
            })
            .unwrap();
            assert_eq!(*ends.lock().unwrap(), ["read", "write"]);
        }
    });
}

// The tests above, and those of halves, with rings that have room for one entry and one buffer, so
// that the queues are full at all times, and with all sends through them.
// spec: N13
#[test]
fn everything_holds_with_the_smallest_rings() {
    const INSIDE: &str = "CONBRIO_TEST_SMALL_RINGS";
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    in_a_process_of_its_own("ring::everything_holds_with_the_smallest_rings", || {
        let suites = ["ring::", "read_with::", "halves::"];
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(suites)
            .env("CONBRIO_RING", "1,1,0")
            .env(INSIDE, "1")
            .env_remove("CONBRIO_TEST_CHILD")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    });
}
