//! Libraries that know only the traits of the standard library.

use std::io::{self, BufRead, Read, Write};

use conbrio::io::{Incomplete, With};
use conbrio::prelude::*;
use conbrio::testing::settle;

use crate::support::{CUSHION, cancel_when_blocked, on_workers, pair, pattern};

#[test]
fn the_standard_library_reads_and_writes() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        cx.nursery(|cx, n| -> io::Result<()> {
            n.spawn(|cx| {
                let mut left = io::BufWriter::new(left.with(cx));
                for number in 0..10_000 {
                    writeln!(left, "line {number}")?;
                }
                left.flush()?;
                left.get_mut().get_mut().shutdown(std::net::Shutdown::Write)
            });
            let lines = io::BufReader::new(right.with(cx)).lines();
            let mut count = 0;
            for (number, line) in lines.enumerate() {
                assert_eq!(line?, format!("line {number}"));
                count += 1;
            }
            assert_eq!(count, 10_000);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn std_copy_and_every_method_work() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        let data = pattern(300_000);
        let mut received = Vec::new();
        cx.nursery(|cx, n| -> io::Result<()> {
            n.spawn(|cx| {
                let mut left = left.with(cx);
                assert_eq!(io::copy(&mut &data[..], &mut left)?, 300_000);
                assert_eq!(left.write_vectored(&[io::IoSlice::new(b"tail")])?, 4);
                let (left, cx) = left.parts();
                cx.checkpoint()?;
                left.shutdown(std::net::Shutdown::Write)
            });
            let mut with = right.with(cx);
            assert!(format!("{with:?}").starts_with("With { stream: TcpStream"));
            let mut first = [0; 2];
            with.read_exact(&mut first)?;
            let mut second = [0; 2];
            assert_eq!(with.read_vectored(&mut [io::IoSliceMut::new(&mut second)])?, 2);
            received.extend([first, second].concat());
            with.read_to_end(&mut received)?;
            assert!(with.get_ref().peer_addr().is_ok());
            Ok(())
        })
        .unwrap();
        assert!(received[..300_000] == data);
        assert_eq!(&received[300_000..], b"tail");
    });
}

#[test]
fn halves_have_adapters_too() {
    on_workers(|cx| {
        let (mut left, right) = pair(cx);
        let (mut reader, mut writer) = right.into_split();
        writer.with(cx).write_all(b"ab").unwrap();
        let (mut left_reader, mut left_writer) = left.split();
        let mut buf = [0; 2];
        left_reader.with(cx).read_exact(&mut buf).unwrap();
        left_writer.with(cx).write_all(&buf).unwrap();
        reader.with(cx).read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"ab");
    });
}

#[test]
fn a_cancellation_comes_through_a_library_and_is_recognised() {
    on_workers(|cx| {
        let (_left, mut right) = pair(cx);
        // `read_exact` of the standard library repeats what is `Interrupted`, and would never end.
        let error = cancel_when_blocked(cx, |cx| {
            let mut reader = io::BufReader::new(right.with(cx));
            let mut buf = [0; 4];
            io::Read::read_exact(&mut reader, &mut buf)
        });
        assert_eq!(error.kind(), io::ErrorKind::Other);
        assert!(error.get_ref().unwrap().is::<Cancelled>());
        // The scope takes it back.
        let outcome = cx.cancel_scope(|cx, scope| -> io::Result<()> {
            scope.cancel();
            let mut text = String::new();
            io::BufReader::new(right.with(cx)).read_line(&mut text)?;
            Ok(())
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
    });
}

#[test]
fn the_progress_of_a_write_comes_through_too() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        let data = pattern(32 * 1024 * 1024);
        let error = cancel_when_blocked(cx, |cx| left.with(cx).write_all(&data));
        assert_eq!(error.kind(), io::ErrorKind::Other);
        let done = error.get_ref().unwrap().downcast_ref::<Incomplete>().unwrap().done();
        drop(left);
        let mut received = Vec::new();
        With::new(&mut right, cx).read_to_end(&mut received).unwrap();
        assert_eq!(received.len() as u64, done);
    });
}

#[test]
fn a_protocol_library_runs_unchanged() {
    on_workers(|cx| {
        let (mut left, mut right) = pair(cx);
        cx.nursery(|cx, n| -> io::Result<()> {
            n.spawn(|cx| {
                // A server that parses requests as they come.
                let mut stream = right.with(cx);
                let mut buf = Vec::new();
                loop {
                    let mut headers = [httparse::EMPTY_HEADER; 16];
                    let mut request = httparse::Request::new(&mut headers);
                    if request.parse(&buf).map_err(io::Error::other)?.is_complete() {
                        assert_eq!(request.path, Some("/index"));
                        break;
                    }
                    let mut part = [0; 7];
                    let count = stream.read(&mut part)?;
                    assert_ne!(count, 0);
                    buf.extend_from_slice(&part[..count]);
                }
                write!(stream, "HTTP/1.1 204 No Content\r\n\r\n")
            });
            let mut stream = left.with(cx);
            write!(stream, "GET /index HTTP/1.1\r\nHost: a\r\n\r\n")?;
            let mut reply = [0; 27];
            stream.read_exact(&mut reply)?;
            assert!(reply.starts_with(b"HTTP/1.1 204"));
            Ok(())
        })
        .unwrap();
        settle(cx, CUSHION).unwrap();
    });
}
