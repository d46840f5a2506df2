//! The way back to `std::io`: a stream joined with the `cx` that it waits with.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, SeekFrom};

use super::{BufRead, Read, Seek, Write};
use crate::task::Cx;

/// A stream joined with a `cx`: implements [`std::io::Read`], [`std::io::Write`], [`std::io::Seek`] and
/// [`std::io::BufRead`], so that libraries which know only those run unchanged in a task.
///
/// While it lives it holds the `cx`: nothing else can wait meanwhile. Make one for the call that needs it.
///
/// # Cancellation
///
/// Every call is a checkpoint. A cancellation is an [`io::Error`] whose payload is the
/// [`Cancelled`](crate::Cancelled) (or the [`Incomplete`](super::Incomplete) of a `write_all`), so that
/// the scope which was cancelled recognises it when the library hands it out. Its kind is `Other`, never
/// `Interrupted`, after which the standard library would try again for ever.
///
/// # Examples
///
/// ```
/// use conbrio::io::With;
/// use std::io::{BufRead, BufReader};
///
/// conbrio::run(|cx| {
///     let mut text = &b"first\nsecond\n"[..];
///     let lines = BufReader::new(With::new(&mut text, cx)).lines();
///     assert_eq!(lines.collect::<Result<Vec<_>, _>>().unwrap(), ["first", "second"]);
/// });
/// ```
///
/// The `cx` is taken as long as it lives:
///
/// ```compile_fail,E0499
/// use conbrio::io::With;
/// use std::io::Read;
///
/// conbrio::run(|cx| {
///     let mut text = &b"text"[..];
///     let mut with = With::new(&mut text, cx);
///     cx.checkpoint().unwrap();
///     with.read(&mut [0]).unwrap();
/// });
/// ```
pub struct With<'a, S: ?Sized> {
    stream: &'a mut S,
    cx: &'a mut Cx,
}

impl<'a, S: ?Sized> With<'a, S> {
    /// Joins the two. The streams of this crate have a method `with` that does the same.
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint; what is called on the result is one, always.
    pub fn new(stream: &'a mut S, cx: &'a mut Cx) -> With<'a, S> {
        With { stream, cx }
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        self.stream
    }

    /// The stream.
    pub fn get_mut(&mut self) -> &mut S {
        self.stream
    }

    /// The two again, for as long as nobody uses this.
    pub fn parts(&mut self) -> (&mut S, &mut Cx) {
        (self.stream, self.cx)
    }
}

impl<S: Read + ?Sized> io::Read for With<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.stream.read(self.cx, buf)?)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(self.stream.read_vectored(self.cx, bufs)?)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        Ok(self.stream.read_to_end(self.cx, buf)?)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        Ok(self.stream.read_exact(self.cx, buf)?)
    }
}

impl<S: Write + ?Sized> io::Write for With<'_, S> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(self.stream.write(self.cx, data)?)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(self.stream.write_vectored(self.cx, bufs)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.stream.flush(self.cx)?)
    }

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        Ok(self.stream.write_all(self.cx, data)?)
    }
}

impl<S: BufRead + ?Sized> io::BufRead for With<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.stream.fill_buf(self.cx)?)
    }

    fn consume(&mut self, count: usize) {
        self.stream.consume(count);
    }
}

impl<S: Seek + ?Sized> io::Seek for With<'_, S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        Ok(self.stream.seek(self.cx, to)?)
    }
}

impl<S: fmt::Debug + ?Sized> fmt::Debug for With<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("With").field("stream", &self.stream).field("cx", &self.cx).finish()
    }
}
