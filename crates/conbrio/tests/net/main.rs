//! Names, connecting to many addresses, listening at many, serving: in simulated runs where time or the
//! network has to misbehave, and with real sockets where the system has a say.

#[path = "../common/alone.rs"]
mod alone;
#[path = "../common/reactors.rs"]
mod reactors;
#[path = "../common/trial.rs"]
mod trial;

mod support;

#[cfg(feature = "hickory")]
mod dns;
mod eyeballs;
mod joined;
mod listeners;
mod postgres_server;
mod redis_server;
mod resolving;
mod serving;
mod websocket;
