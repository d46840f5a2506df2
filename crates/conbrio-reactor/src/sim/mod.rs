//! A simulated network, and reactors that perform operations on it instead of asking the kernel.
//!
//! A [`Network`] holds all virtual sockets of one simulation, and the packets between them. Any number
//! of reactors share it ([`Reactor::simulated`](crate::Reactor::simulated)), and sources made by such a
//! reactor have a *virtual half*: operations on them are described as data ([`Request`](crate::Request))
//! and performed on that half. Their fd is a *carrier*, a real socket of the same kind that is never
//! bound or connected; it is there for options and to have a number.
//!
//! ```text
//! Reactor A ─┐                 hosts ─ ports ─ sockets ─ connections ─ pipes
//!            ├─ Network ─ state { events in order of virtual time          }
//! Reactor B ─┘                 mailboxes: ended waits, one for each reactor
//! ```
//!
//! Time is given from outside. Whoever drives a simulation lets its tasks run until none can, polls
//! each reactor, and when that yields nothing either, moves its clock to
//! [`next_event`](Network::next_event) or to its own next deadline, and calls
//! [`advance`](Network::advance). Nothing here sleeps.
//!
//! What is left open (latencies, losses, delays) is decided by whoever is given at the start.
//! The same decisions give the same run, so that a run can be repeated, and a decision of 0 is always
//! the ordinary outcome, so that a failing run can be made simpler by setting decisions to 0.
//!
//! # What is simulated
//!
//! TCP as its users see it: connecting, refusing, backlogs, bounded buffers, half-closed connections,
//! resets, data that is retransmitted when a partition has healed, keepalive, `TCP_USER_TIMEOUT`,
//! `SO_LINGER` of zero. UDP: loss, duplication, reordering, truncation, refusals. Hosts that crash
//! and restart, partitions in one or both directions, limits of open sockets, names.
//!
//! Not simulated: TIME_WAIT, urgent data, congestion control, multicast, broadcast, Unix sockets, raw
//! sockets, IP options; options besides those named here are kept and have no effect.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod datagram;
mod driver;
mod half;
mod link;
mod options;
mod perform;
mod state;
mod stream;
mod waits;

pub use options::{Chance, FullBacklog, Options, UnknownAddress};

pub(crate) use driver::Simulated;
pub(crate) use half::{Half, bind, tcp_listener, tcp_socket, udp_socket};

use state::State;

/// Decides what is left open. Its methods are called under the network's lock: they must not call the
/// network.
///
/// A closure that gets what is to be decided and a bound, and answers a number below the bound, decides
/// whether something happens by a number below 1000.
pub trait Decide: Send + Sync {
    /// A number below `bound`, which is at least 2.
    fn below(&self, what: &'static str, bound: usize) -> usize;

    /// Whether something happens that happens `per_mille` times in a thousand; 0 < `per_mille` < 1000.
    fn happens(&self, what: &'static str, per_mille: u16) -> bool {
        self.below(what, 1000) >= 1000 - usize::from(per_mille)
    }
}

impl<F: Fn(&'static str, usize) -> usize + Send + Sync> Decide for F {
    fn below(&self, what: &'static str, bound: usize) -> usize {
        self(what, bound)
    }
}

/// A host of one network. The default is the host of whoever names none.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Default)]
pub struct HostId(u32);

impl HostId {
    fn new(index: usize) -> HostId {
        HostId(u32::try_from(index).expect("a network has fewer than 2^32 hosts"))
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// What has happened on a network since it was made.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct NetworkStatistics {
    /// Operations that were performed, or attempted.
    pub operations: u64,
    /// Packets that were sent.
    pub packets: u64,
    /// Packets that got lost, the retransmitted ones among them.
    pub lost: u64,
    /// Events that happened: arrivals, timeouts, delays that ended.
    pub events: u64,
    /// Virtual sockets that are open now.
    pub sockets: u64,
    /// Connections that at least one side knows of now.
    pub connections: u64,
}

/// All virtual sockets of one simulation. A clone is the same network.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use conbrio_reactor::sim::{HostId, Network, Options};
/// use conbrio_reactor::{Attempt, Reactor, Timeout, Token, op, os};
///
/// // Every decision is the ordinary one.
/// let network = Network::new(Options::default(), Arc::new(|_: &'static str, _| 0));
/// let reactor = Reactor::simulated(&network)?;
/// let host = HostId::default();
/// let address = "127.0.0.1:80".parse().unwrap();
/// let listener = reactor.tcp_listener(host, address, os::ListenOptions::default())?;
/// let client = reactor.tcp_socket(host, address)?;
///
/// let mut connect = op::Connect::new(&client, address);
/// assert!(matches!(reactor.attempt(&mut connect), Attempt::Wait));
/// // SAFETY: `connect` is neither moved nor dropped before the wait has ended below.
/// unsafe { reactor.submit(&mut connect, Token(1))? };
/// let mut completions = Vec::new();
/// while completions.is_empty() {
///     let next = network.next_event().expect("the answer is on its way");
///     network.advance(next);
///     reactor.poll(Timeout::Now, &mut completions)?;
/// }
/// assert!(matches!(reactor.attempt(&mut connect), Attempt::Done(Ok(()))));
/// let accepted = reactor.attempt(&mut op::Accept::new(&listener));
/// assert!(matches!(accepted, Attempt::Done(Ok(_))));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Network {
    state: Arc<Mutex<State>>,
}

impl Network {
    /// A network with one host, [`HostId::default`], on which nothing has happened.
    #[must_use]
    pub fn new(options: Options, decide: Arc<dyn Decide>) -> Network {
        Network { state: Arc::new(Mutex::new(State::new(options, decide))) }
    }

    /// Nothing of the state is left half-changed by a panic of whoever decides that a later
    /// call would trip over: at worst a packet is missing.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The virtual time since the network was made.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.state().now
    }

    /// When something happens next, if nobody does anything before. It may lie in the past.
    #[must_use]
    pub fn next_event(&self) -> Option<Duration> {
        self.state().next_event()
    }

    /// Lets everything happen that is due at `now`. Waits that end by it come out of the `poll` of
    /// their reactors. Time never goes back: an earlier `now` changes nothing.
    pub fn advance(&self, now: Duration) {
        self.state().advance(now);
    }

    /// Whether a wait has ended that its reactor has not been told about by a `poll`.
    #[must_use]
    pub fn has_completions(&self) -> bool {
        self.state().mailboxes.iter().any(|mailbox| !mailbox.is_empty())
    }

    /// How the network behaves now.
    #[must_use]
    pub fn options(&self) -> Options {
        self.state().options.clone()
    }

    /// Changes how the network behaves from now on. What is on its way is not touched.
    pub fn set_options(&self, options: Options) {
        self.state().options = options;
    }

    /// The host with this address, which is made if there is none.
    ///
    /// # Panics
    ///
    /// If the address is a wildcard, a group, or a loopback address, which every host has.
    #[track_caller]
    pub fn host(&self, address: IpAddr) -> HostId {
        assert!(
            perform::is_of_a_host(address),
            "{address} is no address of a host: take one such as 10.0.0.1"
        );
        self.state().add_host(address)
    }

    /// Gives a host one more address, of the other family for instance.
    ///
    /// # Panics
    ///
    /// As [`host`](Network::host), and if another host has the address.
    #[track_caller]
    pub fn add_address(&self, host: HostId, address: IpAddr) {
        assert!(
            perform::is_of_a_host(address),
            "{address} is no address of a host: take one such as fd00::1"
        );
        let mut state = self.state();
        let owner = *state.by_address.entry(address).or_insert(host);
        assert!(owner == host, "another host has the address {address} already");
        let addresses = &mut state.hosts[host.index()].addresses;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    /// The addresses of a host, the first one first.
    #[must_use]
    pub fn addresses(&self, host: HostId) -> Vec<IpAddr> {
        self.state().hosts[host.index()].addresses.clone()
    }

    /// Enters what a name stands for; an empty list takes it out.
    pub fn set_name(&self, name: &str, addresses: Vec<IpAddr>) {
        let mut state = self.state();
        if addresses.is_empty() {
            state.names.remove(name);
        } else {
            state.names.insert(name.to_owned(), addresses);
        }
    }

    /// What a name stands for. `localhost` is known from the start.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.state().names.get(name).cloned()
    }

    /// A name that stands for an address, the first of them in alphabetical order.
    #[must_use]
    pub fn name_of(&self, address: IpAddr) -> Option<String> {
        let state = self.state();
        let mut names = state.names.iter();
        names.find(|(_, addresses)| addresses.contains(&address)).map(|(name, _)| name.clone())
    }

    /// Lets no packet through from one host to another until [`unblock`](Network::unblock). Datagrams
    /// that arrive meanwhile are lost; what belongs to connections is sent again when the way is open.
    pub fn block(&self, from: HostId, to: HostId) {
        let mut state = self.state();
        if state.blocked.insert((from, to)) {
            state.paths_changed();
        }
    }

    /// Lets packets through again.
    pub fn unblock(&self, from: HostId, to: HostId) {
        let mut state = self.state();
        if state.blocked.remove(&(from, to)) {
            state.paths_changed();
        }
    }

    /// A host stops without a word: its sockets fail with `ENETDOWN`, and nobody else hears of it.
    pub fn crash(&self, host: HostId) {
        self.state().crash(host);
    }

    /// A host comes up again. It knows of no earlier connection, and resets those that it hears of.
    pub fn restart(&self, host: HostId) {
        self.state().restart(host);
    }

    /// Whether a host is up.
    #[must_use]
    pub fn is_up(&self, host: HostId) -> bool {
        self.state().hosts[host.index()].is_up
    }

    /// Resets all connections between two hosts, as a device on the way may do.
    pub fn reset_connections(&self, one: HostId, other: HostId) {
        self.state().reset(one, other);
    }

    /// How many sockets a host may have open; `None` has no limit but that of this process.
    pub fn set_fd_limit(&self, host: HostId, limit: Option<usize>) {
        self.state().hosts[host.index()].fd_limit = limit;
    }

    /// How many sockets a host has open.
    #[must_use]
    pub fn open_sockets(&self, host: HostId) -> usize {
        self.state().hosts[host.index()].open
    }

    /// A snapshot of the counters.
    #[must_use]
    pub fn statistics(&self) -> NetworkStatistics {
        let state = self.state();
        NetworkStatistics {
            sockets: state.sockets.len() as u64,
            connections: state.connections.len() as u64,
            ..state.statistics
        }
    }

    fn is(&self, other: &Network) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Network")
            .field("now", &state.now)
            .field("hosts", &state.hosts.len())
            .field("sockets", &state.sockets.len())
            .field("connections", &state.connections.len())
            .finish_non_exhaustive()
    }
}
