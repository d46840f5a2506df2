//! A memory stream with two directions.

use super::{PipeReader, PipeWriter};
use crate::io::{Error, HalfClose, Read, Split, Write};
use crate::task::Cx;

/// A memory stream that is read from and written to. Made in pairs by [`duplex`](super::duplex), or of two
/// ends by [`new`](Duplex::new).
///
/// Its two directions know nothing of each other. Dropping it closes both.
#[derive(Debug)]
pub struct Duplex {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Duplex {
    /// A stream of two ends, which may have hooks.
    #[must_use]
    pub fn new(reader: PipeReader, writer: PipeWriter) -> Duplex {
        Duplex { reader, writer }
    }

    /// The two ends, for two tasks.
    #[must_use]
    pub fn into_split(self) -> (PipeReader, PipeWriter) {
        (self.reader, self.writer)
    }

    /// The end that is read from.
    #[must_use]
    pub fn reader(&self) -> &PipeReader {
        &self.reader
    }

    /// The end that is written to.
    #[must_use]
    pub fn writer(&self) -> &PipeWriter {
        &self.writer
    }
}

impl Split for Duplex {
    type Reader<'a> = &'a mut PipeReader;
    type Writer<'a> = &'a mut PipeWriter;

    fn split(&mut self) -> (&mut PipeReader, &mut PipeWriter) {
        (&mut self.reader, &mut self.writer)
    }
}

impl Read for Duplex {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.reader.read(cx, buf)
    }
}

impl Write for Duplex {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.writer.write(cx, data)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.writer.flush(cx)
    }
}

impl HalfClose for Duplex {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.writer.end_write(cx)
    }
}
