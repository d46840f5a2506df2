//! TCP and UDP: listeners, streams, datagrams, and the addresses they take.
//!
//! Every operation tries its system call first and waits only if that would block. One that is cancelled
//! has had no effect: no byte was taken or sent, no connection was accepted and dropped.
//!
//! A [`TcpStream`] is read and written through `&mut`, so that there is one reader and one writer at most;
//! [`TcpStream::split`] and [`TcpStream::into_split`] give two tasks one direction each. All types may go
//! to other tasks on other workers.
//!
//! [`serve`] is the accept loop of a server: a task for each connection, and a graceful end.
//!
//! # Examples
//!
//! An echo server and one client:
//!
//! ```
//! use conbrio::prelude::*;
//!
//! # fn main() -> std::io::Result<()> {
//! conbrio::run(|cx| {
//!     let mut listener = TcpListener::bind(cx, "127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     cx.nursery(|cx, n| {
//!         n.spawn(move |cx| {
//!             let (mut stream, _) = listener.accept(cx)?;
//!             let mut buf = [0; 4096];
//!             loop {
//!                 let count = stream.read(cx, &mut buf)?;
//!                 if count == 0 {
//!                     return Ok(());
//!                 }
//!                 stream.write_all(cx, &buf[..count])?;
//!             }
//!         });
//!         let mut stream = TcpStream::connect(cx, address)?;
//!         stream.write_all(cx, b"hello")?;
//!         let mut reply = [0; 5];
//!         stream.read_exact(cx, &mut reply)?;
//!         assert_eq!(&reply, b"hello");
//!         Ok(())
//!     })?;
//!     Ok(())
//! })
//! # }
//! ```

#![forbid(unsafe_code)]

mod addrs;
mod connect;
mod half_close;
mod host;
mod listener;
mod options;
mod owned;
mod resolve;
mod send_file;
mod serve;
mod socket_stream;
mod split;
mod stream;
mod transfer;
mod udp;
pub mod unix;

pub use addrs::{AddressErrors, ToAddrs, Wildcard};
pub use connect::ConnectOptions;
pub use listener::{ListenOptions, TcpListener, listen};
pub use owned::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
#[cfg(feature = "hickory")]
pub use resolve::DnsResolver;
pub use resolve::{Resolve, SystemResolver, name_of, resolve, with_resolver};
pub use serve::{Incoming, ServeOptions, serve};
pub use socket_stream::SocketStream;
pub use split::{ReadHalf, WriteHalf};
pub use stream::TcpStream;
pub use udp::{Datagram, DatagramBatch, Segments, UdpOptions, UdpSocket};
pub use unix::{UnixDatagram, UnixListener, UnixStream};
