//! How streams and their halves end and are lent out, for code that knows only the traits.

use std::net::Shutdown;

use super::{OwnedWriteHalf, ReadHalf, SocketStream, TcpStream, WriteHalf};
use crate::io::{Error, HalfClose, Split};
use crate::task::Cx;

/// [`shutdown`](TcpStream::shutdown) of the write half, which never waits. A checkpoint all the same.
impl HalfClose for TcpStream {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.checkpoint()?;
        Ok(self.shutdown(Shutdown::Write)?)
    }
}

/// [`shutdown`](WriteHalf::shutdown), which never waits. A checkpoint all the same.
impl<S: SocketStream> HalfClose for WriteHalf<'_, S> {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.checkpoint()?;
        Ok(self.shutdown()?)
    }
}

/// [`shutdown`](OwnedWriteHalf::shutdown), which never waits. A checkpoint all the same.
impl<S: SocketStream> HalfClose for OwnedWriteHalf<S> {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.checkpoint()?;
        Ok(self.shutdown()?)
    }
}

impl Split for TcpStream {
    type Reader<'a> = ReadHalf<'a>;
    type Writer<'a> = WriteHalf<'a>;

    fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        // The method of the type itself, which has the same name.
        TcpStream::split(self)
    }
}
