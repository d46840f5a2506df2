//! The scheduler: workers that run whatever can run. It knows runnables, not tasks.
//!
//! See `README.md` beside this file for the idle protocol and the argument that no wake-up is lost.

mod idle;
mod inbox;
#[cfg(all(test, loom))]
mod loom_tests;
mod loop_;
mod observer;
mod quiet;
mod runnable;
mod shared;
mod sim;
mod worker;

pub(crate) use observer::{Moment, Observer};
pub(crate) use quiet::{OnDeadlock, TaskList};
pub(crate) use runnable::{Interrupt, Parked, Runnable, RunnableRef, Vtable};
pub(crate) use shared::{Children, Shared, SharedOptions};
pub(crate) use sim::{AtCheckpoint, OnStuck, Simulation, Stuck, World, run_simulated};
pub(crate) use worker::{Alarm, IoWait, Worker};
