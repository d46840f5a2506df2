//! The waist of the crate: what every function that waits is built from.
//!
//! Everything in `net`, `time`, and the rest above is made of the few things here. Use them to write
//! operations of your own, in safe code: [`park`](Cx::park_on) with a [`Wait`], or primitives that several
//! tasks wait at, with a [`ParkingLot`].

mod context;
mod exchange;
mod fd;
mod file;
mod host;
mod io;
mod parking_lot;
mod pidfd;
mod select;
mod signals;
mod timer;
mod wait;

pub use context::in_task;
pub(crate) use exchange::{Exchange, ExchangeGuard, Side, Ticket};
pub(crate) use fd::Watched;
pub use fd::{Fd, Interest, wait_readable, wait_writable};
pub(crate) use file::perform_file;
pub(crate) use host::HOST;
pub(crate) use io::perform;
pub use parking_lot::{Breaker, Broken, LotGuard, ParkingLot, ParkingLotStatistics};
pub(crate) use pidfd::{kill, send_signal, status_after_reaping};
pub(crate) use select::Party;
pub use select::{
    Arm, Arms, Claim, Claimed, OneOf2, OneOf3, OneOf4, OneOf5, OneOf6, Registered, Timer, after, at,
};
pub(crate) use signals::Listener;
pub use wait::{Abort, Finish, Unparker, Wait};

#[cfg(doc)]
use crate::task::Cx;
