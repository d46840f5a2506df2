//! Cancelling at one point after the other, with sockets, programs and threads of the system.

use std::time::Duration;

use conbrio::Builder;
use conbrio::prelude::*;
use conbrio::testing::{CancelPoints, Trial};

/// Cancels `body` at every point, of which there must be `points` at least. What is lost is waited for in
/// vain, so there is a limit, which makes the wait fail.
#[track_caller]
pub(crate) fn real(builder: Builder, points: usize, mut body: impl FnMut(&mut Cx, &Trial) + Send) {
    let passed = CancelPoints::new().real(builder.workers(1)).run(|cx, trial| {
        let in_time = cx.move_on_after(Duration::from_secs(20), |cx| {
            body(cx, trial);
            Ok::<(), Cancelled>(())
        });
        drop(in_time);
    });
    assert!(passed >= points, "{passed} points: it did not wait where it was to wait");
}
