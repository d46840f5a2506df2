//! Races: one winner, losers cancelled and joined, and no futurelock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use conbrio::Started;
use conbrio::concurrent::arm;
use conbrio::lowlevel::ParkingLot;
use conbrio::prelude::*;
use conbrio::testing::{exhaust, explore, run};

use super::support::{Fault, Running, ms, names, on_workers, panic_text};

// spec: S15
#[test]
fn the_first_wins_and_the_others_have_ended() {
    explore(0..200, |cx| {
        let running = Running::default();
        let farewell = AtomicUsize::new(0);
        let arms = [3, 1, 2].map(|after| {
            let (running, farewell) = (&running, &farewell);
            move |cx: &mut Cx| -> Result<u64, Cancelled> {
                let _running = running.enter();
                let slept = cx.sleep(ms(after));
                if slept.is_err() {
                    // Cleanup that waits, in the loser.
                    cx.cleanup(ms(100), |cx| cx.sleep(ms(10)))?;
                    farewell.fetch_add(1, SeqCst);
                }
                slept.map(|()| after)
            }
        });
        assert_eq!(cx.race_all(arms).unwrap(), 1);
        assert_eq!((running.now(), running.ever(), farewell.into_inner()), (0, 3, 2));
    });
}

#[test]
fn an_error_decides_the_race_and_none_is_lost() {
    explore(0..200, |cx| {
        let result = cx.race(
            |cx| cx.sleep_forever().map_err(|_| Fault::Named("farewell")),
            |_| Err(Fault::Named("first")),
        );
        assert_eq!(names(result), ["first", "farewell"]);
        // Also an error of the loser.
        let result = cx.race(
            |cx| cx.sleep_forever().map_err(|_| Fault::Named("farewell")),
            |cx| Ok(cx.sleep(ms(1))?),
        );
        assert_eq!(names(result), ["farewell"]);
        let won = cx.race(|cx| Ok(cx.sleep_forever()?), |_| Ok::<_, Fault>(()));
        assert!(won.is_ok());
    });
}

#[test]
fn a_panic_of_the_loser_comes_out() {
    let text = panic_text(|| {
        run(|cx| {
            cx.race(
                |cx| {
                    let _ = cx.sleep_forever();
                    panic!("in the loser")
                },
                |cx| cx.sleep(ms(1)),
            )
            .unwrap()
        })
    });
    assert_eq!(text, "in the loser");
}

#[test]
fn an_empty_race_is_refused_at_the_callers_line() {
    let text = panic_text(|| run(|cx| cx.race_all(Vec::<super::NoArm>::new()).unwrap()));
    assert!(text.contains("at least one arm"), "{text}");
}

#[test]
fn arms_may_be_of_different_types_and_borrow() {
    run(|cx| {
        let mut log = Vec::new();
        let first = cx
            .race_all([
                arm(|cx| {
                    log.push("slow");
                    cx.sleep(ms(2)).map(|()| 1)
                }),
                arm(|cx| cx.sleep(ms(1)).map(|()| 2)),
            ])
            .unwrap();
        assert_eq!((first, log), (2, vec!["slow"]));
    });
}

// spec: N2
#[test]
fn a_cancelled_race_has_no_winner_and_leaves_nobody() {
    explore(0..200, |cx| {
        let running = Running::default();
        let sleeper = |cx: &mut Cx| -> Result<(), Cancelled> {
            let _running = running.enter();
            cx.sleep_forever()
        };
        let outcome = cx.move_on_after(ms(1), |cx| cx.race(sleeper, sleeper));
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert_eq!((running.now(), running.ever()), (0, 2));
        // A winner counts although the caller was cancelled.
        let outcome = cx.cancel_scope(|cx, scope| {
            scope.cancel();
            cx.race(|_| Ok::<_, Cancelled>(1), |cx| cx.sleep_forever().map(|()| 2))
        });
        assert_eq!(outcome.unwrap(), Some(1));
    });
}

// What is received is kept in borrowed variables, so that the loser's item is not lost.
#[test]
fn no_item_is_lost_when_both_complete() {
    let proof = exhaust(usize::MAX, |cx| {
        let items = Mutex::new(vec![1, 2]);
        let (mut left, mut right) = (None, None);
        let take = |cx: &mut Cx| -> Result<Option<u32>, Cancelled> {
            cx.checkpoint()?;
            Ok(items.lock().unwrap().pop())
        };
        cx.race(
            |cx| {
                left = take(cx)?;
                Ok::<_, Cancelled>(())
            },
            |cx| {
                right = take(cx)?;
                Ok(())
            },
        )
        .unwrap();
        let taken = [left, right].into_iter().flatten().count();
        assert_eq!(taken + items.lock().unwrap().len(), 2);
        assert!(taken >= 1);
    });
    assert!(proof.complete());
}

/// A fair lock that is handed over to whoever waits longest, like those of the report.
struct Fair(ParkingLot<bool>);

impl Fair {
    fn lock(&self, cx: &mut Cx) -> Result<Locked<'_>, Cancelled> {
        cx.checkpoint()?;
        let mut is_locked = self.0.lock();
        if !*is_locked {
            *is_locked = true;
            return Ok(Locked(self));
        }
        match is_locked.park(cx, &mut ()) {
            Ok(()) => Ok(Locked(self)),
            Err(OrCancelled::Cancelled(cancelled)) => Err(cancelled),
            Err(OrCancelled::Failed(broken)) => panic!("{broken}"),
        }
    }
}

struct Locked<'a>(&'a Fair);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let mut is_locked = self.0.0.lock();
        *is_locked = is_locked.unpark(1) == 1;
    }
}

fn work(cx: &mut Cx, lock: &Fair, log: &Mutex<Vec<&str>>, who: &'static str) -> Result<(), Fault> {
    let _held = lock.lock(cx)?;
    log.lock().unwrap().push(who);
    Ok(())
}

/// Takes the lock and keeps it for a while.
fn keep(
    cx: &mut Cx,
    lock: &Fair,
    started: Started<'_, (), Fault>,
    millis: u64,
) -> Result<(), Fault> {
    let held = lock.lock(cx)?;
    started.ready(());
    cx.sleep(ms(millis))?;
    drop(held);
    Ok(())
}

// The program of Oxide's RFD 609: a task keeps the lock for a while; an operation that was begun waits for it,
// and is raced against a timeout, which comes first; what is done then needs the lock, too. There the lock
// is handed to the operation, which nobody polls any more. Here the operation is a task.
#[test]
fn there_is_no_futurelock() {
    // A run that can never end fails by itself in a simulation.
    explore(0..100, |cx| {
        let (lock, log) = (Fair(ParkingLot::with_state(false)), Mutex::new(Vec::new()));
        cx.nursery(|cx, n| -> Result<(), Fault> {
            n.start(cx, |cx, started| keep(cx, &lock, started, 5000)).unwrap();
            let mut operation = n.spawn(|cx| work(cx, &lock, &log, "operation"));
            let in_time = cx.race(
                |cx| Ok::<_, Fault>(operation.join(cx).map(|()| true)?),
                |cx| Ok(cx.sleep(ms(500)).map(|()| false)?),
            )?;
            assert!(!in_time);
            work(cx, &lock, &log, "instead")?;
            Ok(operation.join(cx)?)
        })
        .unwrap();
        assert_eq!(log.into_inner().unwrap(), ["operation", "instead"]);
    });
}

// The same with the operation inside the race: the loser has left the queue before the race returns, also
// if the timeout comes at the moment at which the lock is handed over.
#[test]
fn a_loser_that_waits_for_a_lock_does_not_keep_it() {
    explore(0..300, |cx| {
        let (lock, log) = (Fair(ParkingLot::with_state(false)), Mutex::new(Vec::new()));
        cx.nursery(|cx, n| -> Result<(), Fault> {
            n.start(cx, |cx, started| keep(cx, &lock, started, 500)).unwrap();
            cx.race(|cx| work(cx, &lock, &log, "operation"), |cx| Ok(cx.sleep(ms(500))?))?;
            work(cx, &lock, &log, "instead")
        })
        .unwrap();
        assert_eq!(log.into_inner().unwrap().last(), Some(&"instead"));
    });
}

// "Barbara battles buffered streams": what works in the background is not stalled by the body.
#[test]
fn arms_go_on_while_their_owner_does_something_else() {
    run(|cx| {
        let began = cx.now();
        let mut answer = None;
        let busy = |cx: &mut Cx| cx.sleep(ms(100));
        cx.join(
            |cx| {
                // The connection must be used within ten milliseconds, or it is closed.
                let timely = cx.move_on_after(ms(10), |cx| cx.sleep(ms(5)))?;
                answer = timely;
                Ok(())
            },
            busy,
        )
        .unwrap();
        assert_eq!(answer, Some(()));
        assert_eq!(cx.now() - began, ms(100));
    });
}

#[test]
fn races_on_real_workers() {
    on_workers(|cx| {
        for round in 0..200_u32 {
            let running = Running::default();
            let winner = cx.race_all((0..4).map(|i| {
                let running = &running;
                move |cx: &mut Cx| -> Result<u32, Cancelled> {
                    let _running = running.enter();
                    for _ in 0..(i + round) % 4 {
                        cx.yield_now()?;
                    }
                    Ok(i)
                }
            }));
            assert!(winner.unwrap() < 4);
            assert_eq!((running.now(), running.ever()), (0, 4));
        }
    });
}
