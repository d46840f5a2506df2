//! Time, and the checkpoints themselves.

use std::time::Duration;

use conbrio::prelude::*;

use super::{LONG, SHORT, simulated, was_cancelled};

// N17: Cx::checkpoint, Cx::checkpoint_if_cancelled, Cx::yield_now, Cx::yield_shielded
#[test]
fn checkpoints() {
    simulated(4, |cx, trial| {
        let mut passed = 0;
        let outcome = trial.run(cx, |cx| {
            cx.checkpoint()?;
            passed += 1;
            cx.checkpoint_if_cancelled()?;
            passed += 1;
            cx.yield_now()?;
            passed += 1;
            cx.yield_shielded();
            passed += 1;
            cx.checkpoint()
        });
        let expected = match trial.point() {
            // The shielded one does not stop it.
            4 => 4,
            point => (point - 1).min(4),
        };
        assert_eq!(passed, expected);
        assert_eq!(was_cancelled(trial, &outcome), trial.is_cancelled());
        // Outside of the scope there is nothing to see any more.
        cx.checkpoint().unwrap();
    });
}

// N17: Cx::sleep, Cx::sleep_until
#[test]
fn sleeping() {
    type Sleep = fn(&mut Cx) -> Result<(), Cancelled>;
    let sleeps: [Sleep; 2] = [|cx| cx.sleep(SHORT), |cx| cx.sleep_until(cx.now() + SHORT)];
    for sleep in sleeps {
        simulated(3, |cx, trial| {
            let start = cx.now();
            let outcome = trial.run(cx, sleep);
            let full = if was_cancelled(trial, &outcome) { Duration::ZERO } else { SHORT };
            assert_eq!(cx.now() - start, full);
            assert_eq!(cx.statistics().timers, 0, "its timer is gone");
        });
    }
}

// N17: Cx::sleep_forever
#[test]
fn sleeping_for_ever() {
    simulated(3, |cx, trial| {
        let start = cx.now();
        let outcome = trial.run(cx, |cx| cx.move_on_after(LONG, |cx| cx.sleep_forever()));
        // Whose cancellation it is decides, also when both come together.
        match outcome {
            Ok(slept) => assert_eq!((slept, cx.now() - start), (None, LONG)),
            Err(cancelled) => assert!(trial.is_cancelled(), "{cancelled}"),
        }
    });
}

// N17: time::Interval::tick
#[test]
fn ticks() {
    simulated(9, |cx, trial| {
        let start = cx.now();
        let mut interval = cx.interval(SHORT);
        let mut due = Vec::new();
        let outcome = trial.run(cx, |cx| -> Result<(), Cancelled> {
            for _ in 0..3 {
                due.push(interval.tick(cx)?);
            }
            Ok(())
        });
        was_cancelled(trial, &outcome);
        while due.len() < 5 {
            due.push(interval.tick(cx).unwrap());
        }
        // No tick is lost, and none comes twice.
        let all: Vec<_> = (1..=5).map(|round| start + round * SHORT).collect();
        assert_eq!(due, all);
    });
}
