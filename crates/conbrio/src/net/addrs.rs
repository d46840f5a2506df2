//! Addresses, and the resolution of names.
//!
//! Owns the decision which addresses need the system's resolver: only host names do, and the resolver
//! blocks, so that it runs on a thread of its own. Everything else is made in place.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};

use conbrio_reactor::sim::Network;

use crate::io::Error;
use crate::task::Cx;

/// What [`TcpListener::bind`](super::TcpListener::bind), [`TcpStream::connect`](super::TcpStream::connect)
/// and [`resolve`] take as an address: what [`std::net::ToSocketAddrs`] is implemented for, and a few more.
///
/// Literal addresses cost nothing. A host name is resolved by the system (`getaddrinfo`), which blocks,
/// through [`Cx::blocking`].
///
/// Implement it to bring a resolver of your own.
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
    /// A checkpoint if it has to ask the system. On cancel nothing was asked; once the question has been
    /// put, it is waited for.
    ///
    /// # Errors
    ///
    /// What the resolver says, with the name; `InvalidInput` for what is no address.
    fn to_addrs(&self, cx: &mut Cx) -> Result<Vec<SocketAddr>, Error>;
}

/// The addresses that `host` stands for, in the order in which they should be tried.
///
/// Costs a system call or many, and two wake-ups, if `host` is a name; nothing but an allocation if not.
///
/// # Cancellation
///
/// Always a checkpoint, before the resolver is asked. Once it has been asked, its answer is waited for:
/// `getaddrinfo` cannot be interrupted, and takes its own time limits from `/etc/resolv.conf`.
///
/// # Errors
///
/// What the resolver says, with the name; `InvalidInput` for what is no address.
///
/// # Examples
///
/// ```
/// conbrio::run(|cx| {
///     for address in conbrio::net::resolve(cx, "localhost:80").unwrap() {
///         assert!(address.ip().is_loopback());
///     }
/// });
/// ```
pub fn resolve(cx: &mut Cx, host: impl ToAddrs) -> Result<Vec<SocketAddr>, Error> {
    cx.checkpoint()?;
    host.to_addrs(cx)
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
            Err(_) => ask_system(cx, host, port),
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

/// Asks the system's resolver, on a thread that may block, or the simulated network.
fn ask_system(cx: &mut Cx, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    if let Some(network) = cx.anchor().worker().reactor().network() {
        return ask_network(cx, network, host, port);
    }
    let answer = cx.blocking(|| (host, port).to_socket_addrs().map(Vec::from_iter))?;
    Ok(answer.map_err(|error| context(format!("resolve {host:?}"), error))?)
}

/// Asks for what the simulated network has for a name. The answer takes its time, as it does elsewhere.
fn ask_network(
    cx: &mut Cx,
    network: &Network,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Error> {
    cx.checkpoint()?;
    let timeline = cx.anchor().worker().shared().timeline();
    cx.sleep_until_ticks(timeline.after(network.options().lookup_latency))?;
    let Some(ips) = network.resolve(host) else {
        let message = "the simulated network has no such name (enter it with `Network::name`)";
        let error = io::Error::new(io::ErrorKind::NotFound, message);
        return Err(context(format!("resolve {host:?}"), error).into());
    };
    Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

/// Tries each address until `attempt` succeeds with one; its errors name the address.
///
/// After failures with all of them the error names each, and has the kind and the source of the last. A
/// cancellation ends it at once.
pub(super) fn try_each<T>(
    cx: &mut Cx,
    what: &str,
    addrs: Vec<SocketAddr>,
    mut attempt: impl FnMut(&mut Cx, SocketAddr) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut failures = Vec::new();
    for address in addrs {
        match attempt(cx, address).map_err(Error::into_failed) {
            Ok(done) => return Ok(done),
            Err(Err(cancelled)) => return Err(cancelled.into()),
            Err(Ok(error)) => failures.push(error),
        }
    }
    let Some(last) = failures.pop() else {
        let message = format!("{what}: the name has no addresses");
        return Err(io::Error::new(io::ErrorKind::NotFound, message).into());
    };
    if failures.is_empty() {
        return Err(last.into());
    }
    let before = failures.iter().map(|error| format!("{error}; ")).collect::<String>();
    Err(io::Error::new(last.kind(), AllFailed { before, last }).into())
}

/// Says what was being done to an error. The kind stays, and the error is the source.
pub(super) fn context(what: String, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), Context { what, source })
}

#[derive(Debug)]
struct Context {
    what: String,
    source: io::Error,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.source)
    }
}

impl std::error::Error for Context {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// What was wrong with each of several addresses.
#[derive(Debug)]
struct AllFailed {
    /// The messages of those before the last.
    before: String,
    last: io::Error,
}

impl fmt::Display for AllFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.before, self.last)
    }
}

impl std::error::Error for AllFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.last)
    }
}
