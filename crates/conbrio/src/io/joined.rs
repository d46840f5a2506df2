//! A stream made of a reader and a writer that know nothing of each other.

use std::io::{self, IoSlice, IoSliceMut};

use super::{BufRead, Error, HalfClose, Read, Split, Write};
use crate::task::Cx;

/// Joins a reader and a writer into one stream, such as the standard streams of a child process, or two
/// pipes.
///
/// # Examples
///
/// ```
/// use conbrio::io::{self, HalfClose, Read, Write};
/// use conbrio::prelude::*;
///
/// /// Speaks with whoever is at the other side, and knows only one stream.
/// fn talk(cx: &mut Cx, mut stream: impl Read + HalfClose) -> std::io::Result<String> {
///     stream.write_all(cx, b"question")?;
///     stream.end_write(cx)?;
///     let mut answer = String::new();
///     stream.read_to_string(cx, &mut answer)?;
///     Ok(answer)
/// }
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let (mut questions, to_them) = io::pipe()?;
///     let (from_them, mut answers) = io::pipe()?;
///     cx.nursery(|cx, n| {
///         n.spawn(move |cx| {
///             let mut question = String::new();
///             questions.read_to_string(cx, &mut question)?;
///             Ok(answers.write_all(cx, format!("{question}?").as_bytes())?)
///         });
///         assert_eq!(talk(cx, io::join(from_them, to_them))?, "question?");
///         Ok(())
///     })?;
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn join<R, W>(reader: R, writer: W) -> Joined<R, W> {
    Joined { reader, writer }
}

/// A reader and a writer as one stream. Made by [`join`].
///
/// It reads from the one and writes to the other, and both close when it is dropped. It has a
/// [writing direction that ends](HalfClose) if the writer has; for a writer that only ends by being dropped,
/// there is [`EndByDrop`].
#[derive(Debug)]
pub struct Joined<R, W> {
    reader: R,
    writer: W,
}

impl<R, W> Joined<R, W> {
    /// The reader and the writer.
    pub fn into_parts(self) -> (R, W) {
        (self.reader, self.writer)
    }

    /// The reader.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// The writer.
    pub fn writer(&self) -> &W {
        &self.writer
    }
}

impl<R: Read, W> Read for Joined<R, W> {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        self.reader.read(cx, buf)
    }

    fn read_vectored(&mut self, cx: &mut Cx, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        self.reader.read_vectored(cx, bufs)
    }
}

impl<R: BufRead, W> BufRead for Joined<R, W> {
    fn fill_buf(&mut self, cx: &mut Cx) -> Result<&[u8], Error> {
        self.reader.fill_buf(cx)
    }

    fn consume(&mut self, count: usize) {
        self.reader.consume(count);
    }
}

impl<R, W: Write> Write for Joined<R, W> {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.writer.write(cx, data)
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        self.writer.write_vectored(cx, bufs)
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.writer.flush(cx)
    }
}

impl<R, W: HalfClose> HalfClose for Joined<R, W> {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.writer.end_write(cx)
    }
}

impl<R: Read + Send, W: Write + Send> Split for Joined<R, W> {
    type Reader<'a>
        = &'a mut R
    where
        Self: 'a;
    type Writer<'a>
        = &'a mut W
    where
        Self: 'a;

    fn split(&mut self) -> (&mut R, &mut W) {
        (&mut self.reader, &mut self.writer)
    }
}

/// A writer whose direction ends when it is dropped, as something whose direction can be
/// [ended](HalfClose::end_write): that flushes and drops it.
///
/// # Examples
///
/// ```
/// use conbrio::io::{EndByDrop, HalfClose, Write};
/// use conbrio::prelude::*;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let (writer, _reader) = conbrio::testing::streams::pipe();
///     let mut writer = EndByDrop::new(writer);
///     writer.write_all(cx, b"all")?;
///     writer.end_write(cx)?;
///     let error = std::io::Error::from(writer.write_all(cx, b"more").unwrap_err());
///     assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
///     Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Debug)]
pub struct EndByDrop<W> {
    /// `None` after the end.
    writer: Option<W>,
}

impl<W> EndByDrop<W> {
    /// Takes a writer that has not ended.
    pub fn new(writer: W) -> EndByDrop<W> {
        EndByDrop { writer: Some(writer) }
    }

    /// The writer, if its direction has not been ended.
    pub fn get_ref(&self) -> Option<&W> {
        self.writer.as_ref()
    }

    /// The writer, if its direction has not been ended.
    pub fn into_inner(self) -> Option<W> {
        self.writer
    }
}

impl<W: Write> Write for EndByDrop<W> {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        match &mut self.writer {
            Some(writer) => writer.write(cx, data),
            None => ended(cx),
        }
    }

    fn write_vectored(&mut self, cx: &mut Cx, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        match &mut self.writer {
            Some(writer) => writer.write_vectored(cx, bufs),
            None => ended(cx),
        }
    }

    /// Nothing is held back after the end. A checkpoint all the same.
    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        match &mut self.writer {
            Some(writer) => writer.flush(cx),
            None => Ok(cx.checkpoint()?),
        }
    }
}

impl<W: Write> HalfClose for EndByDrop<W> {
    /// Flushes the writer and drops it. If flushing fails with an error of its own, it is dropped as well,
    /// and the error comes out.
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        let flushed = self.flush(cx);
        if !matches!(flushed, Err(Error::Cancelled(_))) {
            self.writer = None;
        }
        flushed
    }
}

fn ended<T>(cx: &mut Cx) -> Result<T, Error> {
    cx.checkpoint()?;
    let message = "the writing direction has been ended";
    Err(io::Error::new(io::ErrorKind::BrokenPipe, message).into())
}
