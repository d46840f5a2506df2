//! Combinators: what they return, whom they cancel, and that nothing is lost or left behind.
//!
//! Most tests run in a simulation, many of them in many orders.

#[path = "../common/trial.rs"]
mod trial;

mod cancelling;
mod first_ok;
mod generate;
mod hedge;
mod join;
mod limit;
mod map;
mod orders;
mod pool;
mod race;
mod rate;
mod retry;
mod services;
mod supervisor;
mod support;

/// The type of the arms of an empty list.
type NoArm = fn(&mut conbrio::Cx) -> Result<(), conbrio::Cancelled>;
