//! What the benches share: fresh child processes, a meter, statistics, and the line about the machine.
//!
//! The programs are in `src/bin`; `README.md` says how to run and read them.

pub mod child;
pub mod machine;
pub mod meter;
pub mod os;
pub mod stats;
