//! Tests of concurrent code without real time: a clock that the test moves, and a way to wait until
//! everything has come to rest.

mod mock_clock;
mod settle;

pub use mock_clock::MockClock;
pub use settle::settle;
