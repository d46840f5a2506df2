//! Many runs on a rough network: whatever the seed, streams are whole, nothing hangs, nothing is left, and
//! the same seed gives the same run.

use std::io::ErrorKind;
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::Builder;
use conbrio::testing::network::{Host, Network, NetworkOptions};

use crate::support::*;

const BYTES: usize = 30_000;

fn byte(at: usize) -> u8 {
    (at * 31 + at / 251) as u8
}

/// Sends everything and ends its direction, while it receives everything to the end.
fn converse(cx: &mut Cx, stream: &mut TcpStream) -> Io {
    let (mut reader, mut writer) = stream.split();
    cx.nursery(|cx, n| -> Io {
        n.spawn(move |cx| {
            let data: Vec<u8> = (0..BYTES).map(byte).collect();
            writer.write_all(cx, &data)?;
            writer.shutdown()?;
            Ok(())
        });
        let mut received = 0;
        let mut buf = [0; 700];
        loop {
            match reader.read(cx, &mut buf)? {
                0 => break,
                count => {
                    for value in &buf[..count] {
                        assert_eq!(*value, byte(received));
                        received += 1;
                    }
                }
            }
        }
        assert_eq!(received, BYTES);
        Ok(())
    })?;
    Ok(())
}

/// Two clients talk to one server; says how long it took and what the network did.
fn scenario(options: &NetworkOptions, seed: u64) -> (Duration, String) {
    Builder::new().seed(seed).workers(2).network(options.clone()).run(|cx| {
        let network = Network::of(cx);
        let server = network.host([10, 0, 0, 1]);
        let clients = [network.host([10, 0, 0, 2]), network.host([10, 0, 0, 3])];
        let start = cx.now();
        let outcome = cx.nursery(|cx, n| -> Io {
            let mut listener = listen(cx, &server)?;
            n.spawn(move |cx| {
                cx.nursery(|cx, n| -> Io {
                    for _ in 0..2 {
                        let (mut stream, _) = listener.accept(cx)?;
                        n.spawn(move |cx| converse(cx, &mut stream));
                    }
                    Ok(())
                })?;
                Ok(())
            });
            for client in &clients {
                n.spawn(move |cx| {
                    let mut stream = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
                    converse(cx, &mut stream)
                });
            }
            n.spawn(|cx| short_partition(cx, &network, &server, &clients[0]));
            Ok(())
        });
        outcome.unwrap();
        let statistics = network.statistics();
        assert_eq!(statistics.sockets, 0);
        assert_eq!(statistics.connections, 0);
        (cx.now() - start, format!("{statistics:?}"))
    })
}

fn short_partition(cx: &mut Cx, network: &Network, one: &Host, other: &Host) -> Io {
    cx.sleep(Duration::from_millis(30))?;
    network.partition(one, other);
    cx.sleep(Duration::from_millis(300))?;
    network.heal(one, other);
    Ok(())
}

#[test]
fn streams_are_whole_on_a_rough_network() {
    let mut times = Vec::new();
    for seed in 0..15 {
        times.push(scenario(&NetworkOptions::rough(), seed).0);
    }
    times.dedup();
    assert!(times.len() > 5, "seeds make a difference: {times:?}");
}

#[test]
fn streams_are_whole_where_the_network_performs_operations() {
    for seed in 0..15 {
        scenario(&NetworkOptions::rough().perform_operations(true), seed);
    }
}

#[test]
fn one_seed_gives_one_run() {
    for options in [NetworkOptions::rough(), NetworkOptions::rough().perform_operations(true)] {
        assert_eq!(scenario(&options, 42), scenario(&options, 42));
        assert_ne!(scenario(&options, 42), scenario(&options, 43));
    }
}

/// A byte goes to the read that is cancelled or to the next one, and never to none or to both.
// spec: S24
#[test]
fn a_cancelled_read_takes_a_byte_only_if_it_returns_it() {
    for perform in [false, true] {
        let mut won = 0;
        for seed in 0..100 {
            let options = NetworkOptions::new()
                .perform_operations(perform)
                .latency(Duration::from_millis(2)..=Duration::from_millis(2));
            Builder::new().seed(seed).network(options).run(|cx| {
                let network = Network::of(cx);
                let (server, client) = (network.host([10, 0, 0, 1]), network.host([10, 0, 0, 2]));
                let (mut stream, mut accepted) = pair(cx, &server, &client).unwrap();
                stream.write_all(cx, b"x").unwrap();
                let mut buf = [0];
                // The byte arrives a little later than the cancellation comes.
                let limit = Duration::from_millis(1);
                let early = cx.move_on_after(limit, |cx| accepted.read(cx, &mut buf)).unwrap();
                won += usize::from(early == Some(1));
                let rest = cx.move_on_after(seconds(1), |cx| accepted.read(cx, &mut buf)).unwrap();
                assert_eq!(early.into_iter().chain(rest).sum::<usize>(), 1, "seed {seed}");
                assert_eq!(buf, *b"x");
            });
        }
        // A cancellation that takes a while can lose the race, and only that can.
        assert!(if perform { (1..100).contains(&won) } else { won == 0 }, "{won}");
    }
}

#[test]
fn a_cancelled_accept_of_a_network_that_performs_operations_loses_no_connection() {
    for seed in 0..100 {
        let options = NetworkOptions::new().perform_operations(true);
        Builder::new().seed(seed).network(options).run(|cx| {
            let network = Network::of(cx);
            let (server, client) = (network.host([10, 0, 0, 1]), network.host([10, 0, 0, 2]));
            let mut listener = listen(cx, &server).unwrap();
            let outcome = cx.nursery(|cx, n| -> Io {
                let client = &client;
                n.spawn(move |cx| {
                    let mut stream = client.enter(cx, |cx| TcpStream::connect(cx, SERVER))?;
                    stream.write_all(cx, b"x")?;
                    Ok(())
                });
                let limit = Duration::from_micros(500);
                let mut accepted = match cx.move_on_after(limit, |cx| listener.accept(cx))? {
                    Some(accepted) => accepted.0,
                    None => listener.accept(cx)?.0,
                };
                assert_eq!(read(cx, &mut accepted)?, b"x");
                Ok(())
            });
            outcome.unwrap();
        });
    }
}

#[test]
fn a_server_that_waits_for_nobody_is_a_deadlock_and_not_a_hang() {
    let stuck = std::panic::catch_unwind(|| {
        conbrio::testing::run(|cx| {
            let mut listener = TcpListener::bind(cx, LOCAL).unwrap();
            let error = listener.accept(cx).failed();
            assert_ne!(error.kind(), ErrorKind::Unsupported);
        });
    });
    let payload = stuck.unwrap_err();
    assert!(payload.downcast_ref::<String>().unwrap().contains("deadlock"));
}
