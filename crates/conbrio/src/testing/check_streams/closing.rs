//! What holds when one side is dropped, which is how a stream is closed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::one_way::Rule;
use super::rule::{Checked, Stop, must};
use super::steps::{
    both, cancelled_before, expect, expect_broken, expect_end, rest, says_broken, send,
};
use crate::cancel::Cancelled;
use crate::io::{Read, Write};
use crate::task::Cx;

pub(super) fn rules<W: Write + Send, R: Read + Send>() -> [Rule<W, R>; 9] {
    [
        ("after a dropped writer come its bytes, and then the end, for ever", bytes_then_end),
        ("a dropped writer that wrote nothing is the end", end_at_once),
        ("a reader that waits sees that the writer is dropped", wakes_reader),
        ("dropping the writer closes it in a cancelled scope, too", writer_in_cancelled_scope),
        ("dropping the writer closes it while the task unwinds, too", writer_unwinding),
        ("a writer whose write was cancelled closes like any other", after_cancelled_write),
        ("writes fail when the reader is dropped, and go on failing", reader_dropped),
        ("a reader that has not read all can be dropped: writes fail", reader_dropped_early),
        ("dropping the reader closes it in a cancelled scope, too", reader_in_cancelled_scope),
    ]
}

/// Writes and drops in a child, so that a writer may wait for the reader.
fn ends_with<W: Write + Send, R: Read + Send>(
    cx: &mut Cx,
    w: W,
    mut r: R,
    data: &[u8],
    finish: impl FnOnce(&mut Cx, W) -> Checked + Send,
) -> Checked {
    let mut w = w;
    both(
        cx,
        |cx| {
            send(cx, &mut w, data)?;
            finish(cx, w)
        },
        |cx| {
            rest(cx)?;
            expect(cx, &mut r, data)?;
            expect_end(cx, &mut r)
        },
    )?;
    Ok(())
}

fn bytes_then_end<W: Write + Send, R: Read + Send>(cx: &mut Cx, w: W, r: R) -> Checked {
    ends_with(cx, w, r, b"last words", |_, w| {
        drop(w);
        Ok(())
    })
}

fn end_at_once<W: Write + Send, R: Read + Send>(cx: &mut Cx, w: W, mut r: R) -> Checked {
    drop(w);
    expect_end(cx, &mut r)
}

fn wakes_reader<W: Write + Send, R: Read + Send>(cx: &mut Cx, w: W, mut r: R) -> Checked {
    both(
        cx,
        |cx| expect_end(cx, &mut r),
        |cx| {
            rest(cx)?;
            drop(w);
            Ok(())
        },
    )?;
    Ok(())
}

fn writer_in_cancelled_scope<W: Write + Send, R: Read + Send>(cx: &mut Cx, w: W, r: R) -> Checked {
    ends_with(cx, w, r, b"x", |cx, w| {
        drop_in_cancelled_scope(cx, w);
        Ok(())
    })
}

fn drop_in_cancelled_scope<T>(cx: &mut Cx, value: T) {
    let _: Result<Option<()>, Cancelled> = cx.cancel_scope(|_, scope| {
        scope.cancel();
        drop(value);
        Ok(())
    });
}

fn writer_unwinding<W: Write + Send, R: Read + Send>(cx: &mut Cx, w: W, r: R) -> Checked {
    ends_with(cx, w, r, b"x", |_, w| {
        // No message is printed for a panic that is only resumed.
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _dropped_by_the_panic = w;
            resume_unwind(Box::new(()))
        }));
        must(unwound.is_err_and(|payload| payload.is::<()>()), || {
            "dropping the writer panicked".to_owned()
        })
    })
}

fn after_cancelled_write<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, r: R) -> Checked {
    cancelled_before(cx, "write", |cx| w.write(cx, b"lost"))?;
    ends_with(cx, w, r, b"kept", |cx, mut w| {
        cancelled_before(cx, "write", |cx| w.write(cx, b"lost"))?;
        drop(w);
        Ok(())
    })
}

fn reader_dropped<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, mut r: R) -> Checked {
    both(cx, |cx| send(cx, &mut w, b"x"), |cx| expect(cx, &mut r, b"x"))?;
    drop(r);
    expect_broken(cx, &mut w)?;
    match w.write_all(cx, &[0; 64]).and_then(|()| {
        let flushed = w.flush(cx);
        flushed.map_err(|error| crate::io::Incomplete::new("flush", 0, error))
    }) {
        Ok(()) => Err(Stop::Broken("`write_all` succeeded after `write` had failed".to_owned())),
        Err(error) => says_broken("write_all", error.into_cause()),
    }
}

fn reader_dropped_early<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, r: R) -> Checked {
    both(
        cx,
        |cx| expect_broken(cx, &mut w),
        |cx| {
            cx.yield_now()?;
            drop(r);
            Ok(())
        },
    )?;
    Ok(())
}

fn reader_in_cancelled_scope<W: Write + Send, R: Read + Send>(
    cx: &mut Cx,
    mut w: W,
    r: R,
) -> Checked {
    drop_in_cancelled_scope(cx, r);
    expect_broken(cx, &mut w)
}
