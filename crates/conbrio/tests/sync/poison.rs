//! Holders that panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use conbrio::prelude::*;
use conbrio::sync::{LockError, Mutex, RwLock, TryLockError};

use crate::support::{Fault, on_all_workers, settled};

/// A task that is called `name` locks the mutex, waits until `waiting` others wait for it, and panics. The
/// nursery of its own keeps the panic from the others.
fn panic_inside(cx: &mut Cx, name: &'static str, mutex: &Mutex<u32>, waiting: usize) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        cx.nursery(|_, n| -> Result<(), Fault> {
            n.task(name).spawn(|cx| -> Result<(), Fault> {
                let mut value = mutex.lock(cx)?;
                *value = 13;
                while mutex.statistics().tasks_waiting < waiting {
                    cx.yield_now()?;
                }
                panic!("half changed");
            });
            Ok(())
        })
    }));
    assert!(outcome.is_err());
}

// spec: S8, S10, S11
#[test]
fn those_who_wait_in_another_nursery_fail_instead_of_waiting_for_ever() {
    on_all_workers(|cx| {
        let mutex = Mutex::new(0);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            n.spawn(|cx| {
                panic_inside(cx, "clumsy", &mutex, 3);
                Ok(())
            });
            while !mutex.is_locked() {
                cx.yield_now()?;
            }
            for _ in 0..3 {
                n.spawn(|cx| match mutex.lock(cx) {
                    Err(OrCancelled::Failed(LockError::Poisoned(poisoned))) => {
                        assert_eq!(poisoned.task(), Some("clumsy"));
                        Ok(())
                    }
                    other => panic!("{other:?}"),
                });
            }
            Ok(())
        })
        .unwrap();
        assert!(mutex.is_poisoned() && !mutex.is_locked());
        assert!(matches!(mutex.try_lock(), Err(TryLockError::Failed(LockError::Poisoned(_)))));
    });
}

// spec: S8
#[test]
fn poison_says_who_and_where_and_can_be_cleared() {
    on_all_workers(|cx| {
        let mutex = Mutex::new(0);
        panic_inside(cx, "clumsy", &mutex, 0);
        let error = mutex.lock(cx).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the lock is poisoned: task 'clumsy' panicked while it held it, taken at {}; \
                 take it by an `_anyway` function, mend the value, and call `clear_poison`",
                mutex.poisoned().unwrap().location()
            )
        );
        assert!(mutex.poisoned().unwrap().location().file().ends_with("poison.rs"));
        let mut value = mutex.lock_anyway(cx).unwrap();
        assert_eq!(*value, 13);
        *value = 14;
        mutex.clear_poison();
        drop(value);
        assert_eq!(*mutex.lock(cx).unwrap(), 14);
        assert_eq!(mutex.into_inner(), 14);
    });
}

#[test]
fn who_mends_it_goes_before_those_who_come_later() {
    on_all_workers(|cx| {
        let mutex = Mutex::new(0);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            n.spawn(|cx| {
                panic_inside(cx, "clumsy", &mutex, 2);
                Ok(())
            });
            while !mutex.is_locked() {
                cx.yield_now()?;
            }
            n.spawn(|cx| {
                let mut value = mutex.lock_anyway(cx)?;
                settled(cx)?;
                *value = 1;
                mutex.clear_poison();
                Ok(())
            });
            while mutex.statistics().tasks_waiting < 1 {
                cx.yield_now()?;
            }
            n.spawn(|cx| {
                assert_eq!(*mutex.lock(cx)?, 1, "it waited until that was done");
                Ok(())
            });
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn errors_and_cancellations_poison_nothing() {
    on_all_workers(|cx| {
        let mutex = Mutex::new(0);
        let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
            let child = n.spawn(|cx| {
                let _value = mutex.lock(cx)?;
                cx.sleep_forever()?;
                Ok(())
            });
            settled(cx)?;
            child.cancel();
            n.spawn(|cx| -> Result<(), Fault> {
                let _value = mutex.lock(cx)?;
                Err("no".into())
            });
            Ok(())
        });
        assert!(outcome.is_err());
        assert!(!mutex.is_poisoned() && !mutex.is_locked());
    });
}

#[test]
fn a_guard_that_is_taken_while_unwinding_poisons_nothing() {
    struct Last<'a>(&'a Mutex<u32>);
    impl Drop for Last<'_> {
        fn drop(&mut self) {
            *self.0.try_lock().unwrap() += 1;
        }
    }
    let mutex = Mutex::new(0);
    conbrio::run(|_| {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let _last = Last(&mutex);
            panic!("on purpose");
        }));
        assert!(outcome.is_err());
    });
    assert!(!mutex.is_poisoned());
    assert_eq!(mutex.into_inner(), 1);
}

// spec: S8
#[test]
fn writers_poison_and_readers_do_not() {
    on_all_workers(|cx| {
        let lock = RwLock::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let _guard = lock.read(cx).unwrap();
            panic!("on purpose");
        }));
        assert!(outcome.is_err() && !lock.is_poisoned());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            *lock.write(cx).unwrap() = 1;
            let mut guard = lock.write(cx).unwrap();
            *guard = 2;
            panic!("on purpose");
        }));
        assert!(outcome.is_err());
        assert_eq!(lock.poisoned().unwrap().task(), Some("main"));
        assert!(lock.read(cx).is_err() && lock.write(cx).is_err());
        assert!(lock.try_read().is_err() && lock.try_write().is_err());
        assert_eq!(*lock.read_anyway(cx).unwrap(), 2);
        let mut guard = lock.write_anyway(cx).unwrap();
        *guard = 0;
        lock.clear_poison();
        drop(guard);
        assert_eq!(*lock.read(cx).unwrap(), 0);
    });
}
