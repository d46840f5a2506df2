//! The waist of the crate: what every function that waits is built from.
//!
//! Everything in `net`, `time`, and the rest above is made of the few things here. Use them to write
//! operations of your own, in safe code: [`park`](Cx::park_on) with a [`Wait`], or primitives that several
//! tasks wait at, with a [`ParkingLot`].

mod context;
mod io;
mod parking_lot;
mod timer;
mod wait;

pub use context::in_task;
pub(crate) use io::perform;
pub use parking_lot::{Breaker, Broken, LotGuard, ParkingLot, ParkingLotStatistics};
pub use wait::{Abort, Finish, Unparker, Wait};

#[cfg(doc)]
use crate::task::Cx;
