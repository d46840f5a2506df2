//! What happens when the limit of open files is reached. In processes of their own, whose limit it is.

use std::os::fd::AsFd;

use conbrio::net::{UnixDatagram, UnixListener, UnixStream};
use conbrio::testing::settle;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{
    CUSHION, Folder, exhaust, in_a_process_of_its_own, on_workers, open_descriptors,
};

#[test]
fn no_descriptor_left() {
    in_a_process_of_its_own("limits::no_descriptor_left", || {
        let hard = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum: hard }).unwrap();
        on_workers(|cx| {
            let folder = Folder::new();
            let path = folder.file("socket");
            let mut listener = UnixListener::bind(cx, &path).unwrap();
            let mut client = UnixStream::connect(cx, &path).unwrap();
            client.write_all(cx, b"patient").unwrap();
            let (mut left, mut right) = UnixStream::pair().unwrap();
            settle(cx, CUSHION).unwrap();
            let mut files = exhaust();
            for _ in 0..3 {
                let error = listener.accept(cx).unwrap_err().into_failed().unwrap();
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
            }
            let _ = UnixStream::connect(cx, &path).unwrap_err();
            let _ = UnixListener::bind(cx, folder.file("other")).unwrap_err();
            let _ = UnixDatagram::bind(cx, folder.file("third")).unwrap_err();
            UnixStream::pair().unwrap_err();
            UnixDatagram::pair().unwrap_err();
            // Descriptors on the way are lost, and that is said; the bytes are not.
            left.send_with_fds(cx, b"x", &[files[0].as_fd(), files[1].as_fd()]).unwrap();
            let received = right.recv_with_fds(cx, &mut [0], 2).unwrap();
            assert_eq!((received.count, received.fds.len(), received.fds_lost), (1, 0, true));
            left.send_with_fds(cx, b"x", &[files[0].as_fd(), files[1].as_fd()]).unwrap();
            files.pop();
            let received = right.recv_with_fds(cx, &mut [0], 2).unwrap();
            assert_eq!((received.count, received.fds.len(), received.fds_lost), (1, 1, true));
            drop((files, received));
            // The connection was not lost, and everything works again.
            let (mut stream, _) = listener.accept(cx).unwrap();
            let mut buf = [0; 7];
            stream.read_exact(cx, &mut buf).unwrap();
            assert_eq!(&buf, b"patient");
        });
    });
}

// spec: test_highlevel_open_unix_stream.close_on_error
#[test]
fn everything_that_was_opened_is_closed() {
    in_a_process_of_its_own("limits::everything_that_was_opened_is_closed", || {
        on_workers(|cx| {
            for round in 0..3 {
                let before = open_descriptors();
                let folder = Folder::new();
                let path = folder.file("socket");
                let _ = UnixStream::connect(cx, &path).unwrap_err();
                let mut listener = UnixListener::bind(cx, &path).unwrap();
                let left = UnixStream::connect(cx, &path).unwrap();
                let (right, _) = listener.accept(cx).unwrap();
                let (reader, writer) = left.into_split();
                drop((reader, writer));
                let right = UnixStream::from_std(right.into_std().unwrap()).unwrap();
                let clone = listener.try_clone().unwrap();
                let (one, two) = UnixDatagram::pair().unwrap();
                let one = UnixDatagram::from_std(one.into_std().unwrap()).unwrap();
                drop((listener, right, clone, one, two));
                let _ = UnixStream::connect(cx, &path).unwrap_err();
                // The first round may open what stays.
                if round > 0 {
                    assert_eq!(open_descriptors(), before);
                }
            }
        });
    });
}
