//! Handles of a running network and of its hosts.

use std::fmt;
use std::net::IpAddr;

use conbrio_reactor::sim::{self, HostId, NetworkStatistics};

use super::NetworkOptions;
use crate::lowlevel::HOST;
use crate::task::Cx;

/// The network of a simulated run, to be changed while it is used. A clone is the same network.
///
/// # Examples
///
/// See the [module](super).
#[derive(Clone)]
pub struct Network {
    network: sim::Network,
}

impl Network {
    /// The network of the caller's run.
    ///
    /// # Panics
    ///
    /// If the run is not simulated.
    #[track_caller]
    #[must_use]
    pub fn of(cx: &Cx) -> Network {
        let Some(network) = cx.anchor().worker().reactor().network() else {
            panic!(
                "this run has no simulated network: start it with `conbrio::testing::run` or \
                 `conbrio::testing::Builder`"
            );
        };
        Network { network: network.clone() }
    }

    /// The host with this address, which is made if there is none. `[10, 0, 0, 1]` is an address, too.
    ///
    /// # Panics
    ///
    /// If it is a wildcard, a group, or a loopback address, which every host has.
    #[track_caller]
    #[must_use]
    pub fn host(&self, address: impl Into<IpAddr>) -> Host {
        let id = self.network.host(address.into());
        Host { network: self.network.clone(), id }
    }

    /// The host of tasks that are in no [`Host::enter`]. Others see it as `192.0.2.1`.
    #[must_use]
    pub fn default_host(&self) -> Host {
        Host { network: self.network.clone(), id: HostId::default() }
    }

    /// Lets a name stand for these addresses, in this order; for none, the name is unknown again.
    ///
    /// All addresses that are not literal are looked up there, and nowhere else: `localhost` is known from
    /// the start.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use conbrio::testing::network::Network;
    ///
    /// conbrio::testing::run(|cx| {
    ///     let network = Network::of(cx);
    ///     let server = network.host([10, 0, 0, 1]);
    ///     network.name("db.example", [server.address()]);
    ///     let addresses = conbrio::net::resolve(cx, "db.example:5432").unwrap();
    ///     assert_eq!(addresses, ["10.0.0.1:5432".parse().unwrap()]);
    /// });
    /// ```
    pub fn name(&self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        self.network.set_name(name, addresses.into_iter().collect());
    }

    /// Lets no packet through between two hosts until [`heal`](Network::heal).
    ///
    /// Nobody is told. Datagrams are lost; what belongs to a connection arrives after the way is open
    /// again, unless the connection has been given up before.
    pub fn partition(&self, one: &Host, other: &Host) {
        self.block(one, other);
        self.block(other, one);
    }

    /// Lets packets through again, in both directions.
    pub fn heal(&self, one: &Host, other: &Host) {
        self.unblock(one, other);
        self.unblock(other, one);
    }

    /// Lets no packet through from one host to another; the other direction is as before.
    pub fn block(&self, from: &Host, to: &Host) {
        self.network.block(from.id, to.id);
    }

    /// Lets packets through from one host to another again.
    pub fn unblock(&self, from: &Host, to: &Host) {
        self.network.unblock(from.id, to.id);
    }

    /// Resets all connections between two hosts, as a device on the way may do: both sides fail with
    /// `ConnectionReset`.
    pub fn reset_connections(&self, one: &Host, other: &Host) {
        self.network.reset_connections(one.id, other.id);
    }

    /// How the network behaves now.
    pub fn options(&self) -> NetworkOptions {
        NetworkOptions { options: self.network.options() }
    }

    /// Changes how the network behaves. What is on its way is not touched.
    pub fn set_options(&self, options: NetworkOptions) {
        self.network.set_options(options.options);
    }

    /// A snapshot of the counters.
    #[must_use]
    pub fn statistics(&self) -> NetworkStatistics {
        self.network.statistics()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network.fmt(f)
    }
}

/// A host of a simulated network. A clone is the same host.
#[derive(Clone)]
pub struct Host {
    network: sim::Network,
    id: HostId,
}

impl Host {
    /// Runs `f` on this host: what it binds and connects, and what children of nurseries do that are opened
    /// inside, is of this host.
    ///
    /// Sockets that exist stay where they were made. Children of a nursery that was opened outside are
    /// where the nursery is.
    ///
    /// # Cancellation
    ///
    /// Never a checkpoint by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use conbrio::testing::network::Network;
    ///
    /// conbrio::testing::run(|cx| {
    ///     let host = Network::of(cx).host([10, 0, 0, 1]);
    ///     let address = host.enter(cx, |cx| {
    ///         cx.nursery(|cx, n| -> std::io::Result<_> {
    ///             let mut child = n.spawn(|cx| Ok(TcpListener::bind(cx, "10.0.0.1:0")?));
    ///             Ok(child.join(cx)?.local_addr()?)
    ///         })
    ///     });
    ///     assert_eq!(address.unwrap().ip(), host.address());
    ///     // Here the address is somebody else's.
    ///     TcpListener::bind(cx, "10.0.0.1:0").unwrap_err();
    /// });
    /// ```
    pub fn enter<R>(&self, cx: &mut Cx, f: impl FnOnce(&mut Cx) -> R) -> R {
        cx.with_local(&HOST, &self.id, f)
    }

    /// The address that it was made with.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.network.addresses(self.id)[0]
    }

    /// Gives the host one more address, of the other family for instance.
    ///
    /// # Panics
    ///
    /// As [`Network::host`], and if another host has the address.
    #[track_caller]
    pub fn add_address(&self, address: impl Into<IpAddr>) {
        self.network.add_address(self.id, address.into());
    }

    /// Stops the host without a word, as when the power fails.
    ///
    /// Its sockets are gone: operations on them fail with `NetworkDown`. Nobody else hears of it, so that
    /// connections to it stay open at the other side until data or keepalive shows that nobody answers, or,
    /// after [`restart`](Host::restart), that nobody knows them. Tasks on the host are not touched: cancel
    /// their nursery.
    pub fn crash(&self) {
        self.network.crash(self.id);
    }

    /// Lets the host come up again. It knows of no earlier connection.
    pub fn restart(&self) {
        self.network.restart(self.id);
    }

    /// Whether it is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.network.is_up(self.id)
    }

    /// How many sockets the host may have open, those in listeners' queues not counted: beyond, accepting
    /// and making sockets fails as when a process has too many open files. `None` has no limit but that of
    /// this process.
    pub fn set_fd_limit(&self, limit: impl Into<Option<usize>>) {
        self.network.set_fd_limit(self.id, limit.into());
    }

    /// How many sockets it has open.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        self.network.open_sockets(self.id)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("address", &self.address())
            .field("is_up", &self.is_up())
            .finish_non_exhaustive()
    }
}
