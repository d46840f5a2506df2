//! Schedules, and retrying by them.

use std::time::Duration;

use conbrio::concurrent::Schedule;
use conbrio::prelude::*;
use conbrio::testing::run;

use super::support::{Fault, ms, panic_text};

fn millis(schedule: &Schedule) -> Vec<u128> {
    schedule.delays().take(20).map(|delay| delay.as_millis()).collect()
}

#[test]
fn schedules_are_put_together() {
    let five = |schedule: Schedule| millis(&schedule.retries_max(5));
    assert_eq!(five(Schedule::fixed(ms(7))), [7; 5]);
    assert_eq!(five(Schedule::exponential(ms(1))), [1, 2, 4, 8, 16]);
    assert_eq!(five(Schedule::growing(ms(100), 1.5)), [100, 150, 225, 337, 506]);
    assert_eq!(five(Schedule::exponential(ms(1)).delay_max(ms(5))), [1, 2, 4, 5, 5]);
    let chained = Schedule::fixed(ms(1)).retries_max(2).then(Schedule::exponential(ms(10)));
    assert_eq!(five(chained.clone()), [1, 1, 10, 20, 40]);
    // Each method changes all that stands before it.
    assert_eq!(millis(&chained.delay_max(ms(15)).retries_max(4)), [1, 1, 10, 15]);
    let late = Schedule::fixed(ms(5)).retries_max(2).then(Schedule::fixed(ms(3)).total_max(ms(9)));
    assert_eq!(millis(&late), [5, 5, 3, 3, 3]);
    assert_eq!(millis(&Schedule::exponential(ms(1)).total_max(ms(10))), [1, 2, 4]);
    assert_eq!(millis(&Schedule::fixed(ms(1)).retries_max(0)), [0_u128; 0]);
}

#[test]
fn delays_that_grow_without_end_do_not_overflow() {
    let mut delays = Schedule::exponential(Duration::from_secs(1 << 60)).delays();
    for _ in 0..2000 {
        assert!(delays.next().is_some());
    }
    assert_eq!(delays.next(), Some(Duration::MAX));
    let mut capped = Schedule::exponential(ms(1)).jitter(1.0).delay_max(ms(50)).delays();
    assert!((0..2000).all(|_| capped.next().is_some_and(|delay| delay <= ms(50))));
}

#[test]
fn jitter_is_drawn_from_its_seed() {
    let schedule = |seed| Schedule::fixed(ms(1000)).jitter(0.25).seed(seed).retries_max(20);
    assert_eq!(millis(&schedule(1)), millis(&schedule(1)));
    assert_ne!(millis(&schedule(1)), millis(&schedule(2)));
    let drawn = millis(&schedule(3));
    assert!(drawn.iter().all(|delay| (750..=1000).contains(delay)), "{drawn:?}");
    assert!(drawn.iter().any(|delay| *delay < 850) && drawn.iter().any(|delay| *delay > 900));
    // Without a seed each run draws others.
    let unseeded = Schedule::fixed(ms(1_000_000_000)).jitter(1.0).retries_max(20);
    assert_ne!(millis(&unseeded), millis(&unseeded));
    // But not in a simulation.
    let total = || {
        run(|cx| {
            let began = cx.now();
            cx.retry(&unseeded, |_| Err::<(), _>(Fault::Named("no"))).unwrap_err();
            cx.now() - began
        })
    };
    assert_eq!(total(), total());
}

/// Fails with the names in turn, and then succeeds. Notes when.
fn attempts(
    cx: &mut Cx,
    schedule: &Schedule,
    faults: &[&'static str],
    is_transient: impl FnMut(&Fault) -> bool,
) -> (Result<usize, Fault>, Vec<u128>) {
    let (began, mut begun) = (cx.now(), Vec::new());
    let result = cx.retry_if(
        schedule,
        |cx| {
            begun.push((cx.now() - began).as_millis());
            cx.sleep(ms(1))?;
            faults.get(begun.len() - 1).map_or(Ok(begun.len()), |name| Err(Fault::Named(name)))
        },
        is_transient,
    );
    (result, begun)
}

#[test]
fn it_is_tried_again_as_the_schedule_says() {
    run(|cx| {
        let schedule = Schedule::exponential(ms(10)).retries_max(3);
        let (result, begun) = attempts(cx, &schedule, &[], |_| true);
        assert_eq!((result.unwrap(), begun), (1, vec![0]));
        let (result, begun) = attempts(cx, &schedule, &["a", "b"], |_| true);
        assert_eq!((result.unwrap(), begun), (3, vec![0, 11, 32]));
        let (result, begun) = attempts(cx, &schedule, &["a", "b", "c", "d", "e"], |_| true);
        assert!(matches!(result, Err(Fault::Named("d"))), "{result:?}");
        assert_eq!(begun, [0, 11, 32, 73]);
        let mut seen = Vec::new();
        let (result, _) = attempts(cx, &schedule, &["a", "fatal", "c"], |fault| {
            let Fault::Named(name) = fault else { panic!("{fault:?}") };
            seen.push(*name);
            *name != "fatal"
        });
        assert!(matches!(result, Err(Fault::Named("fatal"))), "{result:?}");
        assert_eq!(seen, ["a", "fatal"]);
        // The time that attempts take counts.
        let schedule = Schedule::fixed(ms(10)).total_max(ms(30));
        let (_, begun) = attempts(cx, &schedule, &["a"; 10], |_| true);
        assert_eq!(begun, [0, 11, 22]);
    });
}

// spec: S17
#[test]
fn a_loop_of_ones_own_does_the_same() {
    run(|cx| {
        let schedule = Schedule::exponential(ms(10)).retries_max(3);
        let attempt = |cx: &mut Cx, number: u32| -> Result<u32, Fault> {
            cx.sleep(ms(1))?;
            if number < 2 { Err(Fault::Named("again")) } else { Ok(number) }
        };
        let by_hand = |cx: &mut Cx| -> Result<u32, Fault> {
            let mut delays = schedule.delays();
            let mut number = 0;
            loop {
                match attempt(cx, number) {
                    Err(fault) if fault.cancelled().is_none() => {
                        cx.sleep(delays.next().ok_or(fault)?)?;
                    }
                    done => return done,
                }
                number += 1;
            }
        };
        let began = cx.now();
        assert_eq!(by_hand(cx).unwrap(), 2);
        let took = cx.now() - began;
        let mut numbers = 0..;
        let retried = cx.retry(&schedule, |cx| attempt(cx, numbers.next().unwrap()));
        assert_eq!((retried.unwrap(), cx.now() - began), (2, took * 2));
    });
}

#[test]
fn cancellations_are_not_retried() {
    run(|cx| {
        let schedule = Schedule::fixed(ms(10));
        let mut begun = 0;
        let outcome = cx.move_on_after(ms(25), |cx| {
            cx.retry(&schedule, |_| {
                begun += 1;
                Err::<(), _>(Fault::Named("again"))
            })
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert_eq!(begun, 3);
        let outcome = cx.move_on_after(ms(25), |cx| {
            cx.retry(&schedule, |cx| -> Result<(), Fault> {
                begun += 1;
                Ok(cx.sleep_forever()?)
            })
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert_eq!(begun, 4);
        // A limit on each attempt is an error like any other.
        let limited: Result<(), Fault> = cx.retry(&schedule.clone().retries_max(2), |cx| {
            begun += 1;
            match cx.fail_after(ms(1), |cx| cx.sleep_forever()) {
                Err(OrTimedOut::Failed(cancelled)) => Err(cancelled.into()),
                _ => Err(Fault::Named("timed out")),
            }
        });
        assert!(matches!(limited, Err(Fault::Named("timed out"))));
        assert_eq!(begun, 7);
    });
}

#[test]
fn a_schedule_without_delays_gives_others_their_turn() {
    run(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut other = n.spawn(|cx| cx.yield_now());
            let schedule = Schedule::fixed(Duration::ZERO);
            cx.retry(&schedule, |_| match other.is_finished() {
                true => Ok(()),
                false => Err(Fault::Named("not yet")),
            })
            .unwrap();
            other.join(cx)
        })
        .unwrap();
    });
}

#[test]
fn senseless_schedules_are_refused() {
    let text = panic_text(|| Schedule::growing(ms(1), 0.5));
    assert_eq!(text, "delays grow by a factor of at least 1, not 0.5");
    assert!(panic_text(|| Schedule::growing(ms(1), f64::NAN)).contains("not NaN"));
    assert_eq!(
        panic_text(|| Schedule::fixed(ms(1)).jitter(1.5)),
        "jitter is between 0 and 1, not 1.5"
    );
}
