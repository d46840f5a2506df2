//! The bench programs of this workspace; what they share with the programs of the rivals is the kit.
//!
//! The programs are in `src/bin`; `README.md` says how to run and read them.

pub use conbrio_bench_kit::{child, machine, meter, os, stats};
