//! The trait of what bytes can be read from.

use std::io::{self, IoSliceMut};

use super::steps::{self, checked, is_interrupted};
use super::{Error, Incomplete, Take};
use crate::task::Cx;

/// Something that bytes can be read from: [`std::io::Read`] for tasks.
///
/// Implementing it takes [`read`](Read::read) alone. It can be made into an object: `&mut dyn Read`.
///
/// # Examples
///
/// A reader that yields the same byte for ever:
///
/// ```
/// use conbrio::io::{self, Read};
/// use conbrio::prelude::*;
///
/// struct Repeat(u8);
///
/// impl Read for Repeat {
///     fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, io::Error> {
///         cx.checkpoint()?;
///         buf.fill(self.0);
///         Ok(buf.len())
///     }
/// }
///
/// conbrio::run(|cx| {
///     let mut buf = [0; 3];
///     Repeat(b'z').read_exact(cx, &mut buf).unwrap();
///     assert_eq!(&buf, b"zzz");
/// });
/// ```
pub trait Read {
    /// Reads some bytes into `buf`, and says how many; zero is the end, or an empty `buf`.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was read.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled), or what the reader has met. Nothing was read then.
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error>;

    /// Reads into several buffers, filling one after the other.
    ///
    /// Unless an implementation can do better, only the first buffer that is not empty is used.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was read.
    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        match bufs.iter_mut().find(|buf| !buf.is_empty()) {
            Some(buf) => self.read(cx, buf),
            None => self.read(cx, &mut []),
        }
    }

    /// Reads until `buf` is full.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes of `buf` have been read;
    /// to go on, read into the rest.
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with the count; its kind is `UnexpectedEof` if the reader ended too early.
    ///
    /// # Panics
    ///
    /// If the reader reports more bytes than it was given room for.
    fn read_exact(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(), Incomplete> {
        steps::read_exact(cx, buf, |cx, buf| self.read(cx, buf))
    }

    /// Reads to the end, appends to `buf`, and says how many bytes that were.
    ///
    /// Nothing bounds the size but the reader: [`take`](Read::take) does.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. What was read until then is in `buf`; the error says how much. To go on, call
    /// it again.
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with the count of what was appended.
    ///
    /// # Panics
    ///
    /// If the reader reports more bytes than it was given room for.
    fn read_to_end(&mut self, cx: &mut Cx, buf: &mut Vec<u8>) -> Result<usize, Incomplete> {
        let start = buf.len();
        // What is given to a step must be zeroed first: as much as the reader makes use of.
        let mut room = CHUNK_MIN;
        loop {
            let filled = buf.len();
            buf.resize(filled + room, 0);
            let read = self.read(cx, &mut buf[filled..]);
            let count = *read.as_ref().unwrap_or(&0);
            buf.truncate(filled + checked(count, room, "read"));
            if count == room {
                room = (2 * room).min(CHUNK_MAX);
            }
            match read {
                Ok(0) => return Ok(filled - start),
                Ok(_) => {}
                Err(error) if is_interrupted(&error) => {}
                Err(error) => {
                    return Err(Incomplete::new("read_to_end", (filled - start) as u64, error));
                }
            }
        }
    }

    /// Reads UTF-8 to the end, appends to `text`, and says how many bytes that were.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel `text` is as before, and what was read is the error's
    /// [`leftover`](Incomplete::leftover).
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with what was read as the leftover; its kind is `InvalidData` if that is not UTF-8.
    fn read_to_string(&mut self, cx: &mut Cx, text: &mut String) -> Result<usize, Incomplete> {
        let mut bytes = Vec::new();
        match self.read_to_end(cx, &mut bytes) {
            Ok(_) => append_utf8("read_to_string", text, bytes),
            Err(error) => {
                Err(Incomplete::new("read_to_string", 0, error.into_cause()).with_leftover(bytes))
            }
        }
    }

    /// A reader that ends after `limit` bytes of this one.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::io::Read;
    ///
    /// conbrio::run(|cx| {
    ///     let mut body = Vec::new();
    ///     (&b"hello, world"[..]).take(5).read_to_end(cx, &mut body).unwrap();
    ///     assert_eq!(body, b"hello");
    /// });
    /// ```
    fn take(self, limit: u64) -> Take<Self>
    where
        Self: Sized,
    {
        Take::new(self, limit)
    }
}

/// Appends `bytes` to `text`, or hands them back.
pub(super) fn append_utf8(
    operation: &'static str,
    text: &mut String,
    bytes: Vec<u8>,
) -> Result<usize, Incomplete> {
    match std::str::from_utf8(&bytes) {
        Ok(valid) => {
            text.push_str(valid);
            Ok(valid.len())
        }
        Err(error) => {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            Err(Incomplete::new(operation, 0, error).with_leftover(bytes))
        }
    }
}

impl<R: Read + ?Sized> Read for &mut R {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        (**self).read(cx, buf)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        (**self).read_vectored(cx, bufs)
    }

    fn read_exact(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(), Incomplete> {
        (**self).read_exact(cx, buf)
    }

    fn read_to_end(&mut self, cx: &mut Cx, buf: &mut Vec<u8>) -> Result<usize, Incomplete> {
        (**self).read_to_end(cx, buf)
    }

    fn read_to_string(&mut self, cx: &mut Cx, text: &mut String) -> Result<usize, Incomplete> {
        (**self).read_to_string(cx, text)
    }
}

impl<R: Read + ?Sized> Read for Box<R> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        (**self).read(cx, buf)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        (**self).read_vectored(cx, bufs)
    }

    fn read_exact(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(), Incomplete> {
        (**self).read_exact(cx, buf)
    }

    fn read_to_end(&mut self, cx: &mut Cx, buf: &mut Vec<u8>) -> Result<usize, Incomplete> {
        (**self).read_to_end(cx, buf)
    }

    fn read_to_string(&mut self, cx: &mut Cx, text: &mut String) -> Result<usize, Incomplete> {
        (**self).read_to_string(cx, text)
    }
}

/// The first step of `read_to_end` asks for this much.
const CHUNK_MIN: usize = 4 * 1024;

/// No step of `read_to_end` asks for more.
const CHUNK_MAX: usize = 64 * 1024;
