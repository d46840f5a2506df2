//! A reader with a buffer.

use std::fmt;
use std::io::IoSliceMut;

use super::steps::checked;
use super::{BufRead, Error, Incomplete, Read, steps};
use crate::task::Cx;

/// Reads in large steps and hands out small ones.
///
/// The buffer is allocated once, 8 KiB unless another size is asked for.
pub struct BufReader<R: ?Sized> {
    buf: Box<[u8]>,
    /// `taken <= filled <= buf.len()`; the bytes in between are ready.
    taken: usize,
    filled: usize,
    reader: R,
}

impl<R: Read> BufReader<R> {
    /// A buffer of 8 KiB.
    pub fn new(reader: R) -> BufReader<R> {
        BufReader::with_capacity(CAPACITY, reader)
    }

    /// A buffer of `capacity` bytes, at least one.
    pub fn with_capacity(capacity: usize, reader: R) -> BufReader<R> {
        BufReader { buf: vec![0; capacity.max(1)].into(), taken: 0, filled: 0, reader }
    }

    /// The reader and the bytes that were read from it and not handed out.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        let ready = self.buffer().to_vec();
        (self.reader, ready)
    }
}

impl<R: ?Sized> BufReader<R> {
    /// The bytes that are ready, without reading.
    pub fn buffer(&self) -> &[u8] {
        &self.buf[self.taken..self.filled]
    }

    /// How many bytes the buffer holds at most.
    pub fn capacity(&self) -> usize {
        self.buf.len()
    }

    /// The reader.
    pub fn get_ref(&self) -> &R {
        &self.reader
    }

    /// The reader. Reading from it directly skips what is in the buffer.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Hands out bytes that are ready.
    fn take_ready(&mut self, buf: &mut [u8]) -> usize {
        let count = buf.len().min(self.filled - self.taken);
        buf[..count].copy_from_slice(&self.buf[self.taken..self.taken + count]);
        self.taken += count;
        count
    }
}

impl<R: Read + ?Sized> BufReader<R> {
    /// Reads more, behind what is ready, and says how many bytes that were. Zero is the end, or that the
    /// buffer is full: then as many bytes are ready as its [`capacity`](BufReader::capacity).
    ///
    /// For parsers that look at what is ready and may say that they need more of it. The capacity is the
    /// limit of what they get to see at once. May move what is ready to the front of the buffer.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was read, and what was ready still is.
    ///
    /// # Errors
    ///
    /// What the reader has met.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::io::{BufRead, BufReader, Read};
    /// use conbrio::prelude::*;
    ///
    /// /// A message ends with an empty line.
    /// fn next(cx: &mut Cx, reader: &mut BufReader<impl Read>) -> std::io::Result<String> {
    ///     loop {
    ///         let text = String::from_utf8_lossy(reader.buffer());
    ///         if let Some((message, _)) = text.split_once("\n\n") {
    ///             let message = message.to_owned();
    ///             reader.consume(message.len() + 2);
    ///             return Ok(message);
    ///         }
    ///         if reader.fill_more(cx)? == 0 {
    ///             return Err(std::io::ErrorKind::UnexpectedEof.into());
    ///         }
    ///     }
    /// }
    ///
    /// conbrio::run(|cx| {
    ///     let mut reader = BufReader::new(&b"a: 1\nb: 2\n\nc: 3\n\n"[..]);
    ///     assert_eq!(next(cx, &mut reader)?, "a: 1\nb: 2");
    ///     assert_eq!(next(cx, &mut reader)?, "c: 3");
    ///     assert!(next(cx, &mut reader).is_err());
    ///     Ok::<(), std::io::Error>(())
    /// })
    /// .unwrap();
    /// ```
    pub fn fill_more(&mut self, cx: &mut Cx) -> Result<usize, Error> {
        if self.filled - self.taken == self.buf.len() {
            cx.checkpoint()?;
            return Ok(0);
        }
        if self.filled == self.buf.len() || self.taken == self.filled {
            self.buf.copy_within(self.taken..self.filled, 0);
            (self.taken, self.filled) = (0, self.filled - self.taken);
        }
        let room = &mut self.buf[self.filled..];
        let count = checked(self.reader.read(cx, room)?, room.len(), "read");
        self.filled += count;
        Ok(count)
    }

    /// Reads into the buffer, which is empty.
    fn refill(&mut self, cx: &mut Cx) -> Result<(), Error> {
        let count = self.reader.read(cx, &mut self.buf)?;
        (self.taken, self.filled) = (0, checked(count, self.buf.len(), "read"));
        Ok(())
    }
}

impl<R: Read + ?Sized> Read for BufReader<R> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        if self.taken == self.filled {
            if buf.len() >= self.buf.len() {
                // The buffer would only be a detour.
                return self.reader.read(cx, buf);
            }
            if !buf.is_empty() {
                self.refill(cx)?;
                return Ok(self.take_ready(buf));
            }
        }
        cx.checkpoint()?;
        Ok(self.take_ready(buf))
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        let room = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if self.taken == self.filled {
            if room >= self.buf.len() {
                return self.reader.read_vectored(cx, bufs);
            }
            if room > 0 {
                self.refill(cx)?;
                return Ok(bufs.iter_mut().map(|buf| self.take_ready(buf)).sum());
            }
        }
        cx.checkpoint()?;
        Ok(bufs.iter_mut().map(|buf| self.take_ready(buf)).sum())
    }

    fn read_exact(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<(), Incomplete> {
        steps::read_exact(cx, buf, |cx, buf| self.read(cx, buf))
    }
}

impl<R: Read + ?Sized> BufRead for BufReader<R> {
    fn fill_buf(&mut self, cx: &mut Cx) -> Result<&[u8], Error> {
        if self.taken == self.filled {
            self.refill(cx)?;
        } else {
            cx.checkpoint()?;
        }
        Ok(self.buffer())
    }

    #[track_caller]
    fn consume(&mut self, count: usize) {
        let ready = self.filled - self.taken;
        assert!(
            count <= ready,
            "consumed {count} bytes of {ready}: consume what `fill_buf` returned"
        );
        self.taken += count;
    }
}

impl<R: fmt::Debug + ?Sized> fmt::Debug for BufReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufReader")
            .field("reader", &&self.reader)
            .field("ready", &(self.filled - self.taken))
            .field("capacity", &self.buf.len())
            .finish()
    }
}

const CAPACITY: usize = 8 * 1024;
