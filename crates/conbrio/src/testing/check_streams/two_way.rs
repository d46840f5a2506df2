//! What holds for two ends of a stream with two directions, besides what holds for each direction.

use super::one_way::{self, Rule, check_rules};
use super::rule::{Checked, Stop};
use super::steps::{both, expect, expect_end, filled, rest, same, send, written};
use crate::io::{Read, Split, Write};
use crate::task::Cx;
use crate::util::rng::Rng;

pub(super) fn check<S: Split + Send>(
    cx: &mut Cx,
    make: &mut dyn FnMut(&mut Cx) -> (S, S),
) -> Checked {
    one_way::check(cx, make).map_err(|stop| stop.when(THERE))?;
    let mut swapped = |cx: &mut Cx| {
        let (first, second) = make(cx);
        (second, first)
    };
    one_way::check(cx, &mut swapped).map_err(|stop| stop.when(BACK))?;
    check_rules(cx, make, &rules())
}

fn rules<S: Split + Send>() -> [Rule<S, S>; 4] {
    [
        ("the two ends can talk in turns", turns),
        ("a read that waits does not hold up a write", reads_apart),
        ("both directions carry data at once", duplex),
        ("dropping an end closes both directions", drop_closes_both),
    ]
}

fn turns<S: Split + Send>(cx: &mut Cx, mut a: S, mut b: S) -> Checked {
    both(
        cx,
        |cx| {
            for round in 0..20 {
                send(cx, &mut a, &[round; 3])?;
                expect(cx, &mut a, &[round; 2])?;
            }
            Ok(())
        },
        |cx| {
            for round in 0..20 {
                expect(cx, &mut b, &[round; 3])?;
                send(cx, &mut b, &[round; 2])?;
            }
            Ok(())
        },
    )?;
    Ok(())
}

fn reads_apart<S: Split + Send>(cx: &mut Cx, mut a: S, mut b: S) -> Checked {
    let (mut reader, mut writer) = a.split();
    both(
        cx,
        |cx| expect(cx, &mut reader, b"answer"),
        |cx| {
            rest(cx)?;
            both(
                cx,
                |cx| send(cx, &mut writer, b"question"),
                |cx| expect(cx, &mut b, b"question"),
            )?;
            send(cx, &mut b, b"answer")
        },
    )?;
    Ok(())
}

fn duplex<S: Split + Send>(cx: &mut Cx, mut a: S, mut b: S) -> Checked {
    let (there, back) = (noise(7), noise(8));
    {
        let (mut read_a, mut write_a) = a.split();
        let (mut read_b, mut write_b) = b.split();
        both(
            cx,
            |cx| both(cx, |cx| pour(cx, &mut write_a, &there), |cx| drain(cx, &mut read_a, &back)),
            |cx| both(cx, |cx| pour(cx, &mut write_b, &back), |cx| drain(cx, &mut read_b, &there)),
        )?;
    }
    drop(a);
    expect_end(cx, &mut b)
}

fn noise(seed: u64) -> Vec<u8> {
    let rng = Rng::new(seed);
    (0..DUPLEX_BYTES / 8).flat_map(|_| rng.next().to_le_bytes()).collect()
}

/// Writes all of `data` in pieces of all sizes.
fn pour(cx: &mut Cx, w: &mut impl Write, data: &[u8]) -> Checked {
    let (rng, mut done) = (Rng::new(9), 0);
    while done < data.len() {
        let piece = &data[done..data.len().min(done + 1 + rng.below(1 << rng.below(17)))];
        let count = w.write(cx, piece).map_err(|error| Stop::failed("write", error))?;
        done += written(count, piece.len())?;
    }
    w.flush(cx).map_err(|error| Stop::failed("flush", error))
}

/// Reads as much as `data`, in pieces of all sizes.
fn drain(cx: &mut Cx, r: &mut impl Read, data: &[u8]) -> Checked {
    let (rng, mut got) = (Rng::new(10), vec![0; data.len()]);
    let mut done = 0;
    while done < data.len() {
        let room = (data.len() - done).min(1 + rng.below(1 << rng.below(17)));
        let read = r.read(cx, &mut got[done..done + room]);
        match filled(read.map_err(|error| Stop::failed("read", error))?, room)? {
            0 => return Err(Stop::Broken(format!("`read` reported the end after {done} bytes"))),
            count => done += count,
        }
    }
    same(&got, data)
}

fn drop_closes_both<S: Split + Send>(cx: &mut Cx, mut a: S, mut b: S) -> Checked {
    both(cx, |cx| send(cx, &mut a, b"bye"), |cx| expect(cx, &mut b, b"bye"))?;
    drop(a);
    expect_end(cx, &mut b)?;
    super::steps::expect_broken(cx, &mut b)
}

/// In each direction.
const DUPLEX_BYTES: usize = 1024 * 1024;

const THERE: &str = "from the first end to the second";
const BACK: &str = "from the second end to the first";
