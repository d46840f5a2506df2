//! N17: every function here that waits, cancelled at every point at which it can see that.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::sync::{
    Barrier, CapacityLimiter, Condition, Event, Mutex, OnceCell, RwLock, Semaphore, Singleflight,
    WaitGroup,
};
use conbrio::testing::{Builder, CancelPoints, Trial};

use crate::support::Fault;

const SHORT: Duration = Duration::from_millis(1);

/// Runs `body` on one and on two workers, and with several courses.
#[track_caller]
fn at_every_point(body: impl Fn(&mut Cx, &Trial) + Send + Sync) {
    for (workers, seeds) in [(1, 2), (2, 10)] {
        for seed in 0..seeds {
            let builder = Builder::new().workers(workers).seed(seed);
            let points = CancelPoints::new().simulated(builder).run(&body);
            assert!(points >= 2, "{points} points: it did not wait");
        }
    }
}

/// Whether a call was cancelled; otherwise it has ended well.
#[track_caller]
fn was_cancelled<T, E: MaybeCancelled + std::fmt::Debug>(
    trial: &Trial,
    outcome: &Result<T, E>,
) -> bool {
    match outcome {
        Ok(_) => false,
        Err(error) => {
            assert!(error.cancelled().is_some() && trial.is_cancelled(), "{error:?}");
            true
        }
    }
}

/// Runs `body` beside another task.
fn beside(
    cx: &mut Cx,
    other: impl FnOnce(&mut Cx) -> Result<(), Fault> + Send,
    body: impl FnOnce(&mut Cx) -> Result<(), Fault>,
) {
    cx.nursery(|cx, n| -> Result<(), Fault> {
        n.spawn(other);
        body(cx)
    })
    .unwrap();
}

// N17: sync::Event::wait
#[test]
fn an_event() {
    at_every_point(|cx, trial| {
        let event = Event::new();
        beside(
            cx,
            |cx| {
                cx.sleep(SHORT)?;
                event.set();
                Ok(())
            },
            |cx| {
                let outcome = trial.run(cx, |cx| event.wait(cx));
                assert!(was_cancelled(trial, &outcome) || event.is_set());
                assert_eq!(event.statistics().tasks_waiting, 0);
                Ok(())
            },
        );
    });
}

// N17: sync::Mutex::lock, sync::Mutex::lock_anyway
#[test]
fn a_mutex() {
    for anyway in [false, true] {
        at_every_point(|cx, trial| {
            let mutex = Mutex::new(0);
            beside(
                cx,
                |cx| {
                    for _ in 0..2 {
                        let mut value = mutex.lock(cx)?;
                        cx.sleep(SHORT)?;
                        *value += 1;
                    }
                    Ok(())
                },
                |cx| {
                    cx.sleep(SHORT / 2)?;
                    let outcome = trial.run(cx, |cx| {
                        let lock = if anyway { Mutex::lock_anyway } else { Mutex::lock };
                        lock(&mutex, cx)
                    });
                    if was_cancelled(trial, &outcome) {
                        assert_eq!(mutex.statistics().tasks_waiting, 0);
                    } else {
                        assert_eq!(mutex.statistics().owner.as_deref(), Some("main"));
                        *outcome? += 1;
                    }
                    Ok(())
                },
            );
            assert!(!mutex.is_locked() && !mutex.is_poisoned());
            assert!([2, 3].contains(&mutex.into_inner()));
        });
    }
}

// N17: sync::RwLock::{read, read_anyway, write, write_anyway}
#[test]
fn a_lock_for_reading_and_writing() {
    for (reads, anyway) in [(false, false), (false, true), (true, false), (true, true)] {
        at_every_point(|cx, trial| {
            let lock = RwLock::new(0);
            beside(
                cx,
                |cx| {
                    let reads = lock.read(cx)?;
                    cx.sleep(SHORT)?;
                    drop(reads);
                    let mut writes = lock.write(cx)?;
                    cx.sleep(SHORT)?;
                    *writes += 1;
                    Ok(())
                },
                |cx| {
                    cx.sleep(if reads { SHORT * 3 / 2 } else { SHORT / 2 })?;
                    let cancelled = match (reads, anyway) {
                        (true, false) => was_cancelled(trial, &trial.run(cx, |cx| lock.read(cx))),
                        (true, true) => {
                            was_cancelled(trial, &trial.run(cx, |cx| lock.read_anyway(cx)))
                        }
                        (false, false) => was_cancelled(trial, &trial.run(cx, |cx| lock.write(cx))),
                        (false, true) => {
                            was_cancelled(trial, &trial.run(cx, |cx| lock.write_anyway(cx)))
                        }
                    };
                    assert!(!cancelled || lock.statistics().tasks_waiting <= 1);
                    Ok(())
                },
            );
            let statistics = lock.statistics();
            assert_eq!((statistics.readers, statistics.write_locked), (0, false));
            assert_eq!(lock.into_inner(), 1);
        });
    }
}

// N17: sync::Semaphore::acquire, sync::Semaphore::acquire_many
#[test]
fn a_semaphore() {
    at_every_point(|cx, trial| {
        let semaphore = Semaphore::new(2);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let held = semaphore.acquire(cx)?;
            let mut small = n.spawn(|cx| {
                cx.sleep(SHORT)?;
                // Behind the one that wants two.
                Ok(semaphore.acquire(cx).map(drop)?)
            });
            n.spawn(move |cx| {
                cx.sleep(2 * SHORT)?;
                drop(held);
                Ok(())
            });
            let outcome = trial.run(cx, |cx| semaphore.acquire_many(cx, 2));
            if was_cancelled(trial, &outcome) {
                assert!(semaphore.statistics().tasks_waiting <= 1);
            } else {
                assert_eq!(semaphore.statistics().lent, 2);
            }
            drop(outcome);
            let outcome = trial.run(cx, |cx| semaphore.acquire(cx));
            was_cancelled(trial, &outcome);
            drop(outcome);
            small.join(cx)?;
            Ok(())
        })
        .unwrap();
        assert_eq!((semaphore.available(), semaphore.statistics().lent), (2, 0));
    });
}

// N17: sync::CapacityLimiter::acquire, sync::CapacityLimiter::acquire_on_behalf_of
#[test]
fn a_capacity_limiter() {
    for by_name in [false, true] {
        at_every_point(|cx, trial| {
            let limiter = CapacityLimiter::new(1);
            cx.nursery(|cx, n| -> Result<(), Fault> {
                let held = limiter.acquire_on_behalf_of(cx, "held")?;
                n.spawn(move |cx| {
                    cx.sleep(SHORT)?;
                    drop(held);
                    Ok(())
                });
                let cancelled = if by_name {
                    let outcome = trial.run(cx, |cx| limiter.acquire_on_behalf_of(cx, 7));
                    was_cancelled(trial, &outcome)
                } else {
                    let outcome = trial.run(cx, |cx| limiter.acquire(cx));
                    was_cancelled(trial, &outcome)
                };
                assert_eq!(limiter.statistics().tasks_waiting, 0);
                if cancelled {
                    // It is in no list.
                    cx.sleep(2 * SHORT)?;
                    drop(limiter.try_acquire_on_behalf_of(7)?);
                    drop(limiter.acquire(cx)?);
                }
                Ok(())
            })
            .unwrap();
            assert_eq!(limiter.statistics().borrowed, 0);
        });
    }
}

// N17: sync::Condition::wait, sync::Condition::wait_while
#[test]
fn a_condition() {
    for again in [false, true] {
        at_every_point(|cx, trial| {
            let (mutex, condition, notified) =
                (Mutex::new(0), Condition::new(), AtomicUsize::new(0));
            beside(
                cx,
                |cx| {
                    cx.sleep(SHORT)?;
                    let mut value = mutex.lock(cx)?;
                    cx.sleep(SHORT)?;
                    *value = 1;
                    notified.fetch_add(condition.notify(&value, 1), SeqCst);
                    cx.sleep(SHORT)?;
                    Ok(())
                },
                |cx| {
                    let mut guard = mutex.lock(cx)?;
                    let outcome = trial.run(cx, |cx| match again {
                        false => condition.wait(cx, &mut guard),
                        true => condition.wait_while(cx, &mut guard, |value| *value == 0),
                    });
                    // In any case it has the lock again.
                    assert_eq!(mutex.statistics().owner.as_deref(), Some("main"));
                    assert!([0, 1].contains(&*guard));
                    let cancelled = was_cancelled(trial, &outcome);
                    assert_eq!(cancelled, notified.load(SeqCst) == 0, "no notification is lost");
                    assert_eq!(condition.statistics().tasks_waiting, 0);
                    Ok(())
                },
            );
            assert!(!mutex.is_locked());
            assert_eq!(mutex.into_inner(), 1);
        });
    }
}

// N17: sync::Barrier::wait
#[test]
fn a_barrier() {
    at_every_point(|cx, trial| {
        let (barrier, led) = (Barrier::new(2), AtomicUsize::new(0));
        beside(
            cx,
            |cx| {
                cx.sleep(SHORT)?;
                led.fetch_add(usize::from(barrier.wait(cx)?.is_leader()), SeqCst);
                Ok(())
            },
            |cx| {
                let mut outcome = trial.run(cx, |cx| barrier.wait(cx));
                if was_cancelled(trial, &outcome) {
                    // It has not come: the other one waits, or will.
                    outcome = barrier.wait(cx);
                }
                led.fetch_add(usize::from(outcome?.is_leader()), SeqCst);
                Ok(())
            },
        );
        assert_eq!((led.into_inner(), barrier.statistics().tasks_waiting), (1, 0));
    });
}

// N17: sync::OnceCell::get_or_init
#[test]
fn a_once_cell() {
    for first in [false, true] {
        at_every_point(|cx, trial| {
            let (cell, made) = (OnceCell::new(), AtomicUsize::new(0));
            let make = |cx: &mut Cx| -> Result<u32, Cancelled> {
                cx.sleep(SHORT)?;
                made.fetch_add(1, SeqCst);
                Ok(7)
            };
            beside(
                cx,
                |cx| {
                    cx.sleep(SHORT / 2)?;
                    assert_eq!(*cell.get_or_init(cx, make)?, 7);
                    Ok(())
                },
                |cx| {
                    if !first {
                        cx.sleep(SHORT)?;
                    }
                    let outcome = trial.run(cx, |cx| cell.get_or_init(cx, make));
                    assert!(was_cancelled(trial, &outcome) || cell.get() == Some(&7));
                    assert_eq!(*cell.get_or_init(cx, make)?, 7);
                    Ok(())
                },
            );
            assert_eq!((made.into_inner(), cell.statistics().tasks_waiting), (1, 0));
        });
    }
}

// N17: sync::WaitGroup::wait
#[test]
fn a_wait_group() {
    at_every_point(|cx, trial| {
        let group = WaitGroup::new();
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let member = group.enter();
            n.spawn(move |cx| {
                let _member = member;
                Ok(cx.sleep(SHORT)?)
            });
            let outcome = trial.run(cx, |cx| group.wait(cx));
            assert!(was_cancelled(trial, &outcome) || group.statistics().members == 0);
            assert_eq!(group.statistics().tasks_waiting, 0);
            Ok(())
        })
        .unwrap();
    });
}

// N17: sync::Singleflight::run
#[test]
fn a_single_flight() {
    for first in [false, true] {
        at_every_point(|cx, trial| {
            let (table, made) = (Singleflight::new(), AtomicUsize::new(0));
            let work = |cx: &mut Cx| -> Result<u32, Cancelled> {
                cx.sleep(SHORT)?;
                made.fetch_add(1, SeqCst);
                Ok(7)
            };
            beside(
                cx,
                |cx| {
                    cx.sleep(SHORT / 2)?;
                    assert_eq!(table.run(cx, "key", work)?, 7);
                    Ok(())
                },
                |cx| {
                    if !first {
                        cx.sleep(SHORT)?;
                    }
                    let outcome = trial.run(cx, |cx| table.run(cx, "key", work));
                    assert!(was_cancelled(trial, &outcome) || made.load(SeqCst) == 1);
                    Ok(())
                },
            );
            assert_eq!((made.into_inner(), table.statistics().flights), (1, 0));
        });
    }
}
