//! Many datagrams at once.

use std::io::ErrorKind;
use std::panic::catch_unwind;

use conbrio::net::{DatagramBatch, UdpSocket};
use conbrio::testing::settle;

use crate::support::{everywhere, on_workers, udp};

#[test]
fn a_batch_arrives_in_order_with_its_senders() {
    everywhere(|cx| {
        let ((mut one, from_one), (mut two, from_two), (mut server, to)) =
            (udp(cx), udp(cx), udp(cx));
        let words: Vec<Vec<u8>> = (0..40_u8).map(|number| vec![number; number.into()]).collect();
        for (socket, words) in [(&mut one, &words[..20]), (&mut two, &words[20..])] {
            let mut rest: Vec<_> = words.iter().map(|word| (word, to)).collect();
            while !rest.is_empty() {
                let sent = socket.send_batch(cx, &rest).unwrap();
                assert!(sent > 0);
                rest.drain(..sent);
            }
        }
        let mut batch = DatagramBatch::new(7, 100);
        assert!(batch.is_empty() && batch.iter().next().is_none());
        let mut got = [Vec::new(), Vec::new()];
        while got[0].len() + got[1].len() < 40 {
            let count = server.recv_batch(cx, &mut batch).unwrap();
            assert!((1..=7).contains(&count) && batch.len() == count);
            for datagram in batch.iter() {
                assert!(!datagram.is_cut);
                assert!(datagram.from == from_one || datagram.from == from_two);
                let sender = usize::from(datagram.from == from_two);
                got[sender].push(datagram.data.to_vec());
            }
        }
        // The simulated network keeps no order among datagrams.
        got.iter_mut().for_each(|got| got.sort_by_key(Vec::len));
        assert!(got[0] == words[..20] && got[1] == words[20..]);
        assert_eq!(one.send_batch::<&[u8]>(cx, &[]).unwrap(), 0);
    });
}

#[test]
fn one_call_moves_what_the_system_takes() {
    on_workers(|cx| {
        let ((mut client, _), (mut server, to)) = (udp(cx), udp(cx));
        let many = vec![("x", to); 100];
        assert_eq!(client.send_batch(cx, &many).unwrap(), 32);
        let mut batch = DatagramBatch::new(1000, 1);
        assert_eq!(server.recv_batch(cx, &mut batch).unwrap(), 32);
        // What is longer is cut, and said to be.
        client.send_batch(cx, &[("xy", to), ("", to), ("z", to)]).unwrap();
        assert_eq!(server.recv_batch(cx, &mut batch).unwrap(), 3);
        let seen: Vec<_> = batch.iter().map(|it| (it.data, it.is_cut)).collect();
        assert_eq!(seen, [(&b"x"[..], true), (b"", false), (b"z", false)]);
    });
}

#[test]
fn a_batch_is_waited_for() {
    everywhere(|cx| {
        let ((mut client, _), (mut server, to)) = (udp(cx), udp(cx));
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| {
                let mut batch = DatagramBatch::new(4, 10);
                server.recv_batch(cx, &mut batch)?;
                assert_eq!(batch.iter().next().unwrap().data, b"late");
                Ok(())
            });
            settle(cx, std::time::Duration::ZERO)?;
            client.send_batch(cx, &[("late", to)])?;
            Ok(())
        })
        .unwrap();
    });
}

// An error belongs to the first datagram of a batch; what is wrong with a later one comes out when it is the
// first.
#[test]
fn errors_are_not_lost() {
    on_workers(|cx| {
        let ((mut client, _), (mut server, to)) = (udp(cx), udp(cx));
        let (fine, too_long) = (vec![1; 10], vec![2; 70_000]);
        let batch = [(&fine, to), (&fine, to), (&too_long, to), (&fine, to)];
        assert_eq!(client.send_batch(cx, &batch).unwrap(), 2);
        let error = client.send_batch(cx, &batch[2..]).unwrap_err().into_failed().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        assert_eq!(client.send_batch(cx, &batch[3..]).unwrap(), 1);
        let mut received = DatagramBatch::new(10, 100);
        assert_eq!(server.recv_batch(cx, &mut received).unwrap(), 3);
        // A refusal that comes back.
        drop(server);
        client.connect(cx, to).unwrap();
        client.send(cx, b"anybody?").unwrap();
        let error = client.recv_batch(cx, &mut received).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(received.is_empty());
    });
}

#[test]
fn both_families_are_told() {
    on_workers(|cx| {
        let mut server = UdpSocket::bind(cx, "[::1]:0").unwrap();
        let mut client = UdpSocket::bind(cx, "[::1]:0").unwrap();
        let to = server.local_addr().unwrap();
        client.send_batch(cx, &[("six", to)]).unwrap();
        let mut batch = DatagramBatch::new(2, 10);
        server.recv_batch(cx, &mut batch).unwrap();
        assert_eq!(batch.iter().next().unwrap().from, client.local_addr().unwrap());
        assert_eq!(batch.iter().len(), 1);
    });
}

#[test]
fn a_batch_without_room_is_refused() {
    for (datagrams, bytes) in [(0, 1), (1, 0)] {
        assert!(catch_unwind(|| DatagramBatch::new(datagrams, bytes)).is_err());
    }
}
