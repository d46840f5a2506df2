//! The example `serve`, from outside: what a client sees, and what the process leaves behind.

#![cfg(not(loom))]

mod curl;
mod limits;
mod load;
mod protocol;
mod support;
