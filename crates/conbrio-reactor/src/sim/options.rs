//! How a simulated network behaves, as plain data.
//!
//! The defaults are an ordinary network in which nothing goes wrong; each field makes one thing go
//! wrong, or slower. The invariant of every chance: a decision of 0 is the ordinary outcome.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How often something happens: from never to always, in steps of a thousandth.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Default)]
pub struct Chance {
    /// `0 <= per_mille <= 1000`.
    per_mille: u16,
}

impl Chance {
    /// It does not happen.
    pub const NEVER: Chance = Chance { per_mille: 0 };

    /// A probability from 0 to 1; what lies outside is moved to the nearer of them.
    #[must_use]
    pub fn of(probability: f64) -> Chance {
        // The cast saturates, and turns what is no number into 0.
        Chance { per_mille: (probability.clamp(0.0, 1.0) * 1000.0).round() as u16 }
    }

    /// The probability in thousandths.
    #[must_use]
    pub fn per_mille(self) -> u16 {
        self.per_mille
    }
}

/// What a listener's host does with a connection for which its backlog has no room.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub enum FullBacklog {
    /// It ignores the request, and the client asks again after 1, 3, 7, ... seconds: what Linux does.
    #[default]
    Drop,
    /// It resets the connection: what Linux does with `net.ipv4.tcp_abort_on_overflow`.
    Refuse,
}

/// What happens to packets for an address that no host has.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub enum UnknownAddress {
    /// Somebody on the way answers that the host is unreachable.
    #[default]
    Unreachable,
    /// Nobody answers.
    Silence,
}

/// How a [`Network`](super::Network) behaves.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Options {
    /// How long a packet travels between two hosts. A larger value is a larger decision.
    pub latency: RangeInclusive<Duration>,
    /// How long a packet travels within one host.
    pub local_latency: Duration,
    /// Bytes per second from one host to another; packets queue up for it. `None` has no limit.
    pub bandwidth: Option<u64>,
    /// Bytes of a connection's direction that were written and not read: beyond, writers wait.
    pub stream_buffer: usize,
    /// Bytes of datagrams that wait at a socket; what comes beyond is lost.
    pub datagram_buffer: usize,
    /// A segment of a connection is lost, and sent again after 200 ms, 600 ms, ...
    pub stream_loss: Chance,
    /// A datagram is lost.
    pub datagram_loss: Chance,
    /// A datagram arrives twice.
    pub datagram_duplication: Chance,
    /// A datagram takes up to ten times the largest latency longer, so that others pass it by.
    pub datagram_reordering: Chance,
    /// A read or a write on a connection moves fewer bytes than it could.
    pub short_transfers: Chance,
    /// An operation that could be done at once waits for a while first.
    pub delays: Chance,
    /// The longest of those delays.
    pub delay_max: Duration,
    /// A wait ends with nothing to be had.
    pub spurious_wakeups: Chance,
    /// How long connecting waits for an answer.
    pub connect_timeout: Duration,
    /// How long a connection waits for its data to be acknowledged, unless `TCP_USER_TIMEOUT` is set.
    pub retransmission_timeout: Duration,
    /// What happens to connections beyond the backlog.
    pub full_backlog: FullBacklog,
    /// What happens to packets for an address that no host has.
    pub unknown_address: UnknownAddress,
    /// How long a name server takes to answer.
    pub lookup_latency: Duration,
    /// Whether the network performs the operations that wait, as a ring of the kernel does, rather
    /// than saying when to try again. They can then be too late to cancel.
    pub performs_operations: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            latency: Duration::from_micros(500)..=Duration::from_micros(500),
            local_latency: Duration::from_micros(10),
            bandwidth: None,
            stream_buffer: 64 * 1024,
            datagram_buffer: 208 * 1024,
            stream_loss: Chance::NEVER,
            datagram_loss: Chance::NEVER,
            datagram_duplication: Chance::NEVER,
            datagram_reordering: Chance::NEVER,
            short_transfers: Chance::NEVER,
            delays: Chance::NEVER,
            delay_max: Duration::from_millis(10),
            spurious_wakeups: Chance::NEVER,
            // tcp(7), `tcp_syn_retries`: "approximately 127 seconds".
            connect_timeout: Duration::from_secs(127),
            // The kernel's ip-sysctl: `tcp_retries2` of 15 is "a hypothetical timeout of 924.6
            // seconds".
            retransmission_timeout: Duration::from_millis(924_600),
            full_backlog: FullBacklog::default(),
            unknown_address: UnknownAddress::default(),
            lookup_latency: Duration::from_millis(1),
            performs_operations: false,
        }
    }
}
