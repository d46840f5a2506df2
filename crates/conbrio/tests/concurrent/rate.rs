//! Rate limiters, in virtual time.

use std::sync::Mutex;
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::{explore, run};

use super::support::{ms, on_workers, panic_text};

#[test]
fn tokens_come_back_as_time_passes() {
    run(|cx| {
        let limiter = cx.rate_limiter(10, Duration::from_secs(1), 3);
        assert_eq!(limiter.available(), 3);
        let began = cx.now();
        let mut at = Vec::new();
        for _ in 0..6 {
            limiter.acquire(cx).unwrap();
            at.push((cx.now() - began).as_millis());
        }
        assert_eq!(at, [0, 0, 0, 100, 200, 300]);
        assert!(!limiter.try_acquire());
        cx.sleep(ms(250)).unwrap();
        assert_eq!(limiter.available(), 2);
        assert!(limiter.try_acquire_many(2) && !limiter.try_acquire());
        // Never more than a burst, however long the pause.
        cx.sleep(Duration::from_secs(1000)).unwrap();
        assert_eq!(limiter.available(), 3);
        assert!(limiter.try_acquire_many(3) && !limiter.try_acquire());
        assert!(!limiter.try_acquire_many(4), "there are never so many");
    });
}

#[test]
fn nothing_is_lost_by_rounding() {
    run(|cx| {
        // A third of a nanosecond matters after a while.
        let limiter = cx.rate_limiter(3, Duration::from_nanos(10), 2);
        let began = cx.now();
        for _ in 0..3002 {
            limiter.acquire(cx).unwrap();
        }
        assert_eq!(cx.now() - began, Duration::from_nanos(10_000));
    });
}

#[test]
fn who_comes_first_is_served_first() {
    explore(0..100, |cx| {
        let order = Mutex::new(Vec::new());
        let limiter = cx.rate_limiter(1, ms(10), 4);
        assert!(limiter.try_acquire_many(4));
        let began = cx.now();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for (after, count) in [(1, 4), (2, 1), (3, 2)] {
                let (limiter, order) = (&limiter, &order);
                n.spawn(move |cx| {
                    cx.sleep(ms(after))?;
                    limiter.acquire_many(cx, count)?;
                    order.lock().unwrap().push((count, (cx.now() - began).as_millis()));
                    Ok(())
                });
            }
            cx.sleep(ms(15))?;
            assert_eq!(limiter.available(), 1);
            assert!(!limiter.try_acquire(), "others wait for it");
            Ok(())
        })
        .unwrap();
        assert_eq!(order.into_inner().unwrap(), [(4, 40), (1, 50), (2, 70)]);
    });
}

#[test]
fn who_gives_up_has_taken_nothing() {
    explore(0..100, |cx| {
        let limiter = cx.rate_limiter(1, ms(10), 2);
        assert!(limiter.try_acquire_many(2));
        let began = cx.now();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                let outcome = cx.move_on_after(ms(15), |cx| limiter.acquire_many(cx, 2))?;
                assert_eq!(outcome, None);
                Ok(())
            });
            cx.sleep(ms(1))?;
            limiter.acquire(cx)?;
            assert_eq!(cx.now() - began, ms(15));
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn senseless_limits_are_refused() {
    let text = panic_text(|| run(|cx| drop(cx.rate_limiter(0, ms(1), 1))));
    assert!(text.contains("none of them may be zero"), "{text}");
    let text = panic_text(|| run(|cx| cx.rate_limiter(1, ms(1), 2).acquire_many(cx, 3)));
    assert!(text.contains("3 tokens at once") && text.contains("never more than 2"), "{text}");
}

#[test]
fn limiters_on_real_workers() {
    on_workers(|cx| {
        let limiter = cx.rate_limiter(1_000_000, Duration::from_secs(1), 100);
        let began = cx.now();
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for _ in 0..10 {
                n.spawn(|cx| {
                    for _ in 0..200 {
                        limiter.acquire(cx)?;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        assert!(cx.now() - began >= Duration::from_micros(1900));
    });
}
