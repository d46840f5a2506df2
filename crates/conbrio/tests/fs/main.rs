//! Files: real ones, on both reactors, and in simulated runs.

#[path = "../common/alone.rs"]
mod alone;
#[path = "../common/pattern.rs"]
mod pattern;
#[path = "../common/reactors.rs"]
mod reactors;

mod atomic;
mod attributes;
mod cancel;
mod directories;
mod files;
mod interop;
mod limits;
mod names;
mod simulated;
mod support;
mod temporary;
mod waits;
mod watching;
mod whole;
