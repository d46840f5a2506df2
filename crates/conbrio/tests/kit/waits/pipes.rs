//! Streams in memory.

use conbrio::io::{Error, HalfClose, Read};
use conbrio::prelude::*;
use conbrio::testing::streams::{self, ByteQueue, PipeReader, PipeWriter};

use super::{SHORT, beside, pattern, simulated, was_cancelled};

const SENT: usize = 12;

/// Sends the pattern in pieces of four, and then the end.
fn send(cx: &mut Cx, writer: &mut impl HalfClose) -> Result<(), Error> {
    for piece in pattern(SENT).chunks(4) {
        cx.sleep(SHORT)?;
        writer.write_all(cx, piece).map_err(conbrio::io::Incomplete::into_cause)?;
    }
    writer.flush(cx)?;
    writer.end_write(cx)
}

/// Cancels reading at every point, and reads the rest afterwards.
#[track_caller]
fn reading<R: Read + Send, W: HalfClose + Send>(
    make: impl Fn() -> (W, R) + Sync,
    take: impl Fn(&mut Cx, &mut R) -> Result<Vec<u8>, Error> + Sync,
) {
    simulated(8, |cx, trial| {
        let (mut writer, mut reader) = make();
        let mut got = Vec::new();
        beside(
            cx,
            |cx| Ok(send(cx, &mut writer)?),
            |cx| {
                let outcome = trial.run(cx, |cx| {
                    while got.len() < SENT {
                        got.extend(take(cx, &mut reader)?);
                    }
                    Ok::<(), Error>(())
                });
                was_cancelled(trial, &outcome);
                reader.read_to_end(cx, &mut got).unwrap();
            },
        );
        assert_eq!(got, pattern(SENT));
    });
}

fn read_three(cx: &mut Cx, reader: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut buf = [0; 3];
    let count = reader.read(cx, &mut buf)?;
    Ok(buf[..count].to_vec())
}

// N17: testing::PipeReader::read, testing::ByteQueue::take, testing::Duplex::read
#[test]
fn reading_from_memory() {
    for lockstep in [false, true] {
        let pipe = move || match lockstep {
            true => streams::lockstep_pipe(),
            false => streams::pipe(),
        };
        reading(pipe, |cx, reader: &mut PipeReader| read_three(cx, reader));
        reading(pipe, |cx, reader: &mut PipeReader| {
            let queue: ByteQueue = reader.queue();
            queue.take(cx, 3)
        });
        let duplex = move || match lockstep {
            true => streams::lockstep_duplex(),
            false => streams::duplex(),
        };
        reading(duplex, read_three);
    }
}

/// Cancels writing in lockstep at every point: what was read is what the writer says that it has written.
#[track_caller]
fn writing<W: HalfClose + Send, R: Read + Send>(make: impl Fn() -> (W, R) + Sync) {
    simulated(8, |cx, trial| {
        let (mut writer, mut reader) = make();
        let mut got = Vec::new();
        let receiver = |cx: &mut Cx| {
            loop {
                cx.sleep(SHORT)?;
                let piece = read_three(cx, &mut reader)?;
                if piece.is_empty() {
                    return Ok(());
                }
                got.extend(piece);
            }
        };
        let mut done = 0;
        beside(cx, receiver, |cx| {
            let outcome = trial.run(cx, |cx| {
                for piece in pattern(SENT).chunks(4) {
                    match writer.write_all(cx, piece) {
                        Ok(()) => done += piece.len(),
                        Err(error) => {
                            done += error.done() as usize;
                            return Err(error.into_cause());
                        }
                    }
                }
                writer.flush(cx)?;
                writer.end_write(cx)
            });
            if was_cancelled(trial, &outcome) {
                writer.end_write(cx).unwrap();
            }
        });
        assert_eq!(got, pattern(SENT)[..done]);
    });
}

// N17: testing::PipeWriter::{write, flush, end_write}, testing::Duplex::{write, flush, end_write}
#[test]
fn writing_to_memory() {
    let lockstep: fn() -> (PipeWriter, PipeReader) = streams::lockstep_pipe;
    writing(lockstep);
    writing(streams::lockstep_duplex);
}
