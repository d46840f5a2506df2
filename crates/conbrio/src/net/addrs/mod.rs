//! What can be given as an address.
//!
//! Owns the decision which addresses need a resolver: only host names do. Everything else is made in place.

mod attempts;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

pub use attempts::AddressErrors;
pub(super) use attempts::{context, none_of_use, try_each};

use super::resolve::look_up;
use crate::io::Error;
use crate::task::Cx;

/// What [`TcpListener::bind`](super::TcpListener::bind), [`TcpStream::connect`](super::TcpStream::connect)
/// and [`resolve`](super::resolve()) take as an address: what [`std::net::ToSocketAddrs`] is implemented for, and a few more.
///
/// Literal addresses cost nothing. A host name is looked up by the [resolver](super::Resolve) that is in force,
/// which is the system's if nobody says otherwise.
///
/// Implement it for what stands for addresses in some other way than by a name.
///
/// # Examples
///
/// ```
/// use conbrio::net::ToAddrs;
/// use conbrio::prelude::*;
/// use std::net::SocketAddr;
///
/// /// A service whose addresses are in a table.
/// struct Service<'a>(&'a [SocketAddr]);
///
/// impl ToAddrs for Service<'_> {
///     fn to_addrs(&self, _: &mut Cx) -> Result<Vec<SocketAddr>, conbrio::io::Error> {
///         Ok(self.0.to_vec())
///     }
/// }
///
/// conbrio::run(|cx| {
///     let table = ["127.0.0.1:0".parse().unwrap()];
///     TcpListener::bind(cx, Service(&table)).unwrap();
/// });
/// ```
pub trait ToAddrs {
    /// The addresses, in the order in which they should be tried.
    ///
    /// # Cancellation
    ///
    /// A checkpoint if it has to ask a resolver. On cancel nothing was asked, or the question was called off;
    /// see [`Resolve`](super::Resolve) for the resolver of the system, which cannot be called off.
    ///
    /// # Errors
    ///
    /// What the resolver says, with the name; `InvalidInput` for what is no address.
    fn to_addrs(&self, cx: &mut Cx) -> Result<Vec<SocketAddr>, Error>;
}

impl ToAddrs for SocketAddr {
    fn to_addrs(&self, _: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        Ok(vec![*self])
    }
}

impl ToAddrs for SocketAddrV4 {
    fn to_addrs(&self, _: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        Ok(vec![(*self).into()])
    }
}

impl ToAddrs for SocketAddrV6 {
    fn to_addrs(&self, _: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        Ok(vec![(*self).into()])
    }
}

impl ToAddrs for (IpAddr, u16) {
    fn to_addrs(&self, _: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        Ok(vec![(*self).into()])
    }
}

impl ToAddrs for (Ipv4Addr, u16) {
    fn to_addrs(&self, _: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        Ok(vec![(*self).into()])
    }
}

impl ToAddrs for (Ipv6Addr, u16) {
    fn to_addrs(&self, _: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        Ok(vec![(*self).into()])
    }
}

impl ToAddrs for [SocketAddr] {
    fn to_addrs(&self, _: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        Ok(self.to_vec())
    }
}

impl<const N: usize> ToAddrs for [SocketAddr; N] {
    fn to_addrs(&self, _: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        Ok(self.to_vec())
    }
}

impl ToAddrs for Vec<SocketAddr> {
    fn to_addrs(&self, _: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        Ok(self.clone())
    }
}

impl ToAddrs for (&str, u16) {
    fn to_addrs(&self, cx: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![(ip, port).into()]),
            Err(_) => look_up(cx, host, port),
        }
    }
}

impl ToAddrs for (String, u16) {
    fn to_addrs(&self, cx: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        (self.0.as_str(), self.1).to_addrs(cx)
    }
}

/// `host:port`, where the host is a name, an IPv4 address, or an IPv6 address in brackets.
impl ToAddrs for str {
    fn to_addrs(&self, cx: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(address) = self.parse() {
            return Ok(vec![address]);
        }
        let parts = self.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) => (host, port).to_addrs(cx),
            None => {
                let message = format!("{self:?} is not an address: write it as `host:port`");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message).into())
            }
        }
    }
}

impl ToAddrs for String {
    fn to_addrs(&self, cx: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        self.as_str().to_addrs(cx)
    }
}

impl<T: ToAddrs + ?Sized> ToAddrs for &T {
    fn to_addrs(&self, cx: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        (**self).to_addrs(cx)
    }
}

/// All addresses of this machine, of both families, at a port: the wildcards `[::]` and `0.0.0.0`.
///
/// For [`listen`](super::listen()), which makes a listener for each.
///
/// # Examples
///
/// ```
/// use conbrio::net::{Wildcard, listen};
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let listeners = listen(cx, Wildcard(0))?;
///     // The same port in both families, where the machine has both.
///     let port = listeners[0].local_addr()?.port();
///     for listener in &listeners {
///         assert_eq!(listener.local_addr()?.port(), port);
///     }
///     Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Wildcard(pub u16);

impl ToAddrs for Wildcard {
    fn to_addrs(&self, _: &mut Cx) -> Result<Vec<SocketAddr>, Error> {
        Ok(vec![(Ipv6Addr::UNSPECIFIED, self.0).into(), (Ipv4Addr::UNSPECIFIED, self.0).into()])
    }
}
