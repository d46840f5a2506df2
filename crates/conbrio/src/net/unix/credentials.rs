//! Who is on the other side of a Unix socket.

use std::io;
use std::os::fd::AsFd;

/// Who a process was when it made its side of a connection: when it called `connect`, `bind`, or `pair`.
///
/// The kernel vouches for it, so that it can decide who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UCred {
    /// The effective user.
    pub uid: u32,
    /// The effective group.
    pub gid: u32,
    /// The process. By now it may be gone, and the number another's. `None` for a process that is in no
    /// namespace of ours.
    pub pid: Option<u32>,
}

/// `SO_PEERCRED`, unix(7).
pub(super) fn of_peer(socket: impl AsFd) -> io::Result<UCred> {
    let credentials = rustix::net::sockopt::socket_peercred(socket)?;
    // A pid of another namespace is shown as zero, which is no pid, so that the raw number is looked at.
    let pid = rustix::process::Pid::as_raw(Some(credentials.pid));
    Ok(UCred {
        uid: credentials.uid.as_raw(),
        gid: credentials.gid.as_raw(),
        pid: u32::try_from(pid).ok().filter(|pid| *pid != 0),
    })
}
