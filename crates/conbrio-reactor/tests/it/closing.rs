//! The end of a stream and its violent forms are seen, whenever they come.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::thread;

use conbrio_reactor::{Attempt, Reactor, Source, Token, op, os};
use socket2::SockRef;

use crate::support::*;

shared_suite!(
    an_end_that_came_with_the_last_data_is_seen,
    an_end_after_the_event_was_fetched_is_seen,
    an_end_before_the_wait_is_seen,
    an_end_while_waiting_is_seen,
    a_reset_while_waiting_is_an_error,
    a_reset_behind_data_is_seen,
    a_reset_ends_a_wait_to_write,
    our_own_shutdown_ends_our_wait,
);

suite!(
    a_half_closed_stream_goes_on_the_other_way,
    urgent_data_does_not_hide_what_follows,
    random_writers_are_read_to_the_end,
    a_pipe_ends_when_its_writer_goes,
    a_pipe_breaks_when_its_reader_goes,
);

/// Waits for a read on a source that is registered afterwards; `act` makes the event. The data stays.
fn wait_while(reactor: &Reactor, ours: &Source, act: impl FnOnce()) {
    let mut buffer = [0; 1];
    let mut receive = op::Recv::peek(ours, &mut buffer);
    assert!(matches!(reactor.attempt(&mut receive), Attempt::Wait));
    submit(reactor, &mut receive, Token(1)).unwrap();
    act();
    // A ring has peeked; what it has found is found again.
    wait_for(reactor, Token(1));
}

fn receive(reactor: &Reactor, ours: &Source) -> std::io::Result<Vec<u8>> {
    let mut buffer = [0; 64];
    let count = finish(reactor, &mut op::Recv::new(ours, &mut buffer))?;
    Ok(buffer[..count].to_vec())
}

fn an_end_that_came_with_the_last_data_is_seen(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    wait_while(&reactor, &ours, || {
        // Corked, so that the data and the end are one segment and one event.
        peer.set_cork(true);
        peer.write_all(b"last").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(receive(&reactor, &ours).unwrap(), b"last");
    for _ in 0..3 {
        assert_eq!(receive(&reactor, &ours).unwrap(), b"");
    }
}

fn an_end_after_the_event_was_fetched_is_seen(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    wait_while(&reactor, &ours, || peer.write_all(b"last").unwrap());
    // The reactor has the event of the data only. The end comes now, before the short read.
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive(&reactor, &ours).unwrap(), b"last");
    assert_eq!(receive(&reactor, &ours).unwrap(), b"");
}

fn an_end_before_the_wait_is_seen(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    peer.write_all(b"last").unwrap();
    assert_eq!(receive(&reactor, &ours).unwrap(), b"last");
    drop(peer);
    assert_eq!(receive(&reactor, &ours).unwrap(), b"");
}

fn an_end_while_waiting_is_seen(make: Make) {
    let reactor = make();
    let (ours, peer) = tcp_and_peer(&reactor);
    wait_while(&reactor, &ours, || drop(peer));
    assert_eq!(receive(&reactor, &ours).unwrap(), b"");
}

fn a_half_closed_stream_goes_on_the_other_way(make: Make) {
    let reactor = make();
    let (ours, mut peer) = real_tcp_and_peer();
    wait_while(&reactor, &ours, || peer.shutdown(Shutdown::Write).unwrap());
    assert_eq!(receive(&reactor, &ours).unwrap(), b"");
    // We still send, more than the buffers hold, so that write waits work on a half-closed stream.
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all)
    });
    let data = vec![7u8; 8 << 20];
    let mut sent = 0;
    while sent < data.len() {
        sent += finish(&reactor, &mut op::Send::new(&ours, &data[sent..])).unwrap();
    }
    os::shutdown(&ours, Shutdown::Write).unwrap();
    assert!(reader.join().unwrap().unwrap() == data);
    assert_eq!(receive(&reactor, &ours).unwrap(), b"");
}

fn a_reset_while_waiting_is_an_error(make: Make) {
    let reactor = make();
    let (ours, peer) = tcp_and_peer(&reactor);
    let mut buffer = [0; 1];
    let mut waiting = op::Recv::new(&ours, &mut buffer);
    submit(&reactor, &mut waiting, Token(1)).unwrap();
    peer.reset();
    let error = finish_wait(&reactor, &mut waiting, Token(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let error = finish(&reactor, &mut op::Send::new(&ours, b"x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

fn a_reset_behind_data_is_seen(make: Make) {
    let reactor = make();
    let (ours, mut peer) = tcp_and_peer(&reactor);
    wait_while(&reactor, &ours, || peer.write_all(b"last").unwrap());
    assert_eq!(receive(&reactor, &ours).unwrap(), b"last");
    peer.reset();
    assert_eq!(receive(&reactor, &ours).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

fn a_reset_ends_a_wait_to_write(make: Make) {
    let reactor = make();
    let (ours, peer) = tcp_and_peer(&reactor);
    let data = [0; 65536];
    while let Attempt::Done(count) = reactor.attempt(&mut op::Send::new(&ours, &data)) {
        count.unwrap();
    }
    let mut send = op::Send::new(&ours, &data);
    submit(&reactor, &mut send, Token(1)).unwrap();
    peer.reset();
    let error = finish_wait(&reactor, &mut send, Token(1)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
}

fn our_own_shutdown_ends_our_wait(make: Make) {
    let reactor = make();
    let (ours, _peer) = tcp_and_peer(&reactor);
    wait_while(&reactor, &ours, || os::shutdown(&ours, Shutdown::Both).unwrap());
    assert_eq!(receive(&reactor, &ours).unwrap(), b"");
}

/// A read stops short at the urgent mark, though there is more behind it (tcp(7)).
fn urgent_data_does_not_hide_what_follows(make: Make) {
    for fetch_first in [false, true] {
        let reactor = make();
        let (ours, mut peer) = real_tcp_and_peer();
        wait_while(&reactor, &ours, || {
            peer.write_all(b"abc").unwrap();
            if !fetch_first {
                SockRef::from(&peer).send_out_of_band(b"!").unwrap();
                peer.write_all(b"def").unwrap();
            }
        });
        if fetch_first {
            SockRef::from(&peer).send_out_of_band(b"!").unwrap();
            peer.write_all(b"def").unwrap();
        }
        let mut all = Vec::new();
        while all.len() < 6 {
            all.extend(receive(&reactor, &ours).unwrap());
        }
        assert_eq!(all, b"abcdef");
    }
}

/// Sizes, pauses and ends by chance: the reader sees every byte and the end, and never hangs.
fn random_writers_are_read_to_the_end(make: Make) {
    let reactor = make();
    for seed in 0..60 {
        let mut chance = Chance::new(seed);
        let (ours, mut peer) = real_tcp_and_peer();
        let sizes: Vec<usize> = (0..chance.below(20)).map(|_| 1 + chance.below(9000)).collect();
        let expected: usize = sizes.iter().sum();
        let gentle = chance.below(2) == 0;
        let writer = thread::spawn(move || {
            for size in sizes {
                peer.write_all(&vec![1; size]).unwrap();
                if size % 3 == 0 {
                    thread::yield_now();
                }
            }
            if gentle {
                peer.shutdown(Shutdown::Write).unwrap();
            }
            drop(peer);
        });
        let mut buffer = [0; 5000];
        let mut received = 0;
        loop {
            let size = 1 + chance.below(buffer.len());
            match finish(&reactor, &mut op::Recv::new(&ours, &mut buffer[..size])).unwrap() {
                0 => break,
                count => received += count,
            }
        }
        assert_eq!(received, expected, "seed {seed}");
        writer.join().unwrap();
    }
    assert_eq!(reactor.statistics().sources, 0);
}

fn a_pipe_ends_when_its_writer_goes(make: Make) {
    let reactor = make();
    let (read, write) = os::pipe().unwrap();
    let mut buffer = [0; 4];
    let mut reading = op::Read::new(&read, &mut buffer);
    assert!(matches!(reactor.attempt(&mut reading), Attempt::Wait));
    submit(&reactor, &mut reading, Token(1)).unwrap();
    drop(write);
    assert_eq!(finish_wait(&reactor, &mut reading, Token(1)).unwrap(), 0);
}

fn a_pipe_breaks_when_its_reader_goes(make: Make) {
    let reactor = make();
    let (read, write) = os::pipe().unwrap();
    while let Attempt::Done(count) = reactor.attempt(&mut op::Write::new(&write, &[0; 4096])) {
        count.unwrap();
    }
    let mut writing = op::Write::new(&write, &[0; 4096]);
    submit(&reactor, &mut writing, Token(1)).unwrap();
    drop(read);
    let error = finish_wait(&reactor, &mut writing, Token(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}
