//! Structured concurrency for Rust.

mod cancel;
mod clock;
mod nursery;
mod run;
mod sched;
mod scope;
mod task;
mod timer;
mod util;

pub use cancel::{CancelSource, Cancelled, MaybeCancelled, OrCancelled, OrTimedOut, TimedOut};
pub use clock::{Clock, Idle, SystemClock};
pub use nursery::{
    Child, Errors, LocalChild, Nursery, NurseryError, NurseryPanic, StartError, Started, Stopped,
    TaskBuilder,
};
pub use run::{Builder, Reactor, RuntimeError, RuntimeInfo, run};
pub use scope::{CancelHandle, CancelScope};
pub use task::Cx;
