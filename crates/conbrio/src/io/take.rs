//! A reader that ends early.

use super::steps::checked;
use super::{BufRead, Error, Read};
use crate::task::Cx;

/// Reads at most so many bytes of another reader. Made by [`Read::take`].
#[derive(Debug)]
pub struct Take<R> {
    reader: R,
    limit: u64,
}

impl<R> Take<R> {
    pub(super) fn new(reader: R, limit: u64) -> Take<R> {
        Take { reader, limit }
    }

    /// How many bytes may still be read; the reader may end before.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The reader, which stands behind what was read.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// `len`, or what may still be read.
    fn room(&self, len: usize) -> usize {
        usize::try_from(self.limit).map_or(len, |limit| len.min(limit))
    }
}

impl<R: Read> Read for Take<R> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        let room = self.room(buf.len());
        if room == 0 {
            cx.checkpoint()?;
            return Ok(0);
        }
        let count = checked(self.reader.read(cx, &mut buf[..room])?, room, "read");
        self.limit -= count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Take<R> {
    fn fill_buf(&mut self, cx: &mut Cx) -> Result<&[u8], Error> {
        if self.limit == 0 {
            cx.checkpoint()?;
            return Ok(&[]);
        }
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let ready = self.reader.fill_buf(cx)?;
        Ok(&ready[..ready.len().min(limit)])
    }

    #[track_caller]
    fn consume(&mut self, count: usize) {
        let room = self.room(count);
        assert!(
            count == room,
            "consumed {count} bytes of {room}: consume what `fill_buf` returned"
        );
        self.limit -= count as u64;
        self.reader.consume(count);
    }
}
