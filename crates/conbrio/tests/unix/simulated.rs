//! A simulated run has no Unix sockets, and says so.

use std::io::ErrorKind;
use std::os::fd::AsFd;

use conbrio::OrCancelled;
use conbrio::net::{UnixDatagram, UnixListener, UnixStream};
use conbrio::prelude::*;

use crate::support::Folder;

#[track_caller]
fn is_unsupported<T>(result: Result<T, OrCancelled<std::io::Error>>, names: &str) {
    let Err(error) = result else { panic!("it was to fail") };
    let error = error.into_failed().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains(names), "{error}");
}

#[test]
fn there_are_no_unix_sockets() {
    let folder = Folder::new();
    let path = folder.file("socket");
    let name = path.display().to_string();
    // A real server, which the simulation must not reach.
    let _server = std::os::unix::net::UnixListener::bind(&path).unwrap();
    conbrio::testing::run(|cx| {
        is_unsupported(UnixStream::connect(cx, &path), &name);
        is_unsupported(UnixListener::bind(cx, &path), &name);
        is_unsupported(UnixDatagram::bind(cx, &path), &name);
        is_unsupported(UnixDatagram::unbound().unwrap().connect(cx, &path), &name);
        is_unsupported(UnixDatagram::unbound().unwrap().send_to(cx, b"x", &path), &name);
        let (mut left, _right) = UnixStream::pair().unwrap();
        is_unsupported(left.write(cx, b"x"), "simulat");
        is_unsupported(left.read(cx, &mut [0]), "simulat");
        is_unsupported(left.send_with_fds(cx, b"x", &[path_file().as_fd()]), "simulat");
        is_unsupported(left.recv_with_fds(cx, &mut [0], 1), "simulat");
        let (mut one, _two) = UnixDatagram::pair().unwrap();
        is_unsupported(one.send(cx, b"x"), "simulat");
        is_unsupported(one.recv_from(cx, &mut [0]), "simulat");
    });
}

fn path_file() -> std::fs::File {
    std::fs::File::open("/dev/null").unwrap()
}

// spec: test_socket.custom_socket_factory
#[test]
fn files_are_sent_over_simulated_streams() {
    let data = crate::support::pattern(100_000);
    let folder = Folder::new();
    let path = folder.file("data");
    std::fs::write(&path, &data).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    conbrio::testing::run(|cx| {
        let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| {
                let mut stream = TcpStream::connect(cx, address)?;
                stream.send_file(cx, &file, 10, 99_990)?;
                let error = stream.send_file(cx, &file, 99_000, 2000).unwrap_err();
                assert_eq!((error.done(), error.kind()), (1000, Some(ErrorKind::UnexpectedEof)));
                Ok(())
            });
            let (mut stream, _) = listener.accept(cx)?;
            let mut got = Vec::new();
            conbrio::io::Read::read_to_end(&mut stream, cx, &mut got)?;
            assert!(got[..99_990] == data[10..] && got[99_990..] == data[99_000..]);
            Ok(())
        })
        .unwrap();
    });
}
