//! The traits for memory: slices, vectors and cursors, which never wait.
//!
//! Each call is a checkpoint all the same: a function is one always or never, whatever it reads from.

use std::io::{self, Cursor, IoSlice, IoSliceMut};

use super::{BufRead, Error, Read, Write};
use crate::task::Cx;

impl Read for &[u8] {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        cx.checkpoint()?;
        Ok(io::Read::read(self, buf)?)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        cx.checkpoint()?;
        Ok(io::Read::read_vectored(self, bufs)?)
    }
}

impl BufRead for &[u8] {
    fn fill_buf(&mut self, cx: &mut Cx) -> Result<&[u8], Error> {
        cx.checkpoint()?;
        Ok(self)
    }

    fn consume(&mut self, count: usize) {
        io::BufRead::consume(self, count);
    }
}

impl<T: AsRef<[u8]>> Read for Cursor<T> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        cx.checkpoint()?;
        Ok(io::Read::read(self, buf)?)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        cx.checkpoint()?;
        Ok(io::Read::read_vectored(self, bufs)?)
    }
}

impl<T: AsRef<[u8]>> BufRead for Cursor<T> {
    fn fill_buf(&mut self, cx: &mut Cx) -> Result<&[u8], Error> {
        cx.checkpoint()?;
        Ok(io::BufRead::fill_buf(self)?)
    }

    fn consume(&mut self, count: usize) {
        io::BufRead::consume(self, count);
    }
}

/// Appends.
impl Write for Vec<u8> {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        cx.checkpoint()?;
        Ok(io::Write::write(self, data)?)
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        cx.checkpoint()?;
        Ok(io::Write::write_vectored(self, bufs)?)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.checkpoint()?;
        Ok(())
    }
}

/// Overwrites the slice from its start, which moves along.
impl Write for &mut [u8] {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        cx.checkpoint()?;
        Ok(io::Write::write(self, data)?)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.checkpoint()?;
        Ok(())
    }
}

impl<T> Write for Cursor<T>
where
    Cursor<T>: io::Write,
{
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        cx.checkpoint()?;
        Ok(io::Write::write(self, data)?)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.checkpoint()?;
        Ok(())
    }
}
