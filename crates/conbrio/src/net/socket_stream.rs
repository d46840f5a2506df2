//! What the streams over sockets have in common, so that one code serves the halves of both.

use std::fmt::Debug;
use std::io;

use conbrio_reactor::Source;
pub(super) use sealed::Sealed;

/// A stream over a socket, which is a [`TcpStream`](super::TcpStream) or a
/// [`UnixStream`](super::UnixStream): what [`ReadHalf`](super::ReadHalf) and its kin are halves of.
///
/// Only this crate implements it.
///
/// # Examples
///
/// A function that takes halves of both:
///
/// ```
/// use conbrio::io::Error;
/// use conbrio::net::{OwnedReadHalf, SocketStream, UnixStream};
/// use conbrio::prelude::*;
///
/// /// Reads a number, and says who has sent it.
/// fn number<S: SocketStream>(
///     cx: &mut Cx,
///     reader: &mut OwnedReadHalf<S>,
/// ) -> std::io::Result<(u32, S::Address)> {
///     let mut bytes = [0; 4];
///     reader.read_exact(cx, &mut bytes)?;
///     Ok((u32::from_be_bytes(bytes), reader.peer_addr()?))
/// }
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let (mut left, right) = UnixStream::pair()?;
///     left.write_all(cx, &[0, 0, 0, 7])?;
///     let (mut reader, _writer) = right.into_split();
///     let (seven, sender) = number(cx, &mut reader)?;
///     assert_eq!(seven, 7);
///     assert!(sender.is_unnamed());
///     Ok(())
/// })
/// .unwrap();
/// ```
pub trait SocketStream: Debug + Send + Sync + Sealed {
    /// What says where an end of the stream is: [`std::net::SocketAddr`], or
    /// [`std::os::unix::net::SocketAddr`].
    type Address: Debug;

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    fn local_addr(&self) -> io::Result<Self::Address>;

    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the connection has been reset.
    fn peer_addr(&self) -> io::Result<Self::Address>;
}

mod sealed {
    use super::Source;

    /// The part that users do not see.
    pub trait Sealed {
        /// The socket of the stream.
        fn source(&self) -> &Source;
    }
}
