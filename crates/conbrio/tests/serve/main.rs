//! The example `serve`, from outside: what a client sees, and what the process leaves behind. And in the
//! simulator: what it does when the network fails.

#![cfg(not(loom))]

mod curl;
mod limits;
mod load;
mod protocol;
mod simulated;
mod support;
