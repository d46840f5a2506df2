//! Assertions about whether code is a checkpoint.

use crate::task::Cx;

/// Runs `f` and panics unless it has passed a checkpoint.
///
/// A checkpoint is where the task both looks whether it is cancelled and lets others run. Every call of
/// [`Cx::checkpoint`] counts as one, although it gives way at the end of a turn only. Code that does one
/// half here and the other half there counts as well; [`Cx::checkpoint_if_cancelled`] alone does not, and
/// neither does [`Cx::yield_shielded`]. Only the calling task is watched, not its children.
///
/// # Cancellation
///
/// A checkpoint if `f` is one. A `Cancelled` that `f` returns is passed on as it is, and was reported by a
/// checkpoint.
///
/// # Panics
///
/// If `f` has not passed a checkpoint. A panic of `f` goes on.
///
/// # Examples
///
/// ```
/// use conbrio::testing::assert_checkpoints;
/// use conbrio::{Cancelled, Cx};
///
/// /// Waits for nothing when the list is empty; so it has to pass a checkpoint on its own.
/// fn visit(cx: &mut Cx, list: &[u32]) -> Result<(), Cancelled> {
///     cx.checkpoint()?;
///     for _ in list {
///         cx.yield_now()?;
///     }
///     Ok(())
/// }
///
/// conbrio::run(|cx| assert_checkpoints(cx, |cx| visit(cx, &[])).unwrap());
/// ```
#[track_caller]
pub fn assert_checkpoints<R>(cx: &mut Cx, f: impl FnOnce(&mut Cx) -> R) -> R {
    let (value, passed) = cx.watch_checkpoints(f);
    let lacks = match (passed.looked, passed.gave_way) {
        (true, true) => return value,
        (true, false) => "it looked whether it is cancelled, but never lets others run",
        (false, true) => "it let others run, but never looks whether it is cancelled",
        (false, false) => "it neither looked whether it is cancelled nor let others run",
    };
    panic!("no checkpoint was passed: {lacks}; begin it with `cx.checkpoint()?`")
}

/// Runs `f` and panics if it has passed a checkpoint, or one half of one.
///
/// For code that relies on nobody else running meanwhile, or that must not stop half-way. See
/// [`assert_checkpoints`] for what a checkpoint is.
///
/// # Cancellation
///
/// Never a checkpoint: if `f` is one, this panics.
///
/// # Panics
///
/// If `f` has looked whether it is cancelled, or let others run. A panic of `f` goes on.
///
/// # Examples
///
/// ```
/// use conbrio::testing::assert_no_checkpoints;
/// use std::collections::VecDeque;
///
/// conbrio::run(|cx| {
///     let mut queue = VecDeque::from([1, 2]);
///     // Nobody can see the queue without its first element.
///     assert_no_checkpoints(cx, |_| {
///         let first = queue.pop_front().unwrap();
///         queue.push_back(first);
///     });
/// });
/// ```
#[track_caller]
pub fn assert_no_checkpoints<R>(cx: &mut Cx, f: impl FnOnce(&mut Cx) -> R) -> R {
    let (value, passed) = cx.watch_checkpoints(f);
    let did = match (passed.looked, passed.gave_way) {
        (false, false) => return value,
        (true, true) => "passed a checkpoint",
        (true, false) => "looked whether it is cancelled",
        (false, true) => "let others run",
    };
    panic!("code that must pass no checkpoint {did}; move what takes `cx` out of it")
}
