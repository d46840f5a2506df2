//! Tasks: a runnable with a branch of the cancel tree, a fiber, and the capability to wait.

mod cell;
mod cx;
mod locals;
mod on_exit;
mod park;
mod watch;

pub(crate) use cell::{Task, TaskKind, TaskOptions};
pub use cx::Cx;
pub(crate) use locals::{LocalKey, Locals};
pub(crate) use on_exit::OnExit;
