//! What the tests share.

pub(crate) use crate::trial::was_cancelled;
use conbrio::channel::{RecvError, TryRecvError, TrySendError};
use conbrio::prelude::*;
use conbrio::testing::{Builder, CancelPoints, Trial};
use std::time::Duration;

/// Waits until all other tasks wait.
pub(crate) fn settle(cx: &mut Cx) -> Result<(), Cancelled> {
    conbrio::testing::settle(cx, Duration::ZERO)
}

/// Runs `main` in simulated runtimes, with one worker and with two, and several courses each.
#[track_caller]
pub(crate) fn in_all_orders(main: impl Fn(&mut Cx)) {
    for workers in [1, 2] {
        for seed in 0..20 {
            Builder::new().workers(workers).seed(seed).run(&main);
        }
    }
}

/// Cancels `body` at every point, with one worker and with two.
#[track_caller]
pub(crate) fn at_every_point(points_min: usize, body: impl Fn(&mut Cx, &Trial) + Send + Sync) {
    for (workers, seeds) in [(1, 3), (2, 12)] {
        for seed in 0..seeds {
            let builder = Builder::new().workers(workers).seed(seed);
            let points = CancelPoints::new().simulated(builder).run(&body);
            assert!(points >= points_min, "{points} points: it did not wait where it was to wait");
        }
    }
}

#[track_caller]
pub(crate) fn assert_empty<T>(result: Result<T, TryRecvError>) {
    assert!(matches!(result, Err(TryRecvError::Empty)), "{:?}", result.err());
}

#[track_caller]
pub(crate) fn assert_ended<T>(result: Result<T, TryRecvError>) {
    let error = result.err();
    assert!(matches!(error, Some(TryRecvError::Gone(RecvError::Ended))), "{error:?}");
}

#[track_caller]
pub(crate) fn assert_recv_closed<T>(result: Result<T, TryRecvError>) {
    let error = result.err();
    assert!(matches!(error, Some(TryRecvError::Gone(RecvError::Closed))), "{error:?}");
}

#[track_caller]
pub(crate) fn assert_full<T>(result: Result<(), TrySendError<T>>) {
    assert!(matches!(result, Err(TrySendError::Full(_))), "{result:?}");
}

#[track_caller]
pub(crate) fn assert_send_closed<T>(result: Result<(), TrySendError<T>>) {
    assert!(matches!(result, Err(TrySendError::Closed(_))), "{result:?}");
}

#[track_caller]
pub(crate) fn assert_broken<T>(result: Result<(), TrySendError<T>>) {
    assert!(matches!(result, Err(TrySendError::Broken(_))), "{result:?}");
}
