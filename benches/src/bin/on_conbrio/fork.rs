//! Recursion by forks, races, mapping.

use std::hint::black_box;

use conbrio::{Cancelled, Cx, NurseryError};
use conbrio_bench_kit::counts::{FIB, FORKS, MAP_LIMIT, MAPPED, OPERATIONS};
use conbrio_bench_kit::meter::Meter;

use crate::NOBODY;

pub(crate) fn measure(cx: &mut Cx, question: &str, meter: &mut Meter) -> Option<f64> {
    let ns = match question {
        "fib" => meter.passes(FORKS, || {
            black_box(fib(cx, black_box(FIB)).expect(NOBODY));
        }),
        "race" => meter.passes(OPERATIONS / 10, || {
            for _ in 0..OPERATIONS / 10 {
                let winner: Result<u64, NurseryError<Cancelled>> =
                    cx.race(|cx| cx.sleep_forever().map(|()| 1), |_| Ok(black_box(2)));
                black_box(winner.expect(NOBODY));
            }
        }),
        "map" => meter.passes(MAPPED, || {
            let mapped = cx.map_concurrent(MAP_LIMIT, 0..MAPPED, |cx, item| {
                cx.yield_now()?;
                Ok::<_, Cancelled>(item + 1)
            });
            black_box(mapped.expect(NOBODY));
        }),
        _ => return None,
    };
    Some(ns)
}

fn fib(cx: &mut Cx, n: u32) -> Result<u64, NurseryError<Cancelled>> {
    if n < 2 {
        return Ok(u64::from(n));
    }
    let forked = cx.join(
        move |cx| fib(cx, n - 1).map_err(cancelled),
        move |cx| fib(cx, n - 2).map_err(cancelled),
    );
    let (a, b) = forked?;
    Ok(a + b)
}

/// The only error that the work can have.
fn cancelled(error: NurseryError<Cancelled>) -> Cancelled {
    match error {
        NurseryError::Cancelled(cancelled) => cancelled,
        other => unreachable!("{other}"),
    }
}
