//! The resolution of names: who is asked, and how that is changed.
//!
//! Owns the key under which tasks see the resolver that is in force for them. Where none is bound it is the
//! system's, or the simulated network's in a simulated run.

#[cfg(feature = "hickory")]
mod dns;
mod system;

use std::io;
use std::net::{IpAddr, SocketAddr};

#[cfg(feature = "hickory")]
pub use dns::DnsResolver;
pub use system::SystemResolver;

use super::ToAddrs;
use crate::io::Error;
use crate::task::{Cx, LocalKey};

/// Whoever knows the addresses of hosts.
///
/// The system's resolver is in force if nobody says otherwise; [`with_resolver`] puts another in its place,
/// for a part of the program or for all of it. It is asked for host names only: literal addresses never get
/// here. The calls of different tasks overlap.
///
/// A resolver that asks another one holds that one itself, as in the example below: what it resolves by way
/// of [`resolve`](resolve()) or [`TcpStream::connect`](super::TcpStream::connect) comes back to itself.
///
/// # Examples
///
/// A table of names, and the system for the rest:
///
/// ```
/// use conbrio::net::{Resolve, SystemResolver, resolve, with_resolver};
/// use conbrio::prelude::*;
/// use std::collections::HashMap;
/// use std::net::{IpAddr, SocketAddr};
///
/// struct Table(HashMap<&'static str, IpAddr>);
///
/// impl Resolve for Table {
///     fn resolve(
///         &self,
///         cx: &mut Cx,
///         host: &str,
///         port: u16,
///     ) -> Result<Vec<SocketAddr>, conbrio::io::Error> {
///         match self.0.get(host) {
///             Some(ip) => Ok(vec![(*ip, port).into()]),
///             None => SystemResolver::new().resolve(cx, host, port),
///         }
///     }
/// }
///
/// let table = Table(HashMap::from([("db.internal", IpAddr::from([10, 0, 0, 7]))]));
/// conbrio::run(|cx| {
///     with_resolver(cx, table, |cx| {
///         let addresses = resolve(cx, "db.internal:5432").unwrap();
///         assert_eq!(addresses, ["10.0.0.7:5432".parse().unwrap()]);
///     });
/// });
/// ```
pub trait Resolve: Sync {
    /// The addresses of `host`, each with `port`, in the order in which they should be tried.
    ///
    /// # Cancellation
    ///
    /// Best a checkpoint always; whoever calls it has passed one before. On cancel nothing is left behind.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such host, and whatever else can go wrong; the message names the host.
    fn resolve(&self, cx: &mut Cx, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error>;

    /// The name of the host that has the address `ip`.
    ///
    /// # Cancellation
    ///
    /// As [`resolve`](Resolve::resolve).
    ///
    /// # Errors
    ///
    /// `NotFound` if it has none; `Unsupported` from a resolver that does not implement it.
    fn name_of(&self, cx: &mut Cx, ip: IpAddr) -> Result<String, Error> {
        cx.checkpoint()?;
        let message = format!(
            "find the name of {ip}: the resolver in force only knows addresses (implement \
             `Resolve::name_of` for it)"
        );
        Err(io::Error::new(io::ErrorKind::Unsupported, message).into())
    }
}

impl<T: Resolve + ?Sized> Resolve for &T
where
    T: Sync,
{
    fn resolve(&self, cx: &mut Cx, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        (**self).resolve(cx, host, port)
    }

    fn name_of(&self, cx: &mut Cx, ip: IpAddr) -> Result<String, Error> {
        (**self).name_of(cx, ip)
    }
}

impl<T: Resolve + ?Sized> Resolve for Box<T> {
    fn resolve(&self, cx: &mut Cx, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        (**self).resolve(cx, host, port)
    }

    fn name_of(&self, cx: &mut Cx, ip: IpAddr) -> Result<String, Error> {
        (**self).name_of(cx, ip)
    }
}

/// For a resolver that several parts of a program share.
impl<T: Resolve + Send + ?Sized> Resolve for std::sync::Arc<T> {
    fn resolve(&self, cx: &mut Cx, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        (**self).resolve(cx, host, port)
    }

    fn name_of(&self, cx: &mut Cx, ip: IpAddr) -> Result<String, Error> {
        (**self).name_of(cx, ip)
    }
}

/// The resolver that is in force, if it is not the system's.
static RESOLVER: LocalKey<Box<dyn Resolve>> = LocalKey::new();

/// Runs `f`, in which host names are looked up by `resolver`: in this task, and in the children of nurseries
/// that are opened inside, and in theirs.
///
/// Around the whole program it is the program's resolver; around the code under test it is that test's,
/// whatever other tests do. What was in force before is so again when this returns.
///
/// # Cancellation
///
/// Not a checkpoint by itself.
///
/// # Examples
///
/// See [`Resolve`].
pub fn with_resolver<R>(
    cx: &mut Cx,
    resolver: impl Resolve + 'static,
    f: impl FnOnce(&mut Cx) -> R,
) -> R {
    let resolver: Box<dyn Resolve> = Box::new(resolver);
    cx.with_local(&RESOLVER, &resolver, f)
}

/// The addresses that `host` stands for, in the order in which they should be tried.
///
/// Costs a system call or many, and two wake-ups, if `host` is a name and the system is asked; nothing but
/// an allocation if it is a literal address.
///
/// # Cancellation
///
/// Always a checkpoint, before the resolver is asked. Once the system's has been asked, its answer is waited
/// for: see [`SystemResolver`].
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

/// The name of the host that has the address `ip`, as the resolver in force says.
///
/// The system's asks `/etc/hosts` and the name servers. Whoever owns the address chooses that name: do not
/// take it for a proof of anything.
///
/// # Cancellation
///
/// As [`resolve`](resolve()).
///
/// # Errors
///
/// `NotFound` if it has none; otherwise what the resolver says. Both name the address.
///
/// # Examples
///
/// ```
/// use conbrio::testing::network::Network;
///
/// conbrio::testing::run(|cx| {
///     let network = Network::of(cx);
///     let server = network.host([10, 0, 0, 1]);
///     network.name("db.example", [server.address()]);
///     assert_eq!(conbrio::net::name_of(cx, server.address()).unwrap(), "db.example");
/// });
/// ```
pub fn name_of(cx: &mut Cx, ip: IpAddr) -> Result<String, Error> {
    cx.checkpoint()?;
    match cx.use_local(&RESOLVER, |cx, resolver| resolver.name_of(cx, ip)) {
        Some(answer) => answer,
        None => SystemResolver::new().name_of(cx, ip),
    }
}

/// Asks the resolver that is in force. A checkpoint.
pub(super) fn look_up(cx: &mut Cx, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    cx.checkpoint()?;
    match cx.use_local(&RESOLVER, |cx, resolver| resolver.resolve(cx, host, port)) {
        Some(answer) => answer,
        None => SystemResolver::new().resolve(cx, host, port),
    }
}
