//! Attacks on the core: safe programs that try to reach undefined behaviour, to hang, to lose an error or
//! a panic, or to let a nursery return before its children have ended.
//!
//! Every test names the line of the case list that it stands for (`// spec: N5`). Frames that children
//! borrow carry a [`Canary`](support::Canary), which notices a visitor that comes too late; under
//! AddressSanitizer the memory itself is watched as well.

mod child_process;
mod deadlines;
mod foreign;
mod guests;
mod leaks;
mod parallel;
mod places;
mod runtimes;
mod scale;
mod shields;
mod stacks;
mod storm;
mod support;
mod unwinding;
