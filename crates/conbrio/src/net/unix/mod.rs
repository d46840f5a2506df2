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
mod halves;
mod listen_options;
mod listener;
mod socket_file;
mod stream;

pub use credentials::UCred;
pub use datagram::UnixDatagram;
pub use fds::WithFds;
pub use halves::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use listen_options::ListenOptions;
pub use listener::UnixListener;
pub use stream::UnixStream;
