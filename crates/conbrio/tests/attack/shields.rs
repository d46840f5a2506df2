//! Shields that other threads raise and lower while the task is being interrupted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conbrio::Cx;
use conbrio::lowlevel::{Abort, Unparker, Wait};

use crate::support::{Fault, run};

/// A wait that nobody ends; it keeps its unparker until it is called off.
struct Nobody(Option<Unparker>);

impl Wait for Nobody {
    fn arm(&mut self, unparker: Unparker) {
        self.0 = Some(unparker);
    }

    fn abort(&mut self) -> Abort {
        self.0 = None;
        Abort::Succeeded
    }
}

fn wait_somehow(cx: &mut Cx, round: u32) -> Result<(), Fault> {
    match round % 3 {
        0 => cx.sleep_forever()?,
        1 => cx.park_on(&mut Nobody(None))?,
        _ => cx.sleep(Duration::from_secs(60))?,
    }
    Ok(())
}

/// The task is interrupted, and before it can say why, a shield hides the reason. The wait still ends
/// with the cancellation that interrupted it, or goes on; it never ends without a reason.
///
/// spec: N1
#[test]
fn a_shield_raised_during_an_interruption_does_not_take_its_reason_away() {
    let rounds = if crate::support::is_slow_wanted("a million shields") { 300_000 } else { 3_000 };
    let done = AtomicBool::new(false);
    run(1, |cx| {
        std::thread::scope(|threads| {
            let outer = cx.cancel_scope(|cx, outer| -> Result<(), Fault> {
                outer.cancel();
                cx.cancel_scope(|cx, inner| -> Result<(), Fault> {
                    let handle = inner.handle();
                    let done = &done;
                    threads.spawn(move || {
                        while !done.load(Ordering::Relaxed) {
                            handle.set_shield(true);
                            handle.set_shield(false);
                        }
                    });
                    for round in 0..rounds {
                        // Always cancelled in the end: the shield does not stay up.
                        let Err(Fault::Cancelled(cancelled)) = wait_somehow(cx, round) else {
                            panic!("nobody ends these waits");
                        };
                        drop(cancelled);
                    }
                    done.store(true, Ordering::Relaxed);
                    Ok(())
                })
                .map(|_| ())
            });
            done.store(true, Ordering::Relaxed);
            outer.unwrap();
        });
    });
}

/// A child that was cancelled before it began passes that on to the nursery that it opens, although it
/// meets no checkpoint of its own.
///
/// spec: N1
#[test]
fn a_child_cancelled_before_it_begins_passes_it_on() {
    for workers in crate::support::CREWS {
        for local in [true, false] {
            run(workers, |cx| {
                let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
                    let open = |cx: &mut Cx| {
                        crate::support::flatten(cx.nursery(|_, n| {
                            n.spawn(|cx| Ok(cx.sleep_forever()?));
                            Ok(())
                        }))
                    };
                    if local {
                        n.spawn_local(cx, open);
                    } else {
                        n.spawn(open);
                    }
                    n.cancel();
                    Ok(())
                });
                outcome.unwrap();
            });
        }
    }
}

/// However a nursery was cancelled, its handle and itself say so.
/// spec: N1
#[test]
fn a_nursery_knows_that_its_handle_or_deadline_cancelled_it() {
    run(1, |cx| {
        let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
            n.handle().cancel();
            assert!(cx.checkpoint().is_err());
            assert!(n.is_cancelled(), "cancelled by its handle");
            assert!(n.handle().is_cancelled());
            Ok(())
        });
        outcome.unwrap();
        let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
            n.shutdown(Duration::ZERO);
            assert!(cx.sleep_forever().is_err());
            assert!(n.is_cancelled(), "cancelled by the end of the grace period");
            assert!(n.handle().is_cancelled());
            Ok(())
        });
        outcome.unwrap();
        let late = cx.cancel_scope(|_, scope| -> Result<bool, Fault> {
            scope.cancel();
            Ok(scope.handle().is_cancelled())
        });
        assert!(late.unwrap().unwrap(), "the handle was made after the request");
    });
}
