//! The cancel tree: scopes, nursery groups, what is in force for a task, and the value that reports it.
//!
//! It is built on runnables (which it tells to look at the tree) and knows nothing of tasks.

mod cancelled;
mod error;
mod tree;

pub use cancelled::{CancelSource, Cancelled, MaybeCancelled};
pub use error::{OrCancelled, OrTimedOut, TimedOut};

pub(crate) use cancelled::Notice;
pub(crate) use tree::{Branch, Group, Joiner, ScopeNode, ScopeShared, Waiter};
