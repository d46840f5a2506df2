//! Memory streams, the checks for streams, and proof that the checks find mistakes.

mod conformance;
mod hooks;
mod memory;
mod simulated;
mod support;
mod wrong;
