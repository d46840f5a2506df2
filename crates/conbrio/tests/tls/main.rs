//! TLS over streams in memory, over connections, and against other programs.

#[path = "../common/pattern.rs"]
mod pattern;
#[path = "../common/trial.rs"]
mod trial;

mod cancelling;
mod conformance;
mod duplex;
mod endings;
mod handshakes;
mod peers;
mod simulated;
mod stacks;
mod support;
