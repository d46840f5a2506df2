//! Switching, spawning, nurseries, scopes.

use std::hint::black_box;
use std::time::Duration;

use conbrio::{Cancelled, Cx};
use conbrio_bench_kit::census::Census;
use conbrio_bench_kit::counts::{BATCH, BRANCHES, LONG, OPERATIONS, SPAWNS, WARM_ROUNDS, batches};
use conbrio_bench_kit::meter::Meter;
use conbrio_fiber::{Fiber, PoolOptions, StackPool};

use crate::NOBODY;

pub(crate) fn measure(cx: &mut Cx, question: &str, tasks: usize, meter: &mut Meter) -> Option<f64> {
    let ns = match question {
        "yield" if tasks > 1 => yield_among(cx, tasks, meter.budget()),
        "yield" => repeated(meter, OPERATIONS, || cx.yield_now()),
        "spawn-join" => spawn_join(cx, meter),
        "spawn-local" => spawn_local(cx, meter),
        "spawn-batch" => {
            let children = if tasks > 1 { tasks } else { BATCH };
            let times = batches(children);
            meter.passes(times * children, || (0..times).for_each(|_| spawn_batch(cx, children)))
        }
        "spawn-nursery" => {
            let times = batches(BATCH);
            meter.passes(times * BATCH, || (0..times).for_each(|_| spawn_nursery(cx)))
        }
        "nursery" => meter.passes(OPERATIONS, || {
            for _ in 0..OPERATIONS {
                cx.nursery(|_, _| Ok::<(), Cancelled>(())).expect(NOBODY);
            }
        }),
        "checkpoint" => repeated(meter, BRANCHES, || cx.checkpoint()),
        "scope" => repeated(meter, OPERATIONS, || {
            black_box(cx.cancel_scope(|_, _| Ok::<_, Cancelled>(black_box(1_u64)))?);
            Ok(())
        }),
        "timeout" => repeated(meter, OPERATIONS, || {
            black_box(cx.move_on_after(LONG, |_| Ok::<_, Cancelled>(black_box(1_u64)))?);
            Ok(())
        }),
        "timeout-yield" => repeated(meter, OPERATIONS, || {
            black_box(cx.move_on_after(LONG, |cx| cx.yield_now())?);
            Ok(())
        }),
        _ => return None,
    };
    Some(ns)
}

fn repeated(
    meter: &mut Meter,
    times: usize,
    mut operation: impl FnMut() -> Result<(), Cancelled>,
) -> f64 {
    meter.passes(times, || (0..times).for_each(|_| operation().expect(NOBODY)))
}

/// Into a fiber and back, without a scheduler.
pub(crate) fn fiber_switch(meter: &mut Meter) -> f64 {
    let mut pool = StackPool::new(PoolOptions::default()).expect("no shadow stack");
    let stack = pool.acquire(64 * 1024).expect("memory for one stack");
    let mut fiber = Fiber::new(stack, |suspender| {
        // Ends when the question does: a fiber that is dropped before its end aborts.
        while !IS_OVER.load(std::sync::atomic::Ordering::Relaxed) {
            suspender.suspend();
        }
    });
    let ns = meter.passes(BRANCHES, || {
        for _ in 0..BRANCHES {
            let _ = black_box(fiber.resume());
        }
    });
    IS_OVER.store(true, std::sync::atomic::Ordering::Relaxed);
    let _ = fiber.resume();
    pool.release(fiber.into_stack());
    ns
}

static IS_OVER: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

fn spawn_join(cx: &mut Cx, meter: &mut Meter) -> f64 {
    meter.passes(SPAWNS, || {
        cx.nursery(|cx, n| {
            for _ in 0..SPAWNS {
                black_box(n.spawn(|_| Ok::<_, Cancelled>(black_box(1_u64))).join(cx)?);
            }
            Ok(())
        })
        .expect(NOBODY);
    })
}

fn spawn_local(cx: &mut Cx, meter: &mut Meter) -> f64 {
    meter.passes(SPAWNS, || {
        cx.nursery(|cx, n| {
            for _ in 0..SPAWNS {
                black_box(n.spawn_local(cx, |_| Ok::<_, Cancelled>(black_box(1_u64))).join(cx)?);
            }
            Ok(())
        })
        .expect(NOBODY);
    })
}

/// With handles: each value is asked for.
fn spawn_batch(cx: &mut Cx, children: usize) {
    cx.nursery(|cx, n| {
        let children: Vec<_> =
            (0..children).map(|_| n.spawn(|_| Ok::<_, Cancelled>(black_box(1_u64)))).collect();
        for mut child in children {
            black_box(child.join(cx)?);
        }
        Ok(())
    })
    .expect(NOBODY);
}

/// Without handles: the end of the nursery joins.
fn spawn_nursery(cx: &mut Cx) {
    cx.nursery(|_, n| {
        for _ in 0..BATCH {
            n.spawn(|_| Ok::<_, Cancelled>(black_box(1_u64)));
        }
        Ok(())
    })
    .expect(NOBODY);
}

fn yield_among(cx: &mut Cx, tasks: usize, budget: Duration) -> f64 {
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
    });
    census.ns_per_yield(elapsed.expect(NOBODY))
}
