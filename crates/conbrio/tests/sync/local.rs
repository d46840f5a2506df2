//! The variants for the tasks of one worker.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::sync::local::{Event, Mutex, Semaphore};
use conbrio::sync::{LockError, TryLockError};
use conbrio::testing::{CancelPoints, assert_checkpoints, explore};

use crate::support::{Fault, in_virtual_time, message_of, settled};

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn all_who_wait_for_an_event_go_on_when_it_is_set() {
    in_virtual_time(1, |cx| {
        let (event, order) = (Event::default(), RefCell::new(Vec::new()));
        cx.nursery(|cx, n| -> Result<(), Fault> {
            for number in 0..3 {
                let (event, order) = (&event, &order);
                n.spawn_local(cx, move |cx| {
                    event.wait(cx)?;
                    order.borrow_mut().push(number);
                    Ok(())
                });
            }
            let cancelled = n.spawn_local(cx, |cx| Ok(event.wait(cx)?));
            settled(cx)?;
            assert_eq!(event.statistics().tasks_waiting, 4);
            cancelled.cancel();
            settled(cx)?;
            assert_eq!(event.statistics().tasks_waiting, 3);
            assert!(event.set() && !event.set());
            settled(cx)?;
            assert_eq!(*order.borrow(), [0, 1, 2]);
            assert_checkpoints(cx, |cx| event.wait(cx))?;
            Ok(())
        })
        .unwrap();
        assert_eq!(format!("{event:?}"), "Event { is_set: true, .. }");
    });
}

#[test]
fn a_mutex_lets_one_in_at_a_time_in_their_order() {
    in_virtual_time(1, |cx| {
        let (mutex, inside) = (Mutex::new(Vec::new()), Cell::new(0));
        cx.nursery(|cx, n| -> Result<(), Fault> {
            for number in 0..3 {
                let (mutex, inside) = (&mutex, &inside);
                n.task("local").spawn_local(cx, move |cx| {
                    for round in 0..5 {
                        let mut order = mutex.lock(cx)?;
                        assert_eq!(inside.replace(1), 0);
                        cx.yield_now()?;
                        order.push((round, number));
                        assert_eq!(mutex.try_lock().unwrap_err(), TryLockError::WouldBlock);
                        assert_eq!(mutex.statistics().owner.as_deref(), Some("local"));
                        inside.set(0);
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        assert!(!mutex.is_locked());
        let expected: Vec<_> =
            (0..5).flat_map(|round| (0..3).map(move |number| (round, number))).collect();
        assert_eq!(mutex.into_inner(), expected);
    });
}

#[test]
fn a_mutex_is_poisoned_by_panics_and_refuses_its_owner() {
    in_virtual_time(1, |cx| {
        let mut mutex = Mutex::new(1);
        let guard = mutex.lock(cx).unwrap();
        assert!(message_of(|| mutex.lock(cx)).contains("task 'main' locks a mutex that it holds"));
        drop(guard);
        assert!(!mutex.is_poisoned());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let panics = |cx: &mut Cx| -> Result<(), Fault> {
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    let _guard = mutex.lock(cx).unwrap();
                    while mutex.statistics().tasks_waiting < 2 {
                        cx.yield_now().unwrap();
                    }
                    panic!("on purpose");
                }));
                assert!(outcome.is_err());
                Ok(())
            };
            n.task("clumsy").spawn_local(cx, panics);
            cx.yield_now()?;
            n.spawn_local(cx, |cx| {
                assert!(matches!(
                    mutex.lock(cx),
                    Err(OrCancelled::Failed(LockError::Poisoned(poisoned)))
                        if poisoned.task() == Some("clumsy")
                ));
                Ok(())
            });
            n.spawn_local(cx, |cx| {
                *mutex.lock_anyway(cx)? = 2;
                Ok(())
            });
            Ok(())
        })
        .unwrap();
        assert!(mutex.is_poisoned() && mutex.try_lock().is_err());
        mutex.clear_poison();
        assert_eq!(*mutex.try_lock().unwrap(), 2);
        *mutex.get_mut() = 3;
        assert_eq!(
            format!("{mutex:?} {:?}", mutex.try_lock().unwrap()),
            "Mutex { locked: true, .. } 3"
        );
    });
}

#[test]
fn permits_are_handed_out_in_order() {
    in_virtual_time(1, |cx| {
        let (semaphore, order) = (Semaphore::new(1), RefCell::new(Vec::new()));
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let held = semaphore.acquire(cx)?;
            let large = n.spawn_local(cx, |cx| Ok(semaphore.acquire_many(cx, 3).map(drop)?));
            for number in 0..3 {
                let (semaphore, order) = (&semaphore, &order);
                n.spawn_local(cx, move |cx| {
                    semaphore.acquire(cx)?.forget();
                    order.borrow_mut().push(number);
                    Ok(())
                });
            }
            settled(cx)?;
            drop(held);
            settled(cx)?;
            assert!(order.borrow().is_empty(), "the first one wants three");
            assert!(semaphore.try_acquire().is_err());
            large.cancel();
            settled(cx)?;
            assert_eq!(*order.borrow(), [0]);
            semaphore.add(2);
            settled(cx)?;
            assert_eq!(*order.borrow(), [0, 1, 2]);
            let statistics = semaphore.statistics();
            assert_eq!(
                (statistics.available, statistics.lent, statistics.tasks_waiting),
                (0, 0, 0)
            );
            semaphore.add(1);
            assert_eq!(semaphore.try_acquire()?.count(), 1);
            Ok(())
        })
        .unwrap();
        let message = message_of(|| semaphore.add(usize::MAX));
        assert!(message.contains("more than can be counted"), "{message}");
    });
}

// N17: sync::Event::wait, sync::Mutex::{lock, lock_anyway}, sync::Semaphore::{acquire, acquire_many}
#[test]
fn cancelled_at_every_point_they_lose_nothing() {
    let points = CancelPoints::new().run(|cx, trial| {
        let (event, mutex, semaphore) = (Event::new(), Mutex::new(0), Semaphore::new(1));
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let other = |cx: &mut Cx| -> Result<(), Fault> {
                let _permit = semaphore.acquire(cx)?;
                let mut value = mutex.lock(cx)?;
                cx.sleep(SHORT)?;
                event.set();
                cx.sleep(SHORT)?;
                *value += 1;
                Ok(())
            };
            n.spawn_local(cx, other);
            n.spawn_local(cx, other);
            cx.yield_now()?;
            let outcome = trial.run(cx, |cx| -> Result<(), Fault> {
                event.wait(cx)?;
                let _permits = semaphore.acquire_many(cx, 1)?;
                *mutex.lock(cx)? += 10;
                *mutex.lock_anyway(cx)? += 10;
                drop(semaphore.acquire_many(cx, 0)?);
                Ok(())
            });
            match outcome {
                Ok(()) => assert!(event.is_set()),
                Err(error) => assert!(error.cancelled().is_some() && trial.is_cancelled()),
            }
            assert_eq!(event.statistics().tasks_waiting, 0);
            Ok(())
        })
        .unwrap();
        assert!(!mutex.is_locked() && !mutex.is_poisoned());
        assert_eq!(semaphore.statistics().lent, 0);
        assert_eq!(semaphore.available(), 1);
        assert!([2, 12, 22].contains(&mutex.into_inner()));
    });
    assert!(points > 10, "{points} points: it did not wait");
}

// What others do while a task passes the checkpoint in front of its wait is not missed.
#[test]
fn no_wake_up_is_lost_in_any_order() {
    explore(0..500, |cx| {
        let (event, mutex, semaphore) = (Event::new(), Mutex::new(0), Semaphore::new(1));
        cx.nursery(|cx, n| -> Result<(), Fault> {
            for _ in 0..3 {
                n.spawn_local(cx, |cx| {
                    let permit = semaphore.acquire(cx)?;
                    let mut value = mutex.lock(cx)?;
                    cx.checkpoint()?;
                    drop(permit);
                    *value += 1;
                    if *value == 2 {
                        event.set();
                    }
                    cx.checkpoint()?;
                    drop(value);
                    Ok(event.wait(cx)?)
                });
            }
            Ok(())
        })
        .unwrap();
        assert_eq!((mutex.into_inner(), semaphore.available()), (3, 1));
    });
}
