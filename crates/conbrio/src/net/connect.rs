//! Connecting, with options.

use std::net::SocketAddr;

use conbrio_reactor::{Source, op, os};
use socket2::SockRef;

use super::addrs::{context, try_each};
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
    local_address: Option<SocketAddr>,
    nodelay: bool,
}

impl ConnectOptions {
    /// The system chooses the local address, and `TCP_NODELAY` is on.
    pub fn new() -> ConnectOptions {
        ConnectOptions { local_address: None, nodelay: true }
    }

    /// Binds the stream to this address first; port 0 lets the system choose one.
    pub fn local_address(mut self, address: SocketAddr) -> ConnectOptions {
        self.local_address = Some(address);
        self
    }

    /// `TCP_NODELAY`: whether small writes are sent at once. See [`TcpStream::set_nodelay`].
    pub fn nodelay(mut self, nodelay: bool) -> ConnectOptions {
        self.nodelay = nodelay;
        self
    }

    /// Connects to the first of the addresses that can be reached, trying one after the other.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the socket has been closed.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::connect`].
    pub fn connect(&self, cx: &mut Cx, address: impl ToAddrs) -> Result<TcpStream, Error> {
        cx.checkpoint()?;
        let addrs = address.to_addrs(cx)?;
        let source = try_each(cx, "connect", addrs, |cx, address| self.attempt(cx, address))?;
        Ok(TcpStream::from_source(source))
    }

    /// Connects to one address. The socket closes with `source` if that does not succeed.
    fn attempt(&self, cx: &mut Cx, address: SocketAddr) -> Result<Source, Error> {
        let source = cx.anchor().worker().reactor().tcp_socket(host::current(cx), address)?;
        let socket = SockRef::from(&source);
        if let Some(local) = self.local_address {
            let named = |error| context(format!("bind to {local} before connecting"), error);
            os::bind(&source, local).map_err(named)?;
        }
        socket.set_tcp_nodelay(self.nodelay)?;
        match perform(cx, &mut op::Connect::new(&source, address)) {
            Ok(()) => Ok(source),
            Err(OrCancelled::Failed(error)) => {
                Err(context(format!("connect to {address}"), error).into())
            }
            Err(cancelled) => Err(cancelled),
        }
    }
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions::new()
    }
}
