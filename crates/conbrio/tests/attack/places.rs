//! A parent that is ended in every way at every place where it can wait: it waits for its children first,
//! and none of them ever sees a dead frame.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use conbrio::testing::settle;
use conbrio::{CancelHandle, Cx, NurseryError};

use crate::support::{CREWS, Canary, Fault, Planned, plan_panic, run};

/// Where the parent is when it happens.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Body,
    Exit,
    Join,
    Start,
    Blocking,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause {
    Cancelled,
    CancelledTwice,
    Deadline,
    ChildFails,
    ChildPanics,
    BodyPanics,
}

const PLACES: [Place; 5] = [Place::Body, Place::Exit, Place::Join, Place::Start, Place::Blocking];
const CAUSES: [Cause; 6] = [
    Cause::Cancelled,
    Cause::CancelledTwice,
    Cause::Deadline,
    Cause::ChildFails,
    Cause::ChildPanics,
    Cause::BodyPanics,
];

/// Waits until it is cancelled, and then takes its time.
fn stubborn(cx: &mut Cx, frame: &Canary, ended: &AtomicUsize) -> Result<(), Fault> {
    let _visit = frame.visit();
    let result = cx.sleep_forever();
    for _ in 0..20 {
        cx.yield_shielded();
        frame.check();
    }
    cx.shield(|cx| cx.sleep(Duration::from_micros(300)))?;
    frame.check();
    ended.fetch_add(1, Ordering::SeqCst);
    Ok(result?)
}

/// Waits until everybody is where they should be, and lets it happen.
fn strike(
    cx: &mut Cx,
    cause: Cause,
    nursery: &CancelHandle,
    scope: &CancelHandle,
) -> Result<(), Fault> {
    settle(cx, Duration::ZERO)?;
    match cause {
        Cause::Cancelled | Cause::BodyPanics => nursery.cancel(),
        Cause::CancelledTwice => {
            scope.cancel();
            nursery.cancel();
            scope.cancel();
        }
        Cause::Deadline => scope.set_deadline(Some(cx.now())),
        Cause::ChildFails => return Err(Fault::Broken(1)),
        Cause::ChildPanics => plan_panic(1),
    }
    Ok(())
}

fn attack(workers: usize, place: Place, cause: Cause) {
    const CHILDREN: usize = 4;
    let ended = AtomicUsize::new(0);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        run(workers, |cx| {
            let frame = Canary::new();
            let (release, released) = mpsc::channel::<()>();
            let outcome = cx.cancel_scope(|cx, scope| {
                let scope = scope.handle();
                let outcome = cx.nursery(|cx, n| {
                    let (frame, ended, nursery) = (&frame, &ended, n.handle());
                    for _ in 0..CHILDREN - 1 {
                        n.spawn(move |cx| stubborn(cx, frame, ended));
                    }
                    let mut last = n.spawn(move |cx| stubborn(cx, frame, ended));
                    n.spawn(move |cx| {
                        let result = strike(cx, cause, &nursery, &scope);
                        drop(release);
                        result
                    });
                    let result: Result<(), Fault> = match place {
                        Place::Body => cx.sleep_forever().map_err(Fault::from),
                        Place::Exit => Ok(()),
                        Place::Join => last.join(cx).map_err(Fault::from),
                        Place::Start => n
                            .start(cx, |cx, _never_ready| stubborn(cx, frame, &AtomicUsize::new(0)))
                            .map_err(|_| Fault::Broken(2)),
                        Place::Blocking => cx
                            .blocking(move || {
                                let _visit = frame.visit();
                                let _ = released.recv();
                            })
                            .map_err(Fault::from),
                    };
                    if cause == Cause::BodyPanics && place != Place::Exit {
                        plan_panic(1);
                    }
                    result
                });
                assert_eq!(ended.load(Ordering::SeqCst), CHILDREN, "the nursery waited");
                match outcome {
                    Err(NurseryError::Failed(errors)) => {
                        assert!(errors.iter().all(|e| matches!(e, Fault::Broken(_))), "{errors:?}");
                        assert!(cause == Cause::ChildFails || place == Place::Start, "{errors:?}");
                        Ok(())
                    }
                    Err(NurseryError::Cancelled(cancelled)) => Err(Fault::Cancelled(cancelled)),
                    Ok(()) | Err(NurseryError::Stopped(_)) => Ok(()),
                }
            });
            outcome.expect("the scope takes back its own cancellation");
        });
    }));
    assert_eq!(ended.into_inner(), CHILDREN);
    let panics =
        cause == Cause::ChildPanics || (cause == Cause::BodyPanics && place != Place::Exit);
    match outcome {
        Ok(()) => assert!(!panics, "the panic was lost"),
        Err(payload) => {
            assert!(panics, "a panic from nowhere");
            if place != Place::Start {
                assert_eq!(payload.downcast_ref(), Some(&Planned(1)));
            }
        }
    }
}

/// spec: N1, N2
#[test]
fn the_parent_waits_wherever_and_however_it_is_ended() {
    for place in PLACES {
        for cause in CAUSES {
            for workers in CREWS {
                attack(workers, place, cause);
            }
        }
    }
}

/// The caller of `start` is cancelled when the child says that it is ready: the child stays inside.
/// spec: N2
#[test]
fn a_child_that_is_ready_too_late_stays_in_the_call_of_start() {
    for workers in CREWS {
        run(workers, |cx| {
            let frame = Canary::new();
            let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
                let result = cx.cancel_scope(|cx, scope| -> Result<(), Fault> {
                    let handle = scope.handle();
                    let frame = &frame;
                    n.start(cx, move |cx, started| {
                        let _visit = frame.visit();
                        handle.cancel();
                        // On another worker than its caller it hears of it a little later.
                        assert!(
                            cx.sleep_forever().is_err(),
                            "the caller's cancellation reaches it"
                        );
                        started.ready(());
                        assert!(cx.checkpoint().is_err(), "it is still inside");
                        cx.yield_shielded();
                        Ok(cx.checkpoint()?)
                    })
                    .map_err(|error| match error {
                        conbrio::StartError::Cancelled(cancelled) => Fault::Cancelled(cancelled),
                        _ => Fault::Broken(3),
                    })
                });
                assert!(matches!(result, Ok(None)), "{result:?}");
                assert_eq!(n.child_count(), 0);
                Ok(cx.checkpoint()?)
            });
            outcome.unwrap();
        });
    }
}
