//! TLS over streams in memory, over connections, and against other programs.

mod cancelling;
mod conformance;
mod duplex;
mod endings;
mod handshakes;
mod peers;
mod simulated;
mod stacks;
mod support;
