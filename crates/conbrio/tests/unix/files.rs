//! Files sent over sockets: every byte arrives, from wherever in the file, and what was not sent is counted.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::fd::AsFd;

use conbrio::io::{Incomplete, Read};
use conbrio::net::UnixStream;
use conbrio::prelude::*;
use conbrio::signal::{Signal, Signals};
use conbrio::testing::settle;

use crate::support::{CUSHION, Folder, on_workers, pattern, real, was_cancelled};

fn tcp(cx: &mut Cx) -> (TcpStream, TcpStream) {
    let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
    let left = TcpStream::connect(cx, listener.local_addr().unwrap()).unwrap();
    (left, listener.accept(cx).unwrap().0)
}

fn file_of(folder: &Folder, data: &[u8]) -> File {
    let path = folder.file("data");
    std::fs::write(&path, data).unwrap();
    File::open(path).unwrap()
}

/// What the peer gets of what `send` sends.
fn received<S: Read + Send>(
    cx: &mut Cx,
    mut peer: S,
    send: impl FnOnce(&mut Cx) -> std::io::Result<()> + Send,
) -> Vec<u8> {
    let mut got = Vec::new();
    cx.nursery(|cx, n| -> std::io::Result<()> {
        n.spawn(send);
        peer.read_to_end(cx, &mut got)?;
        Ok(())
    })
    .unwrap();
    got
}

#[test]
fn any_part_of_a_file_arrives() {
    let data = pattern(3_000_000);
    on_workers(|cx| {
        let folder = Folder::new();
        let file = file_of(&folder, &data);
        let (length, half) = (data.len() as u64, data.len() as u64 / 2);
        for (offset, count) in [(0, length), (17, half), (length - 1, 1), (5, 0), (length + 9, 0)] {
            let wanted = data.get(offset as usize..(offset + count) as usize).unwrap_or_default();
            let (mut left, right) = tcp(cx);
            let got =
                received(cx, right, |cx| Ok(left_and_drop(cx, &mut left, &file, offset, count)?));
            assert!(got == wanted, "{count} bytes from {offset} on, over TCP");
            let (mut left, right) = UnixStream::pair().unwrap();
            let got = received(cx, right, |cx| {
                left.send_file(cx, &file, offset, count)?;
                left.shutdown(std::net::Shutdown::Write)
            });
            assert!(got == wanted, "{count} bytes from {offset} on, over a Unix socket");
        }
    });
}

fn left_and_drop(
    cx: &mut Cx,
    stream: &mut TcpStream,
    file: &File,
    offset: u64,
    count: u64,
) -> Result<(), Incomplete> {
    stream.send_file(cx, file, offset, count)?;
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    Ok(())
}

#[test]
fn halves_send_files_too() {
    let data = pattern(300_000);
    on_workers(|cx| {
        let folder = Folder::new();
        let file = file_of(&folder, &data);
        let length = data.len() as u64;
        let (left, right) = tcp(cx);
        let (_reader, mut writer) = left.into_split();
        let got = received(cx, right, move |cx| Ok(writer.send_file(cx, &file, 0, length)?));
        assert!(got == data);
        let file = file_of(&folder, &data);
        let (mut left, right) = UnixStream::pair().unwrap();
        let got = received(cx, right, move |cx| {
            let (_, mut writer) = left.split();
            Ok(writer.send_file(cx, &file, 0, length)?)
        });
        assert!(got == data);
    });
}

#[test]
fn a_file_that_ends_early_is_an_error_with_a_count() {
    on_workers(|cx| {
        let folder = Folder::new();
        let file = file_of(&folder, &pattern(1000));
        let (mut left, mut right) = tcp(cx);
        let error = left.send_file(cx, &file, 100, 1000).unwrap_err();
        assert_eq!((error.done(), error.kind()), (900, Some(ErrorKind::UnexpectedEof)));
        assert!(error.to_string().contains("100 more"), "{error}");
        right.read_exact(cx, &mut [0; 900]).unwrap();
    });
}

// What sendfile(2) does not take is copied: a file of procfs has no pages, a pipe has no positions.
#[test]
fn what_cannot_be_sent_is_copied_or_refused() {
    on_workers(|cx| {
        let version = std::fs::read("/proc/version").unwrap();
        let (mut left, right) = tcp(cx);
        let length = version.len() as u64;
        let got = received(cx, right, |cx| {
            let file = File::open("/proc/version")?;
            left_and_drop(cx, &mut left, &file, 0, length)?;
            Ok(())
        });
        assert_eq!(got, version);
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        let (mut left, _right) = tcp(cx);
        let error = left.send_file(cx, &reader, 0, 1).unwrap_err();
        assert_eq!((error.done(), error.cause().to_string().is_empty()), (0, false));
        let folder = File::open("/").unwrap();
        let error = left.send_file(cx, folder.as_fd(), 0, 1).unwrap_err();
        assert_eq!(error.done(), 0);
    });
}

#[test]
fn a_peer_that_has_gone_is_an_error_without_a_signal() {
    on_workers(|cx| {
        let mut signals = Signals::new(&[Signal::from_raw(libc::SIGPIPE)]).unwrap();
        let folder = Folder::new();
        let file = file_of(&folder, &pattern(100_000));
        let (mut left, right) = UnixStream::pair().unwrap();
        drop(right);
        let error = left.send_file(cx, &file, 0, 100_000).unwrap_err();
        assert_eq!((error.done(), error.kind()), (0, Some(ErrorKind::BrokenPipe)));
        settle(cx, CUSHION).unwrap();
        assert_eq!(signals.try_wait(), None);
    });
}

// What is not in memory is read on another thread, and arrives all the same.
#[test]
fn a_file_that_was_forgotten_is_read_again() {
    let data = pattern(1_000_000);
    on_workers(|cx| {
        let folder = Folder::new();
        let path = folder.file("data");
        std::fs::write(&path, &data).unwrap();
        let file = File::open(&path).unwrap();
        rustix::fs::fsync(&file).unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let (mut left, right) = tcp(cx);
        let length = data.len() as u64;
        let got = received(cx, right, |cx| Ok(left_and_drop(cx, &mut left, &file, 0, length)?));
        assert!(got == data);
    });
}

// N17: net::TcpStream::send_file, net::WriteHalf::send_file, net::OwnedWriteHalf::send_file
// N17: net::UnixStream::send_file
#[test]
fn a_cancelled_file_has_sent_what_it_says() {
    const MUCH: u64 = 250_000;
    let data = pattern(MUCH as usize);
    let folder = Folder::new();
    let file = file_of(&folder, &data);
    let (file, data) = (&file, &data);
    for way in 0..4 {
        real(3, |cx, trial| {
            let (mut unix, unix_peer) = UnixStream::pair().unwrap();
            let (mut left, right) = tcp(cx);
            left.set_send_buffer_size(16 * 1024).unwrap();
            right.set_recv_buffer_size(64 * 1024).unwrap();
            unix.set_send_buffer_size(16 * 1024).unwrap();
            let mut got = Vec::new();
            let mut sent = 0;
            cx.nursery(|cx, n| -> std::io::Result<()> {
                let got = &mut got;
                n.spawn(move |cx| {
                    let (mut right, mut unix_peer) = (right, unix_peer);
                    match way {
                        3 => unix_peer.read_to_end(cx, got)?,
                        _ => right.read_to_end(cx, got)?,
                    };
                    Ok(())
                });
                let outcome = match way {
                    0 => trial.run(cx, |cx| left.send_file(cx, file, 0, MUCH)),
                    1 => trial.run(cx, |cx| left.split().1.send_file(cx, file, 0, MUCH)),
                    2 => {
                        let (_reader, mut writer) = left.into_split();
                        let outcome = trial.run(cx, |cx| writer.send_file(cx, file, 0, MUCH));
                        sent = done(trial, outcome, MUCH);
                        return Ok(());
                    }
                    _ => trial.run(cx, |cx| unix.send_file(cx, file, 0, MUCH)),
                };
                sent = done(trial, outcome, MUCH);
                drop((left, unix));
                Ok(())
            })
            .unwrap();
            assert_eq!(sent as usize, got.len());
            assert!(got == data[..got.len()]);
        });
    }
}

fn done(trial: &conbrio::testing::Trial, outcome: Result<(), Incomplete>, all: u64) -> u64 {
    match was_cancelled(trial, &outcome) {
        true => outcome.unwrap_err().done(),
        false => all,
    }
}

#[test]
fn a_file_waits_for_a_slow_peer() {
    let data = pattern(5_000_000);
    on_workers(|cx| {
        let folder = Folder::new();
        let file = file_of(&folder, &data);
        let (mut left, mut right) = tcp(cx);
        cx.nursery(|cx, n| -> std::io::Result<()> {
            let length = data.len() as u64;
            n.spawn(move |cx| Ok(left.send_file(cx, &file, 0, length)?));
            settle(cx, CUSHION)?;
            let mut got = vec![0; data.len()];
            right.read_exact(cx, &mut got)?;
            assert!(got == data);
            Ok(())
        })
        .unwrap();
    });
}
