//! Proofs of the founding discussion.
