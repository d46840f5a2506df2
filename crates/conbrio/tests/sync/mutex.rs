//! One at a time: owners, hand-over, and guards that were forgotten.

use conbrio::prelude::*;
use conbrio::sync::{LockError, Mutex, TryLockError};

use crate::support::{Fault, Trace, message_of, on_all_workers, settled};

fn failure<T: std::fmt::Debug>(result: Result<T, OrCancelled<LockError>>) -> LockError {
    match result {
        Err(OrCancelled::Failed(error)) => error,
        other => panic!("expected a failure, not {other:?}"),
    }
}

// spec: test_sync.Lock_and_StrictFIFOLock
#[test]
fn it_says_who_has_locked_it_and_how_many_wait() {
    on_all_workers(|cx| {
        let mutex = Mutex::new(1);
        assert!(!mutex.is_locked());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let guard = mutex.lock(cx)?;
            assert!(mutex.is_locked());
            assert_eq!(mutex.statistics().owner.as_deref(), Some("main"));
            assert_eq!(mutex.try_lock().map(drop), Err(TryLockError::WouldBlock));
            let mut child = n.task("child").spawn(|cx| {
                let mut guard = mutex.lock(cx)?;
                *guard += 1;
                settled(cx)?;
                Ok(())
            });
            settled(cx)?;
            assert_eq!(mutex.statistics().tasks_waiting, 1);
            drop(guard);
            // The child owns it before it runs.
            let statistics = mutex.statistics();
            assert_eq!(
                (statistics.owner.as_deref(), statistics.locked, statistics.tasks_waiting),
                (Some("child"), true, 0)
            );
            child.join(cx)?;
            assert!(!mutex.is_locked());
            assert_eq!(mutex.statistics().owner, None);
            assert_eq!(*mutex.try_lock()?, 2);
            Ok(())
        })
        .unwrap();
        assert_eq!(mutex.into_inner(), 2);
    });
}

// spec: test_sync.Lock_and_StrictFIFOLock
#[test]
fn locking_it_twice_is_refused_and_says_since_when() {
    on_all_workers(|cx| {
        let mutex = Mutex::new(());
        let line = line!() + 1;
        let guard = mutex.lock(cx).unwrap();
        let message = message_of(|| mutex.lock(cx));
        assert!(message.contains("task 'main' locks a mutex that it holds already"), "{message}");
        assert!(message.contains(&format!("mutex.rs:{line}:")), "{message}");
        drop(guard);
        assert!(!mutex.is_poisoned(), "the guard was not dropped by the panic");
        // Also if it was locked by trying.
        let guard = mutex.try_lock().unwrap();
        assert!(message_of(|| mutex.lock_anyway(cx)).contains("holds already"));
        drop(guard);
        drop(mutex.lock(cx).unwrap());
    });
}

// spec: test_sync.lock_acquire_unowned_lock
#[test]
fn whoever_comes_after_a_forgotten_guard_hears_of_it() {
    on_all_workers(|cx| {
        let mutex = Mutex::new(3);
        cx.nursery(|_, n| -> Result<(), Fault> {
            n.task("forgetful").spawn(|cx| {
                std::mem::forget(mutex.lock(cx)?);
                Ok(())
            });
            Ok(())
        })
        .unwrap();
        for _ in 0..2 {
            let error = failure(mutex.lock(cx));
            assert!(error.is_broken() && !error.is_poisoned());
            assert_eq!(
                error.to_string(),
                "the lock is never given back: task 'forgetful' ended while it held it; do not forget \
                 guards, nor move them out of their task"
            );
            assert_eq!(mutex.try_lock().map(drop), Err(TryLockError::Failed(error)));
        }
        assert!(failure(mutex.lock_anyway(cx)).is_broken());
        assert_eq!(mutex.into_inner(), 3, "the only owner of the mutex has the value");
    });
}

// spec: test_sync.lock_multiple_acquire, test_sync.lock_acquire_unowned_lock
#[test]
fn those_who_wait_hear_of_a_forgotten_guard() {
    on_all_workers(|cx| {
        let mutex = Mutex::new(());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            n.task("forgetful").spawn(|cx| {
                std::mem::forget(mutex.lock(cx)?);
                // Until the others wait.
                while mutex.statistics().tasks_waiting < 3 {
                    cx.yield_now()?;
                }
                Ok(())
            });
            while !mutex.is_locked() {
                cx.yield_now()?;
            }
            for _ in 0..3 {
                n.spawn(|cx| {
                    match failure(mutex.lock(cx)) {
                        LockError::Broken(broken) => assert_eq!(broken.by()[0].name(), "forgetful"),
                        other => panic!("{other}"),
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_sync.lock_handover
#[test]
fn whoever_it_was_handed_to_breaks_it_by_not_giving_it_back() {
    on_all_workers(|cx| {
        let mutex = Mutex::new(());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let guard = mutex.lock(cx)?;
            n.task("second").spawn(|cx| {
                std::mem::forget(mutex.lock(cx)?);
                Ok(())
            });
            settled(cx)?;
            let mut third = n.task("third").spawn(|cx| Ok(failure(mutex.lock(cx)).to_string()));
            settled(cx)?;
            drop(guard);
            assert_eq!(mutex.statistics().owner.as_deref(), Some("second"));
            assert!(third.join(cx)?.contains("task 'second' ended"));
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_task_that_has_given_it_back_breaks_nothing_by_its_end() {
    on_all_workers(|cx| {
        let (mutex, trace) = (Mutex::new(()), Trace::new());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let guard = mutex.lock(cx)?;
            for number in 0..5 {
                let (mutex, trace) = (&mutex, &trace);
                n.spawn(move |cx| {
                    drop(mutex.lock(cx)?);
                    trace.push(number);
                    Ok(())
                });
                settled(cx)?;
            }
            drop(guard);
            Ok(())
        })
        .unwrap();
        let mut passed = trace.take();
        passed.sort_unstable();
        assert_eq!(passed, [0, 1, 2, 3, 4]);
        assert_eq!(mutex.statistics().tasks_waiting, 0);
        drop(mutex.lock(cx).unwrap());
    });
}

#[test]
fn the_small_things() {
    let mut mutex: Mutex<i32> = Mutex::default();
    *mutex.get_mut() = 5;
    assert_eq!(format!("{mutex:?}"), "Mutex { locked: false, owner: None, .. }");
    let guard = mutex.try_lock().unwrap();
    assert_eq!((format!("{guard:?}"), format!("{guard}")), ("5".to_owned(), "5".to_owned()));
    assert_eq!(mutex.try_lock().unwrap_err(), TryLockError::WouldBlock);
    drop(guard);
    assert_eq!(Mutex::from(7).into_inner(), 7);

    // What has no size known to the compiler.
    let slice: Box<Mutex<[u8]>> = Box::new(Mutex::new([1, 2, 3]));
    conbrio::run(|cx| slice.lock(cx).unwrap()[1] = 7);
    assert_eq!(*slice.try_lock().unwrap(), [1, 7, 3]);
}
