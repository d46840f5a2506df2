//! A listener whose streams are encrypted.

use std::io;
use std::net::SocketAddr;

use super::{Acceptor, TlsStream};
use crate::io::Error;
use crate::net::{TcpListener, TcpStream};
use crate::task::Cx;

/// Accepts TCP connections and makes them TLS streams.
///
/// The handshake is left to whoever gets the stream, so that a client which takes its time holds up nobody
/// else. For [`net::serve`](crate::net::serve), call [`Acceptor::accept`] in the handler.
#[derive(Debug)]
pub struct TlsListener {
    listener: TcpListener,
    acceptor: Acceptor,
}

impl TlsListener {
    /// One that takes its connections from `listener`.
    pub fn new(listener: TcpListener, acceptor: Acceptor) -> TlsListener {
        TlsListener { listener, acceptor }
    }

    /// The next connection, and the address of the peer. The handshake is not done yet: see
    /// [`TlsStream::handshake`].
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no connection was accepted.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::accept`].
    pub fn accept(&mut self, cx: &mut Cx) -> Result<(TlsStream<TcpStream>, SocketAddr), Error> {
        let (transport, address) = self.listener.accept(cx)?;
        let stream = self.acceptor.attach_to(address.to_string().into(), transport);
        Ok((stream, address))
    }

    /// The address that it listens at.
    ///
    /// # Errors
    ///
    /// What getsockname(2) says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The listener below.
    pub fn get_ref(&self) -> &TcpListener {
        &self.listener
    }

    /// The listener below. The connections that it accepts are not encrypted.
    pub fn into_inner(self) -> TcpListener {
        self.listener
    }
}
