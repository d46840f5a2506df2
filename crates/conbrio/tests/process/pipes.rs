//! Pipes.

use std::io::{ErrorKind, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use conbrio::io::{self, HalfClose, PipeReader, PipeWriter, Read, Write};
use conbrio::prelude::*;
use conbrio::testing::{assert_checkpoints, check_one_way_stream, settle};

use crate::support::{
    CUSHION, cancel_when_blocked, cancelled_before, in_a_process_of_its_own, on_workers, pattern,
};

// Also those about closing: which end sees what, that it wakes whoever waits, and what is cancelled.
// spec: test_unix_pipes.pipe_fully, test_unix_pipes.async_with
#[test]
fn pipes_obey_the_rules_of_streams() {
    for workers in [1, 2] {
        conbrio::Builder::new()
            .workers(workers)
            .run(|cx| {
                check_one_way_stream(cx, |_| {
                    let (reader, writer) = io::pipe().unwrap();
                    (writer, reader)
                })
                .unwrap();
            })
            .unwrap();
    }
}

// spec: test_unix_pipes.send_pipe
#[test]
fn what_is_sent_is_in_the_pipe() {
    on_workers(|cx| {
        let (reader, mut writer) = io::pipe().unwrap();
        assert_checkpoints(cx, |cx| writer.write_all(cx, b"123")).unwrap();
        let mut buf = [0; 8];
        assert_eq!(rustix::io::read(&reader, &mut buf).unwrap(), 3);
        assert_eq!(&buf[..3], b"123");
        // Several buffers, and none.
        let bufs = [IoSlice::new(b""), IoSlice::new(b"ab"), IoSlice::new(b"c")];
        assert_eq!(writer.write_vectored(cx, &bufs).unwrap(), 3);
        assert_eq!(rustix::io::read(&reader, &mut buf).unwrap(), 3);
        assert_checkpoints(cx, |cx| writer.write(cx, b"")).unwrap();
        assert_checkpoints(cx, |cx| writer.flush(cx)).unwrap();
    });
}

// spec: test_unix_pipes.receive_pipe
#[test]
fn what_is_in_the_pipe_is_received() {
    on_workers(|cx| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        writer.write_all(cx, b"123").unwrap();
        let mut buf = [0; 8];
        assert_checkpoints(cx, |cx| reader.read(cx, &mut buf)).unwrap();
        assert_eq!(&buf[..3], b"123");
        assert_checkpoints(cx, |cx| reader.read(cx, &mut [])).unwrap();
        let _ = cancel_when_blocked(cx, |cx| reader.read(cx, &mut [0; 8]));
        drop(writer);
        assert_eq!(reader.read(cx, &mut buf).unwrap(), 0);
    });
}

// spec: test_unix_pipes.pipes_combined
#[test]
fn a_megabyte_through_a_pipe() {
    on_workers(|cx| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let data = pattern(1 << 20);
        cx.nursery(|cx, n| -> std::io::Result<()> {
            let sent = &data;
            n.spawn(move |cx| Ok(writer.write_all(cx, sent)?));
            let mut got = Vec::new();
            reader.read_to_end(cx, &mut got)?;
            assert!(got == data, "what came is not what was sent");
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_unix_pipes.pipe_errors, test_unix_pipes.bizarro_OSError_from_receive
#[test]
fn errors_of_a_pipe_are_the_systems() {
    on_workers(|cx| {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        for _ in 0..2 {
            let error = writer.write(cx, b"x").unwrap_err().into_failed().unwrap();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
        // An end that is used the wrong way round.
        let (reader, writer) = io::pipe().unwrap();
        let mut swapped = PipeReader::from_fd(writer.into_fd().unwrap()).unwrap();
        let error = swapped.read(cx, &mut [0]).unwrap_err().into_failed().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        let mut swapped = PipeWriter::from_fd(reader.into_fd().unwrap()).unwrap();
        let error = swapped.write(cx, b"x").unwrap_err().into_failed().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    });
}

#[test]
fn the_writing_end_closes_by_end_write() {
    on_workers(|cx| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        writer.write_all(cx, b"last").unwrap();
        let _ = cancelled_before(cx, |cx| writer.end_write(cx));
        assert_checkpoints(cx, |cx| writer.end_write(cx)).unwrap();
        writer.end_write(cx).unwrap();
        let mut all = Vec::new();
        reader.read_to_end(cx, &mut all).unwrap();
        assert_eq!(all, b"last");
        let error = writer.write(cx, b"x").unwrap_err().into_failed().unwrap();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(error.to_string().contains("end_write"), "{error}");
        assert_eq!(writer.into_fd().unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

// An end closes its number once: whoever gets the number next keeps it.
// spec: test_unix_pipes.misdirected_aclose_regression, test_unix_pipes.del
#[test]
fn the_number_of_a_closed_end_may_be_used_again() {
    in_a_process_of_its_own("pipes::the_number_of_a_closed_end_may_be_used_again", || {
        on_workers(|cx| {
            let (reader, mut writer) = io::pipe().unwrap();
            let (mut kept, number) = (None, rustix::fd::AsFd::as_fd(&reader).as_raw_fd());
            // A wait registers it, which closing has to undo.
            let mut reader = reader;
            let _ = cancel_when_blocked(cx, |cx| reader.read(cx, &mut [0]));
            drop(reader);
            writer.end_write(cx).unwrap();
            let next = std::fs::File::open("/dev/null").unwrap();
            assert_eq!(next.as_raw_fd(), number, "the lowest free number");
            let _ = kept.insert(next);
            // Closing again, and dropping, leave it alone.
            writer.end_write(cx).unwrap();
            drop(writer);
            let next: OwnedFd = kept.take().unwrap().into();
            rustix::io::fcntl_getfd(&next).unwrap();
        });
    });
}

// spec: test_unix_pipes.pipe_errors
#[test]
fn no_write_raises_the_signal_of_pipes() {
    in_a_process_of_its_own("pipes::no_write_raises_the_signal_of_pipes", || {
        let came = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(libc::SIGPIPE, Arc::clone(&came)).unwrap();
        on_workers(|cx| {
            let (reader, mut writer) = io::pipe().unwrap();
            drop(reader);
            let error = writer.write_all(cx, b"x").unwrap_err();
            assert_eq!(error.kind(), Some(ErrorKind::BrokenPipe));
            // One that waits for room when its reader goes.
            let (reader, mut writer) = io::pipe().unwrap();
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let mut writing = n.spawn(move |cx| Ok(writer.write_all(cx, &[0; 1 << 20])));
                settle(cx, CUSHION)?;
                drop(reader);
                let error = writing.join(cx)?.unwrap_err();
                assert_eq!(error.kind(), Some(ErrorKind::BrokenPipe));
                assert!(error.done() > 0);
                Ok(())
            })
            .unwrap();
            assert!(!came.load(Ordering::SeqCst));
        });
        // That it would be seen if there was one.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        rustix::io::write(&writer, b"x").unwrap_err();
        assert!(came.load(Ordering::SeqCst));
    });
}
