//! Structured concurrency for Rust.

mod blocking;
mod cancel;
mod clock;
mod interop;
pub mod lowlevel;
mod nursery;
mod run;
mod sched;
mod scope;
mod task;
pub mod testing;
mod time;
mod timer;
mod util;

pub use cancel::{CancelSource, Cancelled, MaybeCancelled, OrCancelled, OrTimedOut, TimedOut};
pub use clock::{Clock, Idle, SystemClock};
pub use nursery::{
    Child, Errors, LocalChild, Nursery, NurseryError, NurseryPanic, StartError, Started, Stopped,
    TaskBuilder,
};
pub use run::{Builder, Reactor, RuntimeError, RuntimeInfo, RuntimeStatistics, run};
pub use scope::{CancelHandle, CancelScope};
pub use task::Cx;
pub use time::{Interval, MissedTicks};

pub mod prelude;
