//! Panics in all places, destructors that wait, and the panic count of the thread.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::panicking;
use std::time::Duration;

use conbrio::lowlevel::{Abort, Unparker, Wait};
use conbrio::{CancelSource, Cancelled, Cx, NurseryPanic};

use crate::support::{CREWS, Canary, Fault, Planned, flatten, plan_panic, run};

/// Waits in its destructor and writes down what that said.
struct Waiter<'a> {
    cx: &'a mut Cx,
    said: &'a Cell<Option<Result<(), CancelSource>>>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let result = self.cx.sleep(Duration::from_micros(1));
        self.said.set(Some(result.map_err(|cancelled| cancelled.source())));
        // All the others refuse as well while unwinding, and none of them stops the task.
        if panicking() {
            assert!(self.cx.yield_now().is_err());
            self.cx.yield_shielded();
            assert!(self.cx.shield(|cx| cx.sleep_forever()).is_err());
            assert!(self.cx.wait_shutdown().is_err());
            assert_eq!(self.cx.blocking(|| 7).unwrap(), 7);
            assert_eq!(self.cx.on_thread_stack(|| 8), 8);
            assert!(conbrio::testing::settle(self.cx, Duration::ZERO).is_err());
            let outcome = self.cx.nursery(|cx, n| -> Result<u32, Fault> {
                let captured = Bomb::dud();
                let mut refused = n.spawn(move |_| {
                    drop(captured);
                    Ok(1)
                });
                assert!(refused.is_finished());
                assert!(refused.join(cx).is_err());
                assert!(n.spawn_local(cx, |_| Ok(())).join(cx).is_err());
                assert!(
                    n.start(cx, |_, started| {
                        started.ready(1);
                        Ok(())
                    })
                    .is_err()
                );
                Ok(9)
            });
            assert!(matches!(outcome, Ok(9)));
        }
    }
}

/// spec: N3
#[test]
fn a_destructor_may_wait_unless_it_runs_because_of_a_panic() {
    run(1, |cx| {
        let said = Cell::new(None);
        drop(Waiter { cx, said: &said });
        assert_eq!(said.take(), Some(Ok(())), "as usual");

        let outcome = cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
            scope.cancel();
            drop(Waiter { cx, said: &said });
            Ok(())
        });
        assert!(outcome.is_ok());
        assert_eq!(said.take(), Some(Err(CancelSource::Explicit)), "while cancelled");

        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _waiter = Waiter { cx, said: &said };
            plan_panic(1);
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&Planned(1)));
        assert_eq!(said.take(), Some(Err(CancelSource::Unwinding)), "while unwinding");
        cx.yield_now().unwrap();
    });
}

/// Panics when it is dropped.
struct Bomb(Option<u64>);

impl Bomb {
    fn dud() -> Bomb {
        Bomb(None)
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if let Some(number) = self.0 {
            plan_panic(number);
        }
    }
}

fn numbers(payload: Box<dyn Any + Send>) -> Vec<u64> {
    match payload.downcast::<NurseryPanic>() {
        Ok(panic) => panic.into_panics().into_iter().flat_map(numbers).collect(),
        Err(payload) => vec![payload.downcast::<Planned>().expect("a planned panic").0],
    }
}

/// Every panic of a nursery comes out of it, whichever task it was in, and the children have ended.
/// spec: N4
#[test]
fn no_panic_is_lost() {
    for workers in CREWS {
        for (child_panics, body_panics) in [(true, false), (false, true), (true, true)] {
            run(workers, |cx| {
                let frame = Canary::new();
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    let _ = cx.nursery(|cx, n| -> Result<(), Fault> {
                        n.spawn(|cx| {
                            let _visit = frame.visit();
                            let result = cx.sleep_forever();
                            cx.yield_shielded();
                            Ok(result?)
                        });
                        n.spawn(|_| if child_panics { plan_panic(1) } else { Ok(()) });
                        cx.yield_shielded();
                        if body_panics { plan_panic(2) } else { Ok(cx.sleep_forever()?) }
                    });
                }));
                let mut got = numbers(caught.expect_err("it goes on"));
                got.sort_unstable();
                let planned = [(1, child_panics), (2, body_panics)];
                let planned: Vec<u64> = planned.iter().filter(|p| p.1).map(|p| p.0).collect();
                assert_eq!(got, planned);
            });
        }
    }
}

/// Destructors that panic: of a value nobody asks for, of a value that its handle drops, of what a child
/// has captured, of an error. Each is a panic of somebody, and nobody waits for ever.
/// spec: N4
#[test]
fn a_destructor_that_panics_is_a_panic_like_any_other() {
    for workers in CREWS {
        run(workers, |cx| {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _ = cx.nursery(|_, n| -> Result<(), Fault> {
                    drop(n.spawn(|_| Ok(Bomb(Some(1)))));
                    Ok(())
                });
            }));
            assert_eq!(numbers(caught.unwrap_err()), [1], "a value that nobody asked for");

            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _ = cx.nursery(|cx, n| -> Result<(), Fault> {
                    let child = n.spawn(|_| Ok(Bomb(Some(2))));
                    while !child.is_finished() {
                        cx.yield_now()?;
                    }
                    drop(child);
                    Ok(())
                });
            }));
            assert_eq!(numbers(caught.unwrap_err()), [2], "a value that its handle dropped");

            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _ = cx.nursery(|_, n| -> Result<(), Fault> {
                    let captured = Bomb(Some(3));
                    n.spawn(move |cx| {
                        let _captured = captured;
                        Ok(cx.yield_now()?)
                    });
                    Ok(())
                });
            }));
            assert_eq!(numbers(caught.unwrap_err()), [3], "what a child had captured");

            let cancelled_meanwhile = catch_unwind(AssertUnwindSafe(|| {
                let _ = cx.nursery(|cx, n| -> Result<(), Fault> {
                    n.spawn(|cx| {
                        let _bomb = Bomb(Some(4));
                        Ok(cx.sleep_forever()?)
                    });
                    cx.yield_now()?;
                    n.cancel();
                    Ok(())
                });
            }));
            assert_eq!(numbers(cancelled_meanwhile.unwrap_err()), [4], "while it was cancelled");
        });
    }
}

/// A wait whose own code panics.
struct Clumsy(&'static str, Option<Unparker>);

impl Wait for Clumsy {
    fn arm(&mut self, unparker: Unparker) {
        self.1 = Some(unparker);
        if self.0 == "arm" {
            plan_panic(1);
        }
    }

    fn abort(&mut self) -> Abort {
        if self.0 == "abort" {
            plan_panic(2);
        }
        self.1.take().unwrap().unpark();
        Abort::Pending
    }

    fn finish(&mut self) -> conbrio::lowlevel::Finish {
        plan_panic(3)
    }
}

/// spec: N4
#[test]
fn a_wait_that_panics_leaves_the_task_in_order() {
    for (where_, number) in [("arm", 1), ("abort", 2), ("finish", 3)] {
        run(1, |cx| {
            let mut wait = Clumsy(where_, None);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _ = cx.move_on_after(Duration::from_micros(10), |cx| cx.park_on(&mut wait));
            }));
            assert_eq!(numbers(caught.unwrap_err()), [number]);
            // A late unpark must not end another wait.
            let late = wait.1.take();
            let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
                n.spawn(move |_| {
                    if let Some(unparker) = late {
                        unparker.unpark();
                    }
                    Ok(())
                });
                let slept =
                    cx.move_on_after(Duration::from_micros(300), |cx| cx.sleep_forever())?;
                assert_eq!(slept, None);
                Ok(())
            });
            outcome.unwrap();
        });
    }
}

/// Tasks that panic, catch, and wait in turns on one thread: each catches its own, and none of them sees
/// the panic of another.
/// spec: N6, N7
#[test]
fn catching_panics_around_waits_does_not_mix_them_up() {
    for workers in CREWS {
        run(workers, |cx| {
            let steps = AtomicUsize::new(0);
            let outcome = cx.nursery(|_, n| -> Result<(), Fault> {
                for task in 0..8_u64 {
                    let steps = &steps;
                    n.spawn(move |cx| {
                        for round in 0..50 {
                            let number = task * 1_000 + round;
                            let caught = catch_unwind(AssertUnwindSafe(|| {
                                cx.yield_now().unwrap();
                                struct Look;
                                impl Drop for Look {
                                    fn drop(&mut self) {
                                        assert!(panicking(), "it is being unwound");
                                    }
                                }
                                let _look = Look;
                                cx.yield_now().unwrap();
                                plan_panic(number)
                            }));
                            assert!(!panicking(), "the panic was caught");
                            cx.yield_now()?;
                            assert!(!panicking(), "nobody switches while unwinding");
                            let caught: Result<(), _> = caught;
                            assert_eq!(numbers(caught.unwrap_err()), [number]);
                            steps.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(())
                    });
                }
                Ok(())
            });
            flatten(outcome).unwrap();
            assert_eq!(steps.into_inner(), 400);
        });
    }
}

/// A payload travels through nested nurseries, scopes, `blocking` and `on_thread_stack` as it is.
/// spec: N4
#[test]
fn a_payload_arrives_as_it_was_thrown() {
    let caught = catch_unwind(AssertUnwindSafe(|| {
        run(2, |cx| {
            let _ = cx.nursery(|_, n| -> Result<(), Fault> {
                n.spawn(|cx| {
                    cx.shield(|cx| {
                        cx.nursery(|_, n| -> Result<(), Fault> {
                            n.spawn(|cx| -> Result<(), Fault> {
                                let thrown = catch_unwind(AssertUnwindSafe(|| {
                                    cx.blocking(|| plan_panic(5)).map(drop)
                                }));
                                cx.on_thread_stack(|| resume_unwind(thrown.unwrap_err()))
                            });
                            Ok(())
                        })
                    })
                    .map_err(|_| Fault::Broken(0))
                });
                Ok(())
            });
        });
    }));
    assert_eq!(numbers(caught.unwrap_err()), [5]);
}
