//! The names of the halves of a Unix stream, which are those of every stream over a socket.

use super::UnixStream;
use crate::net;

/// The half of a [`UnixStream`] to read from. Made by [`UnixStream::split`]. It has the methods of
/// [`net::ReadHalf`].
pub type ReadHalf<'a> = net::ReadHalf<'a, UnixStream>;

/// The half of a [`UnixStream`] to write to. Made by [`UnixStream::split`]. It has the methods of
/// [`net::WriteHalf`].
///
/// Dropping it does not end its direction: the stream is still there. [`shutdown`](net::WriteHalf::shutdown)
/// does.
pub type WriteHalf<'a> = net::WriteHalf<'a, UnixStream>;

/// The half of a [`UnixStream`] to read from, which owns its part of it. Made by
/// [`UnixStream::into_split`]. It has the methods of [`net::OwnedReadHalf`].
///
/// # Examples
///
/// ```
/// use conbrio::net::UnixStream;
///
/// let (left, _right) = UnixStream::pair()?;
/// let (reader, writer) = left.into_split();
/// let left = reader.reunite(writer).unwrap();
/// assert!(left.peer_addr()?.is_unnamed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub type OwnedReadHalf = net::OwnedReadHalf<UnixStream>;

/// The half of a [`UnixStream`] to write to, which owns its part of it. Made by
/// [`UnixStream::into_split`]. It has the methods of [`net::OwnedWriteHalf`].
///
/// Dropping it ends its direction: the peer reads what was written, and then the end.
pub type OwnedWriteHalf = net::OwnedWriteHalf<UnixStream>;

/// Two halves were put together that are not of one [`UnixStream`]. Here they are again.
pub type ReuniteError = net::ReuniteError<UnixStream>;
