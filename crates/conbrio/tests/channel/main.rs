//! Channels and `select`: what goes in comes out, once and in order; how they end; and that a cancelled
//! call has had no effect.

#[path = "../common/trial.rs"]
mod trial;

mod arms;
mod basics;
mod cancelled;
mod closing;
mod more;
mod outside;
mod select;
mod storm;
mod support;
