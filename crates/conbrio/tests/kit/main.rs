//! The kit for users' tests, and with it: every public function that waits, cancelled at every point.

#[path = "../common/alone.rs"]
mod alone;
#[path = "../common/beside.rs"]
mod beside;
#[path = "../common/reactors.rs"]
mod reactors;
#[path = "../common/real.rs"]
mod real;
#[path = "../common/trial.rs"]
mod trial;

mod cancel_points;
mod checkpoints;
mod leaks;
mod sequencer;
mod settling;
mod support;
mod waits;
