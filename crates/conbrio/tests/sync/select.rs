//! Events and permits as arms of a select.

use std::time::Duration;

use conbrio::channel::{OneOf2, OneOf3, after};
use conbrio::sync::{Event, Semaphore};
use conbrio::testing::{CancelPoints, explore};

use crate::support::{Fault, Trace, message_of, on_all_workers, settled};

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn an_event_wakes_all_selects_that_wait_for_it() {
    on_all_workers(|cx| {
        let (event, other, trace) = (Event::new(), Event::new(), Trace::new());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            for _ in 0..3 {
                n.spawn(|cx| {
                    let happened = cx.select((other.waiting(), event.waiting(), after(LONG)))?;
                    trace.push(happened);
                    Ok(())
                });
            }
            let cancelled =
                n.spawn(|cx| Ok(cx.select([other.waiting(), event.waiting()]).map(drop)?));
            settled(cx)?;
            assert!(trace.take().is_empty());
            cancelled.cancel();
            settled(cx)?;
            event.set();
            settled(cx)?;
            assert_eq!(trace.take(), [OneOf3::Second(()); 3]);
            Ok(())
        })
        .unwrap();
        assert!(format!("{:?}", event.waiting()).starts_with("Waiting { event: Event"));
    });
}

#[test]
fn a_select_gets_permits_that_nobody_waits_for() {
    on_all_workers(|cx| {
        let (semaphore, trace) = (Semaphore::bounded(2, 2), Trace::new());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let (first, second) = (semaphore.acquire(cx)?, semaphore.acquire(cx)?);
            for count in [1, 2] {
                let (semaphore, trace) = (&semaphore, &trace);
                n.spawn(move |cx| {
                    let arms = (semaphore.acquiring_many(count), after(LONG));
                    if let OneOf2::First(permits) = cx.select(arms)? {
                        trace.push(permits.count());
                        // So that they are not given back at once.
                        cx.sleep(Duration::from_secs(1))?;
                    }
                    Ok(())
                });
            }
            settled(cx)?;
            let mut waits = n.spawn(|cx| Ok(semaphore.acquire(cx).map(drop)?));
            settled(cx)?;
            drop(first);
            waits.join(cx)?;
            settled(cx)?;
            assert_eq!(trace.take(), [1], "after the task that waited");
            drop(second);
            settled(cx)?;
            assert!(trace.take().is_empty(), "one is there, and two are wanted");
            cx.sleep(Duration::from_secs(2))?;
            assert_eq!(trace.take(), [2]);
            Ok(())
        })
        .unwrap();
        assert_eq!((semaphore.available(), semaphore.statistics().lent), (2, 0));
        assert!(message_of(|| semaphore.acquiring_many(3)).contains("would never come"));
        let shown = format!("{:?}", semaphore.acquiring());
        assert!(shown.starts_with("Acquiring { semaphore: Semaphore"), "{shown}");
    });
}

#[test]
fn exactly_one_arm_happens_and_the_others_are_untouched() {
    explore(0..200, |cx| {
        let (left, right) = (Semaphore::new(1), Semaphore::new(1));
        cx.nursery(|_, n| -> Result<(), Fault> {
            for number in 0..4 {
                let (left, right) = (&left, &right);
                n.spawn(move |cx| {
                    let outcome = cx.move_on_after(Duration::from_micros(9 * number), |cx| {
                        for _ in 0..3 {
                            let chosen = cx.select((left.acquiring(), right.acquiring()))?;
                            cx.sleep(Duration::from_micros(4))?;
                            drop(chosen);
                        }
                        Ok::<_, Fault>(())
                    });
                    outcome.map(drop)
                });
            }
            Ok(())
        })
        .unwrap();
        for semaphore in [left, right] {
            let statistics = semaphore.statistics();
            assert_eq!((statistics.available, statistics.lent), (1, 0));
        }
    });
}

// spec: N17
#[test]
fn a_cancelled_select_has_taken_nothing() {
    CancelPoints::new().run(|cx, trial| {
        let (semaphore, event) = (Semaphore::new(1), Event::new());
        let held = semaphore.try_acquire().unwrap();
        cx.nursery(|cx, n| -> Result<(), Fault> {
            n.spawn(move |cx| {
                cx.sleep(Duration::from_millis(1))?;
                drop(held);
                Ok(())
            });
            let outcome = trial.run(cx, |cx| cx.select((event.waiting(), semaphore.acquiring())));
            match outcome {
                Ok(OneOf2::Second(permit)) => {
                    assert_eq!((permit.count(), semaphore.available()), (1, 0))
                }
                Ok(OneOf2::First(())) => panic!("nobody has set it"),
                Err(_) => assert!(trial.is_cancelled()),
            }
            Ok(())
        })
        .unwrap();
        assert_eq!((semaphore.available(), semaphore.statistics().lent), (1, 0));
    });
}
