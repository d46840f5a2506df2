//! The kit for users' tests, and with it: every public function that waits, cancelled at every point.

mod cancel_points;
mod checkpoints;
mod leaks;
mod sequencer;
mod settling;
mod support;
mod waits;
