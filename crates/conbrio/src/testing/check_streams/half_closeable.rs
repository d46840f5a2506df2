//! What holds for two ends whose writing directions can end one by one.

use super::one_way::{Rule, check_rules};
use super::rule::{Checked, Stop, must};
use super::steps::{
    attempt_fails, both, cancelled_before, expect, expect_broken, expect_end, rest, send,
};
use crate::io::{HalfClose, Split};
use crate::task::Cx;

pub(super) fn check<S: Split + HalfClose + Send>(
    cx: &mut Cx,
    make: &mut dyn FnMut(&mut Cx) -> (S, S),
) -> Checked {
    super::two_way::check(cx, make)?;
    check_rules(cx, make, &rules())?;
    let mut swapped = |cx: &mut Cx| {
        let (first, second) = make(cx);
        (second, first)
    };
    check_rules(cx, &mut swapped, &rules()).map_err(|stop| stop.when("with the ends swapped"))
}

fn rules<S: Split + HalfClose + Send>() -> [Rule<S, S>; 7] {
    [
        ("after `end_write` come the bytes, and then the end", bytes_then_end),
        ("a reader that waits sees `end_write`", wakes_reader),
        ("`end_write` leaves the other direction open", other_direction),
        ("a write after `end_write` fails, and nothing of it arrives", write_after),
        ("`end_write` again has no effect", again),
        ("`end_write` is a checkpoint, always, and has no effect if cancelled", checkpoint),
        ("both directions can end, one after the other", both_end),
    ]
}

fn end(cx: &mut Cx, stream: &mut impl HalfClose) -> Checked {
    stream.end_write(cx).map_err(|error| Stop::failed("end_write", error))
}

fn bytes_then_end<S: Split + HalfClose + Send>(cx: &mut Cx, mut a: S, mut b: S) -> Checked {
    both(
        cx,
        |cx| {
            send(cx, &mut a, b"all of it")?;
            end(cx, &mut a)
        },
        |cx| {
            rest(cx)?;
            expect(cx, &mut b, b"all of it")?;
            expect_end(cx, &mut b)
        },
    )?;
    Ok(())
}

fn wakes_reader<S: Split + HalfClose + Send>(cx: &mut Cx, mut a: S, mut b: S) -> Checked {
    both(
        cx,
        |cx| expect_end(cx, &mut b),
        |cx| {
            rest(cx)?;
            end(cx, &mut a)
        },
    )?;
    Ok(())
}

fn other_direction<S: Split + HalfClose + Send>(cx: &mut Cx, mut a: S, mut b: S) -> Checked {
    end(cx, &mut a)?;
    expect_end(cx, &mut b)?;
    for data in [&b"still"[..], b"here"] {
        both(
            cx,
            |cx| expect(cx, &mut a, data),
            |cx| {
                rest(cx)?;
                send(cx, &mut b, data)
            },
        )?;
    }
    drop(b);
    expect_end(cx, &mut a)
}

fn write_after<S: Split + HalfClose + Send>(cx: &mut Cx, mut a: S, mut b: S) -> Checked {
    both(
        cx,
        |cx| {
            send(cx, &mut a, b"x")?;
            end(cx, &mut a)?;
            for _ in 0..3 {
                let fails = attempt_fails(cx, &mut a)?;
                must(fails, || "`write` succeeded".to_owned())?;
            }
            Ok(())
        },
        |cx| {
            expect(cx, &mut b, b"x")?;
            expect_end(cx, &mut b)?;
            rest(cx)?;
            expect_end(cx, &mut b)
        },
    )?;
    Ok(())
}

fn again<S: Split + HalfClose + Send>(cx: &mut Cx, mut a: S, mut b: S) -> Checked {
    for _ in 0..3 {
        end(cx, &mut a)?;
        expect_end(cx, &mut b)?;
    }
    both(cx, |cx| send(cx, &mut b, b"open"), |cx| expect(cx, &mut a, b"open"))?;
    Ok(())
}

fn checkpoint<S: Split + HalfClose + Send>(cx: &mut Cx, mut a: S, mut b: S) -> Checked {
    cancelled_before(cx, "end_write", |cx| a.end_write(cx))?;
    both(cx, |cx| send(cx, &mut a, b"open"), |cx| expect(cx, &mut b, b"open"))?;
    end(cx, &mut a)?;
    cancelled_before(cx, "end_write", |cx| a.end_write(cx))?;
    expect_end(cx, &mut b)
}

fn both_end<S: Split + HalfClose + Send>(cx: &mut Cx, mut a: S, mut b: S) -> Checked {
    end(cx, &mut a)?;
    expect_end(cx, &mut b)?;
    end(cx, &mut b)?;
    expect_end(cx, &mut a)?;
    expect_broken(cx, &mut a)?;
    expect_broken(cx, &mut b)
}
