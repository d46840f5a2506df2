//! Sending a part of a file on a stream without copying it through this process: sendfile(2).
//!
//! Owns the loop, and what to do where the system call is of no use: files that are not in memory, which
//! would stop the worker, and files or sockets that it does not take. The invariant: what has been sent is
//! counted exactly, because a step that fails has sent nothing.

use std::io;
use std::os::fd::BorrowedFd;

use conbrio_reactor::{Source, op, without_pipe_signal};
use rustix::io::{Errno, ReadWriteFlags};

use super::transfer;
use crate::io::{self as cx_io, Error, Incomplete};
use crate::lowlevel::perform;
use crate::task::Cx;

/// Sends `length` bytes of `file` from `offset` on.
pub(super) fn send_file(
    source: &Source,
    cx: &mut Cx,
    file: BorrowedFd<'_>,
    offset: u64,
    length: u64,
) -> Result<(), Incomplete> {
    let mut way = if source.is_simulated() { Way::Copy } else { Way::Send };
    let mut sender = Sender { source, file, in_memory: offset };
    let mut done = 0;
    // At least one checkpoint, so that no bytes are one too.
    if let Err(cancelled) = cx.checkpoint() {
        return Err(Incomplete::new(NAME, 0, cancelled));
    }
    while done < length {
        let part = Part { offset: offset + done, length: (length - done).min(AT_ONCE) as usize };
        match sender.step(cx, way, part) {
            Ok(Step::Sent(0)) => {
                let more = length - done;
                let message = format!("the file ended, and {more} more bytes were wanted");
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, message);
                return Err(Incomplete::new(NAME, done, error));
            }
            Ok(Step::Sent(count)) => done += count as u64,
            Ok(Step::NotThisWay) => way = Way::Copy,
            Err(stopped) => {
                let at = done + stopped.done();
                return Err(Incomplete::new(NAME, at, stopped.into_cause()));
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Way {
    /// The kernel moves the bytes.
    Send,
    /// They are read and written.
    Copy,
}

#[derive(Clone, Copy)]
struct Part {
    offset: u64,
    /// It is not zero.
    length: usize,
}

enum Step {
    Sent(usize),
    NotThisWay,
}

struct Sender<'a> {
    source: &'a Source,
    file: BorrowedFd<'a>,
    /// Up to here the file has been seen to be in memory.
    in_memory: u64,
}

impl Sender<'_> {
    fn step(&mut self, cx: &mut Cx, way: Way, part: Part) -> Result<Step, Incomplete> {
        let stopped = |error: Error| Incomplete::new(NAME, 0, error);
        match way {
            Way::Send => match self.send(cx, part) {
                Err(Error::Failed(error)) if is_not_taken(&error) => Ok(Step::NotThisWay),
                sent => sent.map(Step::Sent).map_err(stopped),
            },
            Way::Copy => {
                let mut buf = vec![0; part.length.min(COPY_BYTES)];
                let count = self.read(cx, &mut buf, part.offset).map_err(stopped)?;
                cx_io::write_all(cx, &buf[..count], |cx, data| {
                    transfer::write(self.source, cx, data)
                })?;
                Ok(Step::Sent(count))
            }
        }
    }

    fn send(&mut self, cx: &mut Cx, part: Part) -> Result<usize, Error> {
        let end = part.offset + part.length as u64;
        if self.in_memory < end {
            // Where the last byte is, the others of a part this small nearly always are.
            let has_last = |file| read_now(file, &mut [0], end - 1);
            if let Err(Errno::AGAIN) = has_last(self.file) {
                let file = self.file;
                cx.blocking(|| bring_into_memory(file, part))??;
            }
            self.in_memory = end;
        }
        let file = self.file;
        let step = |source: &Source| {
            let mut offset = part.offset;
            without_pipe_signal(|| {
                Ok(rustix::fs::sendfile(source, file, Some(&mut offset), part.length)?)
            })
        };
        perform(cx, &mut op::Step::send(self.source, step))
    }

    /// Reads what is in memory here, and what is not on another thread.
    fn read(&self, cx: &mut Cx, buf: &mut [u8], offset: u64) -> Result<usize, Error> {
        let file = self.file;
        match read_now(file, buf, offset) {
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                Ok(cx.blocking(|| read_at(file, buf, offset))??)
            }
            count => Ok(count.map_err(io::Error::from)?),
        }
    }
}

/// preadv2(2) that fails with `EAGAIN` instead of waiting for a disk.
fn read_now(file: BorrowedFd<'_>, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut bufs = [io::IoSliceMut::new(buf)];
    rustix::io::preadv2(file, &mut bufs, offset, ReadWriteFlags::NOWAIT)
}

fn read_at(file: BorrowedFd<'_>, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pread(file, &mut *buf, offset) {
            Err(Errno::INTR) => {}
            count => return Ok(count?),
        }
    }
}

/// Reads the part, on a thread that may wait, so that the kernel keeps it for the worker, who may not.
fn bring_into_memory(file: BorrowedFd<'_>, part: Part) -> io::Result<()> {
    let mut buf = vec![0; COPY_BYTES];
    let end = part.offset + part.length as u64;
    let mut offset = part.offset;
    while offset < end {
        match read_at(file, &mut buf, offset)? {
            // It is shorter than it was said to be, which the sending finds out.
            0 => break,
            count => offset += count as u64,
        }
    }
    Ok(())
}

/// Whether an error of sendfile(2) says that it is not for this file, or this socket.
fn is_not_taken(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::EOVERFLOW)
    )
}

const NAME: &str = "send_file";

/// How much one step asks for: little enough for the others of the worker to have their turn.
const AT_ONCE: u64 = 256 * 1024;

/// How much of a file is copied at a time.
const COPY_BYTES: usize = 64 * 1024;
