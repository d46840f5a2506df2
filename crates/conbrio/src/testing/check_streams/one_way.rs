//! What holds for every writer and the reader that its bytes go to.

use std::io::{IoSlice, IoSliceMut};

use super::rule::{Checked, Stop, must, rule};
use super::steps::{
    both, cancel_at_rest, expect, expect_end, filled, pattern, rest, same, send, written,
};
use super::{cancelling, closing};
use crate::io::{Read, Write};
use crate::task::Cx;
use crate::util::rng::Rng;

/// One rule: what must hold, and the check of it.
pub(super) type Rule<W, R> = (&'static str, fn(&mut Cx, W, R) -> Checked);

/// Checks rules, each with a pair of its own.
pub(super) fn check_rules<W, R>(
    cx: &mut Cx,
    make: &mut dyn FnMut(&mut Cx) -> (W, R),
    rules: &[Rule<W, R>],
) -> Checked {
    for (name, check) in rules {
        cx.checkpoint()?;
        let (writer, reader) = make(cx);
        rule(cx, name, |cx| check(cx, writer, reader))?;
    }
    Ok(())
}

/// Checks all that holds for one direction.
pub(super) fn check<W: Write + Send, R: Read + Send>(
    cx: &mut Cx,
    make: &mut dyn FnMut(&mut Cx) -> (W, R),
) -> Checked {
    check_rules(cx, make, &passing())?;
    check_rules(cx, make, &cancelling::rules())?;
    check_rules(cx, make, &closing::rules())
}

fn passing<W: Write + Send, R: Read + Send>() -> [Rule<W, R>; 5] {
    [
        ("a reader that waits gets what is written", wakes_reader),
        ("what was written waits for the reader", waits_for_reader),
        ("all bytes arrive, in order, whatever the size of writes and reads", arrives_whole),
        ("writing no bytes has no effect", empty_write),
        ("reading into no room has no effect and does not wait", empty_read),
    ]
}

fn wakes_reader<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, mut r: R) -> Checked {
    for data in [&b"x"[..], b"more"] {
        both(
            cx,
            |cx| expect(cx, &mut r, data),
            |cx| {
                rest(cx)?;
                send(cx, &mut w, data)
            },
        )?;
    }
    Ok(())
}

fn waits_for_reader<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, mut r: R) -> Checked {
    both(
        cx,
        |cx| {
            send(cx, &mut w, b"early")?;
            send(cx, &mut w, b" bird")
        },
        |cx| {
            rest(cx)?;
            expect(cx, &mut r, b"early bird")
        },
    )?;
    Ok(())
}

fn arrives_whole<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, mut r: R) -> Checked {
    let data = pattern(100_000);
    both(
        cx,
        |cx| {
            let rng = Rng::new(1);
            let mut done = 0;
            while done < data.len() {
                done += write_some(cx, &mut w, &data[done..], &rng)?;
            }
            w.flush(cx).map_err(|error| Stop::failed("flush", error))?;
            drop(w);
            Ok(())
        },
        |cx| {
            let (rng, mut got) = (Rng::new(2), Vec::new());
            while read_some(cx, &mut r, &mut got, &rng)? {}
            same(&got, &data)?;
            expect_end(cx, &mut r)
        },
    )?;
    Ok(())
}

/// Writes some of `data`, which is not empty, in one of the ways there are.
fn write_some(cx: &mut Cx, w: &mut impl Write, data: &[u8], rng: &Rng) -> Checked<usize> {
    let data = &data[..data.len().min(1 + rng.below(3000))];
    let count = match rng.below(3) {
        0 => {
            w.write_all(cx, data).map_err(|error| Stop::incomplete("write_all", error))?;
            data.len()
        }
        1 => {
            let (left, right) = data.split_at(rng.below(data.len()));
            let bufs = [IoSlice::new(&[]), IoSlice::new(left), IoSlice::new(right)];
            w.write_vectored(cx, &bufs).map_err(|error| Stop::failed("write_vectored", error))?
        }
        _ => w.write(cx, data).map_err(|error| Stop::failed("write", error))?,
    };
    written(count, data.len())
}

/// Appends some bytes to `got`; false at the end.
fn read_some(cx: &mut Cx, r: &mut impl Read, got: &mut Vec<u8>, rng: &Rng) -> Checked<bool> {
    // Small sizes more often than large ones.
    let mut buf = vec![0; 1 + rng.below(1 << (2 + rng.below(11)))];
    let len = buf.len();
    let count = if rng.below(2) == 0 {
        let (left, right) = buf.split_at_mut(rng.below(len));
        let mut none = [];
        let mut bufs = [IoSliceMut::new(left), IoSliceMut::new(&mut none), IoSliceMut::new(right)];
        r.read_vectored(cx, &mut bufs).map_err(|error| Stop::failed("read_vectored", error))?
    } else {
        r.read(cx, &mut buf).map_err(|error| Stop::failed("read", error))?
    };
    got.extend_from_slice(&buf[..filled(count, len)?]);
    Ok(count > 0)
}

fn empty_write<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, mut r: R) -> Checked {
    both(
        cx,
        // A reader that takes it for the end says so.
        |cx| expect(cx, &mut r, b"x"),
        |cx| {
            rest(cx)?;
            let count = w.write(cx, &[]).map_err(|error| Stop::failed("write", error))?;
            must(count == 0, || format!("`write` of no bytes reported {count}"))?;
            let nothing = w.write_vectored(cx, &[IoSlice::new(&[])]);
            let count = nothing.map_err(|error| Stop::failed("write_vectored", error))?;
            must(count == 0, || format!("`write_vectored` of no bytes reported {count}"))?;
            w.write_all(cx, &[]).map_err(|error| Stop::incomplete("write_all", error))?;
            w.flush(cx).map_err(|error| Stop::failed("flush", error))?;
            rest(cx)?;
            send(cx, &mut w, b"x")
        },
    )?;
    Ok(())
}

fn empty_read<W: Write + Send, R: Read + Send>(cx: &mut Cx, mut w: W, mut r: R) -> Checked {
    for when in ["with nothing to read", "with bytes to read"] {
        let has_bytes = when == "with bytes to read";
        let (w, r) = (&mut w, &mut r);
        both(
            cx,
            |cx| if has_bytes { send(cx, w, b"xyz") } else { Ok(()) },
            |cx| {
                rest(cx)?;
                match cancel_at_rest(cx, |cx| r.read(cx, &mut []))? {
                    Ok(0) => {}
                    Ok(count) => {
                        let message = format!("`read` into no room reported {count}");
                        return Err(Stop::Broken(message));
                    }
                    Err(error) => {
                        let message = format!("`read` into no room waited or failed: {error}");
                        return Err(Stop::Broken(message));
                    }
                }
                if has_bytes { expect(cx, r, b"xyz") } else { Ok(()) }
            },
        )
        .map_err(|stop| stop.when(when))?;
    }
    Ok(())
}
