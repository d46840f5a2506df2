//! What one builds on parking lots: nothing that is handed over gets lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conbrio::lowlevel::ParkingLot;
use conbrio::prelude::*;

use crate::support::{on_all_workers, panic_text};

use super::{Refused, settled};

// spec: S74
#[test]
fn a_parcel_is_handed_over_or_comes_back_unchanged() {
    on_all_workers(|cx| {
        let lot: ParkingLot<Vec<u32>, Option<u32>> = ParkingLot::default();
        cx.nursery(|cx, n| -> Result<(), Refused> {
            let mut gets = n.spawn(|cx| {
                let mut parcel = Some(1);
                lot.park_with(cx, &mut parcel)?;
                Ok(parcel)
            });
            settled(cx)?;
            assert_eq!(lot.lock().first_waiting(), Some(&Some(1)));
            let given = lot.lock().unpark_with(|state, parcel| {
                state.extend(parcel.replace(2));
                "given"
            });
            assert_eq!(given, Some("given"));
            assert_eq!(gets.join(cx)?, Some(2));
            assert_eq!(*lot.lock(), [1]);
            assert_eq!(lot.lock().unpark_with(|_, _| ()), None);

            // Cancelled: it has its parcel still.
            let mut parcel = Some(3);
            let parked =
                cx.move_on_after(Duration::from_secs(1), |cx| lot.park_with(cx, &mut parcel));
            assert!(matches!(parked, Ok(None)));
            assert_eq!(parcel, Some(3));

            // Those who are refused stay, in their order.
            for number in 0..4 {
                let lot = &lot;
                n.spawn(move |cx| lot.park_with(cx, &mut Some(number)));
                settled(cx)?;
            }
            let mut seen = Vec::new();
            let unparked = lot.lock().unpark_while(|_, parcel| {
                seen.extend(*parcel);
                *parcel != Some(2)
            });
            assert_eq!((unparked, lot.len(), seen), (2, 2, vec![0, 1, 2]));
            assert_eq!(lot.lock().first_waiting(), Some(&Some(2)));
            lot.unpark_all();
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn threads_outside_unpark_tasks_of_several_runtimes() {
    const ROUNDS: usize = 200;
    let lot = Arc::new(ParkingLot::<(), u32>::default());
    let passed = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for workers in [1, 2] {
            let (lot, passed) = (&lot, &passed);
            s.spawn(move || {
                // It often ends at once when it has been unparked, while the other thread still wakes it.
                for _ in 0..ROUNDS {
                    conbrio::Builder::new()
                        .workers(workers)
                        .run(|cx| {
                            let mut parcel = 0;
                            lot.park_with(cx, &mut parcel).unwrap();
                            assert_eq!(parcel, 7);
                        })
                        .unwrap();
                    passed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while passed.load(Ordering::Relaxed) < 2 * ROUNDS {
            if lot.lock().unpark_with(|(), parcel| *parcel = 7).is_none() {
                std::thread::yield_now();
            }
        }
    });
    assert!(lot.is_empty());
}

/// A mutex that is handed over, and knows by how many tasks it is held.
struct Lock {
    is_locked: ParkingLot<bool>,
    holders: AtomicUsize,
}

impl Lock {
    fn new() -> Lock {
        let is_locked = ParkingLot::with_state(false).named("a lock");
        Lock { is_locked, holders: AtomicUsize::new(0) }
    }

    fn lock(&self, cx: &mut Cx) -> Result<(), Refused> {
        cx.checkpoint()?;
        let mut is_locked = self.is_locked.lock();
        if *is_locked {
            is_locked.park(cx, &mut ())?;
        } else {
            *is_locked = true;
            drop(is_locked);
        }
        assert_eq!(self.holders.fetch_add(1, Ordering::SeqCst), 0, "one holder at a time");
        Ok(())
    }

    fn unlock(&self) {
        self.holders.fetch_sub(1, Ordering::SeqCst);
        let mut is_locked = self.is_locked.lock();
        *is_locked = is_locked.unpark(1) == 1;
    }
}

// spec: S74
#[test]
fn a_condition_variable_is_two_lots() {
    const ITEMS: usize = 300;
    for workers in [1, 2, 4] {
        let lock = Lock::new();
        let (not_empty, not_full) = (ParkingLot::new(), ParkingLot::new());
        let items = Mutex::new(Vec::new());
        // Whoever is notified is moved to the queue of the lock, and holds it when it goes on.
        let wait = |cx: &mut Cx, condition: &ParkingLot| -> Result<(), Refused> {
            condition.lock().park_after(cx, &mut (), || lock.unlock())?;
            assert_eq!(lock.holders.fetch_add(1, Ordering::SeqCst), 0, "one holder at a time");
            Ok(())
        };
        let taken = AtomicUsize::new(0);
        conbrio::Builder::new()
            .workers(workers)
            .run(|cx| {
                cx.nursery(|_, n| -> Result<(), Refused> {
                    let (lock, wait, items, taken) = (&lock, &wait, &items, &taken);
                    let (not_empty, not_full) = (&not_empty, &not_full);
                    for _ in 0..3 {
                        n.spawn(move |cx| {
                            for item in 0..ITEMS {
                                lock.lock(cx)?;
                                while items.lock().unwrap().len() >= 2 {
                                    wait(cx, not_full)?;
                                }
                                items.lock().unwrap().push(item);
                                not_empty.repark(&lock.is_locked, 1);
                                lock.unlock();
                            }
                            Ok(())
                        });
                        n.spawn(move |cx| {
                            for _ in 0..ITEMS {
                                lock.lock(cx)?;
                                while items.lock().unwrap().is_empty() {
                                    wait(cx, not_empty)?;
                                }
                                items.lock().unwrap().pop();
                                taken.fetch_add(1, Ordering::SeqCst);
                                not_full.repark_all(&lock.is_locked);
                                lock.unlock();
                            }
                            Ok(())
                        });
                    }
                    Ok(())
                })
            })
            .unwrap()
            .unwrap();
        assert_eq!(taken.into_inner(), 3 * ITEMS);
        assert!(not_empty.is_empty() && not_full.is_empty() && lock.is_locked.is_empty());
    }
}

#[test]
fn a_panic_before_the_wait_takes_the_task_out_of_the_queue() {
    on_all_workers(|cx| {
        let lot: ParkingLot<(), u32> = ParkingLot::default();
        let mut parcel = 1;
        let text = panic_text(|| {
            let _ = lot.lock().park_after(cx, &mut parcel, || {
                assert_eq!(lot.len(), 1, "it is in the queue, and the lock is free");
                panic!("on purpose");
            });
        });
        assert_eq!(text, "on purpose");
        assert!(lot.is_empty());
        // If it is unparked before, it has what it was given.
        panic_text(|| {
            let _ = lot.lock().park_after(cx, &mut parcel, || {
                lot.lock().unpark_with(|(), parcel| *parcel = 2);
                panic!("on purpose");
            });
        });
        assert_eq!((parcel, lot.len()), (2, 0));
        // And the task can wait for something else.
        cx.sleep(Duration::from_secs(1)).unwrap();
    });
}

/// Many tasks take the lock and are cancelled at all times. In the end it is free.
fn cancel_storm(cx: &mut Cx, tasks: u64, rounds: u64) -> usize {
    let lock = Lock::new();
    let cancelled = AtomicUsize::new(0);
    cx.nursery(|_, n| -> Result<(), Refused> {
        for task in 0..tasks {
            let (lock, cancelled) = (&lock, &cancelled);
            n.spawn(move |cx| {
                for round in 0..rounds {
                    let patience = Duration::from_micros((task * 7 + round * 13) % 23);
                    let got = cx.move_on_after(patience, |cx| lock.lock(cx))?;
                    if got.is_some() {
                        if (task + round) % 3 == 0 {
                            cx.shield(|cx| cx.sleep(Duration::from_micros(3)))?;
                        } else {
                            cx.yield_shielded();
                        }
                        lock.unlock();
                    } else {
                        cancelled.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(())
            });
        }
        Ok(())
    })
    .unwrap();
    assert!(!*lock.is_locked.lock(), "no hand-over was lost");
    assert!(lock.is_locked.is_empty());
    cancelled.into_inner()
}

// spec: test_parking_lot.parking_lot_cancel, N17
#[test]
fn a_lock_that_is_handed_over_survives_a_storm_of_cancellations() {
    for workers in [1, 2, 4] {
        let run = conbrio::Builder::new().workers(workers).run(|cx| cancel_storm(cx, 20, 100));
        assert!(run.unwrap() > 0, "some were cancelled");
    }
    // In simulated runs the same course comes again with its seed.
    let cancelled: usize = (0..40)
        .map(|seed| {
            let sim = conbrio::testing::Builder::new().workers(1 + seed as usize % 3).seed(seed);
            sim.run(|cx| cancel_storm(cx, 6, 10))
        })
        .sum();
    assert!(cancelled > 0);
}

// spec: N17
#[test]
fn permits_are_neither_lost_nor_doubled_when_waiters_are_moved_cancelled_and_unparked_at_once() {
    const TASKS: u64 = 16;
    const ROUNDS: u64 = 200;
    for workers in [1, 2, 4] {
        // What is given out stands in the parcels; what is taken in is counted by those who got it.
        let lots: [ParkingLot<usize, usize>; 3] = std::array::from_fn(|_| ParkingLot::default());
        let (given, got, left) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let run = conbrio::Builder::new().workers(workers).run(|cx| {
            cx.nursery(|_, n| -> Result<(), Refused> {
                let (lots, given, got, left) = (&lots, &given, &got, &left);
                left.store(TASKS as usize, Ordering::SeqCst);
                for task in 0..TASKS {
                    n.spawn(move |cx| {
                        for round in 0..ROUNDS {
                            let mut parcel = 0;
                            let lot = &lots[(task + round) as usize % 3];
                            let patience = Duration::from_micros((task * 5 + round * 3) % 29);
                            let parked =
                                cx.move_on_after(patience, |cx| lot.park_with(cx, &mut parcel))?;
                            assert_eq!(parked.is_some(), parcel == 1);
                            got.fetch_add(parcel, Ordering::SeqCst);
                        }
                        left.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    });
                }
                for hand in 0..2 {
                    n.spawn(move |cx| {
                        let mut turn = hand;
                        while left.load(Ordering::SeqCst) > 0 {
                            turn += 1;
                            let (a, b) = (&lots[turn % 3], &lots[(turn / 3 + hand) % 3]);
                            a.repark(b, turn % 4);
                            if turn % 5 == hand {
                                let unparked = b.lock().unpark_while(|count, parcel| {
                                    *count += 1;
                                    let gives = *count % 3 != 0;
                                    *parcel += usize::from(gives);
                                    gives
                                });
                                let one = b.lock().unpark_with(|_, parcel| *parcel += 1);
                                let count = unparked + usize::from(one.is_some());
                                given.fetch_add(count, Ordering::SeqCst);
                            }
                            cx.yield_now()?;
                        }
                        Ok(())
                    });
                }
                Ok(())
            })
        });
        run.unwrap().unwrap();
        assert_eq!(given.into_inner(), got.into_inner(), "{workers} workers");
        assert!(lots.iter().all(ParkingLot::is_empty));
    }
}
