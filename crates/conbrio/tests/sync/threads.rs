//! Threads without a runtime, and several runtimes.

use std::sync::Arc;

use conbrio::prelude::*;
use conbrio::sync::{CapacityLimiter, Event, Mutex, RwLock, Semaphore, TryLockError, WaitGroup};

// spec: S7
#[test]
fn two_runtimes_and_a_thread_share_them() {
    const ROUNDS: u32 = 300;
    let (mutex, semaphore) = (Arc::new(Mutex::new(0)), Arc::new(Semaphore::new(2)));
    let lock = Arc::new(RwLock::new(0));
    std::thread::scope(|s| {
        for workers in [1, 2] {
            let (mutex, semaphore, lock) = (&mutex, &semaphore, &lock);
            s.spawn(move || {
                let outcome = conbrio::Builder::new().workers(workers).run(|cx| {
                    cx.nursery(|_, n| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
                        for _ in 0..3 {
                            n.spawn(|cx| {
                                for _ in 0..ROUNDS {
                                    let _permit = semaphore.acquire(cx)?;
                                    *mutex.lock(cx)? += 1;
                                    let seen = *lock.read(cx)?;
                                    let mut value = lock.write(cx)?;
                                    assert!(*value >= seen);
                                    *value += 1;
                                }
                                Ok(())
                            });
                        }
                        Ok(())
                    })
                });
                outcome.unwrap().unwrap();
            });
        }
        let mut locked = 0;
        while locked < ROUNDS {
            match mutex.try_lock() {
                Ok(mut value) => {
                    *value += 1;
                    locked += 1;
                }
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    });
    assert_eq!(*mutex.try_lock().unwrap(), 7 * ROUNDS);
    assert_eq!(*lock.try_read().unwrap(), 6 * ROUNDS);
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn a_thread_sets_gives_back_and_leaves() {
    let (event, semaphore, group) = (Event::new(), Semaphore::new(1), WaitGroup::new());
    let (limiter, ready) = (CapacityLimiter::new(1), Event::new());
    let (permit, member) = (semaphore.try_acquire().unwrap(), group.enter());
    let token = limiter.try_acquire_on_behalf_of("thread").unwrap();
    std::thread::scope(|s| {
        s.spawn(|| {
            while !ready.is_set() {
                std::thread::yield_now();
            }
            event.set();
            drop((permit, member, token));
        });
        conbrio::run(|cx| -> Result<(), Cancelled> {
            ready.set();
            event.wait(cx)?;
            drop(semaphore.acquire(cx)?);
            group.wait(cx)?;
            drop(limiter.acquire(cx)?);
            Ok(())
        })
        .unwrap();
    });
}
