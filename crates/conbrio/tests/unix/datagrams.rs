//! Datagrams over Unix sockets: whole, in order, and with patience.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

use conbrio::net::UnixDatagram;
use conbrio::prelude::*;
use conbrio::testing::settle;

use crate::support::{CUSHION, Folder, on_workers};

#[test]
fn datagrams_keep_their_bounds_and_their_senders() {
    on_workers(|cx| {
        let folder = Folder::new();
        let (one_path, two_path) = (folder.file("one"), folder.file("two"));
        let mut one = UnixDatagram::bind(cx, &one_path).unwrap();
        let mut two = UnixDatagram::bind(cx, &two_path).unwrap();
        one.send_to(cx, b"first", &two_path).unwrap();
        one.send_to(cx, b"", &two_path).unwrap();
        UnixDatagram::unbound().unwrap().send_to(cx, b"third", &two_path).unwrap();
        let mut buf = [0; 8];
        assert_eq!(two.peek(cx, &mut buf).unwrap(), 5);
        let (count, from) = two.peek_from(cx, &mut buf).unwrap();
        assert_eq!((&buf[..count], from.as_pathname()), (&b"first"[..], Some(&*one_path)));
        assert_eq!(two.recv(cx, &mut buf[..2]).unwrap(), 2);
        let (count, from) = two.recv_from(cx, &mut buf).unwrap();
        assert_eq!((count, from.as_pathname()), (0, Some(&*one_path)));
        let (count, from) = two.recv_from(cx, &mut buf).unwrap();
        assert_eq!(&buf[..count], b"third");
        assert!(from.is_unnamed());

        one.connect(cx, &two_path).unwrap();
        assert_eq!(one.peer_addr().unwrap().as_pathname(), Some(&*two_path));
        assert_eq!(one.local_addr().unwrap().as_pathname(), Some(&*one_path));
        one.send(cx, b"to you").unwrap();
        assert_eq!(two.recv(cx, &mut buf).unwrap(), 6);
        let mut clone = one.try_clone().unwrap();
        clone.send(cx, b"again").unwrap();
        assert_eq!(two.recv(cx, &mut buf).unwrap(), 5);
        assert!(format!("{one:?}").contains("UnixDatagram"));
        assert!(one.take_error().unwrap().is_none());
    });
}

// spec: test_socket.unix_domain_socket
#[test]
fn abstract_names_work_and_can_be_made_up() {
    on_workers(|cx| {
        let folder = Folder::new();
        let name = folder.file("name");
        let address = SocketAddr::from_abstract_name(name.as_os_str().as_encoded_bytes()).unwrap();
        let mut one = UnixDatagram::bind_addr(cx, &address).unwrap();
        let nobody = UnixDatagram::unbound().unwrap().local_addr().unwrap();
        let mut two = UnixDatagram::bind_addr(cx, &nobody).unwrap();
        two.send_to_addr(cx, b"hello", &address).unwrap();
        let mut buf = [0; 8];
        let (_, from) = one.recv_from(cx, &mut buf).unwrap();
        assert!(from.as_abstract_name().is_some());
        two.connect_addr(cx, &address).unwrap();
        one.send_to_addr(cx, b"back", &from).unwrap();
        assert_eq!(two.recv(cx, &mut buf).unwrap(), 4);
    });
}

#[test]
fn what_cannot_be_sent_to_is_named() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.file("nobody");
        let mut socket = UnixDatagram::unbound().unwrap();
        let error = socket.send_to(cx, b"x", &path).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        let error = socket.connect(cx, &path).unwrap_err().into_failed().unwrap();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        let error = socket.send(cx, b"x").unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        let (mut one, two) = UnixDatagram::pair().unwrap();
        drop(two);
        let error = one.send(cx, b"x").unwrap_err().into_failed().unwrap();
        let kinds = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{error}");
        let too_long = vec![0; 10_000_000];
        let (mut one, _two) = UnixDatagram::pair().unwrap();
        let error = one.send(cx, &too_long).unwrap_err().into_failed().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    });
}

/// How many datagrams are sent by each sender: far more than a receiver has places for.
const MANY: usize = 1000;

/// Receives what the senders send, late, and checks that none is lost and the order of each is kept.
fn receive_all(cx: &mut Cx, socket: &mut UnixDatagram, senders: usize) -> std::io::Result<()> {
    // Until all senders wait.
    settle(cx, CUSHION)?;
    let mut next = vec![0; senders];
    for _ in 0..senders * MANY {
        let mut buf = [0; 8];
        assert_eq!(socket.recv(cx, &mut buf)?, 8);
        let (sender, number) = (buf[0] as usize, u32::from_le_bytes(buf[4..].try_into().unwrap()));
        assert_eq!(number, next[sender]);
        next[sender] += 1;
    }
    Ok(())
}

fn message(sender: usize, number: usize) -> [u8; 8] {
    let mut message = [sender as u8; 8];
    message[4..].copy_from_slice(&(number as u32).to_le_bytes());
    message
}

// Those without a peer are told of room by nobody: the places are taken by the datagrams of others.
#[test]
fn many_senders_wait_for_one_slow_receiver() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.file("socket");
        let mut receiver = UnixDatagram::bind(cx, &path).unwrap();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            for sender in 0..4 {
                let path = &path;
                n.spawn(move |cx| {
                    let mut socket = UnixDatagram::unbound()?;
                    if sender % 2 == 0 {
                        socket.connect(cx, path)?;
                    }
                    for number in 0..MANY {
                        match sender % 2 {
                            0 => socket.send(cx, &message(sender, number))?,
                            _ => socket.send_to(cx, &message(sender, number), path)?,
                        };
                    }
                    Ok(())
                });
            }
            receive_all(cx, &mut receiver, 4)
        })
        .unwrap();
    });
}

// The places are enough, and it is the sender's own buffer that is full.
#[test]
fn a_sender_waits_for_its_own_buffer() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.file("socket");
        let mut receiver = UnixDatagram::bind(cx, &path).unwrap();
        let mut sender = UnixDatagram::unbound().unwrap();
        socket2::SockRef::from(&sender).set_send_buffer_size(4096).unwrap();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| {
                for _ in 0..50 {
                    sender.send_to(cx, &[7; 3000], &path)?;
                }
                Ok(())
            });
            settle(cx, CUSHION)?;
            for _ in 0..50 {
                assert_eq!(receiver.recv(cx, &mut [0; 4000])?, 3000);
            }
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_direction_ends() {
    on_workers(|cx| {
        let (mut one, mut two) = UnixDatagram::pair().unwrap();
        one.send(cx, b"last").unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        let error = one.send(cx, b"x").unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_eq!(two.recv(cx, &mut [0; 8]).unwrap(), 4);
        two.send(cx, b"back").unwrap();
        assert_eq!(one.recv(cx, &mut [0; 8]).unwrap(), 4);
    });
}

#[test]
fn sockets_of_std_come_and_go() {
    on_workers(|cx| {
        let (one, two) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let mut one = UnixDatagram::from_std(one).unwrap();
        one.send(cx, b"there").unwrap();
        let mut buf = [0; 5];
        assert_eq!(two.recv(&mut buf).unwrap(), 5);
        let one = one.into_std().unwrap();
        two.send(b"back").unwrap();
        assert_eq!(one.recv(&mut buf).unwrap(), 4);
    });
}
