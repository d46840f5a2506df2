//! The steps that rules are made of: single operations whose results are looked at.

use std::io::ErrorKind;
use std::sync::Mutex;
use std::time::Duration;

use super::rule::{Checked, Stop, must};
use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};
use crate::io::{Error, Read, Write};
use crate::nursery::NurseryError;
use crate::task::Cx;
use crate::testing::settle;

/// Runs `a` in a child, and `b` beside it.
pub(super) fn both<A: Send, B>(
    cx: &mut Cx,
    a: impl FnOnce(&mut Cx) -> Checked<A> + Send,
    b: impl FnOnce(&mut Cx) -> Checked<B>,
) -> Checked<(A, B)> {
    Ok(cx.nursery(|cx, n| {
        let mut a = n.spawn(a);
        let b = b(cx)?;
        Ok((a.join(cx)?, b))
    })?)
}

/// Lets everything that happens by itself happen.
pub(super) fn rest(cx: &mut Cx) -> Checked {
    Ok(settle(cx, Duration::ZERO)?)
}

/// Writes all of `data` and passes it on.
pub(super) fn send(cx: &mut Cx, writer: &mut impl Write, data: &[u8]) -> Checked {
    let mut done = 0;
    while done < data.len() {
        let rest = &data[done..];
        let count = writer.write(cx, rest).map_err(|error| Stop::failed("write", error))?;
        done += written(count, rest.len())?;
    }
    writer.flush(cx).map_err(|error| Stop::failed("flush", error))
}

/// What `write` has returned for `len` bytes, one at least.
pub(super) fn written(count: usize, len: usize) -> Checked<usize> {
    must(count <= len, || format!("`write` of {len} bytes reported {count}"))?;
    must(count > 0, || format!("`write` of {len} bytes took none; it must wait, or fail"))?;
    Ok(count)
}

/// What `read` has returned for room of `len` bytes.
pub(super) fn filled(count: usize, len: usize) -> Checked<usize> {
    must(count <= len, || format!("`read` into {len} bytes reported {count}"))?;
    Ok(count)
}

/// Reads until as much as `data` has come, which must be the same.
pub(super) fn expect(cx: &mut Cx, reader: &mut impl Read, data: &[u8]) -> Checked {
    let mut got = vec![0; data.len()];
    let mut done = 0;
    while done < data.len() {
        let room = data.len() - done;
        let read = reader.read(cx, &mut got[done..]);
        let count = filled(read.map_err(|error| Stop::failed("read", error))?, room)?;
        must(count > 0, || {
            format!(
                "`read` reported the end after {done} bytes of {}, which had not come",
                data.len()
            )
        })?;
        done += count;
        same(&got[..done], &data[..done])?;
    }
    Ok(())
}

/// Reads the end, more than once.
pub(super) fn expect_end(cx: &mut Cx, reader: &mut impl Read) -> Checked {
    for time in ["", "again, "] {
        let mut buf = [0; 16];
        let count = reader.read(cx, &mut buf).map_err(|error| Stop::failed("read", error))?;
        must(count == 0, || {
            let bytes = &buf[..count.min(buf.len())];
            format!("{time}`read` gave {count} bytes, {bytes:?}, where the end should be")
        })?;
    }
    Ok(())
}

/// Reads to the end, and says what came. A broken connection counts as the end if `or_broken`.
pub(super) fn read_to_end(
    cx: &mut Cx,
    reader: &mut impl Read,
    or_broken: bool,
) -> Checked<Vec<u8>> {
    let mut got = Vec::new();
    let mut buf = [0; 4096];
    loop {
        match reader.read(cx, &mut buf) {
            Ok(0) => return Ok(got),
            Ok(count) => got.extend_from_slice(&buf[..filled(count, buf.len())?]),
            Err(OrCancelled::Failed(error)) if or_broken && is_broken(error.kind()) => {
                return Ok(got);
            }
            Err(error) => return Err(Stop::failed("read", error)),
        }
    }
}

/// What came must be what was written.
pub(super) fn same(got: &[u8], wanted: &[u8]) -> Checked {
    if let Some(at) = got.iter().zip(wanted).position(|(got, wanted)| got != wanted) {
        let (got, wanted) = (excerpt(got, at), excerpt(wanted, at));
        let message = format!("byte {at} and what follows are {got}, and {wanted} was written");
        return Err(Stop::Broken(message));
    }
    must(got.len() == wanted.len(), || {
        format!("{} bytes came, and {} were written", got.len(), wanted.len())
    })
}

fn excerpt(bytes: &[u8], at: usize) -> String {
    format!("{:?}", &bytes[at..bytes.len().min(at + 8)])
}

/// Writes after the reader has gone: the first failure must come soon, must say so, and must stay.
pub(super) fn expect_broken(cx: &mut Cx, writer: &mut impl Write) -> Checked {
    for attempt in 0..ATTEMPTS {
        if !attempt_fails(cx, writer)? {
            // Not `settle`: in a simulated network it is time that brings the news.
            cx.sleep(Duration::from_millis(1 << attempt))?;
            continue;
        }
        for _ in 0..3 {
            let fails = attempt_fails(cx, writer)?;
            must(fails, || "a write succeeded after another had failed".to_owned())?;
        }
        return Ok(());
    }
    Err(Stop::Broken(format!("{ATTEMPTS} writes succeeded, and nobody is there to read them")))
}

/// Writes something and passes it on. Says whether that fails as it does when the reader has gone.
pub(super) fn attempt_fails(cx: &mut Cx, writer: &mut impl Write) -> Checked<bool> {
    let data = [0; 64];
    let (what, error) = match writer.write(cx, &data) {
        Err(error) => ("write", error),
        Ok(count) => {
            written(count, data.len())?;
            match writer.flush(cx) {
                Ok(()) => return Ok(false),
                Err(error) => ("flush", error),
            }
        }
    };
    says_broken(what, error)?;
    Ok(true)
}

/// The error must say that the other side, or this direction, has gone.
pub(super) fn says_broken(what: &str, error: Error) -> Checked {
    match error {
        OrCancelled::Failed(error) if is_broken(error.kind()) => Ok(()),
        OrCancelled::Failed(error) => Err(Stop::Broken(format!(
            "`{what}` failed with the kind `{:?}` ({error}): it must be `BrokenPipe`, `NotConnected`, \
             `ConnectionReset` or `ConnectionAborted`",
            error.kind()
        ))),
        OrCancelled::Cancelled(cancelled) => Err(Stop::Cancelled(cancelled)),
    }
}

fn is_broken(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
}

/// Calls `f` in a scope that is cancelled already: it must fail with the cancellation.
pub(super) fn cancelled_before<R, E: MaybeCancelled + std::fmt::Display>(
    cx: &mut Cx,
    what: &str,
    f: impl FnOnce(&mut Cx) -> Result<R, E>,
) -> Checked {
    let mut seen = None;
    let _: Result<Option<()>, Cancelled> = cx.cancel_scope(|cx, scope| {
        scope.cancel();
        seen = Some(f(cx));
        Ok(())
    });
    match seen {
        Some(Err(error)) if error.cancelled().is_some() => Ok(()),
        Some(Err(error)) => {
            Err(Stop::Broken(format!("`{what}` in a cancelled scope failed otherwise: {error}")))
        }
        _ => Err(Stop::Broken(format!(
            "`{what}` in a cancelled scope succeeded: it must be a checkpoint, always"
        ))),
    }
}

/// Runs `f` in a child until it ends, or until everything has come to rest, and cancels it there. Says
/// what it returned.
pub(super) fn cancel_at_rest<T: Send>(
    cx: &mut Cx,
    f: impl FnOnce(&mut Cx) -> T + Send,
) -> Checked<T> {
    let result = Mutex::new(None);
    let nursery = cx.nursery(|cx, n| -> Checked {
        n.spawn(|cx| {
            let value = f(cx);
            *result.lock().expect("nobody panics with it") = Some(value);
            Ok(())
        });
        rest(cx)?;
        n.cancel();
        Ok(())
    });
    match nursery {
        // A caller that is cancelled too sees it here.
        Err(NurseryError::Cancelled(cancelled)) => return Err(Stop::Cancelled(cancelled)),
        Err(error) => return Err(error.into()),
        Ok(()) => {}
    }
    Ok(result.into_inner().expect("nobody panics with it").expect("the child has ended"))
}

/// Bytes that show where they were lost, doubled or exchanged.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// So many writes may succeed before a failure shows: a network takes a moment to tell. The last waits for
/// four seconds.
const ATTEMPTS: u32 = 13;
