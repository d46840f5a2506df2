//! Ready-made patterns on nurseries: join, race, map, retry, supervise and others.
//!
//! It owns no way to start a task or to cancel one: everything here is a nursery with children, in safe
//! code, and what it promises follows from that. Every arm is a task, which goes on while its owner looks
//! at another; when a function here returns, everything that it has started has ended.
//!
//! Invariant: no error and no panic is lost, except errors that the caller has declared harmless by the
//! choice of the function (an attempt that is retried, an arm beside one that succeeded).

#![forbid(unsafe_code)]

mod arms;
mod contest;
mod first_ok;
mod generate;
mod hedge;
mod join;
#[expect(
    clippy::too_many_arguments,
    clippy::type_complexity,
    reason = "an argument and a value for each arm"
)]
mod join_many;
mod limit;
mod map;
mod map_to;
mod pool;
mod race;
mod rate;
mod retry;
mod schedule;
mod services;
mod supervisor;

pub use arms::{Arm, arm};
pub use generate::{Items, Output};
pub use limit::{Limited, Place};
pub use pool::{Pool, PoolStatistics, Pooled};
pub use rate::RateLimiter;
pub use schedule::{Delays, Schedule};
pub use services::Services;
pub use supervisor::{Ended, Restart, Supervisor, SupervisorError, TooManyRestarts};
