//! The network of a simulated run: hosts, latencies, partitions, crashes.
//!
//! In a [simulated run](super::Builder) all of [`crate::net`] works on a network that exists in memory
//! only, so that a program runs there unchanged. Packets take virtual time, what is left open is drawn
//! from the seed, and the test can let things go wrong: see [`NetworkOptions`] for what happens by chance,
//! and [`Network`] and [`Host`] for what happens when the test says so.
//!
//! A task is on a host. Outside of [`Host::enter`] it is on the default host, and so a program and its
//! test talk over `127.0.0.1` as they would elsewhere. Inside, everything that the task and its children
//! bind and connect is of that host, `127.0.0.1` among it: each host has its own.
//!
//! # Examples
//!
//! A client that is cut off from its server, and goes on when the way is open again:
//!
//! ```
//! use conbrio::prelude::*;
//! use conbrio::testing::network::Network;
//! use std::time::Duration;
//!
//! conbrio::testing::run(|cx| -> std::io::Result<()> {
//!     let network = Network::of(cx);
//!     let (server, client) = (network.host([10, 0, 0, 1]), network.host([10, 0, 0, 2]));
//!     let mut listener = server.enter(cx, |cx| TcpListener::bind(cx, "10.0.0.1:80"))?;
//!
//!     cx.nursery(|cx, n| {
//!         n.spawn(move |cx| {
//!             let (mut stream, peer) = listener.accept(cx)?;
//!             assert_eq!(peer.ip().to_string(), "10.0.0.2");
//!             let mut buf = [0; 4];
//!             stream.read_exact(cx, &mut buf)?;
//!             stream.write_all(cx, &buf)?;
//!             Ok(())
//!         });
//!         let mut stream = client.enter(cx, |cx| TcpStream::connect(cx, "10.0.0.1:80"))?;
//!         network.partition(&server, &client);
//!         stream.write_all(cx, b"ping")?;
//!         cx.sleep(Duration::from_secs(60))?;
//!         network.heal(&server, &client);
//!         let mut buf = [0; 4];
//!         stream.read_exact(cx, &mut buf)?;
//!         assert_eq!(&buf, b"ping");
//!         Ok(())
//!     })?;
//!     Ok(())
//! })
//! .unwrap();
//! ```
//!
//! # What is simulated
//!
//! TCP as programs see it: connecting, refusing, full backlogs, buffers, half-closed connections, resets,
//! data that is sent again after a partition, keepalive, `TCP_USER_TIMEOUT`, a linger time of zero. UDP:
//! loss, duplication, reordering, truncation. Names. What is not: the waiting time after the end of a
//! connection, urgent data, multicast and broadcast, Unix sockets, congestion. Other options of sockets
//! are kept and have no effect.
//!
//! A socket's file descriptor belongs to a socket of the system that is connected to nothing; what is done
//! with it behind the back of this crate has no effect on the network. Descriptors that a program brings
//! with it ([`TcpStream::from_std`](crate::net::TcpStream::from_std)) cannot be used in a simulated run:
//! operations on them fail with `Unsupported`.

mod host;
mod options;
mod world;

pub use host::{Host, Network};
pub use options::NetworkOptions;

pub(super) use world::SimulatedNetwork;

/// What has happened on a network since its run began.
pub use conbrio_reactor::sim::NetworkStatistics;
