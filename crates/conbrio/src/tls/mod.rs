//! TLS over streams of any kind, by [rustls]: encrypted, and with a peer that has shown who it is.
//!
//! A [`Connector`] makes the streams of clients, an [`Acceptor`] those of servers. A [`TlsStream`] is read
//! and written by the traits of [`io`](crate::io), can be split for two tasks, and can lie over anything
//! that has those traits, also over another one.
//!
//! Versions 1.2 and 1.3; the arithmetic is that of the crate `ring`. What the builders have no option for
//! is there through a configuration of rustls: [`Connector::from_config`], [`Acceptor::from_config`].
//! Verifiers and resolvers in it are called under a lock and must not wait.
//!
//! # Examples
//!
//! ```
//! use conbrio::io::{HalfClose, Read, Write};
//! use conbrio::prelude::*;
//! use conbrio::tls::{Acceptor, Connector, TlsListener};
//!
//! # let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
//! # let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
//! # fn main_(certificate: String, key: String) -> std::io::Result<()> {
//! let acceptor =
//!     Acceptor::builder().certificate_pem(certificate.as_bytes(), key.as_bytes()).build()?;
//! let connector = Connector::builder().root_pem(certificate.as_bytes()).build()?;
//!
//! conbrio::run(|cx| {
//!     let listener = TcpListener::bind(cx, "127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     let mut listener = TlsListener::new(listener, acceptor);
//!     cx.nursery(|cx, n| {
//!         n.spawn(move |cx| {
//!             let (mut stream, _) = listener.accept(cx)?;
//!             stream.write_all(cx, b"nobody else reads this")?;
//!             stream.finish(cx)?;
//!             Ok(())
//!         });
//!         let transport = TcpStream::connect(cx, address)?;
//!         let mut stream = connector.connect(cx, "localhost", transport)?;
//!         let mut text = String::new();
//!         stream.read_to_string(cx, &mut text)?;
//!         assert_eq!(text, "nobody else reads this");
//!         stream.end_write(cx)?;
//!         Ok(())
//!     })?;
//!     Ok(())
//! })
//! # }
//! # main_(certificate, key).unwrap();
//! ```

#![forbid(unsafe_code)]

mod acceptor;
mod certificates;
mod connector;
mod engine;
mod error;
mod listener;
mod negotiated;
mod session;
mod split;
mod stream;
mod wire;

pub use acceptor::{Acceptor, AcceptorBuilder};
pub use connector::{Connector, ConnectorBuilder};
pub use error::{NeedHandshake, TlsError};
pub use listener::TlsListener;
pub use negotiated::Negotiated;
pub use split::{ReadHalf, WriteHalf};
pub use stream::TlsStream;

/// The crate that does the work, in the version whose types this module has in its interface.
pub use rustls;
