//! Unix sockets, and files sent over sockets. Every suite runs on one worker and on two, on epoll and on
//! io_uring.

#[path = "../common/alone.rs"]
mod alone;
#[path = "../common/beside.rs"]
mod beside;
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
