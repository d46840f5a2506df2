//! The scheduler: workers that run whatever can run. It knows runnables, not tasks.
//!
//! See `README.md` beside this file for the idle protocol and the argument that no wake-up is lost.

mod alarm;
mod idle;
mod inbox;
mod instrumented;
#[cfg(all(test, loom))]
mod loom_tests;
mod loop_;
mod observer;
mod patience;
mod queue;
mod quiet;
mod runnable;
mod shared;
mod sim;
mod worker;

pub(crate) use alarm::Alarm;
pub(crate) use observer::{Moment, Observer};
pub(crate) use quiet::{OnDeadlock, TaskList};
pub(crate) use runnable::{
    GAVE_WAY, Identity, Interrupt, LOOKED, Parked, Runnable, RunnableRef, Vtable, WATCHED,
};
pub(crate) use shared::{Children, Remote, RunValues, Shared, SharedOptions};
pub(crate) use sim::{
    AtCheckpoint, Bell, Keep, OnStuck, Scheduling, SimulatedSignals, Simulation, Step, Stuck,
    Trace, Turn, WHICH_TASK, World, run_simulated,
};
pub(crate) use worker::{IoWait, Worker, WorkerParts};
