//! The trait of what bytes can be written to.

use std::io::IoSlice;

use super::{Error, Incomplete, steps};
use crate::task::Cx;

/// Something that bytes can be written to: [`std::io::Write`] for tasks.
///
/// It can be made into an object: `&mut dyn Write`.
///
/// # Examples
///
/// ```
/// use conbrio::io::Write;
/// use conbrio::prelude::*;
///
/// fn greet(cx: &mut Cx, out: &mut dyn Write) -> std::io::Result<()> {
///     out.write_all(cx, b"hello")?;
///     out.flush(cx)?;
///     Ok(())
/// }
///
/// conbrio::run(|cx| {
///     let mut out = Vec::new();
///     greet(cx, &mut out).unwrap();
///     assert_eq!(out, b"hello");
/// });
/// ```
pub trait Write {
    /// Writes some of `data`, and says how many bytes; zero if `data` is empty or nothing more is taken.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing of `data` was written.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled), or what the writer has met. Nothing of `data` was written then.
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error>;

    /// Writes several buffers as if they were one.
    ///
    /// Unless an implementation can do better, only the first buffer that is not empty is used.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was written.
    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.write(cx, first.map_or(&[], |buf| buf))
    }

    /// Passes on what the writer holds back. Not a word about whether it has arrived anywhere.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, what has not been passed on is still held: call it again.
    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error>;

    /// Writes all of `data`.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes have been written, and
    /// the rest has not.
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with the count; its kind is `WriteZero` if the writer takes no more.
    ///
    /// # Panics
    ///
    /// If the writer reports more bytes than it was given.
    fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
        steps::write_all(cx, data, |cx, data| self.write(cx, data))
    }
}

impl<W: Write + ?Sized> Write for &mut W {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        (**self).write(cx, data)
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        (**self).write_vectored(cx, bufs)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        (**self).flush(cx)
    }

    fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
        (**self).write_all(cx, data)
    }
}

impl<W: Write + ?Sized> Write for Box<W> {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        (**self).write(cx, data)
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        (**self).write_vectored(cx, bufs)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        (**self).flush(cx)
    }

    fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
        (**self).write_all(cx, data)
    }
}
