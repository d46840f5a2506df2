//! Small helpers that know nothing of tasks.

pub(crate) mod abort;
pub(crate) mod atomic;
pub(crate) mod brief_lock;
pub(crate) mod cell_cache;
pub(crate) mod choices;
pub(crate) mod coarse_clock;
pub(crate) mod footprint;
mod priorities;
pub(crate) mod projection;
pub(crate) mod rng;
pub(crate) mod swallow;
pub(crate) mod thread_pool;
