//! The core: `run`, nurseries, scopes, `start`, parking.

mod basics;
mod cancelling;
mod errors;
mod names;
mod parking;
mod scopes;
mod shutdown;
mod start;
mod statistics;
