//! Events, locks, permits, and what is made of them.

mod allocations;
mod barrier;
mod capacity_limiter;
mod condition;
mod deadlock;
mod event;
mod explored;
mod generic_lock;
mod local;
mod mapped;
mod mutex;
mod once_cell;
mod poison;
mod rwlock;
mod select;
mod semaphore;
mod singleflight;
mod support;
mod threads;
mod wait_group;
mod waits;
