//! A resolver that asks name servers itself, so that a question can be called off (feature `hickory`).
//!
//! Owns the order in which a name is looked for: the hosts file, the names that never leave the machine, the
//! search list. What a message is like is in `message.rs`, the talk with servers in `exchange.rs`, the
//! files in `config.rs`.
//!
//! The messages are those of `hickory-proto`. The resolver above it, `hickory-resolver`, needs a runtime to
//! which it hands futures that go on in the background (`RuntimeProvider`, `Spawn::spawn_bg`), and here
//! nothing goes on in the background: a connection that it keeps would have nobody who waits for it. So the
//! talk is ours, over the sockets of this crate, in the task that asks.

mod config;
mod exchange;
mod message;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};

use super::Resolve;
use crate::cancel::{Cancelled, OrCancelled};
use crate::io::Error;
use crate::net::addrs::context;
use crate::nursery::NurseryError;
use crate::task::Cx;

use config::Hosts;
use message::Answer;

/// A resolver that asks name servers over sockets of this crate.
///
/// As the system's it looks into `/etc/hosts` first, follows the search list of `/etc/resolv.conf`, asks one
/// server after the other, and falls back to TCP for long answers. Other than the system's it needs no
/// thread, and a question that is cancelled is called off at once. It knows nothing of `nsswitch.conf`,
/// multicast names (`.local`), and other sources that a system may have; it keeps no answers, and does not
/// check signatures (DNSSEC).
///
/// IPv6 addresses come first. Needs the feature `hickory`.
///
/// # Examples
///
/// ```
/// use conbrio::net::{DnsResolver, resolve, with_resolver};
/// use conbrio::prelude::*;
/// use std::time::Duration;
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let resolver = DnsResolver::from_system(cx)?.timeout(Duration::from_secs(2)).attempts(1);
///     with_resolver(cx, resolver, |cx| {
///         // `localhost` is asked of nobody.
///         assert!(resolve(cx, "localhost:80")?[0].ip().is_loopback());
///         Ok(())
///     })
/// })
/// .unwrap();
/// ```
#[derive(Debug)]
pub struct DnsResolver {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with fewer dots is tried with the search list first.
    ndots: u32,
    timeout: Duration,
    /// At least 1.
    attempts: u32,
    only_tcp: bool,
    only_v4: bool,
    rotates: bool,
    /// Which server is asked first, if that rotates.
    turn: AtomicUsize,
    hosts: Hosts,
}

impl DnsResolver {
    /// Asks these servers, in this order: each for 5 seconds, twice. Without a search list, and without a
    /// hosts file.
    ///
    /// # Panics
    ///
    /// If there are none.
    #[track_caller]
    #[must_use]
    pub fn new(servers: impl IntoIterator<Item = SocketAddr>) -> DnsResolver {
        let servers: Vec<SocketAddr> = servers.into_iter().collect();
        assert!(
            !servers.is_empty(),
            "a resolver without name servers: give it at least one address"
        );
        DnsResolver {
            servers,
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            only_tcp: false,
            only_v4: false,
            rotates: false,
            turn: AtomicUsize::new(0),
            hosts: Hosts::default(),
        }
    }

    /// As `/etc/resolv.conf` and `/etc/hosts` say. They are read once; without them, the server at
    /// 127.0.0.1 is asked.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was read.
    ///
    /// # Errors
    ///
    /// What reading the files says, with the path.
    pub fn from_system(cx: &mut Cx) -> Result<DnsResolver, Error> {
        let files = cx.blocking(|| -> io::Result<_> {
            Ok((config::read(RESOLV_CONF)?, config::read(HOSTS)?))
        })?;
        let (resolv_conf, hosts) = files?;
        Ok(DnsResolver::from_resolv_conf(&resolv_conf).hosts(&hosts))
    }

    /// As a text says that is written like `/etc/resolv.conf`. Lines that make no sense are left out, as the
    /// system does.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::net::DnsResolver;
    ///
    /// let resolver = DnsResolver::from_resolv_conf("nameserver 10.0.0.53\noptions timeout:1\n");
    /// assert!(format!("{resolver:?}").contains("10.0.0.53"));
    /// ```
    #[must_use]
    pub fn from_resolv_conf(text: &str) -> DnsResolver {
        config::resolver(text)
    }

    /// Enters names of a text that is written like `/etc/hosts`, in addition to those that it has.
    #[must_use]
    pub fn hosts(mut self, text: &str) -> DnsResolver {
        self.hosts.add(text);
        self
    }

    /// Domains that are appended to a name with fewer dots than [`ndots`](DnsResolver::ndots), in this order,
    /// until there is such a host.
    #[must_use]
    pub fn search<S: Into<String>>(mut self, domains: impl IntoIterator<Item = S>) -> DnsResolver {
        self.search = domains.into_iter().map(Into::into).collect();
        self
    }

    /// How many dots a name has at least that is first looked for as it is, before the search list; 1 if not
    /// set.
    #[must_use]
    pub fn ndots(mut self, dots: u32) -> DnsResolver {
        self.ndots = dots;
        self
    }

    /// How long a server may take to answer until the next one is asked; 5 seconds if not set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> DnsResolver {
        self.timeout = timeout;
        self
    }

    /// How often all servers are asked; twice if not set.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> DnsResolver {
        assert!(attempts > 0, "a question that is put 0 times has no answer: put it at least once");
        self.attempts = attempts;
        self
    }

    /// Whether servers are asked over TCP only.
    #[must_use]
    pub fn only_tcp(mut self, only: bool) -> DnsResolver {
        self.only_tcp = only;
        self
    }

    /// Asks for the addresses of both families at once.
    fn addresses_of(&self, cx: &mut Cx, name: &Name) -> Result<Found, Error> {
        if self.only_v4 {
            return Ok(Found::of(self.ask(cx, name, RecordType::A)?));
        }
        // What the servers say is judged below, for both together: here only a cancellation is a failure.
        let both = cx.nursery(|cx, n| -> Result<_, Cancelled> {
            let mut v4 = n
                .task("ask for IPv4")
                .spawn_local(cx, |cx| self.ask(cx, name, RecordType::A).or_failed());
            let v6 = self.ask(cx, name, RecordType::AAAA).or_failed()?;
            Ok((v6, v4.join(cx)?))
        });
        let both = both.map_err(|error| match error {
            NurseryError::Cancelled(cancelled) => cancelled,
            other => unreachable!("nobody in it fails, and nobody cancels it: {other}"),
        });
        match both? {
            (Ok(v6), Ok(v4)) => Ok(Found::of(v6).and(Found::of(v4))),
            // One family is better than none, as for the system.
            (Ok(one), Err(error)) | (Err(error), Ok(one)) => match Found::of(one) {
                Found::Addresses(addresses) => Ok(Found::Addresses(addresses)),
                _ => Err(error.into()),
            },
            (Err(error), Err(_)) => Err(error.into()),
        }
    }

    /// The names that `host` may mean, in the order in which they are looked for: resolv.conf(5), "ndots".
    fn candidates(&self, host: &str) -> io::Result<Vec<Name>> {
        if host.ends_with('.') {
            return Ok(vec![message::name(host)?]);
        }
        let as_it_is = message::name(host)?;
        let dots = host.matches('.').count();
        let mut names: Vec<Name> = Vec::new();
        for domain in &self.search {
            // One that becomes too long cannot be meant.
            names.extend(message::name(&format!("{host}.{domain}")).ok());
        }
        let at = if dots >= self.ndots as usize { 0 } else { names.len() };
        names.insert(at, as_it_is);
        Ok(names)
    }

    fn look_for(&self, cx: &mut Cx, host: &str) -> Result<Vec<IpAddr>, Error> {
        cx.checkpoint()?;
        if let Ok(ip) = host.parse() {
            return Ok(vec![ip]);
        }
        let known = self.hosts.addresses_of(host);
        if !known.is_empty() {
            return Ok(known);
        }
        // RFC 6761, section 6.3: resolvers should answer for `localhost` themselves.
        if is_localhost(host) {
            return Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
        }
        let (mut exists, mut failure) = (false, None);
        for name in self.candidates(host)? {
            match self.addresses_of(cx, &name) {
                Ok(Found::Addresses(addresses)) => return Ok(addresses),
                Ok(Found::OtherThings) => exists = true,
                Ok(Found::Nothing) => {}
                Err(OrCancelled::Failed(error)) => {
                    failure.get_or_insert(error);
                }
                Err(cancelled) => return Err(cancelled),
            }
        }
        let what = if exists { "the host has no address" } else { "there is no such host" };
        let error = failure.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, what));
        Err(error.into())
    }

    fn look_back(&self, cx: &mut Cx, ip: IpAddr) -> Result<String, Error> {
        cx.checkpoint()?;
        if let Some(name) = self.hosts.name_of(ip) {
            return Ok(name.to_owned());
        }
        let mut question = Name::from(ip);
        question.set_fqdn(true);
        match self.ask(cx, &question, RecordType::PTR)? {
            Answer::Names(names) => Ok(message::text(&names[0])),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "it has no name").into()),
        }
    }
}

impl Resolve for DnsResolver {
    fn resolve(&self, cx: &mut Cx, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        match self.look_for(cx, host) {
            Ok(ips) => Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()),
            Err(OrCancelled::Failed(error)) => {
                Err(context(format!("resolve {host:?}"), error).into())
            }
            Err(cancelled) => Err(cancelled),
        }
    }

    fn name_of(&self, cx: &mut Cx, ip: IpAddr) -> Result<String, Error> {
        match self.look_back(cx, ip) {
            Err(OrCancelled::Failed(error)) => {
                Err(context(format!("find the name of {ip}"), error).into())
            }
            answer => answer,
        }
    }
}

/// Parts a failure from a cancellation.
trait OrFailed<T> {
    fn or_failed(self) -> Result<io::Result<T>, Cancelled>;
}

impl<T> OrFailed<T> for Result<T, Error> {
    fn or_failed(self) -> Result<io::Result<T>, Cancelled> {
        match self {
            Ok(value) => Ok(Ok(value)),
            Err(OrCancelled::Failed(error)) => Ok(Err(error)),
            Err(OrCancelled::Cancelled(cancelled)) => Err(cancelled),
        }
    }
}

/// What there is under a name.
enum Found {
    /// Never empty.
    Addresses(Vec<IpAddr>),
    /// The name exists, but stands for no address of this family.
    OtherThings,
    Nothing,
}

impl Found {
    fn of(answer: Answer) -> Found {
        match answer {
            Answer::Addresses(addresses) => Found::Addresses(addresses),
            Answer::Names(_) | Answer::OtherThings => Found::OtherThings,
            Answer::NoSuchName => Found::Nothing,
        }
    }

    fn and(self, other: Found) -> Found {
        match (self, other) {
            (Found::Addresses(mut first), Found::Addresses(second)) => {
                first.extend(second);
                Found::Addresses(first)
            }
            (found @ Found::Addresses(_), _) | (_, found @ Found::Addresses(_)) => found,
            (Found::Nothing, Found::Nothing) => Found::Nothing,
            _ => Found::OtherThings,
        }
    }
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost")
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
