#![doc = include_str!("../README.md")]

mod driver;
pub(crate) mod epoll;
mod notify;
pub mod op;
mod operation;
pub mod os;
mod reactor;
pub mod sim;
mod source;
mod statistics;
mod uring;

pub use driver::{Cancel, Driver, Hint, Spot, Ticket, Timeout};
pub use notify::Notifier;
pub use operation::{Completion, Direction, Operation, Outcome, Request, Token};
pub use reactor::{Attempt, Choice, Info, Reactor};
pub use source::Source;
pub use statistics::Statistics;
