//! The trait of readers that hold bytes ready, and reading by lines.

use std::io;

use super::read::append_utf8;
use super::steps::is_interrupted;
use super::{Error, Incomplete, Read};
use crate::task::Cx;

/// A reader that holds bytes ready, so that one can look at them before they are taken:
/// [`std::io::BufRead`] for tasks.
pub trait BufRead: Read {
    /// The bytes that are ready, read now if there were none. Empty at the end.
    ///
    /// Say with [`consume`](BufRead::consume) how many were used; the rest comes again.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was read.
    fn fill_buf(&mut self, cx: &mut Cx) -> Result<&[u8], Error>;

    /// Marks `count` of the bytes from [`fill_buf`](BufRead::fill_buf) as used.
    ///
    /// # Panics
    ///
    /// May panic if there were not that many.
    fn consume(&mut self, count: usize);

    /// Reads up to and including `delimiter`, or to the end, and appends to `buf`. Says how many bytes
    /// that were; zero is the end.
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
    fn read_until(
        &mut self,
        cx: &mut Cx,
        delimiter: u8,
        buf: &mut Vec<u8>,
    ) -> Result<usize, Incomplete> {
        let mut done = 0;
        loop {
            let ready = match self.fill_buf(cx) {
                Ok(ready) => ready,
                Err(error) if is_interrupted(&error) => continue,
                Err(error) => return Err(Incomplete::new("read_until", done as u64, error)),
            };
            let end = ready.iter().position(|byte| *byte == delimiter);
            let count = end.map_or(ready.len(), |at| at + 1);
            buf.extend_from_slice(&ready[..count]);
            self.consume(count);
            done += count;
            if end.is_some() || count == 0 {
                return Ok(done);
            }
        }
    }

    /// Reads a line with its line feed, or what is left before the end, and appends to `line`. Says how
    /// many bytes that were; zero is the end.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel `line` is as before, and what was read is the error's
    /// [`leftover`](Incomplete::leftover). A [`Lines`] keeps it for the next call.
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with what was read as the leftover; its kind is `InvalidData` if that is not UTF-8.
    fn read_line(&mut self, cx: &mut Cx, line: &mut String) -> Result<usize, Incomplete> {
        let mut bytes = Vec::new();
        match self.read_until(cx, b'\n', &mut bytes) {
            Ok(_) => append_utf8("read_line", line, bytes),
            Err(error) => {
                Err(Incomplete::new("read_line", 0, error.into_cause()).with_leftover(bytes))
            }
        }
    }

    /// The lines of this reader.
    fn lines(self) -> Lines<Self>
    where
        Self: Sized,
    {
        Lines { reader: self, partial: Vec::new() }
    }
}

impl<R: BufRead + ?Sized> BufRead for &mut R {
    fn fill_buf(&mut self, cx: &mut Cx) -> Result<&[u8], Error> {
        (**self).fill_buf(cx)
    }

    fn consume(&mut self, count: usize) {
        (**self).consume(count);
    }
}

impl<R: BufRead + ?Sized> BufRead for Box<R> {
    fn fill_buf(&mut self, cx: &mut Cx) -> Result<&[u8], Error> {
        (**self).fill_buf(cx)
    }

    fn consume(&mut self, count: usize) {
        (**self).consume(count);
    }
}

/// Reads line by line, and keeps the beginning of a line for the next call when it is cancelled. Made by
/// [`BufRead::lines`].
///
/// # Examples
///
/// ```
/// use conbrio::io::BufRead;
///
/// conbrio::run(|cx| {
///     let mut lines = (&b"one\r\ntwo\nthree"[..]).lines();
///     let mut seen = Vec::new();
///     while let Some(line) = lines.next(cx)? {
///         seen.push(line);
///     }
///     assert_eq!(seen, ["one", "two", "three"]);
///     Ok::<(), std::io::Error>(())
/// })
/// .unwrap();
/// ```
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    /// The beginning of a line whose rest has not come yet.
    partial: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The next line, without its line feed or carriage return and line feed; `None` at the end.
    ///
    /// Allocates the line.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing is lost: the next call goes on with the same line.
    ///
    /// # Errors
    ///
    /// What the reader has met, after which the same line goes on too; `InvalidData` for a line that is
    /// not UTF-8, which is skipped.
    pub fn next(&mut self, cx: &mut Cx) -> Result<Option<String>, Error> {
        if let Err(error) = self.reader.read_until(cx, b'\n', &mut self.partial) {
            return Err(error.into_cause());
        }
        if self.partial.is_empty() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.partial);
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        match String::from_utf8(line) {
            Ok(line) => Ok(Some(line)),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error).into()),
        }
    }

    /// The beginning of the next line that an interrupted call has left.
    pub fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// The reader. Reading from it directly takes bytes away from the lines.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// The reader and the beginning of the next line.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        (self.reader, self.partial)
    }
}
