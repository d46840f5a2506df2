//! What a call says that was made while `testing::CancelPoints` cancels at one point after the other.

use std::fmt::Debug;

use conbrio::MaybeCancelled;
use conbrio::testing::Trial;

/// Whether a call was cancelled. Any other error fails the test.
#[track_caller]
pub(crate) fn was_cancelled<T, E: MaybeCancelled + Debug>(
    trial: &Trial,
    result: &Result<T, E>,
) -> bool {
    match result {
        Ok(_) => false,
        Err(error) => {
            assert!(error.cancelled().is_some(), "it failed: {error:?}");
            assert!(trial.is_cancelled(), "nobody has cancelled it: {error:?}");
            true
        }
    }
}
