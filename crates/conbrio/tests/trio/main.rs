//! The semantics that Trio's test suite asserts, asserted of conbrio.
//!
//! One module per file of that suite, named without its `test_`; `seeds` holds the proofs of the founding
//! discussion. The tests are written from one-line descriptions (`spec/ids.txt`); nothing here waits for
//! real time to pass unless real time is what it tests. Where conbrio differs on purpose, the test asserts
//! what conbrio does and says so.

mod cancelled;
mod closing;
mod contextvars;
mod guest_mode;
mod instruments;
mod local;
mod mock_clock;
mod parking_lot;
mod run;
mod seeds;
mod support;
mod timeouts;
