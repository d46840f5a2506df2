//! Unix sockets, and files sent over sockets. Every suite runs on one worker and on two, on epoll and on
//! io_uring.

#[path = "../common/alone.rs"]
mod alone;
#[path = "../common/beside.rs"]
mod beside;
#[path = "../common/on_workers.rs"]
mod on_workers;
#[path = "../common/open_files.rs"]
mod open_files;
#[path = "../common/pattern.rs"]
mod pattern;
#[path = "../common/reactors.rs"]
mod reactors;
#[path = "../common/real.rs"]
mod real;
#[path = "../common/trial.rs"]
mod trial;

mod cancelling;
mod conformance;
mod datagrams;
mod descriptors;
mod files;
mod limits;
mod listeners;
mod simulated;
mod storm;
mod streams;
mod support;
