//! Between tasks and threads: blocking calls, portals, values that tasks inherit, and state of the thread.

mod abandon;
mod around;
mod blocking;
mod cancel_points;
mod futures;
mod host;
mod limiter;
mod locals;
mod portal;
mod run_soon;
mod service;
#[cfg(feature = "tracing")]
mod spans;
mod support;
