//! A descriptor of our own with the waits for it.
//!
//! Owns the descriptor, and the list of who waits (one task per direction); `mode.rs` has the mode of the file.
//! The invariant: a task is in the list exactly while it waits, so that `notify_closing` reaches each wait,
//! before or after.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use conbrio_reactor::{Source, op};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::{Interest, check, mode, pipe_signal};
use crate::cancel::OrCancelled;
use crate::lowlevel::perform;
use crate::scope::CancelHandle;
use crate::task::Cx;

pub(crate) struct Watched {
    /// Present until `into_fd` takes it.
    source: Option<Source>,
    waits: Mutex<Waits>,
    /// Whether this counts among those who need non-blocking mode.
    needs_mode: bool,
}

#[derive(Default)]
struct Waits {
    is_closing: bool,
    /// Cancels the wait of each direction; `Interest` is the index.
    handles: [Option<CancelHandle>; 2],
}

impl Watched {
    /// Takes a descriptor that is in non-blocking mode already, or stays in its mode.
    pub(crate) fn new(fd: OwnedFd) -> Watched {
        Watched { source: Some(Source::new(fd)), waits: Mutex::default(), needs_mode: false }
    }

    pub(super) fn duplicate_of(fd: BorrowedFd<'_>) -> io::Result<Watched> {
        let duplicate = fd.try_clone_to_owned().map_err(|error| {
            io::Error::new(error.kind(), format!("duplicate fd {}: {error}", fd.as_raw_fd()))
        })?;
        Ok(Watched::new(duplicate))
    }

    /// Sets non-blocking mode, until this is dropped.
    pub(crate) fn nonblocking(mut self) -> io::Result<Watched> {
        self.needs_mode = mode::set_nonblocking(self.source().as_fd())?;
        Ok(self)
    }

    /// Hands the descriptor out in blocking mode, as others expect it.
    pub(crate) fn into_blocking_fd(mut self) -> io::Result<OwnedFd> {
        self.give_mode_back();
        let fd = self.source.take().expect("it is there until the end").into_fd();
        let flags = fcntl_getfl(&fd)?;
        if flags.contains(OFlags::NONBLOCK) {
            fcntl_setfl(&fd, flags - OFlags::NONBLOCK)?;
        }
        Ok(fd)
    }

    fn give_mode_back(&mut self) {
        if std::mem::take(&mut self.needs_mode) {
            mode::give_back(self.as_fd());
        }
    }

    fn source(&self) -> &Source {
        self.source.as_ref().expect("it is there until the end")
    }

    /// See [`Fd::try_io`](super::Fd::try_io).
    pub(crate) fn try_io<R>(
        &self,
        cx: &mut Cx,
        interest: Interest,
        mut f: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Result<R, OrCancelled<io::Error>> {
        cx.checkpoint()?;
        loop {
            if self.waits().is_closing {
                return Err(self.closing().into());
            }
            match f(self.source().as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(cx, interest)?
                }
                // A checkpoint, so that a step which says so for ever can be cancelled.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => cx.checkpoint()?,
                result => return Ok(result?),
            }
        }
    }

    /// See [`Fd::wait`](super::Fd::wait).
    pub(crate) fn wait(
        &self,
        cx: &mut Cx,
        interest: Interest,
    ) -> Result<(), OrCancelled<io::Error>> {
        cx.checkpoint()?;
        if self.waits().is_closing {
            return Err(self.closing().into());
        }
        if check::is_ready(self.as_fd(), interest)? {
            return Ok(());
        }
        let waited = cx.cancel_scope(|cx, scope| {
            let _turn = self.begin(interest, scope.handle())?;
            let mut op = match interest {
                Interest::Readable => op::Readiness::readable(self.source()),
                Interest::Writable => op::Readiness::writable(self.source()),
            };
            perform(cx, &mut op)
        })?;
        match waited {
            Some(()) if !self.waits().is_closing => Ok(()),
            _ => Err(self.closing().into()),
        }
    }

    /// Enters the list of those who wait, until the turn is dropped.
    fn begin(&self, interest: Interest, handle: CancelHandle) -> io::Result<Turn<'_>> {
        let mut waits = self.waits();
        if waits.is_closing {
            return Err(self.closing());
        }
        let place = &mut waits.handles[interest as usize];
        if place.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!(
                    "wait until fd {} is {}: another task waits for that here (give each its own duplicate)",
                    self.as_fd().as_raw_fd(),
                    interest.word()
                ),
            ));
        }
        *place = Some(handle);
        Ok(Turn { watched: self, interest })
    }

    pub(crate) fn notify_closing(&self) {
        let mut waits = self.waits();
        waits.is_closing = true;
        let handles = waits.handles.each_mut().map(Option::take);
        drop(waits);
        for handle in handles.into_iter().flatten() {
            handle.cancel_with("the descriptor is closing");
        }
    }

    fn closing(&self) -> io::Error {
        let number = self.as_fd().as_raw_fd();
        io::Error::new(
            io::ErrorKind::NotConnected,
            format!("wait for fd {number}: it is closing, as `notify_closing` was called"),
        )
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        // Nothing panics under it.
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// read(2). An empty buffer is a checkpoint and no system call.
    pub(crate) fn read(
        &self,
        cx: &mut Cx,
        buf: &mut [u8],
    ) -> Result<usize, OrCancelled<io::Error>> {
        if buf.is_empty() {
            return Ok(cx.checkpoint().map(|()| 0)?);
        }
        self.try_io(cx, Interest::Readable, |fd| Ok(rustix::io::read(fd, &mut *buf)?))
    }

    /// write(2), which never raises `SIGPIPE`. No data is a checkpoint and no system call.
    pub(crate) fn write(
        &self,
        cx: &mut Cx,
        bufs: &[IoSlice<'_>],
    ) -> Result<usize, OrCancelled<io::Error>> {
        // One call takes 1024 buffers; empty ones in front must not use that up.
        let Some(first) = bufs.iter().position(|buf| !buf.is_empty()) else {
            return Ok(cx.checkpoint().map(|()| 0)?);
        };
        let bufs = &bufs[first..];
        let bufs = &bufs[..bufs.len().min(BUFFERS_MAX)];
        self.try_io(cx, Interest::Writable, |fd| pipe_signal::write(fd, bufs))
    }
}

impl Interest {
    fn word(self) -> &'static str {
        match self {
            Interest::Readable => "readable",
            Interest::Writable => "writable",
        }
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source().as_fd()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.give_mode_back();
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A place in the list of those who wait.
struct Turn<'a> {
    watched: &'a Watched,
    interest: Interest,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.watched.waits().handles[self.interest as usize] = None;
    }
}

/// `UIO_MAXIOV`, readv(2).
const BUFFERS_MAX: usize = 1024;
