//! Connecting, with options.

mod race;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use conbrio_reactor::{Source, op, os};
use socket2::SockRef;

use super::addrs::context;
use super::{TcpStream, ToAddrs, host};
use crate::cancel::OrCancelled;
use crate::io::Error;
use crate::lowlevel::perform;
use crate::task::Cx;

/// How a [`TcpStream`] is connected.
///
/// # Examples
///
/// ```
/// use conbrio::net::ConnectOptions;
/// use conbrio::prelude::*;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let listener = TcpListener::bind(cx, "127.0.0.1:0")?;
///     let stream = ConnectOptions::new()
///         .local_address("127.0.0.2:0".parse().unwrap())
///         .nodelay(false)
///         .connect(cx, listener.local_addr()?)?;
///     assert_eq!(stream.local_addr()?.ip().to_string(), "127.0.0.2");
///     Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `connect` is called"]
pub struct ConnectOptions {
    attempt_delay: Option<Duration>,
    local_address: Option<SocketAddr>,
    nodelay: bool,
}

impl ConnectOptions {
    /// Another address is tried every 250 ms, the system chooses the local address, and `TCP_NODELAY` is on.
    pub fn new() -> ConnectOptions {
        ConnectOptions { attempt_delay: Some(ATTEMPT_DELAY), local_address: None, nodelay: true }
    }

    /// How long an attempt to connect may take before the next address is tried beside it; 250 ms if not
    /// set, as RFC 8305 recommends.
    ///
    /// With `None` an address is tried only when the one before has failed, in the order in which they are
    /// given. A silent host then costs the system's time limit, some minutes.
    pub fn attempt_delay(mut self, delay: impl Into<Option<Duration>>) -> ConnectOptions {
        self.attempt_delay = delay.into();
        self
    }

    /// Binds the stream to this address first; port 0 lets the system choose one.
    ///
    /// Addresses of the other family then cannot be connected to: an attempt fails with `InvalidInput`.
    pub fn local_address(mut self, address: SocketAddr) -> ConnectOptions {
        self.local_address = Some(address);
        self
    }

    /// `TCP_NODELAY`: whether small writes are sent at once. See [`TcpStream::set_nodelay`].
    pub fn nodelay(mut self, nodelay: bool) -> ConnectOptions {
        self.nodelay = nodelay;
        self
    }

    /// As [`TcpStream::connect`], with these options.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel all sockets have been closed.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::connect`].
    ///
    /// # Examples
    ///
    /// A mirror that is down costs 50 ms here:
    ///
    /// ```
    /// use conbrio::net::ConnectOptions;
    /// use conbrio::prelude::*;
    /// use conbrio::testing::network::{Network, NetworkOptions};
    /// use std::net::SocketAddr;
    /// use std::time::Duration;
    ///
    /// let silent = NetworkOptions::new().answer_for_unknown(false);
    /// conbrio::testing::Builder::new().network(silent).run(|cx| {
    ///     let listener = TcpListener::bind(cx, "127.0.0.1:80").unwrap();
    ///     let mirrors: [SocketAddr; 2] =
    ///         ["10.0.0.1:80".parse().unwrap(), listener.local_addr().unwrap()];
    ///     let began = cx.now();
    ///     let stream = ConnectOptions::new()
    ///         .attempt_delay(Duration::from_millis(50))
    ///         .connect(cx, mirrors)
    ///         .unwrap();
    ///     assert_eq!(stream.peer_addr().unwrap(), mirrors[1]);
    ///     assert_eq!((cx.now() - began).as_millis(), 50);
    /// });
    /// ```
    pub fn connect(&self, cx: &mut Cx, address: impl ToAddrs) -> Result<TcpStream, Error> {
        cx.checkpoint()?;
        let mut addrs = address.to_addrs(cx)?;
        if self.attempt_delay.is_some() {
            race::mix_families(&mut addrs);
        }
        let attempt = |cx: &mut Cx, address| self.attempt(cx, address);
        let source = race::first_of(cx, &addrs, self.attempt_delay, attempt)?;
        Ok(TcpStream::from_source(source))
    }

    /// Connects to one address. The socket closes with `source` if that does not succeed.
    fn attempt(&self, cx: &mut Cx, address: SocketAddr) -> Result<Source, Error> {
        let source = cx.anchor().worker().reactor().tcp_socket(host::current(cx), address)?;
        self.prepare(&source, address)
            .map_err(|error| context(format!("prepare to connect to {address}"), error))?;
        match perform(cx, &mut op::Connect::new(&source, address)) {
            Ok(()) => Ok(source),
            Err(OrCancelled::Failed(error)) => {
                Err(context(format!("connect to {address}"), error).into())
            }
            Err(cancelled) => Err(cancelled),
        }
    }

    fn prepare(&self, source: &Source, address: SocketAddr) -> io::Result<()> {
        if let Some(local) = self.local_address {
            if local.is_ipv4() != address.is_ipv4() {
                let message = format!("the local address {local} is of the other family");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            os::bind(source, local).map_err(|error| context(format!("bind to {local}"), error))?;
        }
        SockRef::from(source).set_tcp_nodelay(self.nodelay)
    }
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions::new()
    }
}

/// RFC 8305, section 8: "Connection Attempt Delay", recommended.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
