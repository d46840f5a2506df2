//! Listening: full backlogs, files before and after, permissions.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use conbrio::net::unix::ListenOptions;
use conbrio::net::{UnixDatagram, UnixListener, UnixStream};
use conbrio::prelude::*;
use conbrio::testing::settle;

use crate::support::{CUSHION, Folder, on_workers};

fn refused(cx: &mut Cx, options: &ListenOptions, path: &Path) {
    let error = options.bind(cx, path).unwrap_err().into_failed().unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[test]
fn a_file_is_removed_only_when_that_was_asked_for() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.file("socket");
        let plain = ListenOptions::new();
        drop(plain.bind(cx, &path).unwrap());
        assert!(path.exists());
        refused(cx, &plain, &path);
        // A clone that is left, and a descriptor that was handed out, are no reason to keep the file, or to
        // remove it.
        let tidy = ListenOptions::new().replace_stale(true).remove_on_drop(true);
        let listener = tidy.bind(cx, &path).unwrap();
        let clone = listener.try_clone().unwrap();
        drop(clone);
        assert!(path.exists());
        drop(listener);
        assert!(!path.exists());
        let std = tidy.bind(cx, &path).unwrap().into_std().unwrap();
        assert!(path.exists());
        let again = UnixListener::from_std(std).unwrap();
        drop(again);
        assert!(path.exists());
    });
}

#[test]
fn only_a_socket_that_nobody_listens_at_is_replaced() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.file("socket");
        let options = ListenOptions::new().replace_stale(true);
        std::fs::write(&path, "precious").unwrap();
        refused(cx, &options, &path);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        std::fs::remove_file(&path).unwrap();

        let listener = options.bind(cx, &path).unwrap();
        refused(cx, &options, &path);
        UnixStream::connect(cx, &path).unwrap();
        drop(listener);
        options.bind(cx, &path).unwrap();
        // Sockets for datagrams are told apart as well.
        std::fs::remove_file(&path).unwrap();
        let datagrams = UnixDatagram::bind(cx, &path).unwrap();
        refused(cx, &options, &path);
        drop(datagrams);
        options.bind(cx, &path).unwrap();
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "something was left aside: {left:?}");
    });
}

#[test]
fn the_file_of_a_later_server_stays() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.file("socket");
        let options = ListenOptions::new().remove_on_drop(true);
        let first = options.bind(cx, &path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = options.bind(cx, &path).unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        drop(first);
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
        drop(second);
        assert!(!path.exists());
    });
}

#[test]
fn one_of_many_that_replace_a_stale_socket_gets_the_address() {
    on_workers(|cx| {
        for _ in 0..20 {
            let folder = Folder::new();
            let path = folder.file("socket");
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            let listeners = std::sync::Mutex::new(Vec::new());
            cx.nursery(|_, n| -> std::io::Result<()> {
                for _ in 0..4 {
                    n.spawn(|cx| {
                        if let Ok(listener) =
                            ListenOptions::new().replace_stale(true).bind(cx, &path)
                        {
                            listeners.lock().unwrap().push(listener);
                        }
                        Ok(())
                    });
                }
                Ok(())
            })
            .unwrap();
            // Whoever has the address can be reached.
            UnixStream::connect(cx, &path).unwrap();
            assert!(!listeners.into_inner().unwrap().is_empty());
        }
    });
}

#[test]
fn permissions_are_those_that_were_asked_for() {
    on_workers(|cx| {
        let folder = Folder::new();
        for mode in [0o600, 0o666, 0o770] {
            let path = folder.file(&format!("{mode:o}"));
            let _listener = ListenOptions::new().mode(mode).bind(cx, &path).unwrap();
            let found = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode);
        }
        let missing = folder.file("missing/socket");
        let error = UnixListener::bind(cx, &missing).unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    });
}

#[test]
fn connecting_waits_for_a_place_in_the_backlog() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.file("socket");
        let mut listener = ListenOptions::new().backlog(0).bind(cx, &path).unwrap();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            for number in 0..5_u8 {
                let path = &path;
                n.spawn(move |cx| {
                    let mut stream = UnixStream::connect(cx, path)?;
                    Ok(stream.write_all(cx, &[number])?)
                });
            }
            let mut seen = Vec::new();
            for _ in 0..5 {
                let (mut stream, _) = listener.accept(cx)?;
                let mut number = [0];
                stream.read_exact(cx, &mut number)?;
                seen.extend(number);
            }
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3, 4]);
            Ok(())
        })
        .unwrap();
        assert!(listener.take_error().unwrap().is_none());
    });
}

// The counterpart of `open_stream_to_socket_listener` is connecting to what the listener says it listens at.
// spec: test_testing.open_stream_to_socket_listener
#[test]
fn the_address_of_every_listener_leads_to_it() {
    on_workers(|cx| {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let mut listener = TcpListener::bind(cx, address).unwrap();
            let mut client = TcpStream::connect(cx, listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept(cx).unwrap();
            client.write_all(cx, b"x").unwrap();
            server.read_exact(cx, &mut [0]).unwrap();
        }
        let folder = Folder::new();
        let mut listener = UnixListener::bind(cx, folder.file("socket")).unwrap();
        let mut client = UnixStream::connect_addr(cx, &listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept(cx).unwrap();
        client.write_all(cx, b"x").unwrap();
        server.read_exact(cx, &mut [0]).unwrap();
    });
}

#[test]
fn two_tasks_accept_from_one_queue() {
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.file("socket");
        let mut one = UnixListener::bind(cx, &path).unwrap();
        let mut two = one.try_clone().unwrap();
        let accepted = std::sync::atomic::AtomicUsize::new(0);
        cx.nursery(|cx, n| -> std::io::Result<()> {
            for listener in [&mut one, &mut two] {
                let accepted = &accepted;
                n.spawn(move |cx| -> std::io::Result<()> {
                    loop {
                        let (mut stream, _) = listener.accept(cx)?;
                        accepted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        stream.write_all(cx, b"!")?;
                    }
                });
            }
            settle(cx, CUSHION)?;
            for _ in 0..10 {
                UnixStream::connect(cx, &path)?.read_exact(cx, &mut [0])?;
            }
            n.cancel();
            Ok(())
        })
        .unwrap();
        assert_eq!(accepted.into_inner(), 10);
    });
}
