//! Many workers at once: wake-ups, cancellations and panics that cross cores.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use conbrio::Cx;
use conbrio::lowlevel::{Abort, Unparker, Wait};
use conbrio::testing::settle;

use crate::support::{CREWS, Canary, Fault, Planned, flatten, plan_panic, run};

/// A gate at which many wait, each with its own place.
#[derive(Default)]
struct Gate {
    waiting: Mutex<Vec<Unparker>>,
}

impl Wait for &Gate {
    fn arm(&mut self, unparker: Unparker) {
        self.waiting.lock().unwrap().push(unparker);
    }

    fn abort(&mut self) -> Abort {
        // Whoever opens the gate may still hold the unparker: that must do no harm.
        Abort::Succeeded
    }
}

/// Every wake arrives, and each wakes one wait.
/// spec: N14
#[test]
fn no_wake_of_a_storm_is_lost() {
    for workers in CREWS {
        run(workers, |cx| {
            let gate = Gate::default();
            let woken = AtomicUsize::new(0);
            let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
                for _ in 0..64 {
                    n.spawn(|cx| {
                        for _ in 0..20 {
                            cx.park_on(&mut &gate)?;
                            woken.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(())
                    });
                }
                while woken.load(Ordering::SeqCst) < 64 * 20 {
                    let waiting = std::mem::take(&mut *gate.waiting.lock().unwrap());
                    for unparker in waiting {
                        unparker.unpark();
                    }
                    cx.yield_now()?;
                }
                Ok(())
            });
            flatten(outcome).unwrap();
        });
    }
}

/// Waits that are ended by a wake and a cancellation at the same time.
/// spec: N14
#[test]
fn wakes_and_cancellations_that_meet_end_one_wait_once() {
    for workers in CREWS {
        run(workers, |cx| {
            let gate = Gate::default();
            let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
                for _ in 0..200 {
                    let waiter = n.spawn(|cx| {
                        let first = cx.park_on(&mut &gate);
                        // A late wake for the first wait must not end the second.
                        let second = cx.shield(|cx| {
                            cx.move_on_after(std::time::Duration::from_micros(20), |cx| {
                                cx.sleep_forever()
                            })
                        });
                        assert!(matches!(second, Ok(None)), "{second:?}");
                        Ok(first?)
                    });
                    n.spawn(|_| {
                        let waiting = std::mem::take(&mut *gate.waiting.lock().unwrap());
                        waiting.into_iter().for_each(Unparker::unpark);
                        Ok(())
                    });
                    cx.yield_now()?;
                    waiter.cancel();
                }
                Ok(())
            });
            flatten(outcome).unwrap();
        });
    }
}

thread_local! {
    static HERE: Cell<u64> = const { Cell::new(0) };
}

/// Thread locals are the same before and after every wait.
/// spec: N14
#[test]
fn a_task_stays_on_its_thread() {
    for workers in CREWS {
        run(workers, |cx| {
            let outcome = cx.nursery(|_, n| -> Result<(), Fault> {
                for task in 1..=40_u64 {
                    n.spawn(move |cx| {
                        let id = std::thread::current().id();
                        let address = HERE.with(|here| std::ptr::from_ref(here).addr());
                        for step in 0..20 {
                            HERE.set(task);
                            match step % 4 {
                                0 => cx.yield_now()?,
                                1 => cx.sleep(std::time::Duration::from_micros(10))?,
                                2 => cx.blocking(|| ())?,
                                _ => cx.checkpoint()?,
                            }
                            assert_eq!(std::thread::current().id(), id);
                            assert_eq!(HERE.with(|here| std::ptr::from_ref(here).addr()), address);
                        }
                        Ok(())
                    });
                }
                Ok(())
            });
            flatten(outcome).unwrap();
        });
    }
}

/// One task panics while all others wait on all workers; they are stopped, and their frames are intact.
/// spec: N14
#[test]
fn a_panic_reaches_the_children_on_all_workers() {
    for workers in CREWS {
        for round in 0..10 {
            let stopped = AtomicUsize::new(0);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                run(workers, |cx| {
                    let frame = Canary::new();
                    let _ = cx.nursery(|_, n| -> Result<(), Fault> {
                        for _ in 0..50 {
                            n.spawn(|cx| {
                                let _visit = frame.visit();
                                let result = cx.sleep_forever();
                                stopped.fetch_add(1, Ordering::SeqCst);
                                Ok(result?)
                            });
                        }
                        n.spawn(move |cx| -> Result<(), Fault> {
                            if round % 2 == 0 {
                                settle(cx, std::time::Duration::ZERO)?;
                            }
                            plan_panic(3)
                        });
                        Ok(())
                    });
                });
            }));
            assert_eq!(caught.unwrap_err().downcast_ref(), Some(&Planned(3)));
            assert_eq!(stopped.into_inner(), 50);
        }
    }
}

/// Handles that are joined, dropped and cancelled on other workers than the child's, at the moment at
/// which it ends.
/// spec: N14
#[test]
fn values_are_taken_or_dropped_exactly_once() {
    struct Counted<'a>(&'a AtomicUsize);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    for workers in CREWS {
        let made = AtomicUsize::new(0);
        let dropped = AtomicUsize::new(0);
        run(workers, |cx| {
            let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
                for round in 0..400 {
                    let (made, dropped) = (&made, &dropped);
                    let mut child = n.spawn(move |cx| {
                        if round % 3 == 0 {
                            cx.yield_now()?;
                        }
                        made.fetch_add(1, Ordering::SeqCst);
                        Ok(Counted(dropped))
                    });
                    let fate = move |cx: &mut Cx| {
                        match round % 5 {
                            0 => drop(child.join(cx)),
                            1 => drop(child),
                            2 => child.cancel(),
                            3 => {
                                let limit = std::time::Duration::from_micros(3);
                                let _ = cx.move_on_after(limit, |cx| child.join(cx));
                            }
                            _ => {
                                while !child.is_finished() {
                                    cx.yield_now()?;
                                }
                            }
                        }
                        Ok(())
                    };
                    if round % 2 == 0 {
                        n.spawn(fate);
                    } else {
                        fate(cx)?;
                    }
                }
                Ok(())
            });
            flatten(outcome).unwrap();
        });
        assert_eq!(made.into_inner(), dropped.into_inner());
    }
}
