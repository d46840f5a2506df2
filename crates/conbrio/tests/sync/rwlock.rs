//! Many read, or one changes.

use conbrio::prelude::*;
use conbrio::sync::{LockError, RwLock, RwLockWriteGuard, TryLockError};

use crate::support::{Fault, Trace, message_of, on_all_workers, settled};

#[test]
fn readers_read_together_and_a_writer_is_alone() {
    on_all_workers(|cx| {
        let lock = RwLock::new(1);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let reads = lock.read(cx)?;
            let mut child = n.spawn(|cx| Ok(*lock.read(cx)?));
            assert_eq!(child.join(cx)?, 1);
            assert_eq!(*lock.try_read()?, 1);
            assert_eq!(lock.try_write().unwrap_err(), TryLockError::WouldBlock);
            assert_eq!(lock.statistics().readers, 1);
            drop(reads);

            let mut writes = lock.try_write()?;
            *writes = 2;
            assert_eq!(lock.statistics().writer.as_deref(), Some("main"));
            assert_eq!(lock.try_read().unwrap_err(), TryLockError::WouldBlock);
            let mut child = n.spawn(|cx| Ok(*lock.read(cx)?));
            settled(cx)?;
            assert_eq!(lock.statistics().tasks_waiting, 1);
            drop(writes);
            assert_eq!(child.join(cx)?, 2);
            Ok(())
        })
        .unwrap();
        assert_eq!(format!("{lock:?}"), "RwLock { readers: 0, write_locked: false, .. }");
    });
}

#[test]
fn a_writer_that_waits_is_not_passed_by_readers() {
    on_all_workers(|cx| {
        let (lock, trace) = (RwLock::new(()), Trace::new());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let first = lock.read(cx)?;
            for name in ["write 1", "read 1", "read 2", "write 2", "read 3"] {
                let (lock, trace) = (&lock, &trace);
                n.spawn(move |cx| {
                    if name.starts_with("write") {
                        let _guard = lock.write(cx)?;
                        trace.push(name);
                        settled(cx)?;
                    } else {
                        let _guard = lock.read(cx)?;
                        trace.push(name);
                        settled(cx)?;
                    }
                    Ok(())
                });
                settled(cx)?;
            }
            assert_eq!(lock.statistics().tasks_waiting, 5);
            assert_eq!(lock.try_read().unwrap_err(), TryLockError::WouldBlock, "others wait");
            drop(first);
            assert!(lock.statistics().write_locked, "the writer has it at once");
            Ok(())
        })
        .unwrap();
        let mut order = trace.take();
        // The two readers that waited next to each other were let in together, in either order.
        order[1..3].sort_unstable();
        assert_eq!(order, ["write 1", "read 1", "read 2", "write 2", "read 3"]);
    });
}

#[test]
fn readers_behind_a_cancelled_writer_are_let_in() {
    on_all_workers(|cx| {
        let lock = RwLock::new(());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let first = lock.read(cx)?;
            let writer = n.spawn(|cx| Ok(lock.write(cx).map(drop)?));
            settled(cx)?;
            let mut reader = n.spawn(|cx| Ok(lock.read(cx).map(drop)?));
            settled(cx)?;
            assert_eq!(lock.statistics().tasks_waiting, 2);
            writer.cancel();
            reader.join(cx)?;
            drop(first);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_writer_goes_on_as_a_reader_and_lets_readers_in() {
    on_all_workers(|cx| {
        let lock = RwLock::new(0);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let mut guard = lock.write(cx)?;
            *guard = 1;
            let mut reader = n.spawn(|cx| Ok(*lock.read(cx)?));
            settled(cx)?;
            let writer = n.spawn(|cx| {
                *lock.write(cx)? = 2;
                Ok(())
            });
            settled(cx)?;
            let guard = RwLockWriteGuard::downgrade(guard);
            assert_eq!(reader.join(cx)?, 1);
            assert!(!writer.is_finished());
            assert_eq!(*guard, 1);
            drop(guard);
            Ok(())
        })
        .unwrap();
        assert_eq!(lock.into_inner(), 2);
    });
}

#[test]
fn a_task_that_would_wait_for_itself_is_told() {
    on_all_workers(|cx| {
        let lock = RwLock::new(());
        let reads = lock.read(cx).unwrap();
        let message = message_of(|| lock.write(cx));
        assert!(message.contains("comes to write what it has locked already"), "{message}");
        // Reading twice is fine as long as no writer waits in between.
        drop(lock.read(cx).unwrap());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let writer = n.spawn(|cx| Ok(lock.write(cx).map(drop)?));
            settled(cx)?;
            let message = message_of(|| lock.read(cx));
            assert!(message.contains("comes to read what it has locked already"), "{message}");
            assert!(message.contains("rwlock.rs:"), "{message}");
            assert!(!writer.is_finished());
            drop(reads);
            Ok(())
        })
        .unwrap();
        let _writes = lock.write(cx).unwrap();
        assert!(message_of(|| lock.read(cx)).contains("has locked already"));
        assert!(message_of(|| lock.write(cx)).contains("has locked already"));
    });
}

// spec: test_sync.lock_acquire_unowned_lock, test_sync.lock_multiple_acquire
#[test]
fn a_forgotten_guard_breaks_it_for_those_whom_it_keeps_out() {
    fn is_broken<T: std::fmt::Debug>(result: Result<T, OrCancelled<LockError>>) {
        match result {
            Err(OrCancelled::Failed(LockError::Broken(broken))) => {
                assert_eq!(broken.by()[0].name(), "forgetful");
            }
            other => panic!("{other:?}"),
        }
    }
    on_all_workers(|cx| {
        for waiting in [false, true] {
            for writes in [false, true] {
                let lock = RwLock::new(());
                cx.nursery(|cx, n| -> Result<(), Fault> {
                    let mut forgetful = n.task("forgetful").spawn(|cx| {
                        if writes {
                            std::mem::forget(lock.write(cx)?);
                        } else {
                            std::mem::forget(lock.read(cx)?);
                        }
                        while waiting && lock.statistics().tasks_waiting == 0 {
                            cx.yield_now()?;
                        }
                        Ok(())
                    });
                    if waiting {
                        while !lock.statistics().write_locked && lock.statistics().readers == 0 {
                            cx.yield_now()?;
                        }
                    } else {
                        forgetful.join(cx)?;
                    }
                    is_broken(lock.write(cx));
                    is_broken(lock.write_anyway(cx));
                    if writes {
                        is_broken(lock.read(cx));
                    } else {
                        // It does not keep readers out.
                        drop(lock.read(cx)?);
                    }
                    Ok(())
                })
                .unwrap();
            }
        }
    });
}
