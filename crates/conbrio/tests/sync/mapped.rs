//! Guards that show a part of what is locked.

use std::panic::{AssertUnwindSafe, catch_unwind};

use conbrio::prelude::*;
use conbrio::sync::{
    LockError, MappedMutexGuard, MappedRwLockReadGuard, MappedRwLockWriteGuard, Mutex, MutexGuard,
    RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};

use crate::support::{Fault, message_of, on_all_workers};

#[derive(Debug, Default)]
struct Point {
    at: [u32; 2],
    name: String,
}

#[test]
fn a_part_is_shown_and_the_whole_stays_locked() {
    on_all_workers(|cx| {
        let mutex = Mutex::new(Point::default());
        let mut at = MutexGuard::map(mutex.lock(cx).unwrap(), |point| &mut point.at);
        at[0] = 1;
        let mut second = MappedMutexGuard::map(at, |at| &mut at[1]);
        *second = 2;
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        assert_eq!(mutex.statistics().owner.as_deref(), Some("main"));
        assert_eq!(format!("{second:?} {second}"), "2 2");
        drop(second);
        // To what has no size of its own.
        let name = MutexGuard::map(mutex.lock(cx).unwrap(), |point| point.name.as_mut_str());
        assert_eq!(&*name, "");
        drop(name);
        assert_eq!(mutex.try_lock().unwrap().at, [1, 2]);
    });
}

#[test]
fn readers_and_writers_see_a_part() {
    on_all_workers(|cx| {
        let lock = RwLock::new(Point::default());
        let at = RwLockWriteGuard::map(lock.write(cx).unwrap(), |point| &mut point.at);
        let mut second = MappedRwLockWriteGuard::map(at, |at| &mut at[1]);
        *second = 2;
        assert!(lock.statistics().write_locked && lock.try_read().is_err());
        drop(second);
        let at = RwLockReadGuard::map(lock.read(cx).unwrap(), |point| &point.at);
        let other = lock.try_read().unwrap();
        assert_eq!(lock.statistics().readers, 2);
        let second = MappedRwLockReadGuard::map(at, |at| &at[1]);
        assert_eq!((*second, other.at), (2, [0, 2]));
        drop((second, other));
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn the_next_one_gets_the_lock_from_a_mapped_guard() {
    on_all_workers(|cx| {
        let mutex = Mutex::new((0, 0));
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let mut part = MutexGuard::map(mutex.lock(cx)?, |pair| &mut pair.0);
            let mut next = n.spawn(|cx| Ok(mutex.lock(cx)?.0));
            while mutex.statistics().tasks_waiting == 0 {
                cx.yield_now()?;
            }
            *part = 7;
            drop(part);
            assert_eq!(next.join(cx)?, 7);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_panic_poisons_as_with_the_whole() {
    on_all_workers(|cx| {
        // While the part is held, and while it is looked for.
        for while_mapping in [false, true] {
            let (mutex, lock) = (Mutex::new((0, 0)), RwLock::new((0, 0)));
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let _part = MutexGuard::map(mutex.lock(cx).unwrap(), |pair| {
                    assert!(!while_mapping, "on purpose");
                    &mut pair.0
                });
                panic!("on purpose");
            }));
            assert!(panicked.is_err());
            assert!(matches!(mutex.lock(cx), Err(OrCancelled::Failed(LockError::Poisoned(_)))));
            assert_eq!(mutex.poisoned().unwrap().task(), Some("main"));
            let message = message_of(|| {
                let _part = RwLockWriteGuard::map(lock.write(cx).unwrap(), |pair| {
                    assert!(!while_mapping, "on purpose");
                    &mut pair.0
                });
                panic!("on purpose");
            });
            assert_eq!(message, "on purpose");
            assert!(lock.is_poisoned());
            // A reader has changed nothing.
            let lock = RwLock::new((0, 0));
            let message = message_of(|| {
                let _part = RwLockReadGuard::map(lock.read(cx).unwrap(), |pair| &pair.0);
                panic!("on purpose");
            });
            assert_eq!(message, "on purpose");
            assert!(!lock.is_poisoned() && lock.try_write().is_ok());
        }
    });
}

#[test]
fn a_part_that_is_forgotten_breaks_the_lock_when_its_task_ends() {
    on_all_workers(|cx| {
        let mutex = Mutex::new((0, 0));
        cx.nursery(|_, n| -> Result<(), Fault> {
            n.task("forgetful").spawn(|cx| {
                std::mem::forget(MutexGuard::map(mutex.lock(cx)?, |pair| &mut pair.0));
                Ok(())
            });
            Ok(())
        })
        .unwrap();
        match mutex.lock(cx) {
            Err(OrCancelled::Failed(error @ LockError::Broken(_))) => {
                assert!(error.to_string().contains("forgetful"), "{error}");
            }
            other => panic!("{other:?}"),
        };
    });
}
