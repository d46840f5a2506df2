//! Many tasks that are cancelled again and again: no byte, no datagram and no descriptor is lost or doubled.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use conbrio::io::Incomplete;
use conbrio::net::{UnixDatagram, UnixStream};
use conbrio::prelude::*;
use conbrio::{Builder, OrCancelled};

use crate::support::{in_a_process_of_its_own, open_descriptors, pattern, reactors};

const PAIRS: usize = 12;
const BYTES: usize = 60_000;

/// A sequence of numbers that differs from seed to seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// A limit of time that ends some waits early and others not.
    fn patience(&mut self) -> Duration {
        Duration::from_micros(self.below(150))
    }
}

/// How much an interrupted transfer has moved.
fn moved(outcome: Result<Option<()>, Incomplete>, all: usize, seen: &mut usize) -> usize {
    match outcome {
        Ok(Some(())) => all,
        Ok(None) => std::mem::take(seen),
        Err(error) => panic!("{error}"),
    }
}

/// Runs one step with little patience, and says how much of `all` it has moved.
fn impatient(
    cx: &mut Cx,
    numbers: &mut Numbers,
    all: usize,
    step: impl FnOnce(&mut Cx) -> Result<(), Incomplete>,
) -> usize {
    let mut seen = 0;
    let outcome = cx.move_on_after(numbers.patience(), |cx| {
        step(cx).inspect_err(|error| seen = error.done() as usize)
    });
    moved(outcome, all, &mut seen)
}

fn write_impatiently(cx: &mut Cx, mut stream: UnixStream, seed: u64) -> std::io::Result<()> {
    let (data, mut numbers, mut done) = (pattern(BYTES), Numbers(seed), 0);
    stream.set_send_buffer_size(4096)?;
    while done < BYTES {
        let piece = &data[done..BYTES.min(done + 1 + numbers.below(9000) as usize)];
        done += impatient(cx, &mut numbers, piece.len(), |cx| stream.write_all(cx, piece));
    }
    Ok(())
}

fn read_impatiently(cx: &mut Cx, mut stream: UnixStream, seed: u64) -> std::io::Result<()> {
    let (mut got, mut numbers) = (Vec::<u8>::new(), Numbers(seed));
    while got.len() < BYTES {
        let mut buf = vec![0; (1 + numbers.below(7000) as usize).min(BYTES - got.len())];
        let length = buf.len();
        let count = impatient(cx, &mut numbers, length, |cx| stream.read_exact(cx, &mut buf));
        got.extend(&buf[..count]);
    }
    assert!(got == pattern(BYTES), "bytes were lost, doubled or exchanged");
    assert_eq!(stream.read(cx, &mut [0])?, 0);
    Ok(())
}

const MESSAGES: u32 = 300;

fn send_fds_impatiently(cx: &mut Cx, mut stream: UnixStream, seed: u64) -> std::io::Result<()> {
    let (file, mut numbers, mut next) = (File::open("/dev/null")?, Numbers(seed), 0_u32);
    stream.set_send_buffer_size(4096)?;
    while next < MESSAGES {
        let patience = numbers.patience();
        let sent = cx.move_on_after(patience, |cx| {
            let sent = stream.send_with_fds(cx, &next.to_le_bytes(), &[file.as_fd()])?;
            assert_eq!(sent, 4);
            next += 1;
            Ok::<(), OrCancelled<std::io::Error>>(())
        });
        sent?;
    }
    Ok(())
}

fn receive_fds_impatiently(cx: &mut Cx, mut stream: UnixStream, seed: u64) -> std::io::Result<()> {
    let (mut numbers, mut next) = (Numbers(seed), 0_u32);
    while next < MESSAGES {
        let patience = numbers.patience();
        let received = cx.move_on_after(patience, |cx| {
            let mut buf = [0; 4];
            let received = stream.recv_with_fds(cx, &mut buf, 3)?;
            assert_eq!((received.count, received.fds.len(), received.fds_lost), (4, 1, false));
            assert_eq!(u32::from_le_bytes(buf), next);
            next += 1;
            Ok::<(), OrCancelled<std::io::Error>>(())
        });
        received?;
    }
    Ok(())
}

fn send_datagrams_impatiently(
    cx: &mut Cx,
    mut socket: UnixDatagram,
    seed: u64,
) -> std::io::Result<()> {
    let (mut numbers, mut next) = (Numbers(seed), 0_u32);
    while next < MESSAGES {
        let patience = numbers.patience();
        let sent = cx.move_on_after(patience, |cx| {
            socket.send(cx, &next.to_le_bytes())?;
            next += 1;
            Ok::<(), OrCancelled<std::io::Error>>(())
        });
        sent?;
    }
    Ok(())
}

fn receive_datagrams_impatiently(
    cx: &mut Cx,
    mut socket: UnixDatagram,
    seed: u64,
) -> std::io::Result<()> {
    let (mut numbers, mut next) = (Numbers(seed), 0_u32);
    while next < MESSAGES {
        let patience = numbers.patience();
        let received = cx.move_on_after(patience, |cx| {
            let mut buf = [0; 8];
            let (count, _) = socket.recv_from(cx, &mut buf)?;
            assert_eq!(&buf[..count], next.to_le_bytes());
            next += 1;
            Ok::<(), OrCancelled<std::io::Error>>(())
        });
        received?;
    }
    Ok(())
}

fn storm(cx: &mut Cx, seed: u64) -> std::io::Result<()> {
    cx.nursery(|_, n| -> std::io::Result<()> {
        for number in 0..PAIRS as u64 {
            let seed = seed * 1000 + number * 2;
            let (left, right) = UnixStream::pair()?;
            match number % 3 {
                0 => {
                    n.spawn(move |cx| write_impatiently(cx, left, seed));
                    n.spawn(move |cx| read_impatiently(cx, right, seed + 1));
                }
                1 => {
                    n.spawn(move |cx| send_fds_impatiently(cx, left, seed));
                    n.spawn(move |cx| receive_fds_impatiently(cx, right, seed + 1));
                }
                _ => {
                    let (left, right) = UnixDatagram::pair()?;
                    n.spawn(move |cx| send_datagrams_impatiently(cx, left, seed));
                    n.spawn(move |cx| receive_datagrams_impatiently(cx, right, seed + 1));
                }
            }
        }
        Ok(())
    })?;
    Ok(())
}

// spec: N17
#[test]
fn nothing_is_lost_in_a_storm_of_cancellations() {
    in_a_process_of_its_own("storm::nothing_is_lost_in_a_storm_of_cancellations", || {
        for reactor in reactors() {
            for workers in [1, 2] {
                let before = open_descriptors();
                for seed in 0..2 {
                    Builder::new()
                        .workers(workers)
                        .reactor(reactor)
                        .run(|cx| storm(cx, seed).unwrap())
                        .unwrap();
                }
                assert_eq!(open_descriptors(), before);
            }
        }
    });
}
