//! Pools: how many there are, who gets one, and what does not come back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use conbrio::concurrent::{Pool, Pooled};
use conbrio::prelude::*;
use conbrio::testing::{explore, run};

use super::support::{Fault, Running, ms, on_workers, panic_text};

/// A pool of numbered objects, which take a millisecond to make.
fn pool(max: usize, made: &AtomicU32) -> Pool<'_, u32, Fault> {
    Pool::new(max, |cx| {
        cx.sleep(ms(1))?;
        Ok(made.fetch_add(1, SeqCst))
    })
}

#[test]
fn objects_are_made_when_needed_and_used_again() {
    explore(0..100, |cx| {
        let (made, users) = (AtomicU32::new(0), Running::default());
        let pool = pool(3, &made);
        assert_eq!(made.load(SeqCst), 0);
        cx.nursery(|_, n| -> Result<(), Fault> {
            for _ in 0..10 {
                n.spawn(|cx| {
                    let object = pool.get(cx)?;
                    let _user = users.enter();
                    cx.sleep(ms(5))?;
                    assert!(*object < 3);
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        assert_eq!((users.most(), made.load(SeqCst)), (3, 3));
        let statistics = pool.statistics();
        assert_eq!((statistics.idle, statistics.in_use, statistics.tasks_waiting), (3, 0, 0));
    });
}

#[test]
fn who_waits_longest_gets_the_next() {
    explore(0..100, |cx| {
        let (made, order) = (AtomicU32::new(0), Mutex::new(Vec::new()));
        let pool = pool(1, &made);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let mut first = pool.get(cx)?;
            for i in 1..=3 {
                let (pool, order) = (&pool, &order);
                n.spawn(move |cx| {
                    cx.sleep(ms(i))?;
                    let object = pool.get(cx)?;
                    order.lock().unwrap().push((i, *object));
                    if i == 2 {
                        Pooled::discard(object);
                    }
                    Ok(())
                });
            }
            cx.sleep(ms(10))?;
            assert_eq!(pool.statistics().tasks_waiting, 3);
            *first += 100;
            Ok(())
        })
        .unwrap();
        // The object after the discarded one was made by the one who waited.
        assert_eq!(order.into_inner().unwrap(), [(1, 100), (2, 100), (3, 1)]);
    });
}

#[test]
fn what_is_broken_does_not_come_back() {
    run(|cx| {
        let made = AtomicU32::new(0);
        let pool = pool(1, &made);
        assert_eq!(pool.with(cx, |_, object| Ok(*object)).unwrap(), 0);
        assert_eq!(pool.with(cx, |_, object| Ok(*object)).unwrap(), 0);
        let failed = pool.with(cx, |_, _| Err::<(), _>(Fault::Named("broken")));
        assert!(matches!(failed, Err(Fault::Named("broken"))));
        assert_eq!(pool.statistics().idle, 0);
        assert_eq!(pool.with(cx, |_, object| Ok(*object)).unwrap(), 1);
        let cancelled = cx
            .move_on_after(ms(1), |cx| pool.with(cx, |cx, _| Ok::<(), Fault>(cx.sleep_forever()?)));
        assert!(matches!(cancelled, Ok(None)));
        assert_eq!(*pool.get(cx).unwrap(), 2);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _object = pool.get(cx).unwrap();
            panic!("with the object in hand");
        }));
        assert!(panicked.is_err());
        assert_eq!(Pooled::detach(pool.get(cx).unwrap()), 3);
        assert_eq!(*pool.get(cx).unwrap(), 4);
    });
}

#[test]
fn idle_objects_are_checked() {
    run(|cx| {
        let made = AtomicU32::new(0);
        let bad = AtomicU32::new(99);
        let pool = pool(2, &made).check(|object| *object != bad.load(SeqCst));
        drop(pool.get(cx).unwrap());
        bad.store(0, SeqCst);
        assert_eq!(*pool.get(cx).unwrap(), 1);
        assert_eq!(pool.statistics().idle, 1);
    });
}

#[test]
fn the_place_of_what_cannot_be_made_goes_to_the_next() {
    explore(0..100, |cx| {
        let tries = AtomicU32::new(0);
        let pool = Pool::new(1, |cx: &mut Cx| {
            cx.sleep(ms(5))?;
            match tries.fetch_add(1, SeqCst) {
                0 => Err(Fault::Named("refused")),
                n => Ok(n),
            }
        });
        cx.nursery(|cx, n| -> Result<(), Fault> {
            n.spawn(|cx| {
                assert!(matches!(pool.get(cx), Err(Fault::Named("refused"))));
                Ok(())
            });
            cx.sleep(ms(1))?;
            let _object = pool.get(cx)?;
            Ok(())
        })
        .unwrap();
        assert_eq!(pool.statistics().idle, 1);
    });
    let text = panic_text(|| Pool::new(0, |_| Ok::<(), Fault>(())));
    assert!(text.contains("at least one"), "{text}");
}

#[test]
fn pools_on_real_workers() {
    on_workers(|cx| {
        let (made, users) = (AtomicU32::new(0), Running::default());
        let pool = Pool::new(3, |cx: &mut Cx| -> Result<u32, Fault> {
            cx.checkpoint()?;
            Ok(made.fetch_add(1, SeqCst))
        });
        cx.nursery(|_, n| -> Result<(), Fault> {
            for i in 0..500 {
                let (pool, users) = (&pool, &users);
                n.spawn(move |cx| {
                    let object = pool.get(cx)?;
                    let user = users.enter();
                    cx.yield_now()?;
                    drop(user);
                    if i % 7 == 0 {
                        Pooled::discard(object);
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        assert!(users.most() <= 3);
        assert_eq!(pool.statistics().in_use, 0);
    });
}
