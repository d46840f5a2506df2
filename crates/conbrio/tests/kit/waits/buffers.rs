//! Readers, writers, and what is put around them: no byte is lost, doubled or exchanged.

use std::io::{Cursor, IoSlice, IoSliceMut};

use conbrio::MaybeCancelled;
use conbrio::io::{BufRead, BufReader, BufWriter, Error, HalfClose, Read, Write, copy};
use conbrio::prelude::*;
use conbrio::testing::Trial;
use conbrio::testing::streams::duplex;

use super::{SHORT, beside, pattern, simulated, was_cancelled};

/// A reader whose bytes come piece by piece, with a pause before each.
struct Dribble {
    left: Vec<u8>,
}

const PIECE: usize = 5;
const ALL: usize = 32;

impl Dribble {
    fn new() -> Dribble {
        Dribble { left: pattern(ALL) }
    }
}

impl Read for Dribble {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        cx.sleep(SHORT)?;
        let count = PIECE.min(self.left.len()).min(buf.len());
        for (to, from) in buf.iter_mut().zip(self.left.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

/// A writer that takes only some bytes at a time, with a pause before each.
#[derive(Default)]
struct Sip {
    taken: Vec<u8>,
    flushed: usize,
    ended: bool,
}

impl Write for Sip {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        cx.sleep(SHORT)?;
        let count = PIECE.min(data.len());
        self.taken.extend_from_slice(&data[..count]);
        Ok(count)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.sleep(SHORT)?;
        self.flushed = self.taken.len();
        Ok(())
    }
}

impl HalfClose for Sip {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.sleep(SHORT)?;
        self.ended = true;
        Ok(())
    }
}

/// `read` is cancelled at every point, and puts what it got into the vector, also when it fails. Whoever
/// goes on with the reader gets the rest.
#[track_caller]
fn no_byte_is_lost<R: Read + Send, E: MaybeCancelled + std::fmt::Debug>(
    make: impl Fn() -> R + Sync,
    mut read: impl FnMut(&mut Cx, &mut R, &mut Vec<u8>) -> Result<(), E> + Send,
) {
    simulated(6, |cx, trial| {
        let (mut reader, mut got) = (make(), Vec::new());
        let outcome = trial.run(cx, |cx| read(cx, &mut reader, &mut got));
        was_cancelled(trial, &outcome);
        reader.read_to_end(cx, &mut got).unwrap();
        assert_eq!(got, pattern(ALL));
    });
}

/// All the ways to read from a reader.
#[track_caller]
fn every_read<R: Read + Send>(make: impl Fn() -> R + Sync + Copy) {
    no_byte_is_lost(make, |cx, reader, got| {
        let mut buf = [0; 7];
        loop {
            match reader.read(cx, &mut buf)? {
                0 => return Ok::<(), Error>(()),
                count => got.extend(&buf[..count]),
            }
        }
    });
    no_byte_is_lost(make, |cx, reader, got| {
        let (mut one, mut two) = ([0; 3], [0; 4]);
        loop {
            let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            match reader.read_vectored(cx, &mut bufs)? {
                0 => return Ok::<(), Error>(()),
                count => got.extend(one.iter().chain(&two).take(count)),
            }
        }
    });
    no_byte_is_lost(make, |cx, reader, got| {
        let mut buf = [0; 13];
        for _ in 0..2 {
            let outcome = reader.read_exact(cx, &mut buf);
            let done = outcome.as_ref().map_or_else(|error| error.done() as usize, |()| buf.len());
            got.extend(&buf[..done]);
            outcome?;
        }
        Ok::<(), conbrio::io::Incomplete>(())
    });
    no_byte_is_lost(make, |cx, reader, got| {
        let outcome = reader.read_to_end(cx, got);
        let done = outcome.as_ref().map_or_else(|error| error.done() as usize, |count| *count);
        assert_eq!(done, got.len());
        outcome.map(drop)
    });
    no_byte_is_lost(make, |cx, reader, got| {
        let mut text = String::from("as before");
        match reader.read_to_string(cx, &mut text) {
            Ok(count) => {
                assert_eq!(text.len(), 9 + count);
                got.extend(&text.as_bytes()[9..]);
                Ok(())
            }
            Err(error) => {
                assert_eq!(text, "as before");
                got.extend(error.leftover());
                Err(error)
            }
        }
    });
}

/// All the ways to read from a reader with a buffer.
#[track_caller]
fn every_buffered_read<R: BufRead + Send>(make: impl Fn() -> R + Sync + Copy) {
    every_read(make);
    no_byte_is_lost(make, |cx, reader, got| {
        loop {
            let ready = reader.fill_buf(cx)?;
            let count = ready.len().min(3);
            got.extend(&ready[..count]);
            reader.consume(count);
            if count == 0 {
                return Ok::<(), Error>(());
            }
        }
    });
    no_byte_is_lost(make, |cx, reader, got| {
        for _ in 0..3 {
            let before = got.len();
            let outcome = reader.read_until(cx, b'\n', got);
            let done = outcome.as_ref().map_or_else(|error| error.done() as usize, |count| *count);
            assert_eq!(done, got.len() - before);
            outcome?;
        }
        Ok::<(), conbrio::io::Incomplete>(())
    });
    no_byte_is_lost(make, |cx, reader, got| {
        for _ in 0..3 {
            let mut line = String::new();
            match reader.read_line(cx, &mut line) {
                Ok(count) => {
                    assert_eq!(count, line.len());
                    got.extend(line.as_bytes());
                }
                Err(error) => {
                    assert_eq!(line, "");
                    got.extend(error.leftover());
                    return Err(error);
                }
            }
        }
        Ok(())
    });
}

// N17: io::Read::{read, read_vectored, read_exact, read_to_end, read_to_string}
#[test]
fn readers() {
    every_read(Dribble::new);
}

// N17: io::BufReader::{read, read_vectored, read_exact, fill_buf}
// N17: io::BufRead::{fill_buf, read_until, read_line}
#[test]
fn readers_with_buffers() {
    every_buffered_read(|| BufReader::with_capacity(4, Dribble::new()));
    every_buffered_read(|| BufReader::with_capacity(100, Dribble::new()));
}

// N17: io::BufReader::fill_more
#[test]
fn readers_that_look_further() {
    for capacity in [1, 4, 100] {
        let make = || BufReader::with_capacity(capacity, Dribble::new());
        no_byte_is_lost(make, |cx, reader, got| {
            loop {
                let count = reader.buffer().len().min(3);
                if reader.fill_more(cx)? == 0 {
                    if count == 0 {
                        return Ok::<(), Error>(());
                    }
                    got.extend(&reader.buffer()[..count]);
                    reader.consume(count);
                }
            }
        });
    }
}

// N17: io::Take::{read, fill_buf}
#[test]
fn readers_with_a_limit() {
    every_buffered_read(|| BufReader::with_capacity(4, Dribble::new()).take(1_000));
    // What lies behind the limit stays.
    simulated(6, |cx, trial| {
        let mut reader = BufReader::with_capacity(4, Dribble::new());
        let mut got = Vec::new();
        let outcome = trial.run(cx, |cx| (&mut reader).take(11).read_to_end(cx, &mut got));
        assert!(was_cancelled(trial, &outcome) || got.len() == 11);
        reader.read_to_end(cx, &mut got).unwrap();
        assert_eq!(got, pattern(ALL));
    });
}

// N17: io::Lines::next
#[test]
fn lines() {
    simulated(6, |cx, trial| {
        let mut lines = BufReader::with_capacity(4, Dribble::new()).lines();
        let mut got = Vec::new();
        let outcome = trial.run(cx, |cx| {
            while let Some(line) = lines.next(cx)? {
                got.push(line);
            }
            Ok::<(), Error>(())
        });
        was_cancelled(trial, &outcome);
        while let Some(line) = lines.next(cx).unwrap() {
            got.push(line);
        }
        let all = String::from_utf8(pattern(ALL)).unwrap();
        assert_eq!(got, all.lines().collect::<Vec<_>>());
    });
}

/// Writes `data` in one of the ways, and says how much of it was done.
type Writing<W> = fn(&mut Cx, &mut W, &[u8]) -> (usize, Result<(), Error>);

/// All the ways to write.
fn every_write<W: Write>() -> [Writing<W>; 3] {
    let each: Writing<W> = |cx, writer, data| {
        let mut done = 0;
        while done < data.len() {
            let end = data.len().min(done + 7);
            match writer.write(cx, &data[done..end]) {
                Ok(count) => done += count,
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    };
    let vectored: Writing<W> = |cx, writer, data| {
        let mut done = 0;
        while done < data.len() {
            let (one, two) = data[done..].split_at((data.len() - done) / 2);
            match writer.write_vectored(cx, &[IoSlice::new(one), IoSlice::new(two)]) {
                Ok(count) => done += count,
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    };
    let whole: Writing<W> = |cx, writer, data| match writer.write_all(cx, data) {
        Ok(()) => (data.len(), Ok(())),
        Err(error) => (error.done() as usize, Err(error.into_cause())),
    };
    [each, vectored, whole]
}

// N17: io::Write::{write, write_vectored, write_all, flush}, io::HalfClose::end_write
#[test]
fn writers() {
    for write in every_write::<Sip>() {
        simulated(6, |cx, trial| {
            let (data, mut sip) = (pattern(ALL), Sip::default());
            let (done, outcome) = trial.run(cx, |cx| write(cx, &mut sip, &data));
            assert!(was_cancelled(trial, &outcome) || done == ALL);
            assert_eq!(sip.taken, data[..done]);
        });
    }
    simulated(6, |cx, trial| {
        let mut sip = Sip::default();
        let outcome = trial.run(cx, |cx| sip.flush(cx).and_then(|()| sip.end_write(cx)));
        assert_eq!(sip.ended, !was_cancelled(trial, &outcome));
    });
}

// N17: io::HalfClose::finish
#[test]
fn a_stream_is_finished() {
    simulated(2, |cx, trial| {
        let (mut left, mut right) = duplex();
        let said = beside(
            cx,
            |cx| {
                left.write_all(cx, b"last words")?;
                let outcome = trial.run(cx, |cx| left.finish(cx));
                if was_cancelled(trial, &outcome) {
                    left.finish(cx)?;
                }
                assert_eq!(left.read(cx, &mut [0]).unwrap(), 0);
                Ok(())
            },
            |cx| {
                let mut said = Vec::new();
                cx.sleep(SHORT).unwrap();
                right.write_all(cx, &pattern(ALL)).unwrap();
                right.read_to_end(cx, &mut said).unwrap();
                cx.sleep(SHORT).unwrap();
                right.write_all(cx, &pattern(ALL)).unwrap();
                right.end_write(cx).unwrap();
                said
            },
        );
        assert_eq!(said, b"last words");
    });
}

// N17: io::BufWriter::{write, flush, end_write}
#[test]
fn writers_with_buffers() {
    for capacity in [1, 4, 100] {
        for write in every_write::<BufWriter<Sip>>() {
            simulated(6, |cx, trial| {
                let data = pattern(ALL);
                let mut writer = BufWriter::with_capacity(capacity, Sip::default());
                let outcome = trial.run(cx, |cx| {
                    let (done, outcome) = write(cx, &mut writer, &data);
                    assert_eq!([&writer.get_ref().taken, writer.buffer()].concat(), data[..done]);
                    outcome?;
                    writer.flush(cx)?;
                    assert_eq!(writer.get_ref().flushed, ALL);
                    writer.end_write(cx)
                });
                let ended = !was_cancelled(trial, &outcome);
                assert_eq!(writer.get_ref().ended, ended);
                // What is still in the buffer goes out when somebody asks for it again.
                let done = writer.get_ref().taken.len() + writer.buffer().len();
                writer.end_write(cx).unwrap();
                let (sip, left) = writer.into_parts();
                assert!(left.is_empty() && sip.ended && sip.flushed == done);
                assert_eq!(sip.taken, data[..done]);
            });
        }
    }
}

// N17: io::copy
#[test]
fn copying() {
    simulated(12, |cx, trial| {
        let (mut reader, mut writer) = (Dribble::new(), Sip::default());
        let outcome = trial.run(cx, |cx| copy(cx, &mut reader, &mut writer));
        was_cancelled(trial, &outcome);
        let (done, leftover) = match outcome {
            Ok(done) => (done, Vec::new()),
            Err(error) => (error.done(), error.into_leftover()),
        };
        assert_eq!(done, writer.taken.len() as u64);
        let mut all = [writer.taken, leftover].concat();
        reader.read_to_end(cx, &mut all).unwrap();
        assert_eq!(all, pattern(ALL));
    });
}

// N17: io::Cursor::{read, read_vectored, fill_buf, write, flush}, io::Vec::{write, write_vectored, flush}
#[test]
fn memory_is_a_checkpoint_each_time() {
    fn half_way<R, E: MaybeCancelled + std::fmt::Debug>(
        cx: &mut Cx,
        trial: &Trial,
        f: impl FnOnce(&mut Cx) -> Result<R, E>,
    ) -> bool {
        let outcome = trial.run(cx, f);
        was_cancelled(trial, &outcome)
    }
    simulated(5, |cx, trial| {
        let mut got = Vec::new();
        let mut cursor = Cursor::new(pattern(ALL));
        half_way(cx, trial, |cx| {
            let mut buf = [0; 3];
            let count = cursor.read(cx, &mut buf)?;
            got.extend(&buf[..count]);
            let count = cursor.read_vectored(cx, &mut [IoSliceMut::new(&mut buf)])?;
            got.extend(&buf[..count]);
            let ready = cursor.fill_buf(cx)?;
            got.push(ready[0]);
            cursor.consume(1);
            cursor.read_to_end(cx, &mut got)?;
            Ok::<(), std::io::Error>(())
        });
        cursor.read_to_end(cx, &mut got).unwrap();
        assert_eq!(got, pattern(ALL));
    });
    for write in every_write::<Vec<u8>>() {
        simulated(2, |cx, trial| {
            let (data, mut vec) = (pattern(ALL), Vec::new());
            let mut done = 0;
            half_way(cx, trial, |cx| {
                let (count, outcome) = write(cx, &mut vec, &data);
                done = count;
                outcome?;
                vec.flush(cx)
            });
            assert_eq!(vec, data[..done]);
        });
    }
    for write in every_write::<Cursor<Vec<u8>>>() {
        simulated(2, |cx, trial| {
            let (data, mut cursor) = (pattern(ALL), Cursor::new(Vec::new()));
            let mut done = 0;
            half_way(cx, trial, |cx| {
                let (count, outcome) = write(cx, &mut cursor, &data);
                done = count;
                outcome?;
                cursor.flush(cx)
            });
            assert_eq!(cursor.into_inner(), data[..done]);
        });
    }
}
