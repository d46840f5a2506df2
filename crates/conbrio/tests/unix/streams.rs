//! What a Unix stream does when all goes well, and when the peer goes away.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read as _, Write as _};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

use conbrio::io::Read;
use conbrio::net::{UnixDatagram, UnixListener, UnixStream};
use conbrio::prelude::*;
use conbrio::testing::settle;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use crate::support::{CUSHION, Folder, connection, on_workers, pattern};

// spec: test_socket.socketpair_simple, test_socket.socket
#[test]
fn a_pair_is_connected_and_inherited_by_nobody() {
    on_workers(|cx| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        for stream in [&left, &right] {
            let flags = rustix::io::fcntl_getfd(stream).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            assert!(stream.local_addr().unwrap().is_unnamed());
            assert!(stream.peer_addr().unwrap().is_unnamed());
        }
        let mut buf = [0; 3];
        left.write_all(cx, b"abc").unwrap();
        right.read_exact(cx, &mut buf).unwrap();
        assert_eq!(&buf, b"abc");
        right.write_all(cx, b"cba").unwrap();
        left.read_exact(cx, &mut buf).unwrap();
        assert_eq!(&buf, b"cba");
    });
}

// spec: test_socket.unix_domain_socket, test_highlevel_open_unix_stream.open_unix_socket
#[test]
fn a_path_and_an_abstract_name_lead_to_the_listener() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.file("socket");
        let name = path.as_os_str().as_encoded_bytes();
        let abstract_name = SocketAddr::from_abstract_name(name).unwrap();
        for address in [SocketAddr::from_pathname(&path).unwrap(), abstract_name] {
            let mut listener = UnixListener::bind_addr(cx, &address).unwrap();
            let mut client = UnixStream::connect_addr(cx, &address).unwrap();
            let (mut server, peer) = listener.accept(cx).unwrap();
            assert!(peer.is_unnamed() && client.local_addr().unwrap().is_unnamed());
            for told in [listener.local_addr(), client.peer_addr(), server.local_addr()] {
                let told = told.unwrap();
                assert_eq!(told.as_pathname(), address.as_pathname());
                assert_eq!(told.as_abstract_name(), address.as_abstract_name());
            }
            client.write_all(cx, b"xyz").unwrap();
            let mut buf = [0; 3];
            server.read_exact(cx, &mut buf).unwrap();
            assert_eq!(&buf, b"xyz");
            let text = format!("{listener:?} {client:?}");
            assert!(text.contains("UnixListener") && text.contains("UnixStream"), "{text}");
        }
    });
}

// That a name is no path at all is a matter of types: `connect` takes what is a path.
// spec: test_highlevel_open_unix_stream.open_bad_socket, test_highlevel_open_unix_stream.open_with_bad_filename_type, test_highlevel_open_unix_stream.close_on_error
#[test]
fn what_cannot_be_connected_to_is_named() {
    on_workers(|cx| {
        let folder = Folder::new();
        let (missing, stale, file) =
            (folder.file("missing"), folder.file("stale"), folder.file("file"));
        drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
        std::fs::write(&file, "").unwrap();
        for (path, kind) in [
            (&missing, ErrorKind::NotFound),
            (&stale, ErrorKind::ConnectionRefused),
            (&file, ErrorKind::ConnectionRefused),
            (&folder.file(&"x".repeat(200)), ErrorKind::InvalidInput),
        ] {
            let error = UnixStream::connect(cx, path).unwrap_err().into_failed().unwrap();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
        let name = SocketAddr::from_abstract_name(b"conbrio nobody\x01").unwrap();
        let error = UnixStream::connect_addr(cx, &name).unwrap_err().into_failed().unwrap();
        assert!(error.to_string().contains(r"@conbrio nobody\x01"), "{error}");
        let nobody = UnixStream::pair().unwrap().0.local_addr().unwrap();
        let error = UnixStream::connect_addr(cx, &nobody).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn the_peer_is_known() {
    on_workers(|cx| {
        let folder = Folder::new();
        let (_listener, left, right) = connection(cx, &folder.file("socket"));
        for stream in [left, right] {
            let peer = stream.peer_cred().unwrap();
            assert_eq!(peer.pid, Some(std::process::id()));
            assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
            assert_eq!(peer.gid, rustix::process::getegid().as_raw());
        }
    });
}

#[test]
fn every_way_of_reading_gets_what_every_way_of_writing_sent() {
    on_workers(|cx| {
        let (mut left, right) = UnixStream::pair().unwrap();
        left.write(cx, b"ab").unwrap();
        left.write_vectored(cx, &[IoSlice::new(b"cd"), IoSlice::new(b""), IoSlice::new(b"e")])
            .unwrap();
        left.with(cx).write_all(b"fgh").unwrap();
        let (mut reader, writer) = right.into_split();
        let mut buf = [0; 2];
        assert_eq!(reader.peek(cx, &mut buf).unwrap(), 2);
        assert_eq!(reader.read(cx, &mut buf).unwrap(), 2);
        assert_eq!(&buf, b"ab");
        let (mut one, mut two) = ([0; 1], [0; 1]);
        let mut both = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(reader.read_vectored(cx, &mut both).unwrap(), 2);
        assert_eq!((&one, &two), (b"c", b"d"));
        let mut right = reader.reunite(writer).unwrap();
        right.with(cx).read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"ef");
        let (mut reader, _) = right.split();
        assert_eq!(reader.read_with(cx, |bytes| bytes.to_vec()).unwrap(), b"gh");
        // Nothing is a checkpoint and no wait.
        assert_eq!(left.read(cx, &mut []).unwrap(), 0);
        assert_eq!(left.write(cx, &[]).unwrap(), 0);
    });
}

#[test]
fn halves_of_different_streams_stay_apart() {
    let ((left, right), (other, _)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let ((reader, _), (_, writer)) = (left.into_split(), other.into_split());
    let error = reader.reunite(writer).unwrap_err();
    assert!(error.to_string().contains("not of the same stream"));
    drop((error, right));
}

#[test]
fn one_direction_ends_and_the_other_goes_on() {
    on_workers(|cx| {
        let data = pattern(300_000);
        let (mut left, mut right) = UnixStream::pair().unwrap();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| {
                // Everything, and then everything back.
                let mut all = Vec::new();
                right.read_to_end(cx, &mut all)?;
                Ok(right.write_all(cx, &all)?)
            });
            left.write_all(cx, &data)?;
            left.shutdown(Shutdown::Write)?;
            let mut back = vec![0; data.len()];
            left.read_exact(cx, &mut back)?;
            assert!(back == data);
            assert_eq!(
                left.write(cx, b"x").unwrap_err().into_failed().unwrap().kind(),
                ErrorKind::BrokenPipe
            );
            Ok(())
        })
        .unwrap();
        // Dropping the write half ends its direction.
        let (left, mut right) = UnixStream::pair().unwrap();
        let (_reader, writer) = left.into_split();
        drop(writer);
        assert_eq!(right.read(cx, &mut [0]).unwrap(), 0);
    });
}

// spec: test_socket.SocketType_is_readable
#[test]
fn readable_is_what_a_read_would_not_wait_for() {
    on_workers(|cx| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        assert!(!right.is_readable().unwrap());
        left.write_all(cx, b"x").unwrap();
        assert!(right.is_readable().unwrap());
        right.read_exact(cx, &mut [0]).unwrap();
        assert!(!right.is_readable().unwrap());
        drop(left);
        assert!(right.is_readable().unwrap());

        let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
        let mut left = TcpStream::connect(cx, listener.local_addr().unwrap()).unwrap();
        let (right, _) = listener.accept(cx).unwrap();
        assert!(!right.is_readable().unwrap());
        left.write_all(cx, b"x").unwrap();
        settle(cx, CUSHION).unwrap();
        assert!(right.is_readable().unwrap());
    });
}

// A task that waits has borrowed its socket, so that nobody can close it: the documentation of `UnixStream`
// has the program that does not compile. What is left is shutting down behind the back of the type.
// spec: test_socket.interrupted_by_close, test_highlevel_socket.SocketListener_socket_closed_underfoot
#[test]
fn a_socket_that_was_shut_down_underfoot_ends_its_waits() {
    on_workers(|cx| {
        let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
        let (mut left, mut right) = UnixStream::pair().unwrap();
        let (listener_fd, left_fd) = (
            rustix::io::fcntl_dupfd_cloexec(&listener, 0).unwrap(),
            rustix::io::fcntl_dupfd_cloexec(&left, 0).unwrap(),
        );
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| {
                let error = listener.accept(cx).unwrap_err().into_failed().unwrap();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                Ok(())
            });
            n.spawn(|cx| {
                assert_eq!(left.read(cx, &mut [0])?, 0);
                Ok(())
            });
            settle(cx, CUSHION)?;
            for fd in [listener_fd, left_fd] {
                socket2::SockRef::from(&fd).shutdown(Shutdown::Both)?;
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(right.read(cx, &mut [0]).unwrap(), 0);
    });
}

#[test]
fn streams_of_std_come_and_go() {
    on_workers(|cx| {
        let (left, mut right) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut left = UnixStream::from_std(left).unwrap();
        left.write_all(cx, b"there").unwrap();
        let mut buf = [0; 5];
        right.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"there");
        left.set_send_buffer_size(10_000).unwrap();
        assert!(left.send_buffer_size().unwrap() >= 10_000);
        assert!(left.take_error().unwrap().is_none());
        let mut left = left.into_std().unwrap();
        right.write_all(b"back").unwrap();
        left.read_exact(&mut buf[..4]).unwrap();
        assert_eq!(&buf[..4], b"back");
    });
}

// A path may have 108 bytes if no zero is behind it. The type of the standard library does not hold it, and
// nobody can be reached by it through that; a peer that has such a name does no harm.
#[test]
fn a_peer_with_a_name_that_is_too_long_is_nobody() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.file("socket");
        let mut listener = UnixListener::bind(cx, &path).unwrap();
        let mut receiver = UnixDatagram::bind(cx, folder.file("datagrams")).unwrap();
        for kind in [SocketType::STREAM, SocketType::DGRAM] {
            let long =
                folder.file(&format!("{:0>1$}", "", 107 - folder.file("").as_os_str().len()));
            assert_eq!(long.as_os_str().len(), 107);
            let long = format!("{}x", long.display());
            let peer = rustix::net::socket(AddressFamily::UNIX, kind, None).unwrap();
            rustix::net::bind(&peer, &SocketAddrUnix::new(&*long).unwrap()).unwrap();
            if kind == SocketType::STREAM {
                rustix::net::connect(&peer, &SocketAddrUnix::new(&path).unwrap()).unwrap();
                let (stream, from) = listener.accept(cx).unwrap();
                assert!(from.is_unnamed() && stream.peer_addr().unwrap().is_unnamed());
            } else {
                let to = SocketAddrUnix::new(folder.file("datagrams")).unwrap();
                rustix::net::sendto(&peer, b"x", rustix::net::SendFlags::empty(), &to).unwrap();
                assert!(receiver.recv_from(cx, &mut [0]).unwrap().1.is_unnamed());
            }
            std::fs::remove_file(&long).unwrap();
        }
    });
}
