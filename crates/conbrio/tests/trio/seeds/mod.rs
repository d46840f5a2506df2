//! Proofs of the founding discussion: what it asked for, line by line (S1 to S77).

mod cancellation;
mod ownership;
mod tasks;
