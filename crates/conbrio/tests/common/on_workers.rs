//! The runtimes that a test runs in.

use conbrio::Builder;
use conbrio::prelude::*;

use crate::reactors::reactors;

/// Runs a test on one worker, and on two, on each reactor that the machine has.
#[track_caller]
pub(crate) fn on_workers(test: impl Fn(&mut Cx) + Send + Sync) {
    for reactor in reactors() {
        for workers in [1, 2] {
            Builder::new().workers(workers).reactor(reactor).run(|cx| test(cx)).unwrap();
        }
    }
}
