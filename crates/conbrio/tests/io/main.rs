//! Bytes over TCP, the traits for them, and signals. Every suite runs on one worker and on
//! two, on epoll and on io_uring.

#[path = "../common/alone.rs"]
mod alone;

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
