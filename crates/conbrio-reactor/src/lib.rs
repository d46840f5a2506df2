#![doc = include_str!("../README.md")]

mod driver;
pub(crate) mod epoll;
mod lend;
pub mod names;
mod notify;
pub mod op;
mod operation;
pub mod os;
mod pipe_signal;
mod reactor;
mod signal_mask;
pub mod sim;
mod source;
mod statistics;
mod uring;

pub use driver::{Cancel, Driver, Hint, Spot, Ticket, Timeout};
pub use lend::{BUFFER_BYTES, Lender, Lent};
pub use notify::Notifier;
pub use operation::{Completion, Direction, Operation, Outcome, Request, Token};
pub use pipe_signal::without_pipe_signal;
pub use reactor::{Attempt, Choice, Info, Reactor};
pub use signal_mask::without_blocked_signals;
pub use source::Source;
pub use statistics::Statistics;
pub use uring::RingOptions;
