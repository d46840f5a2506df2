//! Many connections at once. In a process of its own, because it needs many descriptors.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use conbrio::prelude::*;
use conbrio::testing::settle;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{CUSHION, in_a_process_of_its_own, listener, on_workers};

const CONNECTIONS: usize = 1000;

fn raise_limit() {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }).unwrap();
    assert!(hard.is_none_or(|hard| hard > 2 * CONNECTIONS as u64 + 50), "ulimit -n: {hard:?}");
}

// spec: test_socket.many_sockets, S31
#[test]
fn a_thousand_reads_wait_and_one_cancel_ends_them() {
    in_a_process_of_its_own("many::a_thousand_reads_wait_and_one_cancel_ends_them", || {
        raise_limit();
        on_workers(|cx| {
            let mut listener = listener(cx);
            let address = listener.local_addr().unwrap();
            let mut streams = Vec::new();
            for _ in 0..CONNECTIONS {
                streams.push(TcpStream::connect(cx, address).unwrap());
                streams.push(listener.accept(cx).unwrap().0);
            }
            let (waiting, cancelled) = (AtomicUsize::new(0), AtomicUsize::new(0));
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                for stream in &mut streams {
                    n.spawn(|cx| {
                        waiting.fetch_add(1, Ordering::SeqCst);
                        let error = stream.read(cx, &mut [0; 16]).unwrap_err();
                        assert!(error.cancelled().is_some());
                        cancelled.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    });
                }
                settle(cx, CUSHION)?;
                assert_eq!(waiting.load(Ordering::SeqCst), 2 * CONNECTIONS);
                assert_eq!(cancelled.load(Ordering::SeqCst), 0);
                n.cancel();
                Ok(())
            })
            .unwrap();
            assert_eq!(cancelled.load(Ordering::SeqCst), 2 * CONNECTIONS);
            // They all still work.
            for pair in streams.chunks_mut(2) {
                pair[0].write_all(cx, b"x").unwrap();
                pair[1].read_exact(cx, &mut [0; 1]).unwrap();
            }
        });
    });
}

#[test]
fn a_thousand_connections_are_served_at_once() {
    in_a_process_of_its_own("many::a_thousand_connections_are_served_at_once", || {
        raise_limit();
        on_workers(|cx| {
            let mut listener = listener(cx);
            let address = listener.local_addr().unwrap();
            let served = AtomicUsize::new(0);
            cx.nursery(|_, n| -> io::Result<()> {
                let served = &served;
                n.spawn(move |cx| {
                    cx.nursery(|cx, n| -> io::Result<()> {
                        for _ in 0..CONNECTIONS {
                            let (mut stream, _) = listener.accept(cx)?;
                            n.spawn(move |cx| {
                                let mut buf = [0; 64];
                                loop {
                                    let count = stream.read(cx, &mut buf)?;
                                    if count == 0 {
                                        served.fetch_add(1, Ordering::SeqCst);
                                        return Ok(());
                                    }
                                    stream.write_all(cx, &buf[..count])?;
                                }
                            });
                        }
                        Ok(())
                    })?;
                    Ok(())
                });
                for number in 0..CONNECTIONS {
                    n.spawn(move |cx| {
                        let mut stream = TcpStream::connect(cx, address)?;
                        let message = number.to_be_bytes();
                        stream.write_all(cx, &message)?;
                        let mut reply = [0; 8];
                        stream.read_exact(cx, &mut reply)?;
                        assert_eq!(reply, message);
                        Ok(())
                    });
                }
                Ok(())
            })
            .unwrap();
            assert_eq!(served.load(Ordering::SeqCst), CONNECTIONS);
        });
    });
}
