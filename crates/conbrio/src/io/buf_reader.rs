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
