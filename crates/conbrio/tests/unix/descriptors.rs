//! Descriptors that travel: all of them arrive, once, and none leaks.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd;

use conbrio::net::{UnixDatagram, UnixStream};
use conbrio::testing::settle;

use crate::support::{CUSHION, Folder, in_a_process_of_its_own, on_workers, open_descriptors};

#[test]
fn what_was_sent_can_be_used() {
    on_workers(|cx| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let sent = left.send_with_fds(cx, b"pipe", &[reader.as_fd(), writer.as_fd()]).unwrap();
        assert_eq!(sent, 4);
        let mut buf = [0; 16];
        let received = right.recv_with_fds(cx, &mut buf, 4).unwrap();
        assert_eq!((received.count, received.fds.len()), (4, 2));
        assert!(!received.fds_lost && !received.is_cut);
        for fd in &received.fds {
            let flags = rustix::io::fcntl_getfd(fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
        // They are the same open files, in the same order.
        let [their_reader, their_writer] = received.fds.try_into().unwrap();
        writer.write_all(b"a").unwrap();
        File::from(their_writer).write_all(b"b").unwrap();
        let mut one = [0];
        File::from(their_reader).read_exact(&mut one).unwrap();
        assert_eq!(&one, b"a");
        reader.read_exact(&mut one).unwrap();
        assert_eq!(&one, b"b");
    });
}

#[test]
fn reading_stops_where_descriptors_are() {
    on_workers(|cx| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        left.write_all(cx, b"ab").unwrap();
        left.send_with_fds(cx, b"cd", &[file.as_fd()]).unwrap();
        left.send_with_fds(cx, b"ef", &[file.as_fd(), file.as_fd()]).unwrap();
        left.write_all(cx, b"gh").unwrap();
        let (mut bytes, mut counts) = (Vec::<u8>::new(), Vec::new());
        while bytes.len() < 8 {
            let mut buf = [0; 16];
            let received = right.recv_with_fds(cx, &mut buf, 8).unwrap();
            bytes.extend(&buf[..received.count]);
            counts.push(received.fds.len());
        }
        assert_eq!(bytes, b"abcdefgh");
        counts.retain(|count| *count > 0);
        assert_eq!(counts, [1, 2]);
        // A plain read drops them.
        left.send_with_fds(cx, b"x", &[file.as_fd()]).unwrap();
        right.read_exact(cx, &mut [0]).unwrap();
    });
}

#[test]
fn waiting_for_descriptors_ends_when_they_come() {
    on_workers(|cx| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| {
                let received = right.recv_with_fds(cx, &mut [0], 1)?;
                assert_eq!(received.fds.len(), 1);
                let received = right.recv_with_fds(cx, &mut [0], 1)?;
                assert_eq!((received.count, received.fds.len()), (0, 0));
                Ok(())
            });
            settle(cx, CUSHION)?;
            left.send_with_fds(cx, b"!", &[std::io::stderr().as_fd()])?;
            settle(cx, CUSHION)?;
            drop(left);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn misuse_is_named() {
    on_workers(|cx| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        let many: Vec<_> = (0..254).map(|_| file.as_fd()).collect();
        for error in [
            left.send_with_fds(cx, b"", &[file.as_fd()]).unwrap_err(),
            left.send_with_fds(cx, b"x", &many).unwrap_err(),
            right.recv_with_fds(cx, &mut [], 1).map(drop).unwrap_err(),
        ] {
            assert_eq!(error.into_failed().unwrap().kind(), ErrorKind::InvalidInput);
        }
        left.send_with_fds(cx, b"x", &many[..253]).unwrap();
        let received = right.recv_with_fds(cx, &mut [0], 253).unwrap();
        assert_eq!((received.fds.len(), received.fds_lost), (253, false));
        // A socket among them, and the one it is sent on.
        left.send_with_fds(cx, b"x", &[left.as_fd().try_clone_to_owned().unwrap().as_fd()])
            .unwrap();
        assert_eq!(right.recv_with_fds(cx, &mut [0], 1).unwrap().fds.len(), 1);
    });
}

#[test]
fn datagrams_carry_them_too() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.file("socket");
        let mut receiver = UnixDatagram::bind(cx, &path).unwrap();
        let mut sender = UnixDatagram::unbound().unwrap();
        sender.connect(cx, &path).unwrap();
        let file = File::open("/dev/null").unwrap();
        sender.send_with_fds(cx, b"", &[file.as_fd()]).unwrap();
        sender.send_with_fds(cx, b"longer than that", &[]).unwrap();
        let mut buf = [0; 4];
        let (received, from) = receiver.recv_with_fds(cx, &mut buf, 2).unwrap();
        assert_eq!((received.count, received.fds.len(), received.is_cut), (0, 1, false));
        assert!(from.is_unnamed());
        let (received, _) = receiver.recv_with_fds(cx, &mut buf, 2).unwrap();
        assert_eq!((received.count, received.fds.len(), received.is_cut), (4, 0, true));
    });
}

#[test]
fn too_many_are_closed_and_reported() {
    in_a_process_of_its_own("descriptors::too_many_are_closed_and_reported", || {
        on_workers(|cx| {
            let (mut left, mut right) = UnixStream::pair().unwrap();
            let file = File::open("/dev/null").unwrap();
            for sent in 0..6 {
                let fds: Vec<_> = (0..sent).map(|_| file.as_fd()).collect();
                for room in 0..6 {
                    let before = open_descriptors();
                    left.send_with_fds(cx, b"x", &fds).unwrap();
                    let received = right.recv_with_fds(cx, &mut [0], room).unwrap();
                    assert_eq!(received.fds.len(), sent.min(room));
                    assert_eq!(received.fds_lost, sent > room, "{sent} sent, room for {room}");
                    assert_eq!(open_descriptors(), before + sent.min(room));
                }
            }
        });
    });
}
