//! Tests of concurrent code without real time and without chance.
//!
//! * [`run`] simulates: one thread, virtual time, and every decision drawn from a seed.
//! * [`explore`] does so for many seeds, and shows the simplest course of a failure. [`exhaust`] runs all
//!   courses of a small program.
//! * [`network`] is what such a run has in place of the network, and [`raise`] sends it signals.
//! * [`cancel_at_every_checkpoint`], [`assert_checkpoints`], [`Sequencer`], [`settle`], [`MockClock`]: for
//!   one thing at a time.
//!
//! The chapter on testing in the guide has worked examples.

mod builder;
mod cancel_points;
mod check_streams;
mod checkpoints;
mod course;
mod exhaust;
mod exploration;
mod explore;
pub mod leaks;
mod mock_clock;
pub mod network;
mod panics;
mod progress;
mod raise;
mod sequencer;
mod session;
mod settle;
mod shared_clock;
mod shrink;
pub mod streams;
mod touch;
mod user_frames;
mod watchdog;

pub use builder::{Builder, Strategy, run};
pub use cancel_points::{CancelPoints, Trial, cancel_at_every_checkpoint};
pub use check_streams::{
    check_clogged_stream, check_half_closeable_stream, check_one_way_stream, check_two_way_stream,
};
pub use checkpoints::{assert_checkpoints, assert_no_checkpoints};
pub use exhaust::{Exhausted, exhaust};
pub use exploration::{Coverage, Exploration};
pub use explore::explore;
pub use mock_clock::MockClock;
pub use raise::raise;
pub use sequencer::{Sequencer, SequencerBroken};
pub use settle::settle;
pub use touch::touch;
