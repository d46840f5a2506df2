//! Both directions at once, and streams that go to other workers.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use conbrio::Builder;
use conbrio::prelude::*;
use conbrio::testing::settle;

use crate::support::{
    CUSHION, cancel_when_blocked, on_workers, pair, pattern, wait_for_other_worker,
};

// spec: test_io.socket_actual_streaming, test_io.socket_simultaneous_read_write
#[test]
fn a_megabyte_each_way_through_borrowed_halves() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        let data = pattern(1024 * 1024);
        let mut received = [vec![0; data.len()], vec![0; data.len()]];
        cx.nursery(|_, n| -> io::Result<()> {
            for (stream, received) in [&mut left, &mut right].into_iter().zip(&mut received) {
                let (mut reader, mut writer) = stream.split();
                let data = &data;
                n.spawn(move |cx| Ok(writer.write_all(cx, data)?));
                n.spawn(move |cx| {
                    // Small steps, so that both sides wait often.
                    for part in received.chunks_mut(1000) {
                        reader.read_exact(cx, part)?;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        assert!(received.iter().all(|received| *received == data));
    });
}

#[test]
fn halves_of_one_stream_run_on_two_workers_at_once() {
    Builder::new()
        .workers(2)
        .run(|cx| {
            let (left, right) = pair(cx);
            let (mut reader, mut writer) = left.into_split();
            let (mut peer_reader, mut peer_writer) = right.into_split();
            let data = pattern(1024 * 1024);
            let started = [AtomicBool::new(false), AtomicBool::new(false)];
            cx.nursery(|_, n| -> io::Result<()> {
                let (data, started) = (&data, &started);
                // Each occupies its worker until the other runs: so they are on two.
                n.spawn(move |cx| {
                    started[0].store(true, Ordering::SeqCst);
                    wait_for_other_worker(&started[1]);
                    writer.write_all(cx, data)?;
                    peer_writer.write_all(cx, data)?;
                    Ok(())
                });
                n.spawn(move |cx| {
                    started[1].store(true, Ordering::SeqCst);
                    wait_for_other_worker(&started[0]);
                    let mut received = vec![0; data.len()];
                    peer_reader.read_exact(cx, &mut received)?;
                    assert!(received == *data);
                    reader.read_exact(cx, &mut received)?;
                    assert!(received == *data);
                    Ok(())
                });
                Ok(())
            })
            .unwrap();
        })
        .unwrap();
}

#[test]
fn a_stream_goes_from_worker_to_worker() {
    Builder::new()
        .workers(2)
        .run(|cx| {
            let (mut left, mut right) = pair(cx);
            let home = cx.runtime().worker;
            // It has waited here, so that this worker's reactor knows it.
            let _ = cancel_when_blocked(cx, |cx| right.read(cx, &mut [0; 8]));
            let moved = AtomicBool::new(false);
            let mut right = cx
                .nursery(|cx, n| -> io::Result<TcpStream> {
                    let moved = &moved;
                    let mut child = n.spawn(move |cx| {
                        assert_ne!(cx.runtime().worker, home);
                        moved.store(true, Ordering::SeqCst);
                        let mut buf = [0; 5];
                        right.read_exact(cx, &mut buf)?;
                        assert_eq!(&buf, b"there");
                        Ok(right)
                    });
                    // This worker is occupied until the other one has taken the child.
                    wait_for_other_worker(moved);
                    settle(cx, CUSHION)?;
                    left.write_all(cx, b"there")?;
                    Ok(child.join(cx)?)
                })
                .unwrap();
            // And back.
            left.write_all(cx, b"back").unwrap();
            let mut buf = [0; 4];
            right.read_exact(cx, &mut buf).unwrap();
            assert_eq!(&buf, b"back");
        })
        .unwrap();
}

#[test]
fn a_borrowed_write_half_ends_its_direction_when_told() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        // That it goes does not.
        let (mut reader, _) = left.split();
        let _ = cancel_when_blocked(cx, |cx| right.read(cx, &mut [0; 1]));
        right.write_all(cx, b"x").unwrap();
        reader.read_exact(cx, &mut [0; 1]).unwrap();
        assert_eq!(reader.peer_addr().unwrap(), right.local_addr().unwrap());
        let (_, mut writer) = left.split();
        writer.shutdown().unwrap();
        assert_eq!(right.read(cx, &mut [0; 1]).unwrap(), 0);
    });
}

#[test]
fn an_owned_write_half_ends_its_direction_when_it_is_dropped() {
    on_workers(|cx| {
        let (left, mut right) = pair(cx);
        let (mut reader, mut writer) = left.into_split();
        writer.write_all(cx, b"last words").unwrap();
        drop(writer);
        let mut buf = [0; 10];
        right.read_exact(cx, &mut buf).unwrap();
        assert_eq!(right.read(cx, &mut buf).unwrap(), 0);
        right.write_all(cx, b"x").unwrap();
        reader.read_exact(cx, &mut buf[..1]).unwrap();
        // The other way round: the connection is open until both are gone.
        let (left, mut right) = pair(cx);
        let (reader, mut writer) = left.into_split();
        drop(reader);
        writer.write_all(cx, b"y").unwrap();
        right.read_exact(cx, &mut buf[..1]).unwrap();
        drop(writer);
        assert_eq!(right.read(cx, &mut buf).unwrap(), 0);
    });
}

#[test]
fn halves_are_reunited_only_with_their_own() {
    on_workers(|cx| {
        let (left, mut right) = pair(cx);
        let (reader, writer) = left.into_split();
        let (other, _peer) = pair(cx);
        let (other_reader, other_writer) = other.into_split();
        let error = reader.reunite(other_writer).unwrap_err();
        assert!(error.to_string().contains("not of the same stream"));
        // Both are handed back and work.
        let mut left = error.read.reunite(writer).unwrap();
        other_reader.reunite(error.write).unwrap();
        left.write_all(cx, b"whole").unwrap();
        let mut buf = [0; 5];
        right.read_exact(cx, &mut buf).unwrap();
        assert_eq!(&buf, b"whole");
        // Reuniting did not end a direction.
        let _ = cancel_when_blocked(cx, |cx| right.read(cx, &mut buf));
    });
}

#[test]
fn everything_but_adapters_may_go_anywhere() {
    fn may_go_anywhere<T: Send + Sync + 'static>() {}
    may_go_anywhere::<TcpListener>();
    may_go_anywhere::<TcpStream>();
    may_go_anywhere::<conbrio::net::OwnedReadHalf>();
    may_go_anywhere::<conbrio::net::OwnedWriteHalf>();
    may_go_anywhere::<conbrio::net::ReadHalf<'static>>();
    may_go_anywhere::<conbrio::net::WriteHalf<'static>>();
    may_go_anywhere::<conbrio::io::Incomplete>();
    may_go_anywhere::<conbrio::signal::Signals>();
}
