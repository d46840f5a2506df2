//! What holds when a reader or a writer is cancelled: no byte is lost, and none comes twice.

use std::cell::Cell;
use std::io::{IoSlice, IoSliceMut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::one_way::Rule;
use super::rule::{Checked, Stop, must};
use super::steps::{
    both, cancel_at_rest, cancelled_before, expect, expect_end, filled, pattern, rest, same, send,
    written,
};
use crate::cancel::{MaybeCancelled, OrCancelled};
use crate::io::{Incomplete, Read, Write};
use crate::scope::CancelHandle;
use crate::task::Cx;
use crate::util::rng::Rng;

pub(super) fn rules<W: Write + Send, R: Read + Send>() -> [Rule<W, R>; 5] {
    [
        ("reading is a checkpoint, always, and takes nothing if cancelled", reads_check),
        ("writing is a checkpoint, always, and writes nothing if cancelled", writes_check),
        ("a read that is cancelled while it waits takes nothing", waiting_read),
        ("a byte that comes together with a cancellation is not lost", together),
        ("no byte is lost or doubled by cancellations at any moment", storm),
    ]
}

fn reads_check<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, mut r: R) -> Checked {
    let all_reads = |cx: &mut Cx, r: &mut R| {
        let mut buf = [0; 2];
        cancelled_before(cx, "read", |cx| r.read(cx, &mut buf))?;
        cancelled_before(cx, "read into no room", |cx| r.read(cx, &mut []))?;
        cancelled_before(cx, "read_vectored", |cx| {
            r.read_vectored(cx, &mut [IoSliceMut::new(&mut buf)])
        })?;
        cancelled_before(cx, "read_exact", |cx| untouched(r.read_exact(cx, &mut buf)))?;
        cancelled_before(cx, "read_to_end", |cx| untouched(r.read_to_end(cx, &mut Vec::new())))
    };
    all_reads(cx, &mut r).map_err(|stop| stop.when("with nothing to read"))?;
    both(
        cx,
        |cx| send(cx, &mut w, b"here"),
        |cx| {
            rest(cx)?;
            all_reads(cx, &mut r).map_err(|stop| stop.when("with bytes to read"))?;
            // A reader that has bytes in a buffer of its own checks for cancellations, too.
            expect(cx, &mut r, b"h")?;
            all_reads(cx, &mut r).map_err(|stop| stop.when("with bytes to read"))?;
            expect(cx, &mut r, b"ere")
        },
    )?;
    drop(w);
    expect_end(cx, &mut r)?;
    all_reads(cx, &mut r).map_err(|stop| stop.when("at the end"))
}

/// A transfer that was cancelled before it began has moved nothing.
fn untouched<T>(result: Result<T, Incomplete>) -> Result<T, Incomplete> {
    result.map_err(|error| match error.done() {
        0 => error,
        done => {
            let message = format!("it moved {done} bytes, and was cancelled before it began");
            Incomplete::new("the transfer", done, std::io::Error::other(message))
        }
    })
}

fn writes_check<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, mut r: R) -> Checked {
    both(
        cx,
        |cx| {
            for round in [&b"first"[..], b"second"] {
                cancelled_before(cx, "write", |cx| w.write(cx, b"lost"))?;
                cancelled_before(cx, "write of no bytes", |cx| w.write(cx, &[]))?;
                cancelled_before(cx, "write_vectored", |cx| {
                    w.write_vectored(cx, &[IoSlice::new(b"lost")])
                })?;
                cancelled_before(cx, "write_all", |cx| untouched(w.write_all(cx, b"lost")))?;
                cancelled_before(cx, "flush", |cx| w.flush(cx))?;
                send(cx, &mut w, round)?;
            }
            drop(w);
            Ok(())
        },
        |cx| {
            expect(cx, &mut r, b"firstsecond")?;
            expect_end(cx, &mut r)
        },
    )?;
    Ok(())
}

fn waiting_read<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, mut r: R) -> Checked {
    for data in [&b"one"[..], b"two"] {
        match cancel_at_rest(cx, |cx| r.read(cx, &mut [0; 8]))? {
            Err(OrCancelled::Cancelled(_)) => {}
            Err(error) => return Err(Stop::failed("read", error)),
            Ok(count) => {
                let message = format!("`read` reported {count} bytes, and nothing was written");
                return Err(Stop::Broken(message));
            }
        }
        both(cx, |cx| send(cx, &mut w, data), |cx| expect(cx, &mut r, data))?;
    }
    Ok(())
}

/// The reader waits, and is told of a byte and of its cancellation before it runs again. All tasks are on
/// one worker, so that this comes about every time.
fn together<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, mut r: R) -> Checked {
    for round in 0..24 {
        let (byte, handle) = ([round], Cell::new(None));
        let (w, r, handle) = (&mut w, &mut r, &handle);
        cx.nursery(|cx, n| -> Checked {
            let mut reader = n.spawn_local(cx, move |cx| {
                let mut buf = [0; 4];
                let read = cx.cancel_scope(|cx, scope| {
                    handle.set(Some(scope.handle()));
                    r.read(cx, &mut buf)
                });
                let count = read.map_err(|error| Stop::failed("read", error))?;
                if let Some(count) = count {
                    same(&buf[..filled(count, buf.len())?], &byte)?;
                }
                Ok((count.is_some(), r))
            });
            rest(cx)?;
            n.spawn_local(cx, move |cx| send(cx, w, &byte));
            for _ in 0..round % 4 {
                cx.yield_now()?;
            }
            if let Some(handle) = handle.take() {
                CancelHandle::cancel(&handle);
            }
            let (has_read, r) = reader.join(cx)?;
            if has_read { Ok(()) } else { expect(cx, r, &byte) }
        })?;
    }
    Ok(())
}

/// Both sides are cancelled again and again while they transfer something. What each call reports must
/// add up to what was sent.
fn storm<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, mut r: R) -> Checked {
    let data = pattern(STORM_BYTES);
    let (writing, reading) = (Mutex::new(None), Mutex::new(None));
    let is_over = AtomicBool::new(false);
    let canceller = |cx: &mut Cx| {
        let rng = Rng::new(5);
        // Not for ever: what hangs is found when everything has come to rest.
        for _ in 0..STORM_YIELDS {
            cx.yield_now()?;
            if is_over.load(Ordering::Acquire) {
                break;
            }
            let side = if rng.below(2) == 0 { &writing } else { &reading };
            let handle = if rng.below(3) == 0 { lock(side).take() } else { None };
            if let Some(handle) = handle {
                CancelHandle::cancel(&handle);
            }
        }
        Ok(())
    };
    both(cx, canceller, |cx| {
        let transfer = both(
            cx,
            |cx| {
                write_through(cx, &mut w, &data, &writing)?;
                drop(w);
                Ok(())
            },
            |cx| {
                let got = read_through(cx, &mut r, &reading)?;
                same(&got, &data)
            },
        );
        is_over.store(true, Ordering::Release);
        transfer.map(drop)
    })?;
    Ok(())
}

/// The handle of the scope around the call that one side is in.
type Target = Mutex<Option<CancelHandle>>;

fn lock(target: &Target) -> std::sync::MutexGuard<'_, Option<CancelHandle>> {
    target.lock().expect("nobody panics with it")
}

/// Runs one call in a scope that the canceller may cancel. `None` if it was cancelled.
fn exposed<T, E: MaybeCancelled>(
    cx: &mut Cx,
    target: &Target,
    f: impl FnOnce(&mut Cx) -> Result<T, E>,
) -> Result<Option<T>, E> {
    let result = cx.cancel_scope(|cx, scope| {
        *lock(target) = Some(scope.handle());
        f(cx)
    });
    *lock(target) = None;
    result
}

fn write_through(cx: &mut Cx, w: &mut impl Write, data: &[u8], target: &Target) -> Checked {
    let (rng, mut done) = (Rng::new(3), 0);
    while done < data.len() {
        cx.checkpoint()?;
        let chunk = &data[done..data.len().min(done + 1 + rng.below(97))];
        if rng.below(2) == 0 {
            let count = exposed(cx, target, |cx| w.write(cx, chunk));
            if let Some(count) = count.map_err(|error| Stop::failed("write", error))? {
                done += written(count, chunk.len())?;
            }
        } else {
            let mut moved = chunk.len();
            let all = exposed(cx, target, |cx| {
                w.write_all(cx, chunk).inspect_err(|error| moved = error.done() as usize)
            });
            all.map_err(|error| Stop::incomplete("write_all", error))?;
            must(moved <= chunk.len(), || {
                format!("`write_all` of {} bytes reported {moved}", chunk.len())
            })?;
            done += moved;
        }
        exposed(cx, target, |cx| w.flush(cx)).map_err(|error| Stop::failed("flush", error))?;
    }
    w.flush(cx).map_err(|error| Stop::failed("flush", error))
}

fn read_through(cx: &mut Cx, r: &mut impl Read, target: &Target) -> Checked<Vec<u8>> {
    let (rng, mut got) = (Rng::new(4), Vec::new());
    let mut buf = [0; 64];
    loop {
        cx.checkpoint()?;
        let room = 1 + rng.below(buf.len());
        let count = exposed(cx, target, |cx| r.read(cx, &mut buf[..room]));
        match count.map_err(|error| Stop::failed("read", error))? {
            Some(0) => return Ok(got),
            Some(count) => got.extend_from_slice(&buf[..filled(count, room)?]),
            None => {}
        }
    }
}

/// Some hundred calls on each side.
const STORM_BYTES: usize = 16 * 1024;

/// Several times what the storm takes for streams in memory.
const STORM_YIELDS: usize = 200_000;
