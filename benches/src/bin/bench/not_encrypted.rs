//! In place of the client with TLS where the feature `tls` is off.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::generator::Visit;

/// There is none.
pub(crate) enum Identity {}

impl Identity {
    pub(crate) fn new() -> io::Result<Identity> {
        Err(io::Error::other("built without the feature `tls`, which `cargo xtask bench` turns on"))
    }

    pub(crate) fn variables(&self) -> [(&'static str, &str); 2] {
        match *self {}
    }
}

/// There is none.
pub(crate) enum Encrypted {}

impl Encrypted {
    pub(crate) fn kept(
        _: SocketAddr,
        identity: &Identity,
        _: usize,
        _: usize,
    ) -> io::Result<Encrypted> {
        match *identity {}
    }

    pub(crate) fn storm(_: SocketAddr, identity: &Identity, _: usize) -> io::Result<Encrypted> {
        match *identity {}
    }

    pub(crate) fn visit(&mut self, _: Duration) -> io::Result<Visit> {
        match *self {}
    }
}
