//! Datagrams of one size as one buffer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use conbrio::io::Incomplete;
use conbrio::prelude::*;

use crate::support::{everywhere, on_workers, udp};

/// Receives segments until there are so many bytes.
fn receive(cx: &mut Cx, socket: &mut conbrio::net::UdpSocket, bytes: usize) -> Vec<Vec<u8>> {
    let (mut buf, mut got) = (vec![0; 65_536], Vec::new());
    while got.iter().map(Vec::len).sum::<usize>() < bytes {
        let segments = socket.recv_segments(cx, &mut buf).unwrap();
        got.extend(segments.of(&buf).map(<[u8]>::to_vec));
    }
    got
}

#[test]
fn segments_arrive_as_they_were_cut() {
    everywhere(|cx| {
        for joining in [false, true] {
            for (length, segment) in
                [(1000, 100), (1001, 100), (99, 100), (100, 100), (30_000, 1200)]
            {
                let ((mut client, from), (mut server, to)) = (udp(cx), udp(cx));
                let data: Vec<u8> = (0..length).map(|at| (at / segment) as u8).collect();
                server.set_joining(joining).unwrap();
                client.send_segments_to(cx, &data, segment, to).unwrap();
                client.connect(cx, to).unwrap();
                let mut got = receive(cx, &mut server, length);
                // The simulated network keeps no order among datagrams.
                got.sort();
                let wanted: Vec<_> = data.chunks(segment).map(<[u8]>::to_vec).collect();
                assert_eq!(got.concat().len(), length);
                assert!(got == wanted, "{length} bytes in segments of {segment}, {joining}");
                client.send_segments(cx, b"again", 3).unwrap();
                let mut got = receive(cx, &mut server, 5);
                got.sort();
                assert_eq!(got, [b"aga".to_vec(), b"in".to_vec()]);
                client.send(cx, b"").unwrap();
                let mut buf = [0; 10];
                let segments = server.recv_segments(cx, &mut buf).unwrap();
                assert_eq!((segments.count, segments.from), (0, from));
                assert_eq!(segments.of(&buf).collect::<Vec<_>>(), [b""]);
            }
        }
    });
}

// Over loopback, where packets are long, the kernel joins what it has cut itself.
#[test]
fn the_kernel_joins_segments_if_it_can() {
    on_workers(|cx| {
        let ((mut client, _), (mut server, to)) = (udp(cx), udp(cx));
        if !server.set_joining(true).unwrap() {
            println!("SKIPPED: the kernel has no UDP_GRO");
            return;
        }
        client.send_segments_to(cx, &[7; 10_000], 1000, to).unwrap();
        let mut buf = vec![0; 65_536];
        let segments = server.recv_segments(cx, &mut buf).unwrap();
        assert_eq!((segments.count, segments.segment_bytes), (10_000, 1000));
    });
}

// Longer than a packet of the interface may be: cut by the kernel they would be refused, one by one they
// are fragmented.
#[test]
fn what_the_kernel_does_not_cut_goes_one_by_one() {
    on_workers(|cx| {
        let ((mut client, _), (mut server, to)) = (udp(cx), udp(cx));
        let sizes = [40_000, 32_000, 65_507];
        for size in sizes {
            let data = vec![7; size * 2];
            server.set_recv_buffer_size(1 << 20).unwrap();
            client.send_segments_to(cx, &data, size, to).unwrap();
            assert_eq!(receive(cx, &mut server, size * 2).concat().len(), size * 2);
        }
        let error = client.send_segments_to(cx, &vec![7; 70_000], 66_000, to).unwrap_err();
        assert_eq!(error.done(), 0);
        let cause: Incomplete = error;
        assert!(cause.to_string().contains("send_segments"), "{cause}");
    });
}

#[test]
fn misuse_panics() {
    conbrio::run(|cx| {
        let (mut client, to) = udp(cx);
        let mut zero = |connected: bool| {
            catch_unwind(AssertUnwindSafe(|| match connected {
                true => client.send_segments(cx, b"x", 0),
                false => client.send_segments_to(cx, b"x", 0, to),
            }))
        };
        assert!(zero(true).is_err() && zero(false).is_err());
    });
}
