//! Two tasks at once, of which the test is one.

use conbrio::prelude::*;

/// Runs `body` beside a child.
#[track_caller]
pub(crate) fn beside<'env, R>(
    cx: &mut Cx,
    child: impl FnOnce(&mut Cx) -> std::io::Result<()> + Send + 'env,
    body: impl FnOnce(&mut Cx) -> R,
) -> R {
    let outcome = cx.nursery(|cx, n| -> std::io::Result<R> {
        n.spawn(child);
        Ok(body(cx))
    });
    outcome.expect("the child does not fail")
}
