//! The simulated network: programs run on it unchanged, and what goes wrong there goes wrong as it does
//! elsewhere, in virtual time, the same way for the same seed.

mod support;

mod campaign;
mod counter;
mod datagrams;
mod faults;
mod hosts;
mod limits;
mod serve;
mod streams;
