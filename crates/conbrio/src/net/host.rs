//! Which host of a simulated network a socket is made on.

use conbrio_reactor::sim::HostId;

use crate::lowlevel::HOST;
use crate::task::Cx;

pub(super) fn current(cx: &Cx) -> HostId {
    cx.local(&HOST).copied().unwrap_or_default()
}
