//! N17: every public function that waits, cancelled at every point at which it can see that.
//!
//! Each test says by `// N17: ...` which functions it is for; `cargo xtask tidy` finds those that no test
//! is for. What is checked is always the same promise: a cancelled call had no effect, or says exactly what
//! it has done, so that whoever goes on afterwards misses nothing and gets nothing twice.

mod buffers;
mod network;
mod others;
mod pipes;
mod scopes;
mod sockets;
mod tasks;
mod time;

use crate::beside::beside;
use crate::trial::was_cancelled;
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::{Trial, cancel_at_every_checkpoint};

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

/// In simulated time. The trial must have had at least `points` points.
#[track_caller]
fn simulated(points: usize, body: impl FnMut(&mut Cx, &Trial) + Send) {
    let passed = cancel_at_every_checkpoint(body);
    assert!(passed >= points, "{passed} points: it did not wait where it was to wait");
}

/// With sockets and threads of the system.
#[track_caller]
fn real(points: usize, body: impl FnMut(&mut Cx, &Trial) + Send) {
    crate::real::real(conbrio::Builder::new(), points, body);
}

/// Bytes that show where they were lost, doubled or exchanged; all of them letters and line feeds.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| if at % 7 == 6 { b'\n' } else { b'a' + (at % 23) as u8 }).collect()
}
