//! How a simulated network behaves.

use std::ops::RangeInclusive;
use std::time::Duration;

use conbrio_reactor::sim::{Chance, FullBacklog, Options, UnknownAddress};

/// How the network of a simulated run behaves: what [`Builder::network`](crate::testing::Builder::network)
/// takes.
///
/// Probabilities are from 0 to 1, in steps of a thousandth.
///
/// # Examples
///
/// ```
/// use conbrio::net::UdpSocket;
/// use conbrio::testing::network::{Network, NetworkOptions};
/// use std::time::Duration;
///
/// let options = NetworkOptions::new()
///     .latency(Duration::from_millis(1)..=Duration::from_millis(80))
///     .datagram_loss(0.5);
/// let arrived = conbrio::testing::Builder::new().network(options).run(|cx| {
///     let network = Network::of(cx);
///     let (here, there) = (network.host([10, 0, 0, 1]), network.host([10, 0, 0, 2]));
///     let mut receiver = there.enter(cx, |cx| UdpSocket::bind(cx, "0.0.0.0:9")).unwrap();
///     let mut sender = here.enter(cx, |cx| UdpSocket::bind(cx, "0.0.0.0:0")).unwrap();
///     for _ in 0..100 {
///         sender.send_to(cx, b"ping", "10.0.0.2:9").unwrap();
///     }
///     let mut arrived = 0;
///     while let Ok(Some(_)) =
///         cx.move_on_after(Duration::from_secs(1), |cx| receiver.recv(cx, &mut [0; 4]))
///     {
///         arrived += 1;
///     }
///     arrived
/// });
/// assert!((20..80).contains(&arrived));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until they are given to a `Builder` or to `Network::set_options`"]
pub struct NetworkOptions {
    pub(super) options: Options,
}

impl NetworkOptions {
    /// A network in which nothing goes wrong: half a millisecond from host to host, ten microseconds
    /// within one, as many bytes per second as anybody wants.
    pub fn new() -> NetworkOptions {
        NetworkOptions::default()
    }

    /// A network in which everything goes wrong now and then that is drawn by chance: one packet in
    /// twenty is lost, transfers are short, operations are delayed.
    pub fn rough() -> NetworkOptions {
        NetworkOptions::new()
            .latency(Duration::from_micros(200)..=Duration::from_millis(20))
            .stream_loss(0.02)
            .datagram_loss(0.05)
            .datagram_duplication(0.02)
            .datagram_reordering(0.05)
            .short_transfers(0.2)
            .delays(0.05, Duration::from_millis(20))
            .spurious_wakeups(0.05)
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> NetworkOptions {
        change(&mut self.options);
        self
    }

    /// How long a packet travels from one host to another, drawn for each. Packets of a connection never
    /// pass one another; datagrams do.
    pub fn latency(self, range: RangeInclusive<Duration>) -> NetworkOptions {
        self.with(|options| options.latency = range)
    }

    /// How long a packet travels within a host.
    pub fn local_latency(self, latency: Duration) -> NetworkOptions {
        self.with(|options| options.local_latency = latency)
    }

    /// How many bytes per second go from one host to another.
    pub fn bandwidth(self, bytes_per_second: u64) -> NetworkOptions {
        self.with(|options| options.bandwidth = Some(bytes_per_second))
    }

    /// How many bytes a connection holds in each direction until writers wait; 64 KiB if not set.
    pub fn stream_buffer(self, bytes: usize) -> NetworkOptions {
        self.with(|options| options.stream_buffer = bytes)
    }

    /// How many bytes of datagrams a socket holds until it loses them; 208 KiB if not set.
    pub fn datagram_buffer(self, bytes: usize) -> NetworkOptions {
        self.with(|options| options.datagram_buffer = bytes)
    }

    /// How likely a packet of a connection is lost. It is sent again, so that it is late, and what comes
    /// behind it, too.
    pub fn stream_loss(self, probability: f64) -> NetworkOptions {
        self.with(|options| options.stream_loss = Chance::of(probability))
    }

    /// How likely a datagram is lost.
    pub fn datagram_loss(self, probability: f64) -> NetworkOptions {
        self.with(|options| options.datagram_loss = Chance::of(probability))
    }

    /// How likely a datagram arrives twice.
    pub fn datagram_duplication(self, probability: f64) -> NetworkOptions {
        self.with(|options| options.datagram_duplication = Chance::of(probability))
    }

    /// How likely a datagram takes a detour, of up to ten times the largest latency.
    pub fn datagram_reordering(self, probability: f64) -> NetworkOptions {
        self.with(|options| options.datagram_reordering = Chance::of(probability))
    }

    /// How likely a read or a write on a connection moves fewer bytes than it could.
    pub fn short_transfers(self, probability: f64) -> NetworkOptions {
        self.with(|options| options.short_transfers = Chance::of(probability))
    }

    /// How likely an operation that could be done at once waits first, and how long at most.
    pub fn delays(self, probability: f64, max: Duration) -> NetworkOptions {
        self.with(|options| {
            options.delays = Chance::of(probability);
            options.delay_max = max;
        })
    }

    /// How likely a wait ends with nothing to be had, so that the operation has to be tried again.
    pub fn spurious_wakeups(self, probability: f64) -> NetworkOptions {
        self.with(|options| options.spurious_wakeups = Chance::of(probability))
    }

    /// How long connecting waits for an answer until it fails with `TimedOut`; 127 seconds if not set.
    pub fn connect_timeout(self, timeout: Duration) -> NetworkOptions {
        self.with(|options| options.connect_timeout = timeout)
    }

    /// How long a connection tries to get its data through until it fails with `TimedOut`, if
    /// `TCP_USER_TIMEOUT` is not set; some 15 minutes if not set.
    pub fn retransmission_timeout(self, timeout: Duration) -> NetworkOptions {
        self.with(|options| options.retransmission_timeout = timeout)
    }

    /// Whether connections beyond a listener's backlog are refused. If not, they are ignored, and the
    /// client asks again after some seconds.
    pub fn refuse_when_full(self, refuse: bool) -> NetworkOptions {
        let full = if refuse { FullBacklog::Refuse } else { FullBacklog::Drop };
        self.with(|options| options.full_backlog = full)
    }

    /// Whether connecting to an address that no host has fails with `HostUnreachable`. If not, nobody
    /// answers.
    pub fn answer_for_unknown(self, answer: bool) -> NetworkOptions {
        let unknown = if answer { UnknownAddress::Unreachable } else { UnknownAddress::Silence };
        self.with(|options| options.unknown_address = unknown)
    }

    /// How long a name server takes to answer.
    pub fn lookup_latency(self, latency: Duration) -> NetworkOptions {
        self.with(|options| options.lookup_latency = latency)
    }

    /// Whether operations that wait are performed by the network, as `io_uring` does, rather than tried
    /// again when they may succeed, as with `epoll`. A cancellation can then come too late.
    pub fn perform_operations(self, perform: bool) -> NetworkOptions {
        self.with(|options| options.performs_operations = perform)
    }
}
