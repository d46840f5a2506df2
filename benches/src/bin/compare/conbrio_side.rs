//! The work of each question, in conbrio.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conbrio::{Builder, Cancelled, Cx, NurseryError};

use conbrio_benches::meter::Meter;

use crate::census::{Census, WARM_ROUNDS};
use crate::question::{BATCH, SLEEPERS, Work};

/// Nanoseconds per operation.
pub(crate) fn measure(work: Work, workers: usize, mut meter: Meter) -> f64 {
    let run = Builder::new().workers(workers).run(move |cx| {
        if let Work::YieldAmong(tasks) = work {
            return yield_among(cx, tasks, meter.budget());
        }
        while meter.wants_more() {
            pass(cx, work, &mut meter)?;
        }
        Ok(meter.ns_per_operation())
    });
    run.expect("a runtime").expect("nobody cancels or fails in this work")
}

type Result<T = ()> = std::result::Result<T, NurseryError<Cancelled>>;

fn pass(cx: &mut Cx, work: Work, meter: &mut Meter) -> Result {
    match work {
        Work::Yield => repeated(meter, 100_000, || cx.yield_now().map_err(NurseryError::Cancelled)),
        Work::YieldAmong(_) => unreachable!("measured as a whole"),
        Work::SpawnJoin => cx.nursery(|cx, n| {
            let pass = meter.start();
            for _ in 0..SPAWNS {
                black_box(n.spawn(|_| Ok(black_box(1_u64))).join(cx)?);
            }
            meter.stop(pass, SPAWNS);
            Ok(())
        }),
        Work::SpawnBatch => {
            let pass = meter.start();
            for _ in 0..SPAWNS / BATCH {
                spawn_batch(cx)?;
            }
            meter.stop(pass, SPAWNS);
            Ok(())
        }
        Work::SpawnNursery => {
            let pass = meter.start();
            for _ in 0..SPAWNS / BATCH {
                spawn_nursery(cx)?;
            }
            meter.stop(pass, SPAWNS);
            Ok(())
        }
        Work::EmptyNursery => repeated(meter, 100_000, || cx.nursery(|_, _| Ok(()))),
        Work::Checkpoint => {
            repeated(meter, 1_000_000, || cx.checkpoint().map_err(NurseryError::Cancelled))
        }
        Work::Scope => repeated(meter, 100_000, || {
            black_box(
                cx.cancel_scope(|_, _| Ok(black_box(1_u64))).map_err(NurseryError::Cancelled)?,
            );
            Ok(())
        }),
        Work::Timeout => repeated(meter, 100_000, || {
            let value = cx.move_on_after(LONG, |_| Ok(black_box(1_u64)));
            black_box(value.map_err(NurseryError::Cancelled)?);
            Ok(())
        }),
        Work::TimeoutAcrossYield => repeated(meter, 100_000, || {
            let value = cx.move_on_after(LONG, |cx| cx.yield_now());
            black_box(value.map_err(NurseryError::Cancelled)?);
            Ok(())
        }),
        Work::SleepersLife => sleepers(cx, meter, true),
        Work::SleepersCancel => sleepers(cx, meter, false),
    }
}

fn repeated(meter: &mut Meter, times: usize, mut operation: impl FnMut() -> Result) -> Result {
    let pass = meter.start();
    for _ in 0..times {
        operation()?;
    }
    meter.stop(pass, times);
    Ok(())
}

/// With handles: each value is asked for.
fn spawn_batch(cx: &mut Cx) -> Result {
    cx.nursery(|cx, n| {
        let children: Vec<_> = (0..BATCH).map(|_| n.spawn(|_| Ok(black_box(1_u64)))).collect();
        for mut child in children {
            black_box(child.join(cx)?);
        }
        Ok(())
    })
}

/// Without handles: the end of the nursery joins.
fn spawn_nursery(cx: &mut Cx) -> Result {
    cx.nursery(|_, n| {
        for _ in 0..BATCH {
            n.spawn(|_| Ok(black_box(1_u64)));
        }
        Ok(())
    })
}

fn yield_among(cx: &mut Cx, tasks: usize, budget: Duration) -> Result<f64> {
    let census = Census::default();
    let elapsed = cx.nursery(|cx, n| {
        for _ in 0..tasks {
            n.spawn(|cx| {
                let mut tally = census.enter();
                while census.goes_on(&mut tally) {
                    cx.yield_now()?;
                }
                census.leave(tally);
                Ok(())
            });
        }
        while census.started() < tasks {
            cx.yield_now()?;
        }
        for _ in 0..WARM_ROUNDS {
            cx.yield_now()?;
        }
        let begun = census.begin();
        while begun.elapsed() < budget {
            cx.yield_now()?;
        }
        Ok::<_, Cancelled>(census.end(begun))
    })?;
    Ok(census.ns_per_yield(elapsed))
}

fn sleepers(cx: &mut Cx, meter: &mut Meter, from_birth: bool) -> Result {
    let asleep = AtomicUsize::new(0);
    let birth = meter.start();
    let mut death = None;
    let ended = cx.nursery(|cx, n| {
        for _ in 0..SLEEPERS {
            n.spawn(|cx| {
                asleep.fetch_add(1, Ordering::Relaxed);
                cx.sleep(LONG)
            });
        }
        // One worker: when the last has said so, all others sleep, and it does so before it is our turn.
        while asleep.load(Ordering::Relaxed) < SLEEPERS {
            cx.yield_now()?;
        }
        death = Some(meter.start());
        n.cancel();
        Ok::<_, Cancelled>(())
    });
    let death = death.expect("the body came to its end");
    meter.stop(if from_birth { birth } else { death }, SLEEPERS);
    match ended {
        Err(error) if !error.is_stopped() => Err(error),
        _ => Ok(()),
    }
}

const SPAWNS: usize = 100_000;
const LONG: Duration = Duration::from_secs(3600);
