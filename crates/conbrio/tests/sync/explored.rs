//! Many orders of small programs, drawn by the simulator; of the smallest ones, all.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::sync::{Condition, Mutex, OnceCell, RwLock, Semaphore};
use conbrio::testing::{exhaust, explore};

use crate::support::Fault;

const SEEDS: std::ops::Range<u64> = 0..300;

/// Cancels itself after a while that differs from task to task.
fn impatient<T>(
    cx: &mut Cx,
    number: u64,
    f: impl FnOnce(&mut Cx) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    cx.move_on_after(Duration::from_micros(10 * number), f)
}

#[test]
fn a_queue_behind_a_mutex_and_a_condition_loses_nothing() {
    explore(SEEDS, |cx| {
        let (queue, condition) = (Mutex::new(Vec::new()), Condition::new());
        let (taken, given) = (AtomicUsize::new(0), AtomicUsize::new(0));
        cx.nursery(|_, n| -> Result<(), Fault> {
            for number in 1..4 {
                let (queue, condition, taken) = (&queue, &condition, &taken);
                n.spawn(move |cx| {
                    impatient(cx, number, |cx| {
                        loop {
                            let mut queue = queue.lock(cx)?;
                            condition.wait_while(cx, &mut queue, |queue| queue.is_empty())?;
                            queue.pop();
                            taken.fetch_add(1, SeqCst);
                        }
                    })
                    .map(|_: Option<()>| ())
                });
            }
            for number in 1..3 {
                let (queue, condition, given) = (&queue, &condition, &given);
                n.spawn(move |cx| {
                    for _ in 0..3 {
                        let mut queue = queue.lock(cx)?;
                        queue.push(number);
                        given.fetch_add(1, SeqCst);
                        condition.notify_one(&queue);
                        drop(queue);
                        cx.sleep(Duration::from_micros(7))?;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        let left = queue.into_inner().len();
        assert_eq!(taken.into_inner() + left, given.into_inner());
        assert_eq!(condition.statistics().tasks_waiting, 0);
    });
}

#[test]
fn permits_stay_as_many_as_they_were() {
    explore(SEEDS, |cx| {
        let (semaphore, inside) = (Semaphore::new(3), AtomicUsize::new(0));
        cx.nursery(|_, n| -> Result<(), Fault> {
            for number in 1..6 {
                let (semaphore, inside) = (&semaphore, &inside);
                n.spawn(move |cx| {
                    let wanted = 1 + number as usize % 3;
                    impatient(cx, number, |cx| {
                        for _ in 0..3 {
                            let _permits = semaphore.acquire_many(cx, wanted)?;
                            assert!(inside.fetch_add(wanted, SeqCst) + wanted <= 3);
                            let slept = cx.sleep(Duration::from_micros(5));
                            inside.fetch_sub(wanted, SeqCst);
                            slept?;
                        }
                        Ok(())
                    })?;
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        let statistics = semaphore.statistics();
        assert_eq!((statistics.available, statistics.lent, statistics.tasks_waiting), (3, 0, 0));
    });
}

#[test]
fn readers_and_writers_see_whole_values() {
    explore(SEEDS, |cx| {
        let (lock, writes) = (RwLock::new((0, 0)), AtomicUsize::new(0));
        cx.nursery(|_, n| -> Result<(), Fault> {
            for number in 1..6 {
                let (lock, writes) = (&lock, &writes);
                n.spawn(move |cx| {
                    impatient(cx, number, |cx| {
                        for _ in 0..3 {
                            if number % 2 == 0 {
                                let mut pair = lock.write(cx)?;
                                pair.0 += 1;
                                cx.yield_shielded();
                                pair.1 += 1;
                                writes.fetch_add(1, SeqCst);
                            } else {
                                let pair = lock.read(cx)?;
                                assert_eq!(pair.0, pair.1);
                                cx.sleep(Duration::from_micros(5))?;
                                assert_eq!(pair.0, pair.1);
                            }
                        }
                        Ok(())
                    })?;
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        let statistics = lock.statistics();
        assert_eq!((statistics.readers, statistics.tasks_waiting), (0, 0));
        let writes = writes.into_inner();
        assert_eq!(lock.into_inner(), (writes, writes));
    });
}

#[test]
fn two_tasks_and_a_cancelled_one_at_a_mutex_in_all_orders() {
    let proof = exhaust(usize::MAX, |cx| {
        let mutex = Mutex::new(0);
        let locked = Cell::new(0);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let child = n.spawn(|cx| {
                *mutex.lock(cx)? += 1;
                Ok(())
            });
            n.spawn(|cx| {
                let mut value = mutex.lock(cx)?;
                cx.checkpoint()?;
                *value += 10;
                Ok(())
            });
            child.cancel();
            if let Ok(mut value) = mutex.lock(cx) {
                *value += 100;
                locked.set(1);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(locked.get(), 1);
        assert!(!mutex.is_locked());
        let value = mutex.into_inner();
        assert!([110, 111].contains(&value), "{value}");
    });
    assert!(proof.complete(), "{proof:?}");
}

#[test]
fn a_value_is_made_once_in_all_orders() {
    let proof = exhaust(usize::MAX, |cx| {
        let (cell, made) = (OnceCell::new(), AtomicUsize::new(0));
        let make = |cx: &mut Cx| -> Result<u32, Fault> {
            cx.checkpoint()?;
            made.fetch_add(1, SeqCst);
            Ok(7)
        };
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let child = n.spawn(|cx| {
                cell.get_or_init(cx, make)?;
                Ok(())
            });
            child.cancel();
            assert_eq!(*cell.get_or_init(cx, make)?, 7);
            Ok(())
        })
        .unwrap();
        assert_eq!(made.into_inner(), 1);
    });
    assert!(proof.complete(), "{proof:?}");
}
