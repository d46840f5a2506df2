//! The resolver of the system, and in simulated runs that of the simulated network.
//!
//! Both block or wait, so the answer always costs a wait of the task.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use conbrio_reactor::names;
use conbrio_reactor::sim::Network;

use super::Resolve;
use crate::cancel::Cancelled;
use crate::io::Error;
use crate::net::addrs::context;
use crate::task::Cx;

/// What the system knows of names: `getaddrinfo` and `getnameinfo`, on a thread that may block. In a
/// simulated run it is what the [simulated network](crate::testing::network) knows.
///
/// It is in force where no other is: see [`Resolve`]. It is here to be asked by others.
///
/// # Cancellation
///
/// The functions of the system cannot be interrupted, and take their time limits from `/etc/resolv.conf`:
/// seconds for each name server that is silent. So a cancellation is seen before the question, and once it
/// has been put the answer is waited for. Where that is too long, let it
/// [abandon](SystemResolver::abandon_on_cancel) its thread.
///
/// # Examples
///
/// ```
/// use conbrio::net::{Resolve, SystemResolver};
///
/// conbrio::run(|cx| {
///     let addresses = SystemResolver::new().resolve(cx, "localhost", 80).unwrap();
///     assert!(addresses.iter().all(|address| address.ip().is_loopback()));
/// });
/// ```
#[derive(Clone, Debug, Default)]
pub struct SystemResolver {
    abandons: bool,
}

impl SystemResolver {
    /// One that waits for its thread.
    #[must_use]
    pub fn new() -> SystemResolver {
        SystemResolver::default()
    }

    /// Whether a cancellation leaves the thread behind that waits for the name servers, as
    /// [`Cx::blocking_or_abandon`] does. It ends by itself when the system gives up.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::net::{SystemResolver, with_resolver};
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// conbrio::run(|cx| {
    ///     with_resolver(cx, SystemResolver::new().abandon_on_cancel(true), |cx| {
    ///         // Takes two seconds at most, also if the name servers do not answer.
    ///         let found = cx.move_on_after(Duration::from_secs(2), |cx| {
    ///             conbrio::net::resolve(cx, "localhost:80")
    ///         });
    ///         assert!(found.is_ok());
    ///     });
    /// });
    /// ```
    #[must_use]
    pub fn abandon_on_cancel(mut self, abandon: bool) -> SystemResolver {
        self.abandons = abandon;
        self
    }

    fn block<R: Send + 'static>(
        &self,
        cx: &mut Cx,
        f: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Cancelled> {
        if self.abandons { cx.blocking_or_abandon(|_| f()) } else { cx.blocking(f) }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, cx: &mut Cx, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let answer = match ask_network(cx, |network| network.resolve(host))? {
            Some(Some(ips)) => Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()),
            Some(None) => Err(unknown("no such name")),
            None => {
                let question = (host.to_owned(), port);
                self.block(cx, move || question.to_socket_addrs().map(Vec::from_iter))?
            }
        };
        Ok(answer.map_err(|error| context(format!("resolve {host:?}"), error))?)
    }

    fn name_of(&self, cx: &mut Cx, ip: IpAddr) -> Result<String, Error> {
        let answer = match ask_network(cx, |network| network.name_of(ip))? {
            Some(name) => name.ok_or_else(|| unknown("no name for it")),
            None => self.block(cx, move || names::name_of(ip))?,
        };
        Ok(answer.map_err(|error| context(format!("find the name of {ip}"), error))?)
    }
}

/// Asks the simulated network, if the run has one. The answer takes its time, as it does elsewhere.
fn ask_network<R>(cx: &mut Cx, ask: impl FnOnce(&Network) -> R) -> Result<Option<R>, Cancelled> {
    let Some(network) = cx.anchor().worker().reactor().network() else {
        return Ok(None);
    };
    cx.checkpoint()?;
    let timeline = cx.anchor().worker().shared().timeline();
    cx.sleep_until_ticks(timeline.after(network.options().lookup_latency))?;
    Ok(Some(ask(network)))
}

fn unknown(what: &str) -> io::Error {
    let message = format!("the simulated network has {what} (enter it with `Network::name`)");
    io::Error::new(io::ErrorKind::NotFound, message)
}
