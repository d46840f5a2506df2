//! Waiting for a change of a locked value.

use conbrio::prelude::*;
use conbrio::sync::{Condition, LockError, Mutex};
use conbrio::testing::assert_checkpoints;

use crate::support::{Fault, Trace, message_of, on_all_workers, settled};

/// Spawns tasks that wait for the condition one after the other, and note when they go on, with the lock.
fn wait_in_order<'scope>(
    cx: &mut Cx,
    n: &'scope Nursery<'scope, '_, Fault>,
    shared: &'scope (Mutex<u32>, Condition, Trace<usize>),
    count: usize,
) -> Result<(), Fault> {
    let (mutex, condition, trace) = shared;
    for number in 0..count {
        n.spawn(move |cx| {
            let mut guard = mutex.lock(cx)?;
            condition.wait(cx, &mut guard)?;
            *guard += 1;
            trace.push(number);
            Ok(())
        });
        settled(cx)?;
    }
    Ok(())
}

// spec: test_sync.Condition
#[test]
fn who_is_notified_queues_up_for_the_lock() {
    on_all_workers(|cx| {
        let shared = (Mutex::new(0), Condition::new(), Trace::new());
        let (mutex, condition, trace) = &shared;
        cx.nursery(|cx, n| -> Result<(), Fault> {
            wait_in_order(cx, n, &shared, 3)?;
            assert!(!mutex.is_locked());
            assert_eq!(condition.statistics().tasks_waiting, 3);

            let guard = mutex.lock(cx)?;
            assert!(condition.notify_one(&guard));
            // At once, and without waking it.
            assert_eq!(condition.statistics().tasks_waiting, 2);
            assert_eq!(mutex.statistics().tasks_waiting, 1);
            settled(cx)?;
            assert!(trace.take().is_empty(), "we have the lock still");
            drop(guard);
            settled(cx)?;
            assert_eq!(trace.take(), [0]);

            let guard = mutex.lock(cx)?;
            assert_eq!(condition.notify(&guard, 2), 2);
            assert_eq!(condition.statistics().tasks_waiting, 0);
            assert_eq!(mutex.statistics().tasks_waiting, 2);
            drop(guard);
            settled(cx)?;
            assert_eq!(trace.take(), [1, 2]);
            assert_eq!(*mutex.lock(cx)?, 3);
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_sync.Condition
#[test]
fn all_are_notified_in_their_order_behind_those_who_wait_for_the_lock() {
    on_all_workers(|cx| {
        let shared = (Mutex::new(0), Condition::default(), Trace::new());
        let (mutex, condition, trace) = &shared;
        cx.nursery(|cx, n| -> Result<(), Fault> {
            wait_in_order(cx, n, &shared, 3)?;
            let guard = mutex.lock(cx)?;
            n.spawn(|cx| {
                let _guard = mutex.lock(cx)?;
                trace.push(10);
                Ok(())
            });
            settled(cx)?;
            assert_eq!(condition.notify_all(&guard), 3);
            assert_eq!(condition.notify_all(&guard), 0);
            assert!(!condition.notify_one(&guard));
            drop(guard);
            settled(cx)?;
            assert_eq!(trace.take(), [10, 0, 1, 2]);
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_sync.Condition
#[test]
fn a_cancelled_wait_has_the_lock_again() {
    on_all_workers(|cx| {
        let (mutex, condition) = (Mutex::new(0), Condition::new());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let child = n.task("child").spawn(|cx| {
                let mut guard = mutex.lock(cx)?;
                let outcome = condition.wait(cx, &mut guard);
                assert!(matches!(outcome, Err(OrCancelled::Cancelled(_))));
                assert_eq!(mutex.statistics().owner.as_deref(), Some("child"));
                assert_eq!(*guard, 7, "others had it meanwhile");
                *guard = 8;
                Ok(outcome?)
            });
            settled(cx)?;
            let mut guard = mutex.lock(cx)?;
            child.cancel();
            settled(cx)?;
            *guard = 7;
            assert_eq!(condition.statistics().tasks_waiting, 0);
            assert_eq!(mutex.statistics().tasks_waiting, 1);
            assert!(!condition.notify_one(&guard), "nobody waits any more");
            drop(guard);
            settled(cx)?;
            assert_eq!(*mutex.lock(cx)?, 8);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn who_was_notified_first_and_cancelled_then_was_notified() {
    on_all_workers(|cx| {
        let (mutex, condition, trace) = (Mutex::new(0), Condition::new(), Trace::new());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let child = n.spawn(|cx| {
                let mut guard = mutex.lock(cx)?;
                condition.wait(cx, &mut guard)?;
                trace.push("went on");
                *guard = 1;
                // Now it shows.
                Ok(cx.checkpoint()?)
            });
            settled(cx)?;
            let guard = mutex.lock(cx)?;
            assert!(condition.notify_one(&guard));
            child.cancel();
            settled(cx)?;
            assert!(trace.take().is_empty());
            drop(guard);
            settled(cx)?;
            assert_eq!(trace.take(), ["went on"]);
            Ok(())
        })
        .unwrap();
        assert_eq!(mutex.into_inner(), 1);
    });
}

// spec: test_sync.Condition
#[test]
fn the_guard_of_another_mutex_is_refused() {
    on_all_workers(|cx| {
        let shared = (Mutex::new(0), Condition::new(), Trace::new());
        let (mutex, condition, _) = &shared;
        let other = Mutex::new(0);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            wait_in_order(cx, n, &shared, 1)?;
            let mut foreign = other.lock(cx)?;
            let message = message_of(|| condition.notify_one(&foreign));
            assert!(message.contains("make a condition for each mutex"), "{message}");
            let message = message_of(|| condition.wait(cx, &mut foreign));
            assert!(message.contains("make a condition for each mutex"), "{message}");
            *foreign += 1;
            drop(foreign);
            let guard = mutex.lock(cx)?;
            condition.notify_all(&guard);
            Ok(())
        })
        .unwrap();
        // When nobody waits, it may belong to another one.
        let mut foreign = other.lock(cx).unwrap();
        assert!(!condition.notify_one(&foreign));
        condition.wait_while(cx, &mut foreign, |value| *value == 0).unwrap();
    });
}

#[test]
fn waiting_while_it_need_not_wait_is_a_checkpoint() {
    conbrio::run(|cx| {
        let (mutex, condition) = (Mutex::new(0), Condition::new());
        let mut guard = mutex.lock(cx).unwrap();
        assert_checkpoints(cx, |cx| condition.wait_while(cx, &mut guard, |_| false)).unwrap();
        // Cancelled before: the lock was not given away.
        let outcome = cx.cancel_scope(|cx, scope| {
            scope.cancel();
            condition.wait(cx, &mut guard)
        });
        assert!(matches!(outcome, Ok(None)));
        *guard += 1;
        assert!(mutex.is_locked());
    });
}

#[test]
fn a_mutex_that_is_poisoned_meanwhile_is_reported_with_the_lock_held() {
    on_all_workers(|cx| {
        let (mutex, condition) = (Mutex::new(0), Condition::new());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let mut child = n.spawn(|cx| {
                let mut guard = mutex.lock(cx)?;
                let outcome = condition.wait(cx, &mut guard);
                assert!(matches!(outcome, Err(OrCancelled::Failed(LockError::Poisoned(_)))));
                assert_eq!(*guard, 13);
                mutex.clear_poison();
                Ok(())
            });
            settled(cx)?;
            let outcome = message_of(|| {
                let mut guard = mutex.try_lock().unwrap();
                *guard = 13;
                condition.notify_one(&guard);
                panic!("on purpose");
            });
            assert_eq!(outcome, "on purpose");
            child.join(cx)?;
            assert_eq!(*mutex.lock(cx)?, 13);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_mutex_that_is_broken_meanwhile_leaves_a_guard_without_lock() {
    on_all_workers(|cx| {
        let (mutex, condition) = (Mutex::new(0), Condition::new());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            for cancelled in [false, true] {
                let (mutex, condition) = (&mutex, &condition);
                let child = n.spawn(move |cx| {
                    let mut guard = mutex.lock(cx)?;
                    let outcome = condition.wait(cx, &mut guard);
                    assert!(matches!(outcome, Err(OrCancelled::Failed(LockError::Broken(_)))));
                    assert!(message_of(|| *guard).contains("was broken while this guard waited"));
                    assert_eq!(format!("{guard:?}"), "<lost>");
                    assert!(message_of(|| condition.notify_one(&guard)).contains("lost its lock"));
                    assert!(
                        message_of(|| condition.wait(cx, &mut guard)).contains("lost its lock")
                    );
                    Ok(())
                });
                settled(cx)?;
                if cancelled {
                    n.task("forgetful").spawn(move |cx| {
                        let guard = mutex.lock(cx)?;
                        // The first child; the second one is cancelled.
                        condition.notify_one(&guard);
                        child.cancel();
                        std::mem::forget(guard);
                        Ok(())
                    });
                }
            }
            Ok(())
        })
        .unwrap();
    });
}
