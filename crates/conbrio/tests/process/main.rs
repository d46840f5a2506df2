//! Programs, pipes, descriptors of any kind, and signals. Real ones: nothing here is simulated.

#[path = "../common/alone.rs"]
mod alone;
#[path = "../common/beside.rs"]
mod beside;
#[path = "../common/cancelling.rs"]
mod cancelling;
#[path = "../common/pattern.rs"]
mod pattern;
#[path = "../common/real.rs"]
mod real;
#[path = "../common/trial.rs"]
mod trial;

mod ctrl_c;
mod descriptors;
mod ending;
mod fd;
mod mask;
mod output;
mod pipes;
mod signals;
mod spawn;
mod support;
mod waits;
