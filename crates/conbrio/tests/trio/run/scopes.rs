//! Shields, deadlines, nesting: which scope sees what, and which one absorbs it.

use std::time::{Duration, Instant};

use conbrio::prelude::*;
use conbrio::testing::{MockClock, settle};
use conbrio::{Builder, CancelSource};

use crate::support::{Fault, on_all_workers, on_one_worker, seconds};

// spec: test_run.cancel_scope_repr
#[test]
fn a_scope_describes_itself() {
    on_one_worker(|cx| {
        let handle = cx
            .cancel_scope(|cx, scope| -> Result<_, Cancelled> {
                let text = format!("{scope:?}");
                assert!(text.contains("cancelled: false") && text.contains("shielded: false"));
                assert!(text.contains("deadline: \"none\""), "{text}");
                scope.set_timeout(seconds(10));
                cx.sleep(seconds(6))?;
                let text = format!("{scope:?}");
                assert!(text.contains("deadline: \"4s from now\""), "{text}");
                scope.set_shield(true);
                scope.set_deadline(Some(cx.now() - seconds(2)));
                let text = format!("{scope:?}");
                assert!(text.contains("cancelled: true") && text.contains("shielded: true"));
                assert!(text.contains("deadline: \"2s ago\""), "{text}");
                let handle = scope.handle();
                let text = format!("{handle:?}");
                assert!(text.contains("cancelled: true") && text.contains("open: true"), "{text}");
                Ok(handle)
            })
            .unwrap()
            .unwrap();
        let text = format!("{handle:?}");
        assert!(text.contains("cancelled: true") && text.contains("open: false"), "{text}");
    });
}

// spec: test_run.cancel_scope_validation, test_timeouts.timeouts_raise_value_error
#[test]
fn every_timeout_that_can_be_written_is_accepted() {
    // conbrio: `Duration` is neither negative nor NaN, and a scope takes a timeout or a deadline, not
    // both. What is left are the extremes.
    on_one_worker(|cx| {
        let start = cx.now();
        let value = cx.move_on_after(Duration::MAX, |cx| cx.sleep(seconds(1)).map(|()| 1));
        assert!(matches!(value, Ok(Some(1))));
        let value = cx.move_on_after(Duration::ZERO, |cx| cx.sleep(Duration::MAX));
        assert!(matches!(value, Ok(None)));
        // An instant long past is a deadline like any other.
        let value = cx.move_on_at(start - seconds(1_000), |cx| cx.checkpoint());
        assert!(matches!(value, Ok(None)));
        cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
            scope.set_timeout(Duration::MAX);
            cx.checkpoint()?;
            scope.set_timeout(Duration::ZERO);
            assert!(cx.checkpoint().is_err());
            Ok(())
        })
        .unwrap();
        assert!(cx.sleep_until(start - seconds(1)).is_ok());
        assert_eq!(cx.now() - start, seconds(1));
    });
}

// spec: test_run.cancel_shielding, S21
#[test]
fn a_shield_hides_outer_scopes_as_long_as_it_is_up() {
    on_all_workers(|cx| {
        let ended = cx.cancel_scope(|cx, outer| -> Result<(), Cancelled> {
            outer.cancel();
            let inner = cx.cancel_scope(|cx, inner| -> Result<(), Cancelled> {
                assert!(cx.checkpoint().is_err());
                inner.set_shield(true);
                cx.checkpoint()?;
                cx.sleep(seconds(1))?;
                inner.set_shield(false);
                assert!(cx.checkpoint().is_err());
                inner.set_shield(true);
                cx.checkpoint()?;
                // It hides nothing that lies inside it.
                let innermost = cx.cancel_scope(|cx, innermost| {
                    innermost.cancel();
                    cx.checkpoint()
                })?;
                assert_eq!(innermost, None);
                // Nor the scope's own cancellation, which it absorbs.
                inner.cancel_with("own");
                let cancelled = cx.checkpoint().unwrap_err();
                assert_eq!(cancelled.reason(), Some("own"));
                Err(cancelled)
            });
            assert!(matches!(inner, Ok(None)), "{inner:?}");
            cx.checkpoint()
        });
        assert!(matches!(ended, Ok(None)));
        cx.checkpoint().unwrap();
    });
}

// spec: test_run.cancel_shield_abort
#[test]
fn lowering_a_shield_ends_the_wait_of_a_child() {
    on_all_workers(|cx| {
        let start = cx.now();
        let ended = cx.cancel_scope(|cx, outer| {
            outer.cancel_with("outer");
            cx.cancel_scope(|cx, shielding| {
                shielding.set_shield(true);
                cx.nursery(|cx, n| -> Result<(), Fault> {
                    n.spawn(|cx| {
                        let cancelled = cx.sleep_forever().unwrap_err();
                        assert_eq!(cancelled.reason(), Some("outer"));
                        Err::<(), _>(cancelled.into())
                    });
                    settle(cx, Duration::ZERO)?;
                    assert_eq!(n.child_count(), 1);
                    shielding.set_shield(false);
                    Ok(())
                })
            })
        });
        assert!(matches!(ended, Ok(None)), "{ended:?}");
        assert_eq!(cx.now(), start);
    });
}

// spec: test_run.basic_timeout
#[test]
fn a_deadline_that_passes_after_the_scope_has_no_effect() {
    let clock = MockClock::new();
    let builder = Builder::new().workers(1).clock(clock.clone());
    builder
        .run(|cx| {
            let handle = cx
                .cancel_scope(|_, scope| -> Result<_, Cancelled> {
                    scope.set_timeout(seconds(1));
                    Ok(scope.handle())
                })
                .unwrap()
                .unwrap();
            clock.jump(seconds(2));
            cx.yield_now().unwrap();
            assert!(!handle.is_cancelled());
        })
        .unwrap();
}

// spec: test_run.basic_timeout
#[test]
fn a_deadline_can_be_moved_and_then_fails_every_wait() {
    on_one_worker(|cx| {
        let start = cx.now();
        let ended = cx.cancel_scope(|cx, scope| {
            scope.set_deadline(Some(start + seconds(1)));
            assert_eq!(scope.deadline(), Some(start + seconds(1)));
            scope.set_deadline(Some(scope.deadline().unwrap() + seconds(2)));
            let cancelled = cx.sleep_forever().unwrap_err();
            assert_eq!(cancelled.source(), CancelSource::Deadline);
            assert_eq!(cx.now() - start, seconds(3));
            assert!(scope.is_cancelled());
            assert!(cx.checkpoint().is_err());
            cx.checkpoint()
        });
        assert!(matches!(ended, Ok(None)));

        let ended = cx.cancel_scope(|cx, scope| {
            cx.checkpoint()?;
            scope.set_deadline(Some(start));
            assert!(scope.is_cancelled());
            assert!(cx.checkpoint().is_err());
            cx.checkpoint()
        });
        assert!(matches!(ended, Ok(None)));
        assert_eq!(cx.now() - start, seconds(3));
    });
}

// spec: test_run.cancel_unbound
#[test]
fn a_cancellation_is_for_good_and_for_its_scope_only() {
    // conbrio: a scope exists only while it is entered; reuse and re-entry cannot be written.
    on_one_worker(|cx| {
        // Before its code has begun to wait.
        let ended = cx.cancel_scope(|cx, scope| {
            scope.cancel();
            cx.checkpoint()
        });
        assert!(matches!(ended, Ok(None)));
        // A deadline that has passed already; moving it away does not undo it.
        let past = cx.now() - seconds(1);
        let ended = cx.cancel_scope(|cx, scope| {
            scope.set_deadline(Some(past));
            assert!(scope.is_cancelled());
            scope.set_deadline(Some(cx.now() + seconds(1_000)));
            scope.set_deadline(None);
            assert!(scope.is_cancelled());
            cx.checkpoint()
        });
        assert!(matches!(ended, Ok(None)));
        // After its end: recorded, as in Trio, without effect.
        let handle = cx.cancel_scope(|_, scope| Ok::<_, Cancelled>(scope.handle()));
        let handle = handle.unwrap().unwrap();
        assert!(!handle.is_open() && !handle.is_cancelled());
        handle.cancel();
        assert!(handle.is_cancelled());
        cx.sleep(seconds(1)).unwrap();
    });
}

// spec: test_run.cancel_unbound
#[test]
fn a_handle_knows_of_a_cancellation_that_came_before_it() {
    on_all_workers(|cx| {
        cx.cancel_scope(|_, scope| -> Result<(), Cancelled> {
            scope.cancel();
            assert!(scope.handle().is_cancelled());
            Ok(())
        })
        .unwrap();
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.cancel();
            assert!(n.handle().is_cancelled());
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_run.cancel_scope_nesting
#[test]
fn the_outermost_cancelled_scope_absorbs() {
    on_one_worker(|cx| {
        let outermost = cx.cancel_scope(|cx, _| -> Result<(), Cancelled> {
            let middle = cx.cancel_scope(|cx, middle| -> Result<(), Cancelled> {
                let inner = cx.cancel_scope(|cx, inner| {
                    inner.cancel_with("inner");
                    middle.cancel_with("middle");
                    let cancelled = cx.checkpoint().unwrap_err();
                    assert_eq!(cancelled.reason(), Some("middle"));
                    Err::<(), _>(cancelled)
                });
                assert!(inner.is_err(), "the inner scope has not absorbed");
                inner.map(|_| ())
            });
            assert!(matches!(middle, Ok(None)));
            cx.checkpoint()
        });
        assert!(matches!(outermost, Ok(Some(()))));
    });
}

// spec: test_run.cancel_scope_nesting
#[test]
fn a_shield_between_two_cancelled_scopes_lets_the_inner_one_absorb() {
    on_one_worker(|cx| {
        let outer = cx.cancel_scope(|cx, outer| -> Result<(), Cancelled> {
            outer.cancel();
            let inner = cx.cancel_scope(|cx, inner| {
                inner.set_shield(true);
                inner.cancel();
                cx.checkpoint()
            });
            assert!(matches!(inner, Ok(None)));
            cx.checkpoint()
        });
        assert!(matches!(outer, Ok(None)));
    });
}

// spec: test_run.cancel_scope_nesting
#[test]
fn a_cancellation_that_no_wait_has_seen_goes_with_its_scope() {
    on_one_worker(|cx| {
        let ended = cx.cancel_scope(|_, scope| -> Result<_, Cancelled> {
            scope.cancel();
            Ok(3)
        });
        // What the code in the scope has completed counts.
        assert!(matches!(ended, Ok(Some(3))));
        cx.yield_now().unwrap();
    });
}

// spec: test_run.unshield_while_cancel_propagating
#[test]
fn a_shield_raised_while_a_cancellation_is_on_its_way_does_not_stop_it() {
    on_one_worker(|cx| {
        let outer = cx.cancel_scope(|cx, outer| -> Result<(), Cancelled> {
            let inner = cx.cancel_scope(|cx, inner| -> Result<(), Cancelled> {
                outer.cancel();
                let result = cx.checkpoint();
                inner.set_shield(true);
                cx.checkpoint().unwrap();
                result
            });
            assert!(inner.is_err(), "the inner scope has not absorbed");
            inner.map(|_| ())
        });
        assert!(matches!(outer, Ok(None)));
    });
}

// spec: test_run.current_effective_deadline
#[test]
fn the_deadline_in_force_is_the_earliest_that_is_not_hidden() {
    // conbrio: the deadline of a cancelled scope is an instant that has passed.
    on_one_worker(|cx| {
        assert_eq!(cx.deadline(), None);
        let start = cx.now();
        cx.move_on_at(start + seconds(10), |cx| -> Result<(), Cancelled> {
            assert_eq!(cx.deadline(), Some(start + seconds(10)));
            cx.move_on_at(start + seconds(5), |cx| -> Result<(), Cancelled> {
                assert_eq!(cx.deadline(), Some(start + seconds(5)));
                cx.move_on_at(start + seconds(20), |cx| -> Result<(), Cancelled> {
                    assert_eq!(cx.deadline(), Some(start + seconds(5)));
                    Ok(())
                })?;
                cx.shield(|cx| assert_eq!(cx.deadline(), None));
                Ok(())
            })?;
            assert_eq!(cx.deadline(), Some(start + seconds(10)));
            cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
                scope.set_deadline(Some(start + seconds(7)));
                assert_eq!(cx.deadline(), Some(start + seconds(7)));
                scope.set_shield(true);
                scope.set_deadline(Some(start + seconds(30)));
                assert_eq!(cx.deadline(), Some(start + seconds(30)));
                scope.set_shield(false);
                assert_eq!(cx.deadline(), Some(start + seconds(10)));
                // Children inherit it.
                cx.nursery(|cx, n| -> Result<(), Cancelled> {
                    let deadline = n.spawn(|cx| Ok(cx.deadline())).join(cx)?;
                    assert_eq!(deadline, Some(start + seconds(10)));
                    Ok(())
                })
                .unwrap();
                scope.cancel();
                assert!(cx.deadline().unwrap() <= cx.now());
                cx.cleanup(seconds(3), |cx| -> Result<(), Cancelled> {
                    assert_eq!(cx.deadline(), Some(start + seconds(3)));
                    Ok(())
                })?;
                Ok(())
            })?;
            Ok(())
        })
        .unwrap();
        assert_eq!(cx.deadline(), None);
        assert_eq!(cx.now(), start);
    });
}

// spec: test_run.yield_briefly_checks_for_timeout
#[test]
fn a_task_that_never_stops_sees_a_deadline_that_has_passed() {
    // conbrio: `yield_now` gives way every time, and sees it at once. `checkpoint` gives way at every
    // 128th of a turn, and sees it then.
    let clock = MockClock::new();
    let builder = Builder::new().workers(1).clock(clock.clone());
    builder
        .run(|cx| {
            let ended = cx.move_on_after(seconds(5), |cx| {
                cx.yield_now().unwrap();
                clock.jump(seconds(10));
                cx.yield_now()
            });
            assert!(matches!(ended, Ok(None)));
            let ended = cx.move_on_after(seconds(5), |cx| {
                clock.jump(seconds(10));
                let failed = (0..=128).find_map(|_| cx.checkpoint().err());
                Err::<(), _>(failed.expect("one of them gives way"))
            });
            assert!(matches!(ended, Ok(None)));
        })
        .unwrap();
}

// spec: test_run.trivial_yields
#[test]
fn a_nursery_without_children_is_no_checkpoint() {
    on_one_worker(|cx| {
        let ended = cx.cancel_scope(|cx, scope| -> Result<u32, Fault> {
            scope.cancel();
            cx.nursery(|_, _| -> Result<(), Fault> { Ok(()) })?;
            // Nor is the wait for a child that does not wait.
            cx.nursery(|_, n| -> Result<(), Fault> {
                n.spawn(|_| Ok(()));
                Ok(())
            })?;
            // An error of the body is not joined by a cancellation.
            let failed = cx.nursery(|_, _| Err::<(), _>(Fault::Named("key")));
            let Err(NurseryError::Failed(errors)) = failed else { panic!("{failed:?}") };
            assert_eq!(errors.len(), 1);
            Ok(6)
        });
        assert!(matches!(ended, Ok(Some(6))), "{ended:?}");
    });
}

// spec: test_run.timekeeping
#[test]
fn a_deadline_in_real_time_is_kept() {
    const TARGET: Duration = Duration::from_millis(10);
    conbrio::run(|cx| {
        // Never early; late only if the machine is busy, which it is not every time.
        let in_time = (0..20).any(|_| {
            let start = Instant::now();
            let ended = cx.move_on_after(TARGET, |cx| cx.sleep_forever());
            let elapsed = start.elapsed();
            assert!(matches!(ended, Ok(None)));
            assert!(elapsed >= TARGET, "{elapsed:?}");
            elapsed < TARGET * 2
        });
        assert!(in_time);
    });
}

// spec: test_run.cancel_scope_validation, test_timeouts.timeouts_raise_value_error
#[test]
fn the_longest_timeout_never_comes_and_never_overflows() {
    const SOON: Duration = Duration::from_millis(3);
    for workers in [1, 2] {
        let builder = Builder::new().workers(workers);
        builder
            .run(|cx| {
                let slept = cx.move_on_after(SOON, |cx| cx.sleep(Duration::MAX));
                assert!(matches!(slept, Ok(None)));
                let settled = cx.move_on_after(SOON, |cx| settle(cx, Duration::MAX));
                assert!(matches!(settled, Ok(None)));
                let ticked = cx.move_on_after(SOON, |cx| {
                    let mut interval = cx.interval(Duration::MAX);
                    interval.tick(cx).map(|_| ())
                });
                assert!(matches!(ticked, Ok(None)));
                let result = cx.nursery(|cx, n| -> Result<(), Cancelled> {
                    n.handle().shutdown(Duration::MAX);
                    n.shutdown(Duration::MAX);
                    cx.wait_shutdown()?;
                    assert!(!n.is_cancelled());
                    cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
                        scope.shutdown(Duration::MAX);
                        cx.wait_shutdown()
                    })?;
                    cx.cleanup(Duration::MAX, |cx| cx.sleep(SOON))?;
                    n.handle().shutdown(SOON);
                    cx.sleep_forever()
                });
                assert!(matches!(result, Err(NurseryError::Stopped(_))), "{result:?}");
            })
            .unwrap();
    }
}
