//! The suite that every back end must pass, and the tests of single rules.
//!
//! A module's tests take a `Make` and are instantiated by `suite!` for each back end. A test that
//! waits does so through `support`, which fails after a while instead of hanging.

#[macro_use]
mod support;

mod cancel;
mod closing;
mod connect;
mod datagram;
mod errors;
mod file;
mod lend;
mod lifetime;
mod notify;
mod peer;
mod registration;
mod reuse;
mod ring;
mod seam;
mod stream;
mod threads;
mod timeout;
