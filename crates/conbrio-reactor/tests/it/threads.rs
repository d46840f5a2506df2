//! Halves on two workers, and streams that move between them.

use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::thread;

use conbrio_reactor::{Reactor, Source, op};
use socket2::SockRef;

use crate::support::*;

suite!(
    halves_live_on_two_reactors_under_load,
    both_ends_with_halves_on_four_reactors,
    a_stream_moves_back_and_forth,
    a_stream_moves_by_chance_under_load,
);

fn send_all(reactor: &Reactor, to: &Source, data: &[u8]) {
    let mut sent = 0;
    while sent < data.len() {
        sent += finish(reactor, &mut op::Send::new(to, &data[sent..])).unwrap();
    }
}

fn receive_all(reactor: &Reactor, from: &Source, expected: &[u8], size: usize) {
    let mut received = 0;
    let mut buffer = vec![0; size];
    while received < expected.len() {
        let count = finish(reactor, &mut op::Recv::new(from, &mut buffer)).unwrap();
        assert!(count > 0 && buffer[..count] == expected[received..received + count]);
        received += count;
    }
}

fn data(seed: usize) -> Vec<u8> {
    (0..2 << 20).map(|at: usize| (at.wrapping_mul(37) ^ (at >> 9) ^ seed) as u8).collect()
}

/// The peer echoes; one thread writes, another reads what comes back.
fn halves_live_on_two_reactors_under_load(make: Make) {
    let (ours, mut peer) = real_tcp_and_peer();
    SockRef::from(&ours).set_send_buffer_size(16 << 10).unwrap();
    let data = data(0);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = peer.read(&mut buffer) {
                peer.write_all(&buffer[..count]).unwrap();
            }
        });
        let writer = scope.spawn(|| send_all(&make(), &ours, &data));
        receive_all(&make(), &ours, &data, 3000);
        writer.join().unwrap();
        SockRef::from(&ours).shutdown(std::net::Shutdown::Write).unwrap();
    });
}

fn both_ends_with_halves_on_four_reactors(make: Make) {
    let (left, right) = tcp_pair(&make());
    let (there, back) = (data(1), data(2));
    for source in [&left, &right] {
        SockRef::from(source).set_send_buffer_size(16 << 10).unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(|| send_all(&make(), &left, &there));
        scope.spawn(|| receive_all(&make(), &right, &there, 5000));
        scope.spawn(|| send_all(&make(), &right, &back));
        scope.spawn(|| receive_all(&make(), &left, &back, 700));
    });
}

/// A -> B -> A -> ..., with the next message sent before, while, or after the stream moves.
fn a_stream_moves_back_and_forth(make: Make) {
    let (ours, mut peer) = real_tcp_and_peer();
    let workers: Vec<_> = (0..2).map(|_| Worker::start(make)).collect();
    let mut chance = Chance::new(8);
    let mut stream = Some(ours);
    for round in 0..3000usize {
        let message = [round as u8; 24];
        let size = 1 + chance.below(24);
        let worker = &workers[round % 2];
        let early = chance.below(2) == 0;
        if early {
            peer.write_all(&message[..size]).unwrap();
        }
        worker.orders.send((stream.take().unwrap(), size)).unwrap();
        if !early {
            peer.write_all(&message[..size]).unwrap();
        }
        let (returned, bytes) = worker.results.recv().unwrap();
        assert_eq!(bytes, &message[..size], "round {round}");
        stream = Some(returned);
    }
}

fn a_stream_moves_by_chance_under_load(make: Make) {
    let (ours, mut peer) = real_tcp_and_peer();
    let data = data(3);
    let mut chance = Chance::new(21);
    let workers: Vec<_> = (0..3).map(|_| Worker::start(make)).collect();
    thread::scope(|scope| {
        let sent = &data;
        scope.spawn(move || peer.write_all(sent).unwrap());
        let mut stream = Some(ours);
        let mut received = 0;
        while received < data.len() {
            let size = (1 + chance.below(20_000)).min(data.len() - received);
            let worker = &workers[chance.below(workers.len())];
            worker.orders.send((stream.take().unwrap(), size)).unwrap();
            let (returned, bytes) = worker.results.recv().unwrap();
            assert!(bytes == data[received..received + size]);
            received += size;
            stream = Some(returned);
        }
    });
}

/// A thread with a reactor that reads exactly so many bytes from a stream and hands it back.
struct Worker {
    orders: mpsc::Sender<(Source, usize)>,
    results: mpsc::Receiver<(Source, Vec<u8>)>,
}

impl Worker {
    fn start(make: Make) -> Worker {
        let (orders, inbox) = mpsc::channel::<(Source, usize)>();
        let (outbox, results) = mpsc::channel();
        thread::spawn(move || {
            let reactor = make();
            for (source, size) in inbox {
                let mut bytes = vec![0; size];
                let mut filled = 0;
                while filled < size {
                    let mut receive = op::Recv::new(&source, &mut bytes[filled..]);
                    filled += finish(&reactor, &mut receive).unwrap();
                }
                if outbox.send((source, bytes)).is_err() {
                    return;
                }
            }
        });
        Worker { orders, results }
    }
}
