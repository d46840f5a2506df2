//! Tasks: a runnable with a branch of the cancel tree, a fiber, and the capability to wait.

mod around;
mod cell;
mod cx;
mod holding;
mod locals;
mod on_exit;
mod park;
mod watch;

pub use around::Turn;
pub(crate) use cell::{Task, TaskKind, TaskOptions};
pub use cx::Cx;
pub(crate) use holding::{Blocker, Held, ITS_CHILDREN};
pub use locals::LocalKey;
pub(crate) use locals::{Locals, local_here};
pub(crate) use on_exit::OnExit;
