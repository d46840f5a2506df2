//! Reading and writing of descriptors that somebody else made.

use std::io::IoSlice;
use std::os::fd::AsFd;

use super::{Error, Read, Write};
use crate::lowlevel::Fd;
use crate::task::Cx;

impl<T: AsFd> Read for Fd<T> {
    /// What read(2) gives, and a wait if that is nothing yet. An empty `buf` is only a checkpoint.
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.watched().read(cx, buf)
    }
}

/// For two tasks, one of which reads while the other writes.
impl<T: AsFd> Read for &Fd<T> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.watched().read(cx, buf)
    }
}

impl<T: AsFd> Write for Fd<T> {
    /// What write(2) takes, and a wait if that is nothing yet. No `SIGPIPE` is raised.
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.watched().write(cx, &[IoSlice::new(data)])
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        self.watched().write(cx, bufs)
    }

    /// Nothing is held back. A checkpoint all the same.
    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        Ok(cx.checkpoint()?)
    }
}

/// For two tasks, one of which reads while the other writes.
impl<T: AsFd> Write for &Fd<T> {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.watched().write(cx, &[IoSlice::new(data)])
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        self.watched().write(cx, bufs)
    }

    /// Nothing is held back. A checkpoint all the same.
    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        Ok(cx.checkpoint()?)
    }
}
