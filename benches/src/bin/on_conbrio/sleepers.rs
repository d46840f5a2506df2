//! Tasks that sleep, end by a cancellation or by their deadline, or only wait while memory is counted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conbrio::{Builder, Cancelled, Cx, NurseryError};
use conbrio_bench_kit::counts::{LONG, patience};
use conbrio_bench_kit::meter::Meter;
use conbrio_bench_kit::program::Parked;

use crate::NOBODY;

pub(crate) fn measure(cx: &mut Cx, question: &str, tasks: usize, meter: &mut Meter) -> Option<f64> {
    match question {
        "sleepers" => while_wanted(meter, |meter| cancelled(cx, tasks, meter, true)),
        "sleepers-cancel" => while_wanted(meter, |meter| cancelled(cx, tasks, meter, false)),
        "sleepers-fire" => while_wanted(meter, |meter| fired(cx, tasks, meter)),
        _ => return None,
    }
    Some(meter.ns_per_operation())
}

fn while_wanted(meter: &mut Meter, mut pass: impl FnMut(&mut Meter)) {
    while meter.wants_more() {
        pass(meter);
    }
}

fn cancelled(cx: &mut Cx, tasks: usize, meter: &mut Meter, from_birth: bool) {
    let asleep = AtomicUsize::new(0);
    let birth = meter.start();
    let mut death = None;
    let ended = cx.nursery(|cx, n| {
        for _ in 0..tasks {
            n.spawn(|cx| {
                asleep.fetch_add(1, Ordering::Relaxed);
                cx.sleep(LONG)
            });
        }
        // One worker: when the last has said so, all others sleep, and it does so before it is our turn.
        while asleep.load(Ordering::Relaxed) < tasks {
            cx.yield_now()?;
        }
        death = Some(meter.start());
        n.cancel();
        Ok::<_, Cancelled>(())
    });
    let death = death.expect("the body came to its end");
    meter.stop(if from_birth { birth } else { death }, tasks);
    expect_stopped(ended);
}

/// All sleep until the same moment; counted is from that moment until the last has ended.
fn fired(cx: &mut Cx, tasks: usize, meter: &mut Meter) {
    let asleep = AtomicUsize::new(0);
    let deadline = Instant::now() + patience(tasks);
    let mut is_late = false;
    cx.nursery(|cx, n| {
        for _ in 0..tasks {
            n.spawn(|cx| {
                asleep.fetch_add(1, Ordering::Relaxed);
                cx.sleep_until(deadline)
            });
        }
        while asleep.load(Ordering::Relaxed) < tasks {
            cx.yield_now()?;
        }
        is_late = meter.is_warm() && Instant::now() >= deadline;
        Ok::<_, Cancelled>(())
    })
    .expect(NOBODY);
    // If some woke before all slept, the pass does not count.
    if !is_late {
        meter.stop_since(deadline, tasks);
    }
}

fn expect_stopped(ended: Result<(), NurseryError<Cancelled>>) {
    if let Err(error) = ended {
        assert!(error.is_stopped(), "only its own cancellation ends this nursery: {error}");
    }
}

/// So many tasks that wait for ever, on one worker.
pub(crate) fn park(tasks: usize, parked: Parked) {
    let run = Builder::new().workers(1).run(move |cx| {
        let asleep = AtomicUsize::new(0);
        let ended = cx.nursery(|cx, n| {
            for _ in 0..tasks {
                n.spawn(|cx| {
                    asleep.fetch_add(1, Ordering::Relaxed);
                    cx.sleep_forever()
                });
            }
            while asleep.load(Ordering::Relaxed) < tasks {
                cx.yield_now()?;
            }
            parked();
            n.cancel();
            Ok::<_, Cancelled>(())
        });
        expect_stopped(ended);
        // Memory that is given back when there is nothing to do has time to be.
        cx.sleep(Duration::from_secs(5)).expect(NOBODY);
        parked();
    });
    run.expect("a runtime");
}
