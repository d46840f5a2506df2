//! Bytes over TCP, the traits for them, and signals. Every suite runs on one worker and on
//! two, on epoll and on io_uring.

#[path = "../common/alone.rs"]
mod alone;
#[path = "../common/cancelling.rs"]
mod cancelling;
#[path = "../common/on_workers.rs"]
mod on_workers;
#[path = "../common/open_files.rs"]
mod open_files;
#[path = "../common/pattern.rs"]
mod pattern;
#[path = "../common/reactors.rs"]
mod reactors;

mod accept;
mod adapter;
mod bytes;
mod cancel;
mod choice;
mod connect;
mod descriptors;
mod halves;
mod many;
mod read_with;
mod ring;
mod signals;
mod streams;
mod support;
