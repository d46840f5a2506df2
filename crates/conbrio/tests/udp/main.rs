//! UDP: batches, segments, groups, options. Every suite runs on one worker and on two, on epoll and on
//! io_uring; what the simulated network has as well runs there, too.

#[path = "../common/reactors.rs"]
mod reactors;
#[path = "../common/trial.rs"]
mod trial;

mod batches;
mod cancelling;
mod options;
mod segments;
mod storm;
mod support;
