//! Forgotten handles, cycles, and what outlives its runtime: it leaks, and no more than that.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use conbrio::lowlevel::{Abort, Unparker, Wait};
use conbrio::{CancelHandle, Cx, LocalChild};

use crate::support::{CREWS, Canary, Fault, flatten, run};

/// spec: N5
#[test]
fn forgotten_handles_leak_and_the_nursery_still_waits() {
    for workers in CREWS {
        let ended = AtomicUsize::new(0);
        run(workers, |cx| {
            let frame = Canary::new();
            let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
                let (frame, ended) = (&frame, &ended);
                let child = move |cx: &mut Cx| {
                    let _visit = frame.visit();
                    cx.yield_now()?;
                    ended.fetch_add(1, Ordering::SeqCst);
                    Ok(vec![1, 2, 3])
                };
                std::mem::forget(n.spawn(child));
                std::mem::forget(n.spawn_local(cx, child));
                Box::leak(Box::new(n.spawn(child)));
                std::mem::forget(n.handle());
                std::mem::forget(n.task("never spawned"));
                let started = n.start(cx, move |cx, started: conbrio::Started<'_, (), Fault>| {
                    let _forgotten = std::mem::ManuallyDrop::new(started);
                    child(cx).map(drop)
                });
                assert!(matches!(started, Err(conbrio::StartError::NeverReady)));
                Ok(())
            });
            flatten(outcome).unwrap();
            assert_eq!(ended.load(Ordering::SeqCst), 4);
        });
    }
}

/// A child whose value holds the handle of that very child.
/// spec: N5
#[test]
fn a_cycle_of_handles_leaks_and_the_nursery_still_ends() {
    struct Knot<'scope>(RefCell<Option<LocalChild<'scope, Rc<Knot<'scope>>>>>);
    run(1, |cx| {
        let frame = Canary::new();
        let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
            let knot = Rc::new(Knot(RefCell::new(None)));
            let inside = Rc::clone(&knot);
            let frame = &frame;
            let child = n.spawn_local(cx, move |cx| {
                let _visit = frame.visit();
                cx.yield_now()?;
                Ok(inside)
            });
            knot.0.replace(Some(child));
            Ok(())
        });
        flatten(outcome).unwrap();
    });
}

struct Kept<'a>(&'a Mutex<Vec<Unparker>>);

impl Wait for Kept<'_> {
    fn arm(&mut self, unparker: Unparker) {
        self.0.lock().unwrap().push(unparker);
    }

    fn abort(&mut self) -> Abort {
        Abort::Succeeded
    }
}

/// Handles and unparkers that are used by other threads when their runtime has ended.
/// spec: N5, N16
#[test]
fn what_outlives_its_runtime_does_nothing() {
    for workers in CREWS {
        let unparkers = Mutex::new(Vec::new());
        let handles: Mutex<Vec<CancelHandle>> = Mutex::default();
        run(workers, |cx| {
            let outcome = cx.nursery(|_, n| -> Result<(), Fault> {
                handles.lock().unwrap().push(n.handle());
                for _ in 0..8 {
                    n.spawn(|cx| {
                        cx.cancel_scope(|cx, scope| -> Result<(), Fault> {
                            handles.lock().unwrap().push(scope.handle());
                            scope.cancel();
                            // The request comes when the wait has been armed already, or before.
                            scope.set_shield(true);
                            Ok(cx.park_on(&mut Kept(&unparkers))?)
                        })?;
                        cx.move_on_after(std::time::Duration::from_micros(50), |cx| {
                            cx.park_on(&mut Kept(&unparkers))
                        })?;
                        Ok(())
                    });
                }
                Ok(())
            });
            flatten(outcome).unwrap();
        });
        let unparkers = unparkers.into_inner().unwrap();
        assert!(!unparkers.is_empty());
        let handles = Arc::new(handles.into_inner().unwrap());
        std::thread::scope(|threads| {
            for unparker in unparkers {
                threads.spawn(move || unparker.unpark());
                let handles = Arc::clone(&handles);
                threads.spawn(move || {
                    for handle in handles.iter() {
                        assert!(!handle.is_open());
                        handle.cancel();
                        handle.set_shield(true);
                        handle.set_deadline(Some(std::time::Instant::now()));
                        handle.shutdown(std::time::Duration::ZERO);
                    }
                });
            }
        });
    }
}

/// A guard that keeps the `Cx` and is forgotten: the `Cx` is as usable as before.
/// spec: N5
#[test]
fn a_forgotten_borrow_of_the_cx_does_no_harm() {
    struct Guard<'a>(&'a mut Cx);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.yield_now().unwrap();
        }
    }
    run(1, |cx| {
        std::mem::forget(Guard(cx));
        cx.yield_now().unwrap();
        drop(Guard(cx));
    });
}
