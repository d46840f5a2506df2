//! Sleeping, `move_on` and `fail`.

use std::io;
use std::time::{Duration, Instant};

use conbrio::prelude::*;

use crate::support::{Fault, Trace, on_all_workers, on_one_worker, seconds};

// spec: test_timeouts.sleep
#[test]
fn sleeps_take_their_time() {
    on_all_workers(|cx| {
        let start = cx.now();
        cx.sleep(seconds(2)).unwrap();
        assert_eq!(cx.now() - start, seconds(2));
        cx.sleep_until(start + seconds(5)).unwrap();
        assert_eq!(cx.now() - start, seconds(5));
        cx.sleep(Duration::from_nanos(1)).unwrap();
        assert_eq!(cx.now() - start, seconds(5) + Duration::from_nanos(1));
    });
    conbrio::run(|cx| {
        let start = Instant::now();
        cx.sleep(Duration::from_millis(3)).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(3));
    });
}

// spec: test_timeouts.sleep
#[test]
fn a_sleep_of_zero_gives_way_and_sees_a_cancellation() {
    on_one_worker(|cx| {
        let trace = Trace::new();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn_local(cx, |_| {
                trace.push("other");
                Ok(())
            });
            cx.sleep(Duration::ZERO)?;
            trace.push("after the first");
            n.spawn_local(cx, |_| {
                trace.push("another");
                Ok(())
            });
            cx.sleep_until(cx.now())?;
            trace.push("after the second");
            Ok(())
        })
        .unwrap();
        assert_eq!(trace.take(), ["other", "after the first", "another", "after the second"]);
        let now = cx.now();
        let ended = cx.move_on_at(now, |cx| cx.sleep(Duration::ZERO));
        assert!(matches!(ended, Ok(None)));
    });
}

// spec: test_timeouts.move_on_after, S36
#[test]
fn move_on_ends_quietly_at_its_deadline() {
    on_all_workers(|cx| {
        let start = cx.now();
        let ended = cx.move_on_after(seconds(3), |cx| cx.sleep_forever());
        assert!(matches!(ended, Ok(None)));
        assert_eq!(cx.now() - start, seconds(3));
        let ended = cx.move_on_at(start + seconds(5), |cx| cx.sleep_forever());
        assert!(matches!(ended, Ok(None)));
        assert_eq!(cx.now() - start, seconds(5));
        // In time: the value.
        let ended = cx.move_on_after(seconds(3), |cx| cx.sleep(seconds(1)).map(|()| "value"));
        assert_eq!(ended.unwrap(), Some("value"));
        assert_eq!(cx.now() - start, seconds(6));
        // Another error passes.
        let ended = cx.move_on_after(seconds(3), |_| Err::<(), _>(Fault::Named("no")));
        assert_eq!(ended.unwrap_err().name(), "no");
    });
}

// spec: test_timeouts.context_shields_from_outer
#[test]
fn a_scope_with_a_deadline_can_be_shielded() {
    // conbrio: `cleanup` is `move_on_after` with a shield; a shield goes round `fail_after` as well.
    on_all_workers(|cx| {
        let start = cx.now();
        let outer = cx.cancel_scope(|cx, outer| -> Result<(), Fault> {
            outer.cancel();
            let value = cx.cleanup(seconds(10), |cx| cx.sleep(seconds(1)).map(|()| 1))?;
            assert_eq!(value, Some(1));
            let value =
                cx.shield(|cx| cx.fail_after(seconds(10), |cx| cx.sleep(seconds(1)).map(|()| 2)));
            assert_eq!(value.unwrap(), 2);
            // Turned off again, it fails.
            cx.cancel_scope(|cx, scope| -> Result<(), Fault> {
                scope.set_shield(true);
                scope.set_timeout(seconds(10));
                cx.sleep(seconds(1))?;
                scope.set_shield(false);
                cx.checkpoint()?;
                Ok(())
            })?;
            panic!("the cancellation of the outer scope has passed the inner one");
        });
        assert!(matches!(outer, Ok(None)), "{outer:?}");
        assert_eq!(cx.now() - start, seconds(3));
    });
}

// spec: test_timeouts.move_on_after_moves_on_even_if_shielded
#[test]
fn a_shielded_scope_moves_on_at_its_own_deadline() {
    on_all_workers(|cx| {
        let start = cx.now();
        let outer = cx.cancel_scope(|cx, outer| {
            outer.cancel();
            let inner = cx.cleanup(seconds(4), |cx| cx.sleep_forever())?;
            assert_eq!(inner, None);
            assert_eq!(cx.now() - start, seconds(4));
            cx.checkpoint()
        });
        assert!(matches!(outer, Ok(None)));
    });
}

// spec: test_timeouts.fail_after_fails_even_if_shielded
#[test]
fn a_shielded_scope_fails_at_its_own_deadline() {
    on_all_workers(|cx| {
        let start = cx.now();
        let outer = cx.cancel_scope(|cx, outer| {
            outer.cancel();
            let inner = cx.shield(|cx| cx.fail_after(seconds(4), |cx| cx.sleep_forever()));
            assert!(matches!(inner, Err(OrTimedOut::TimedOut(_))));
            assert_eq!(cx.now() - start, seconds(4));
            cx.checkpoint()
        });
        assert!(matches!(outer, Ok(None)));
    });
}

// spec: test_timeouts.fail, S39
#[test]
fn fail_says_that_time_is_up_only_if_it_is() {
    on_all_workers(|cx| {
        let start = cx.now();
        let late = cx.fail_after(seconds(1), |cx| cx.sleep_forever());
        let Err(OrTimedOut::TimedOut(timed_out)) = late else { panic!("{late:?}") };
        assert_eq!(timed_out.to_string(), "the deadline passed");
        let late = cx.fail_at(start + seconds(2), |cx| cx.sleep_forever());
        assert!(late.as_ref().err().and_then(MaybeCancelled::cancelled).is_none());
        // It becomes an `io::Error` of the right kind.
        assert_eq!(io::Error::from(late.unwrap_err()).kind(), io::ErrorKind::TimedOut);
        assert_eq!(cx.now() - start, seconds(2));
        let quick = cx.fail_after(seconds(1), |_| Ok::<_, Cancelled>(5));
        assert_eq!(quick.unwrap(), 5);
        let quick = cx.fail_at(cx.now() + seconds(2), |cx| cx.sleep(seconds(1)));
        assert!(quick.is_ok());
        // A cancellation of an outer scope is not a timeout.
        let outer = cx.move_on_after(seconds(1), |cx| {
            let result = cx.fail_after(seconds(100), |cx| cx.sleep_forever());
            assert!(matches!(result, Err(OrTimedOut::Failed(_))), "{result:?}");
            result
        });
        assert!(matches!(outer, Ok(None)), "{outer:?}");
        assert_eq!(cx.now() - start, seconds(4));
    });
}

// spec: test_timeouts.timeout_deadline_on_entry, test_timeouts.invalid_access_unentered
#[test]
fn a_timeout_counts_from_the_call_and_can_be_seen_as_a_deadline() {
    // conbrio: there is no scope that was not entered, so that both views always have an answer.
    on_one_worker(|cx| {
        cx.sleep(seconds(1)).unwrap();
        let start = cx.now();
        cx.move_on_after(seconds(5), |cx| -> Result<(), Cancelled> {
            assert_eq!(cx.deadline(), Some(start + seconds(5)));
            cx.sleep(seconds(1))?;
            assert_eq!(cx.deadline(), Some(start + seconds(5)));
            Ok(())
        })
        .unwrap();
        cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
            let entered = cx.now();
            scope.set_timeout(seconds(3));
            assert_eq!(scope.deadline(), Some(entered + seconds(3)));
            scope.set_deadline(Some(entered + seconds(7)));
            assert_eq!(scope.deadline(), Some(entered + seconds(7)));
            assert_eq!(cx.deadline(), scope.deadline());
            scope.set_deadline(None);
            assert_eq!((scope.deadline(), cx.deadline()), (None, None));
            assert!(!scope.is_shielded());
            scope.set_shield(true);
            assert!(scope.is_shielded());
            Ok(())
        })
        .unwrap();
    });
}
