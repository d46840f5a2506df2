//! Unix sockets: streams and datagrams between processes of one machine, by path, by abstract name, or
//! without a name at all, and what goes with them: descriptors and credentials.
//!
//! The types are [`UnixStream`], [`UnixListener`] and [`UnixDatagram`]; their addresses are those of the
//! standard library, [`std::os::unix::net::SocketAddr`], and
//! [`std::os::linux::net::SocketAddrExt`] makes abstract ones.
//!
//! In a simulated run there are no Unix sockets: there is no second process to talk to. Making one there by
//! name, and using one, fails with `Unsupported`.

mod address;
mod credentials;
mod datagram;
mod fds;
mod listen_options;
mod listener;
mod owned;
mod socket_file;
mod split;
mod stream;

pub use credentials::UCred;
pub use datagram::UnixDatagram;
pub use fds::WithFds;
pub use listen_options::ListenOptions;
pub use listener::UnixListener;
pub use owned::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use split::{ReadHalf, WriteHalf};
pub use stream::UnixStream;
