//! What the bench programs share, so that all systems do the same work and are measured in the same way.
//!
//! Owns the protocol between the program that compares and the programs that are compared (`program`), the
//! sizes of the work (`counts`), and how time, memory and processor time are taken. It knows no runtime:
//! programs of conbrio and of its rivals are built on it, also those outside this workspace.

pub mod census;
pub mod child;
pub mod counts;
pub mod files;
pub mod http;
pub mod machine;
pub mod memory;
pub mod meter;
pub mod os;
pub mod program;
pub mod stats;
pub mod tls;
