//! N17: every function here that waits, cancelled at every point at which it can see that. With real
//! descriptors and programs: what is lost is waited for in vain, so there is a limit, which fails the test.

use crate::beside::beside;
use crate::trial::was_cancelled;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::time::Duration;

use conbrio::io::{self, HalfClose, PipeReader, PipeWriter, Read, Write};
use conbrio::lowlevel::{Fd, Interest, wait_readable, wait_writable};
use conbrio::prelude::*;
use conbrio::process::{Command, Stdio};
use conbrio::signal::{Signal, cancel_on_ctrl_c};
use conbrio::testing::{Trial, settle};

use crate::support::{assert_reaped, in_a_process_of_its_own, sh};

#[track_caller]
fn real(points: usize, body: impl FnMut(&mut Cx, &Trial) + Send) {
    crate::real::real(conbrio::Builder::new(), points, body);
}

/// Writes a byte when all has come to rest.
fn write_later(cx: &mut Cx, writer: &std::io::PipeWriter) -> std::io::Result<()> {
    settle(cx, Duration::ZERO)?;
    rustix::io::write(writer, b"x")?;
    Ok(())
}

// N17: lowlevel::wait_readable, lowlevel::wait_writable, lowlevel::Fd::wait
#[test]
fn waiting_for_a_descriptor_takes_nothing() {
    for way in 0..3 {
        real(3, |cx, trial| {
            let (reader, writer) = std::io::pipe().unwrap();
            let fd = Fd::new(reader.try_clone().unwrap()).unwrap();
            let outcome = beside(
                cx,
                |cx| write_later(cx, &writer),
                |cx| {
                    trial.run(cx, |cx| match way {
                        0 => wait_readable(cx, &reader),
                        1 => fd.wait(cx, Interest::Readable),
                        _ => wait_writable(cx, &writer).and_then(|()| wait_readable(cx, &reader)),
                    })
                },
            );
            was_cancelled(trial, &outcome);
            // It is there, or comes, whether somebody has waited for it or not.
            fd.wait(cx, Interest::Readable).unwrap();
            assert_eq!(rustix::io::read(&reader, &mut [0; 2]).unwrap(), 1);
        });
    }
}

// N17: lowlevel::Fd::try_io, io::Fd::read
#[test]
fn a_byte_is_read_or_left() {
    for by_try_io in [true, false] {
        real(3, |cx, trial| {
            let (reader, writer) = std::io::pipe().unwrap();
            let mut fd = Fd::new(reader).unwrap();
            beside(
                cx,
                |cx| write_later(cx, &writer),
                |cx| {
                    let mut buf = [0; 2];
                    let outcome = trial.run(cx, |cx| match by_try_io {
                        true => fd.try_io(cx, Interest::Readable, |fd| {
                            Ok(rustix::io::read(fd, &mut buf)?)
                        }),
                        false => fd.read(cx, &mut buf),
                    });
                    match was_cancelled(trial, &outcome) {
                        true => assert_eq!(fd.read(cx, &mut buf).unwrap(), 1),
                        false => assert_eq!(outcome.unwrap(), 1),
                    }
                    assert_eq!(buf[0], b'x');
                },
            );
        });
    }
}

// N17: io::PipeReader::read
#[test]
fn a_byte_of_a_pipe_is_read_or_left() {
    real(3, |cx, trial| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        beside(
            cx,
            move |cx| {
                settle(cx, Duration::ZERO)?;
                Ok(writer.write_all(cx, b"x")?)
            },
            |cx| {
                let mut buf = [0; 2];
                let outcome = trial.run(cx, |cx| reader.read(cx, &mut buf));
                match was_cancelled(trial, &outcome) {
                    true => assert_eq!(reader.read(cx, &mut buf).unwrap(), 1),
                    false => assert_eq!(outcome.unwrap(), 1),
                }
                assert_eq!(buf[0], b'x');
                assert_eq!(reader.read(cx, &mut buf).unwrap(), 0);
            },
        );
    });
}

/// A pipe that is full, its two ends, and how much is in it.
fn full_pipe() -> (PipeReader, OwnedFd, u64) {
    let (reader, writer) = io::pipe().unwrap();
    let writer = writer.into_fd().unwrap();
    let fd = Fd::new(writer).unwrap();
    let mut filled = 0;
    while let Ok(count) = rustix::io::write(&fd, &[0; 4096]) {
        filled += count as u64;
    }
    (reader, fd.into_inner(), filled)
}

/// Writes to a full pipe by `write`, which says how much that was, while another task reads all of it.
fn check_write<W: Write>(
    make: impl Fn(OwnedFd) -> W + Sync,
    write: impl Fn(&mut Cx, &Trial, &mut W) -> u64 + Sync,
) {
    real(3, |cx, trial| {
        let (mut reader, fd, filled) = full_pipe();
        let mut writer = make(fd);
        let mut got = Vec::new();
        let reading = |cx: &mut Cx| {
            settle(cx, Duration::ZERO)?;
            reader.read_to_end(cx, &mut got)?;
            Ok(())
        };
        let written = beside(cx, reading, |cx| {
            let written = write(cx, trial, &mut writer);
            drop(writer);
            written
        });
        assert_eq!(got.len() as u64, filled + written);
    });
}

fn pipe_of(fd: OwnedFd) -> PipeWriter {
    PipeWriter::from_fd(fd).unwrap()
}

fn fd_of(fd: OwnedFd) -> Fd<OwnedFd> {
    Fd::new(fd).unwrap()
}

fn one<W: Write>(cx: &mut Cx, trial: &Trial, writer: &mut W) -> u64 {
    let outcome = trial.run(cx, |cx| writer.write(cx, &[1; 5000]));
    if was_cancelled(trial, &outcome) { 0 } else { outcome.unwrap() as u64 }
}

fn several<W: Write>(cx: &mut Cx, trial: &Trial, writer: &mut W) -> u64 {
    let bufs = [IoSlice::new(&[1; 50]), IoSlice::new(&[2; 5000])];
    let outcome = trial.run(cx, |cx| writer.write_vectored(cx, &bufs));
    if was_cancelled(trial, &outcome) { 0 } else { outcome.unwrap() as u64 }
}

fn and_flush<W: Write>(cx: &mut Cx, trial: &Trial, writer: &mut W) -> u64 {
    let mut written = 0;
    let outcome = trial.run(cx, |cx| {
        written += writer.write(cx, &[1; 5000])? as u64;
        writer.flush(cx)
    });
    was_cancelled(trial, &outcome);
    written
}

// N17: io::PipeWriter::{write, write_vectored, flush}, io::Fd::{write, write_vectored, flush}
#[test]
fn what_is_written_is_what_was_said() {
    check_write(pipe_of, one);
    check_write(pipe_of, several);
    check_write(pipe_of, and_flush);
    check_write(fd_of, one);
    check_write(fd_of, several);
    check_write(fd_of, and_flush);
}

// N17: io::PipeWriter::{write_all, end_write}
#[test]
fn what_was_done_is_counted() {
    check_write(pipe_of, |cx, trial, writer| {
        let data = vec![1; 200_000];
        match trial.run(cx, |cx| writer.write_all(cx, &data)) {
            Ok(()) => data.len() as u64,
            Err(error) => {
                assert!(error.is_cancelled() && trial.is_cancelled(), "{error}");
                error.done()
            }
        }
    });
    real(1, |cx, trial| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let outcome = trial.run(cx, |cx| writer.end_write(cx));
        if was_cancelled(trial, &outcome) {
            writer.write_all(cx, b"still open").unwrap();
            writer.end_write(cx).unwrap();
        }
        let mut all = Vec::new();
        reader.read_to_end(cx, &mut all).unwrap();
        assert_eq!(all.is_empty(), !trial.is_cancelled());
    });
}

// N17: process::Command::spawn, process::Child::wait, process::Process::wait
#[test]
fn a_program_is_started_and_waited_for_or_not() {
    for by_child in [true, false] {
        real(3, |cx, trial| {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped());
            let mut started = None;
            let outcome = trial.run(cx, |cx| -> Result<_, io::Error> {
                let child = started.insert(command.spawn(cx)?);
                match by_child {
                    true => child.wait(cx),
                    false => {
                        child.stdin = None;
                        child.process().wait(cx)
                    }
                }
            });
            was_cancelled(trial, &outcome);
            if let Some(mut child) = started {
                // Cancelling a wait has done it no harm.
                assert!(child.wait(cx).unwrap().success());
                assert_reaped(child.id());
            }
        });
    }
}

// N17: process::Command::run
#[test]
fn a_program_is_reaped_when_its_run_is_cancelled() {
    real(3, |cx, trial| {
        let mut id = None;
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let outcome = trial.run(cx, |cx| {
            command.run(cx, |cx, child| -> Result<(), io::Error> {
                id = Some(child.id());
                child.stdin.as_mut().unwrap().write(cx, b"x")?;
                child.stdout.as_mut().unwrap().read(cx, &mut [0])?;
                Ok(())
            })
        });
        if !was_cancelled(trial, &outcome) {
            assert!(outcome.unwrap().1.success());
        }
        id.into_iter().for_each(assert_reaped);
    });
}

// N17: process::Command::{output, status}
#[test]
fn nothing_is_left_of_a_program_whose_output_is_cancelled() {
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    let name = "waits::nothing_is_left_of_a_program_whose_output_is_cancelled";
    in_a_process_of_its_own(name, || {
        for collects in [true, false] {
            real(3, |cx, trial| {
                let mut command = sh("cat; exit 7");
                command.input(*b"through").stdout(Stdio::piped());
                let outcome = trial.run(cx, |cx| match collects {
                    true => command.output(cx).map(|output| {
                        assert_eq!(output.stdout, b"through");
                        output.status
                    }),
                    false => command.status(cx),
                });
                if !was_cancelled(trial, &outcome) {
                    assert_eq!(outcome.unwrap().code(), Some(7));
                }
                // This process has no other children.
                let left = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
                assert_eq!(left.err(), Some(rustix::io::Errno::CHILD));
            });
        }
    });
}

// N17: signal::cancel_on_ctrl_c
#[test]
fn a_run_that_ends_on_ctrl_c_may_be_cancelled() {
    in_a_process_of_its_own("waits::a_run_that_ends_on_ctrl_c_may_be_cancelled", || {
        real(3, |cx, trial| {
            let mut ended = false;
            let outcome = trial.run(cx, |cx| {
                cancel_on_ctrl_c(cx, |cx| -> std::io::Result<()> {
                    let slept = cx.sleep(Duration::from_millis(1));
                    ended = true;
                    Ok(slept?)
                })
            });
            if !was_cancelled(trial, &outcome) {
                assert!(ended && outcome.unwrap().is_some());
            }
            // It has let go of the signal.
            let mut signals = conbrio::signal::Signals::new(&[Signal::INTERRUPT]).unwrap();
            assert_eq!(signals.try_wait(), None);
        });
    });
}
