//! N17: every call on a UDP socket that waits, cancelled at every point at which it can see that.

use crate::trial::was_cancelled;
use std::time::Duration;

use conbrio::io::Error;
use conbrio::net::{DatagramBatch, UdpOptions, UdpSocket};
use conbrio::prelude::*;
use conbrio::testing::{CancelPoints, Trial, cancel_at_every_checkpoint, settle};

use crate::support::{reactors, udp};

/// On each reactor, and on the simulated network.
#[track_caller]
fn cancelled_everywhere(points: usize, mut body: impl FnMut(&mut Cx, &Trial) + Send) {
    for reactor in reactors() {
        let builder = conbrio::Builder::new().workers(1).reactor(reactor);
        let passed = CancelPoints::new().real(builder).run(|cx, trial| {
            // What is lost is waited for in vain; this makes the wait fail.
            let in_time = cx.move_on_after(Duration::from_secs(20), |cx| {
                body(cx, trial);
                Ok::<(), Cancelled>(())
            });
            drop(in_time);
        });
        assert!(passed >= points, "{passed} points: it did not wait where it was to wait");
    }
    cancel_at_every_checkpoint(body);
}

// N17: net::UdpSocket::{recv_batch, recv_segments, peek}, net::UdpOptions::bind
#[test]
fn no_datagram_is_lost() {
    for way in 0..3 {
        cancelled_everywhere(4, |cx, trial| {
            let bound = trial.run(cx, |cx| UdpOptions::new().bind(cx, "127.0.0.1:0"));
            let mut socket = match was_cancelled(trial, &bound) {
                true => udp(cx).0,
                false => bound.unwrap(),
            };
            let (mut sender, to) = (udp(cx).0, socket.local_addr().unwrap());
            let mut batch = DatagramBatch::new(4, 8);
            cx.nursery(|cx, n| -> std::io::Result<()> {
                n.spawn(|cx| {
                    settle(cx, Duration::ZERO)?;
                    sender.send_to(cx, b"hello", to)?;
                    Ok(())
                });
                let mut buf = [0; 8];
                let outcome = trial.run(cx, |cx| match way {
                    0 => socket.recv_batch(cx, &mut batch),
                    1 => socket.recv_segments(cx, &mut buf).map(|segments| segments.count),
                    _ => socket.peek(cx, &mut buf),
                });
                let is_cancelled = was_cancelled(trial, &outcome);
                assert!(!is_cancelled || batch.is_empty());
                // What was only looked at is still there.
                match is_cancelled || way == 2 {
                    true => assert_eq!(socket.recv(cx, &mut buf)?, 5),
                    false => assert_eq!(outcome.unwrap(), if way == 0 { 1 } else { 5 }),
                }
                Ok(())
            })
            .unwrap();
        });
    }
}

// N17: net::UdpSocket::{send_batch, send_segments, send_segments_to}
#[test]
fn no_datagram_is_sent_in_spite_of_a_cancellation() {
    for way in 0..3 {
        cancelled_everywhere(1, |cx, trial| {
            let ((mut sender, _), (mut socket, to)) = (udp(cx), udp(cx));
            sender.connect(cx, to).unwrap();
            let data = [7; 10];
            let mut sent = 0;
            let outcome = trial.run(cx, |cx| -> Result<(), Error> {
                let outcome = match way {
                    0 => loop {
                        let rest: Vec<_> = data[sent..].chunks(1).map(|one| (one, to)).collect();
                        match sender.send_batch(cx, &rest) {
                            Ok(count) => sent += count,
                            Err(error) => return Err(error),
                        }
                        if sent == data.len() {
                            return Ok(());
                        }
                    },
                    1 => sender.send_segments(cx, &data, 1),
                    _ => sender.send_segments_to(cx, &data, 1, to),
                };
                match outcome {
                    Ok(()) => sent = data.len(),
                    Err(error) => {
                        sent = error.done() as usize;
                        return Err(error.into_cause());
                    }
                }
                Ok(())
            });
            assert!(was_cancelled(trial, &outcome) || sent == data.len());
            let all: Vec<_> = (0..sent).map(|_| socket.recv(cx, &mut [0; 2]).unwrap()).collect();
            assert_eq!(all, vec![1; sent]);
            settle(cx, Duration::ZERO).unwrap();
            assert!(!is_there(cx, &mut socket), "more has come than was said to have been sent");
        });
    }
}

/// Whether a datagram comes within a moment.
fn is_there(cx: &mut Cx, socket: &mut UdpSocket) -> bool {
    let found = cx.move_on_after(Duration::from_micros(300), |cx| socket.peek(cx, &mut [0; 2]));
    found.unwrap().is_some()
}
