//! What memory streams do besides what every stream does.

use std::io::ErrorKind;
use std::time::Duration;

use conbrio::OrCancelled;
use conbrio::io::{Error, HalfClose, Read, Write};
use conbrio::prelude::*;
use conbrio::testing::settle;
use conbrio::testing::streams::{
    ByteQueue, Duplex, PipeReader, PipeWriter, clog, duplex, lockstep_pipe, pipe,
};

use crate::support::{cancel_at_rest, cancelled_before, on_workers, tcp, with_network};

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    match result {
        Err(OrCancelled::Failed(error)) => error.kind(),
        other => panic!("it was to fail: {other:?}"),
    }
}

// spec: test_testing._UnboundeByteQueue
#[test]
fn a_queue_gives_bytes_in_order_and_then_the_end() {
    on_workers(|cx| {
        let queue = PipeReader::new().queue();
        // The reader was dropped at once.
        assert_eq!(queue.put(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(queue.is_closed());

        let queue = PipeWriter::new().queue();
        assert!(queue.is_ended());
        assert_eq!(queue.try_take(1).unwrap().unwrap(), b"");

        let writer = PipeWriter::new();
        let queue = writer.queue();
        assert_eq!(queue.try_take(1).unwrap(), None);
        queue.put(b"abc").unwrap();
        queue.put(b"def").unwrap();
        assert_eq!(queue.len(), 6);
        assert_eq!(queue.take(cx, 4).unwrap(), b"abcd");
        assert_eq!(queue.try_take(usize::MAX).unwrap().unwrap(), b"ef");
        assert!(queue.is_empty());
        queue.put(b"last").unwrap();
        queue.put_end();
        queue.put_end();
        assert_eq!(queue.put(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(queue.take(cx, 100).unwrap(), b"last");
        assert_eq!(queue.take(cx, 100).unwrap(), b"");
        assert_eq!(queue.try_take(100).unwrap().unwrap(), b"");
    });
}

// spec: test_testing._UnboundeByteQueue
#[test]
fn taking_waits_for_bytes_and_for_the_end() {
    on_workers(|cx| {
        let mut writer = PipeWriter::new();
        let queue = writer.queue();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| {
                assert_eq!(queue.take(cx, 10)?, b"hello");
                assert_eq!(queue.take(cx, 10)?, b"");
                Ok(())
            });
            settle(cx, Duration::ZERO)?;
            writer.write_all(cx, b"hello")?;
            settle(cx, Duration::ZERO)?;
            writer.end_write(cx)?;
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_testing._UnboundeByteQueue, test_util.ConflictDetector
#[test]
fn a_second_taker_is_told_that_the_queue_is_busy() {
    on_workers(|cx| {
        let (mut writer, mut reader) = pipe();
        let queue = reader.queue();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| {
                let mut buf = [0; 4];
                assert_eq!(reader.read(cx, &mut buf)?, 1);
                Ok(())
            });
            settle(cx, Duration::ZERO)?;
            assert_eq!(kind(queue.take(cx, 1)), ErrorKind::ResourceBusy);
            assert_eq!(queue.try_take(1).unwrap_err().kind(), ErrorKind::ResourceBusy);
            let other = PipeReader::new();
            let error = queue.pump(&other.queue(), 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceBusy);
            writer.write_all(cx, b"x")?;
            Ok(())
        })
        .unwrap();
        // When the call is over the queue is free again.
        writer.write_all(cx, b"y").unwrap();
        assert_eq!(queue.take(cx, 1).unwrap(), b"y");
    });
}

// spec: test_testing._UnboundeByteQueue
#[test]
fn a_cancelled_taker_has_taken_nothing_and_leaves_the_queue_free() {
    on_workers(|cx| {
        let writer = PipeWriter::new();
        let queue = writer.queue();
        let taken = cancel_at_rest(cx, |cx| queue.take(cx, 1));
        assert!(matches!(taken, Err(OrCancelled::Cancelled(_))));
        queue.put(b"x").unwrap();
        let _: Error = cancelled_before(cx, |cx| queue.take(cx, 1));
        assert_eq!(queue.try_take(1).unwrap().unwrap(), b"x");
    });
}

#[test]
#[should_panic(expected = "ask for at least one byte")]
fn taking_no_bytes_is_a_mistake() {
    let _ = PipeWriter::new().queue().try_take(0);
}

// spec: test_testing.MemorySendStream
#[test]
fn a_writer_alone_gives_its_bytes_to_the_test() {
    on_workers(|cx| {
        let mut writer = PipeWriter::new();
        let queue = writer.queue();
        writer.write_all(cx, b"123").unwrap();
        writer.write_all(cx, b"456").unwrap();
        assert_eq!(queue.take(cx, 2).unwrap(), b"12");
        assert_eq!(queue.try_take(usize::MAX).unwrap().unwrap(), b"3456");
        writer.end_write(cx).unwrap();
        assert_eq!(kind(writer.write(cx, b"x")), ErrorKind::BrokenPipe);
        assert_eq!(kind(writer.write(cx, b"")), ErrorKind::BrokenPipe);
        drop(writer);
        assert_eq!(queue.take(cx, 1).unwrap(), b"");
    });
}

// spec: test_testing.MemoryReceiveStream
#[test]
fn a_reader_alone_reads_what_the_test_puts_in() {
    on_workers(|cx| {
        let mut reader = PipeReader::new();
        let queue = reader.queue();
        queue.put(b"abc").unwrap();
        let mut buf = [0; 2];
        assert_eq!(reader.read(cx, &mut buf).unwrap(), 2);
        assert_eq!(&buf, b"ab");
        queue.put(b"d").unwrap();
        queue.put_end();
        let mut rest = Vec::new();
        reader.read_to_end(cx, &mut rest).unwrap();
        assert_eq!(rest, b"cd");
    });
}

// spec: test_testing.MemoryReceiveStream, test_testing.MemoryRecvStream_closing
#[test]
fn dropping_the_reader_throws_away_what_it_has_not_read() {
    on_workers(|cx| {
        let (mut writer, mut reader) = pipe();
        let queue = writer.queue();
        writer.write_all(cx, b"abc").unwrap();
        reader.read_exact(cx, &mut [0]).unwrap();
        drop(reader);
        assert!(queue.is_empty() && queue.is_closed());
        assert_eq!(queue.try_take(1).unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(kind(writer.write(cx, b"x")), ErrorKind::BrokenPipe);
    });
}

// spec: test_testing.MemoryRecvStream_closing
#[test]
fn dropping_the_reader_wakes_whoever_takes_in_its_place() {
    on_workers(|cx| {
        let reader = PipeReader::new();
        let queue = reader.queue();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                assert_eq!(kind(queue.take(cx, 1)), ErrorKind::BrokenPipe);
                Ok(())
            });
            settle(cx, Duration::ZERO)?;
            drop(reader);
            Ok(())
        })
        .unwrap();
    });
}

fn two_queues() -> (PipeWriter, ByteQueue, PipeReader, ByteQueue) {
    let (writer, reader) = (PipeWriter::new(), PipeReader::new());
    let (out, input) = (writer.queue(), reader.queue());
    (writer, out, reader, input)
}

// spec: test_testing.memory_stream_pump
#[test]
fn pumping_moves_bytes_and_the_end_and_says_whether_it_did() {
    on_workers(|cx| {
        let (mut writer, out, mut reader, input) = two_queues();
        assert!(!out.pump(&input, usize::MAX).unwrap());
        writer.write_all(cx, b"12345").unwrap();
        assert!(out.pump(&input, 2).unwrap());
        assert_eq!(input.len(), 2);
        assert!(out.pump(&input, usize::MAX).unwrap());
        assert!(!out.pump(&input, usize::MAX).unwrap());
        drop(writer);
        assert!(out.pump(&input, 1).unwrap());
        let mut all = String::new();
        reader.read_to_string(cx, &mut all).unwrap();
        assert_eq!(all, "12345");
    });
}

// spec: test_testing.memory_stream_pump
#[test]
fn pumping_to_a_reader_that_has_gone_moves_nothing() {
    on_workers(|cx| {
        let (mut writer, out, reader, input) = two_queues();
        writer.write_all(cx, b"12345").unwrap();
        drop(reader);
        assert_eq!(out.pump(&input, 3).unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(out.try_take(usize::MAX).unwrap().unwrap(), b"12345");
    });
}

// spec: test_testing.lockstep_streams_with_generic_tests
#[test]
fn a_lockstep_write_waits_until_all_was_read() {
    on_workers(|cx| {
        let (mut writer, mut reader) = lockstep_pipe();
        let queue = reader.queue();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            let mut child = n.spawn(|cx| Ok(writer.write_all(cx, b"abc")?));
            for left in [2, 1] {
                reader.read_exact(cx, &mut [0])?;
                settle(cx, Duration::ZERO)?;
                assert_eq!(queue.len(), left);
                assert!(!child.is_finished());
            }
            reader.read_exact(cx, &mut [0])?;
            Ok(child.join(cx)?)
        })
        .unwrap();
    });
}

// spec: N17, S31
#[test]
fn a_cancelled_lockstep_write_counts_what_was_read_and_takes_back_the_rest() {
    on_workers(|cx| {
        for read in 0..=5 {
            let (mut writer, mut reader) = lockstep_pipe();
            let queue = reader.queue();
            let result = cancel_at_rest(cx, |cx| {
                cx.nursery(|cx, n| -> Result<_, Cancelled> {
                    let (queue, reader) = (&queue, &mut reader);
                    n.spawn(move |cx| {
                        // The rest is for the cancellation.
                        while queue.len() != 5 {
                            cx.yield_now()?;
                        }
                        let mut buf = vec![0; read];
                        reader.read_exact(cx, &mut buf).unwrap();
                        Ok(())
                    });
                    Ok(writer.write_all(cx, b"abcde"))
                })
                .unwrap()
            });
            match result {
                Ok(()) => assert_eq!(read, 5),
                Err(error) => {
                    assert!(error.is_cancelled());
                    assert_eq!(error.done(), read as u64);
                }
            }
            assert!(queue.is_empty(), "{queue:?}");
            drop(writer);
            assert_eq!(reader.read(cx, &mut [0; 9]).unwrap(), 0);
        }
    });
}

// spec: check_streams.one_way_receiver_closed
#[test]
fn a_lockstep_write_counts_what_was_read_before_the_reader_went() {
    on_workers(|cx| {
        let (mut writer, mut reader) = lockstep_pipe();
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(|cx| {
                let error = writer.write_all(cx, b"abcde").unwrap_err();
                assert_eq!(error.done(), 2);
                assert_eq!(error.kind(), Some(ErrorKind::BrokenPipe));
                Ok(())
            });
            reader.read_exact(cx, &mut [0; 2])?;
            settle(cx, Duration::ZERO)?;
            drop(reader);
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_testing.memory_stream_pair
#[test]
fn the_ends_of_a_duplex_can_be_taken_apart_and_put_together() {
    on_workers(|cx| {
        let (left, mut right) = duplex();
        assert!(left.reader().queue().is_empty() && left.writer().queue().is_empty());
        let (reader, writer) = left.into_split();
        let mut left = Duplex::new(reader, writer);
        left.write_all(cx, b"ping").unwrap();
        let mut buf = [0; 4];
        right.read_exact(cx, &mut buf).unwrap();
        assert_eq!(&buf, b"ping");
    });
}

#[test]
fn memory_streams_can_be_shared_and_sent() {
    fn is_shared<T: Send + Sync + std::fmt::Debug + 'static>() {}
    is_shared::<PipeWriter>();
    is_shared::<PipeReader>();
    is_shared::<Duplex>();
    is_shared::<ByteQueue>();
}

#[test]
fn clogging_fills_a_stream_and_says_what_it_took() {
    with_network(|cx| {
        let (mut left, mut right) = tcp(cx);
        let count = clog(cx, &mut left).unwrap();
        drop(left);
        let mut all = Vec::new();
        right.read_to_end(cx, &mut all).unwrap();
        assert_eq!(all.len() as u64, count);
    });
}

#[test]
fn clogging_reports_what_the_writer_has_met() {
    on_workers(|cx| {
        let (mut writer, reader) = pipe();
        drop(reader);
        assert_eq!(kind(clog(cx, &mut writer)), ErrorKind::BrokenPipe);
        let _: Error = cancelled_before(cx, |cx| clog(cx, &mut writer));
    });
}
