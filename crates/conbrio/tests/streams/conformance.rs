//! The streams of this crate pass the checks.

use conbrio::io::{BufReader, BufWriter, HalfClose, Read, Split, Write};
use conbrio::net::{OwnedReadHalf, OwnedWriteHalf};
use conbrio::prelude::*;
use conbrio::testing::streams::{self, PipeReader, PipeWriter};
use conbrio::testing::{
    check_clogged_stream, check_half_closeable_stream, check_one_way_stream, check_two_way_stream,
};

use crate::support::{on_workers, tcp, tcp_halves, with_network};

// spec: test_testing.memory_stream_one_way_pair, test_testing.memory_streams_with_generic_tests, check_streams.one_way_data_passes, check_streams.one_way_empty_send, check_streams.one_way_receive_size, check_streams.one_way_receiver_closed, check_streams.one_way_close_after_data, check_streams.one_way_forceful_close, check_streams.one_way_cancelled_close, check_streams.one_way_close_after_cancel
#[test]
fn a_pipe() {
    on_workers(|cx| check_one_way_stream(cx, |_| streams::pipe()).unwrap());
}

// spec: test_testing.memory_stream_pair, test_testing.memory_streams_with_generic_tests, check_streams.two_way_both_directions, check_streams.two_way_duplex_random, check_streams.two_way_eof_after_close
#[test]
fn a_duplex() {
    on_workers(|cx| check_two_way_stream(cx, |_| streams::duplex()).unwrap());
}

// spec: test_testing.memory_stream_pair, check_streams.half_close_send_eof, check_streams.half_close_send_after_eof
#[test]
fn a_duplex_that_closes_by_halves() {
    on_workers(|cx| check_half_closeable_stream(cx, |_| streams::duplex()).unwrap());
}

// spec: test_testing.lockstep_streams_with_generic_tests, check_streams.one_way_data_passes
#[test]
fn a_lockstep_pipe() {
    on_workers(|cx| check_one_way_stream(cx, |_| streams::lockstep_pipe()).unwrap());
}

// spec: test_testing.lockstep_streams_with_generic_tests, check_streams.half_close_send_eof
#[test]
fn a_lockstep_duplex() {
    on_workers(|cx| check_half_closeable_stream(cx, |_| streams::lockstep_duplex()).unwrap());
}

// spec: test_testing.lockstep_streams_with_generic_tests, check_streams.one_way_clogged_wait, check_streams.one_way_peer_close_wakes_wait, check_streams.one_way_forceful_close
#[test]
fn a_clogged_lockstep_pipe() {
    on_workers(|cx| check_clogged_stream(cx, |_| streams::lockstep_pipe()).unwrap());
}

/// A pipe through two queues, with hooks that move a few bytes at a time.
fn pumped(piece: usize) -> (PipeWriter, PipeReader) {
    let (writer, reader) = (PipeWriter::new(), PipeReader::new());
    let (out, input) = (writer.queue(), reader.queue());
    let (ended, rest) = (out.clone(), input.clone());
    let writer = writer
        .on_write(move |_| {
            while out.pump(&input, piece)? {}
            Ok(())
        })
        .on_close(move || {
            // It fails if the reader has gone before: then nobody asks.
            while let Ok(true) = ended.pump(&rest, usize::MAX) {
                if ended.is_empty() {
                    rest.put_end();
                    break;
                }
            }
        });
    (writer, reader)
}

// spec: test_testing.memory_stream_pump
#[test]
fn a_pumped_pipe() {
    on_workers(|cx| check_one_way_stream(cx, |_| pumped(3)).unwrap());
}

// spec: check_streams.one_way_data_passes, test_testing.memory_streams_with_generic_tests
#[test]
fn buffers_around_a_pipe() {
    on_workers(|cx| {
        check_one_way_stream(cx, |_| {
            let (writer, reader) = streams::pipe();
            (BufWriter::with_capacity(7, writer), BufReader::with_capacity(5, reader))
        })
        .unwrap();
    });
}

// spec: check_streams.one_way_data_passes
#[test]
fn large_buffers_around_a_lockstep_pipe() {
    on_workers(|cx| {
        check_one_way_stream(cx, |_| {
            let (writer, reader) = streams::lockstep_pipe();
            (BufWriter::new(writer), BufReader::new(reader))
        })
        .unwrap();
    });
}

// spec: check_streams.one_way_clogged_wait
#[test]
fn clogged_buffers_around_a_lockstep_pipe() {
    on_workers(|cx| {
        check_clogged_stream(cx, |_| {
            let (writer, reader) = streams::lockstep_pipe();
            (BufWriter::with_capacity(48, writer), BufReader::with_capacity(16, reader))
        })
        .unwrap();
    });
}

/// A stream behind the traits' own forwarding.
struct Boxed<S>(Box<S>);

impl<S: Read> Read for Boxed<S> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, conbrio::io::Error> {
        Read::read(&mut self.0, cx, buf)
    }
}

impl<S: Write> Write for Boxed<S> {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, conbrio::io::Error> {
        Write::write(&mut self.0, cx, data)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), conbrio::io::Error> {
        Write::flush(&mut self.0, cx)
    }
}

impl<S: HalfClose> HalfClose for Boxed<S> {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), conbrio::io::Error> {
        HalfClose::end_write(&mut self.0, cx)
    }
}

impl<S: Split> Split for Boxed<S> {
    type Reader<'a>
        = S::Reader<'a>
    where
        S: 'a;
    type Writer<'a>
        = S::Writer<'a>
    where
        S: 'a;

    fn split(&mut self) -> (S::Reader<'_>, S::Writer<'_>) {
        self.0.split()
    }
}

#[test]
fn forwarding_through_a_box() {
    on_workers(|cx| {
        check_half_closeable_stream(cx, |_| {
            let (left, right) = streams::duplex();
            (Boxed(Box::new(left)), Boxed(Box::new(right)))
        })
        .unwrap();
    });
}

#[test]
fn a_reference_to_a_stream_splits_and_ends_like_the_stream() {
    fn ask(cx: &mut Cx, mut stream: impl Split + HalfClose) -> Vec<u8> {
        stream.split().1.write_all(cx, b"question").unwrap();
        stream.end_write(cx).unwrap();
        let mut answer = Vec::new();
        stream.split().0.read_to_end(cx, &mut answer).unwrap();
        answer
    }
    on_workers(|cx| {
        let (mut left, mut right) = streams::duplex();
        right.write_all(cx, b"answer").unwrap();
        right.end_write(cx).unwrap();
        assert_eq!(ask(cx, &mut left), b"answer");
        let mut question = Vec::new();
        right.read_to_end(cx, &mut question).unwrap();
        assert_eq!(question, b"question");
    });
}

#[test]
fn a_buffered_writer_ends_its_direction_with_what_it_held_back() {
    on_workers(|cx| {
        let (writer, mut reader) = streams::pipe();
        let mut writer = BufWriter::new(writer);
        writer.write_all(cx, b"held back").unwrap();
        assert!(reader.queue().is_empty());
        writer.end_write(cx).unwrap();
        let mut got = Vec::new();
        reader.read_to_end(cx, &mut got).unwrap();
        assert_eq!(got, b"held back");
    });
}

// spec: test_highlevel_socket.SocketStream_generic, check_streams.two_way_both_directions, check_streams.two_way_duplex_random, check_streams.two_way_eof_after_close, check_streams.half_close_send_eof, check_streams.half_close_send_after_eof
#[test]
fn tcp_streams() {
    with_network(|cx| check_half_closeable_stream(cx, tcp).unwrap());
}

// spec: test_highlevel_socket.SocketStream_generic, check_streams.one_way_data_passes, check_streams.one_way_receiver_closed, check_streams.one_way_close_after_data
#[test]
fn halves_of_tcp_streams() {
    with_network(|cx| {
        check_one_way_stream::<OwnedWriteHalf, OwnedReadHalf>(cx, tcp_halves).unwrap();
    });
}

// spec: check_streams.one_way_data_passes
#[test]
fn buffers_around_tcp_streams() {
    with_network(|cx| {
        check_one_way_stream(cx, |cx| {
            let (left, right) = tcp(cx);
            (BufWriter::with_capacity(100, left), BufReader::with_capacity(100, right))
        })
        .unwrap();
    });
}

// spec: test_highlevel_socket.SocketStream_generic, check_streams.one_way_clogged_wait, check_streams.one_way_peer_close_wakes_wait, check_streams.one_way_forceful_close
#[test]
fn clogged_tcp_streams() {
    with_network(|cx| {
        check_clogged_stream(cx, |cx| {
            let (mut left, right) = tcp(cx);
            assert!(streams::clog(cx, &mut left).unwrap() > 0);
            (left, right)
        })
        .unwrap();
    });
}

// spec: check_streams.one_way_clogged_wait
#[test]
fn clogged_halves_of_tcp_streams() {
    with_network(|cx| {
        check_clogged_stream(cx, |cx| {
            let (mut writer, reader) = tcp_halves(cx);
            streams::clog(cx, &mut writer).unwrap();
            (writer, reader)
        })
        .unwrap();
    });
}
