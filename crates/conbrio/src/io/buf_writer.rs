//! A writer with a buffer.

use std::fmt;

use super::steps::{checked, is_interrupted};
use super::{Error, Write};
use crate::cancel::OrCancelled;
use crate::task::Cx;

/// Collects small writes and passes them on in large ones.
///
/// What is in the buffer is passed on when it is full and by [`flush`](Write::flush). *Dropping it does
/// not write*, because that takes a `cx`: flush before, or take the rest with
/// [`into_parts`](BufWriter::into_parts).
///
/// # Examples
///
/// ```
/// use conbrio::io::{BufWriter, Write};
///
/// conbrio::run(|cx| {
///     let mut out = BufWriter::new(Vec::new());
///     for word in ["many ", "small ", "writes"] {
///         out.write_all(cx, word.as_bytes())?;
///     }
///     assert!(out.get_ref().is_empty());
///     out.flush(cx)?;
///     assert_eq!(out.get_ref(), b"many small writes");
///     Ok::<(), std::io::Error>(())
/// })
/// .unwrap();
/// ```
pub struct BufWriter<W: ?Sized> {
    buf: Vec<u8>,
    /// How much of `buf` the writer has taken already: `passed_on <= buf.len()`.
    passed_on: usize,
    capacity: usize,
    writer: W,
}

impl<W: Write> BufWriter<W> {
    /// A buffer of 8 KiB.
    pub fn new(writer: W) -> BufWriter<W> {
        BufWriter::with_capacity(CAPACITY, writer)
    }

    /// A buffer of `capacity` bytes, at least one.
    pub fn with_capacity(capacity: usize, writer: W) -> BufWriter<W> {
        let capacity = capacity.max(1);
        BufWriter { buf: Vec::with_capacity(capacity), passed_on: 0, capacity, writer }
    }

    /// The writer and the bytes that it has not taken.
    pub fn into_parts(mut self) -> (W, Vec<u8>) {
        self.buf.drain(..self.passed_on);
        (self.writer, self.buf)
    }
}

impl<W: ?Sized> BufWriter<W> {
    /// The bytes that the writer has not taken.
    pub fn buffer(&self) -> &[u8] {
        &self.buf[self.passed_on..]
    }

    /// The writer.
    pub fn get_ref(&self) -> &W {
        &self.writer
    }

    /// The writer. Writing to it directly overtakes what is in the buffer.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.writer
    }
}

impl<W: Write + ?Sized> BufWriter<W> {
    /// Empties the buffer. After an error, what was not taken is still in it.
    fn pass_on(&mut self, cx: &mut Cx) -> Result<(), Error> {
        while self.passed_on < self.buf.len() {
            let rest = &self.buf[self.passed_on..];
            match self.writer.write(cx, rest) {
                Ok(0) => {
                    let message = "the writer takes no more bytes";
                    let error = std::io::Error::new(std::io::ErrorKind::WriteZero, message);
                    return Err(OrCancelled::Failed(error));
                }
                Ok(count) => self.passed_on += checked(count, rest.len(), "write"),
                Err(error) if is_interrupted(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.buf.clear();
        self.passed_on = 0;
        Ok(())
    }
}

impl<W: Write + ?Sized> Write for BufWriter<W> {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        if data.len() > self.capacity - self.buf.len() {
            self.pass_on(cx)?;
            if data.len() >= self.capacity {
                // The buffer would only be a detour.
                return self.writer.write(cx, data);
            }
        }
        cx.checkpoint()?;
        self.buf.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.pass_on(cx)?;
        self.writer.flush(cx)
    }
}

impl<W: fmt::Debug + ?Sized> fmt::Debug for BufWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufWriter")
            .field("writer", &&self.writer)
            .field("waiting", &self.buffer().len())
            .field("capacity", &self.capacity)
            .finish()
    }
}

const CAPACITY: usize = 8 * 1024;
