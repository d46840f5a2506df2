//! So many at a time, and who they are.

use conbrio::prelude::*;
use conbrio::sync::{Borrower, CapacityLimiter, NoToken};

use crate::support::{Fault, Trace, message_of, on_all_workers, settled};

// spec: test_sync.CapacityLimiter
#[test]
fn each_borrower_has_one_token() {
    on_all_workers(|cx| {
        let limiter = CapacityLimiter::new(2);
        assert_eq!(limiter.total(), Some(2));
        let token = limiter.acquire(cx).unwrap();
        assert_eq!(token.borrower(), &Borrower::task(cx));
        let statistics = limiter.statistics();
        assert_eq!(statistics.borrowers, [Borrower::task(cx)]);
        assert_eq!((statistics.borrowed, statistics.tasks_waiting), (1, 0));

        let message = message_of(|| limiter.acquire(cx));
        assert!(message.contains("task 'main' has a token of the limiter already"), "{message}");
        assert!(matches!(
            limiter.acquire_on_behalf_of(cx, Borrower::task(cx)),
            Err(OrCancelled::Failed(_))
        ));
        assert_eq!(limiter.statistics().borrowed, 1);

        let other = limiter.acquire_on_behalf_of(cx, "other").unwrap();
        assert!(matches!(limiter.try_acquire_on_behalf_of(7), Err(NoToken::WouldBlock)));
        drop(token);
        let seventh = limiter.try_acquire_on_behalf_of(7).unwrap();
        match limiter.try_acquire_on_behalf_of(7) {
            Err(NoToken::AlreadyBorrowed(error)) => {
                assert_eq!(error.borrower(), &Borrower::from(7));
            }
            other => panic!("{other:?}"),
        }
        drop((other, seventh));
        assert_eq!(limiter.statistics().borrowers, []);
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

// spec: test_sync.CapacityLimiter
#[test]
fn a_token_that_comes_back_goes_to_whoever_waits() {
    on_all_workers(|cx| {
        let limiter = CapacityLimiter::new(1);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let token = limiter.acquire_on_behalf_of(cx, "first")?;
            let mut child = n.spawn(|cx| {
                let token = limiter.acquire_on_behalf_of(cx, "second")?;
                settled(cx)?;
                drop(token);
                Ok(())
            });
            settled(cx)?;
            // Somebody who waits on its behalf counts.
            assert!(matches!(
                limiter.try_acquire_on_behalf_of("second"),
                Err(NoToken::AlreadyBorrowed(_))
            ));
            drop(token);
            assert!(matches!(limiter.try_acquire_on_behalf_of("third"), Err(NoToken::WouldBlock)));
            assert_eq!(limiter.statistics().borrowers, [Borrower::from("second".to_owned())]);
            child.join(cx)?;
            drop(limiter.try_acquire_on_behalf_of("third")?);
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_sync.CapacityLimiter_inf
#[test]
fn without_a_limit_it_only_keeps_the_list() {
    conbrio::run(|cx| {
        let limiter = CapacityLimiter::unlimited();
        assert_eq!(limiter.total(), None);
        let tokens: Vec<_> = (0..1000)
            .map(|number: u64| limiter.acquire_on_behalf_of(cx, number).unwrap())
            .collect();
        assert_eq!(limiter.statistics().borrowers.len(), 1000);
        limiter.set_total(3);
        assert_eq!((limiter.total(), limiter.statistics().borrowed), (Some(3), 1000));
        limiter.set_unlimited();
        drop(tokens);
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

/// Spawns tasks that borrow one after the other and never give it back by themselves.
fn borrow_in_order<'scope>(
    cx: &mut Cx,
    n: &'scope Nursery<'scope, '_, Fault>,
    limiter: &'scope CapacityLimiter,
    trace: &'scope Trace<u64>,
    count: u64,
) -> Result<(), Fault> {
    for number in 0..count {
        n.spawn(move |cx| {
            let _token = limiter.acquire_on_behalf_of(cx, number)?;
            trace.push(number);
            cx.sleep_forever()?;
            Ok(())
        });
        settled(cx)?;
    }
    Ok(())
}

// spec: test_sync.CapacityLimiter_change_total_tokens
#[test]
fn its_size_can_be_changed_at_any_time() {
    on_all_workers(|cx| {
        let (limiter, trace) = (CapacityLimiter::new(2), Trace::new());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            borrow_in_order(cx, n, &limiter, &trace, 5)?;
            assert_eq!(trace.take(), [0, 1]);
            limiter.set_total(4);
            settled(cx)?;
            let mut more = trace.take();
            more.sort_unstable();
            assert_eq!(more, [2, 3]);
            // Nothing is taken from anybody.
            limiter.set_total(1);
            let statistics = limiter.statistics();
            assert_eq!((statistics.total, statistics.borrowed), (Some(1), 4));
            n.cancel();
            Ok(())
        })
        .unwrap();
        assert_eq!(limiter.statistics().borrowed, 0);
    });
}

// spec: test_sync.CapacityLimiter_change_total_tokens
#[test]
fn after_it_was_made_smaller_it_drains_first() {
    conbrio::run(|cx| {
        let limiter = CapacityLimiter::new(3);
        let mut tokens: Vec<_> =
            (0..3).map(|number: u64| limiter.try_acquire_on_behalf_of(number).unwrap()).collect();
        limiter.set_total(1);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let mut child =
                n.spawn(|cx| Ok(limiter.acquire_on_behalf_of(cx, "child").map(drop)?));
            settled(cx)?;
            for left in [2, 1] {
                tokens.pop();
                settled(cx)?;
                let statistics = limiter.statistics();
                assert_eq!((statistics.borrowed, statistics.tasks_waiting), (left, 1));
            }
            tokens.pop();
            child.join(cx)?;
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_sync.CapacityLimiter_memleak_548
#[test]
fn a_cancelled_wait_leaves_no_entry_in_the_list() {
    on_all_workers(|cx| {
        let limiter = CapacityLimiter::new(1);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let token = limiter.acquire(cx)?;
            let child = n.spawn(|cx| Ok(limiter.acquire_on_behalf_of(cx, "child").map(drop)?));
            settled(cx)?;
            assert_eq!(limiter.statistics().tasks_waiting, 1);
            child.cancel();
            settled(cx)?;
            assert_eq!(limiter.statistics().tasks_waiting, 0);
            drop(token);
            // It is not told that it has a token, or waits for one.
            drop(limiter.try_acquire_on_behalf_of("child")?);
            assert_eq!(limiter.statistics().borrowers, []);
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_sync.CapacityLimiter_zero_limit_tokens
#[test]
fn with_none_at_all_everybody_waits() {
    on_all_workers(|cx| {
        let (limiter, trace) = (CapacityLimiter::new(0), Trace::new());
        cx.nursery(|cx, n| -> Result<(), Fault> {
            borrow_in_order(cx, n, &limiter, &trace, 3)?;
            assert!(trace.take().is_empty());
            limiter.set_total(1);
            settled(cx)?;
            assert_eq!(trace.take(), [0]);
            limiter.set_total(2);
            settled(cx)?;
            assert_eq!(trace.take(), [1]);
            limiter.set_total(0);
            assert_eq!(limiter.statistics().borrowed, 2);
            n.cancel();
            Ok(())
        })
        .unwrap();
        assert!(trace.take().is_empty());
    });
}

// spec: test_sync.CapacityLimiter_zero_limit_tokens
#[test]
fn what_comes_back_after_it_was_set_to_none_is_not_lent_again() {
    on_all_workers(|cx| {
        let limiter = CapacityLimiter::new(1);
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let token = limiter.acquire(cx)?;
            let mut child = n.spawn(|cx| Ok(limiter.acquire(cx).map(drop)?));
            settled(cx)?;
            limiter.set_total(0);
            drop(token);
            settled(cx)?;
            assert_eq!(limiter.statistics().tasks_waiting, 1, "it waits on");
            limiter.set_total(1);
            child.join(cx)?;
            Ok(())
        })
        .unwrap();
    });
}
