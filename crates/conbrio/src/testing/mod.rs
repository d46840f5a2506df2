//! Tests of concurrent code without real time and without chance: simulated runs, a clock that the test
//! moves, and a way to wait until everything has come to rest.

mod builder;
mod mock_clock;
mod settle;

pub use builder::{Builder, run};
pub use mock_clock::MockClock;
pub use settle::settle;
