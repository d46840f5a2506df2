//! What users of the crate rely on, through its public API.
//!
//! Tests of things that end the process run in a child: this binary again, with one test selected
//! and a variable set that makes it do the deadly part.

mod child;
mod fiber;
mod limits;
mod overflow;
mod pool;
