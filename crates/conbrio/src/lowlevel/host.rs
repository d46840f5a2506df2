//! Which host of a simulated network the caller is on.
//!
//! Owns the key under which tasks see it; `testing::network` binds it, and sockets and signals ask for it.
//! Outside of a simulation there is one host, and nobody asks.

use conbrio_reactor::sim::HostId;

use crate::task::LocalKey;

/// The host that a task's sockets and signals belong to. Where none is bound, it is the default host.
pub(crate) static HOST: LocalKey<HostId> = LocalKey::new();
