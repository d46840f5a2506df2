//! Small programs in all orders that there are; and what may be shared between threads.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use conbrio::concurrent::{
    Items, Limited, Output, Place, Pool, Pooled, RateLimiter, Schedule, Services, Supervisor,
    SupervisorError,
};
use conbrio::prelude::*;
use conbrio::testing::exhaust;

use super::support::{Fault, Running};

#[test]
fn a_contest_in_all_orders() {
    let proof = exhaust(usize::MAX, |cx| {
        let running = Running::default();
        let result = cx.first_ok((0..3).map(|i| {
            let running = &running;
            move |cx: &mut Cx| {
                let _running = running.enter();
                cx.checkpoint()?;
                if i == 0 { Err(Fault::Named("zero")) } else { Ok(i) }
            }
        }));
        assert!(matches!(result, Ok(1 | 2)), "{result:?}");
        assert_eq!((running.now(), running.ever()), (0, 3));
    });
    assert!(proof.complete() && proof.runs() > 10, "{proof}");
}

#[test]
fn a_limit_in_all_orders() {
    let proof = exhaust(usize::MAX, |cx| {
        let running = Running::default();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let limited = n.limit(1);
            for _ in 0..3 {
                limited.spawn(cx, |cx| {
                    let _running = running.enter();
                    cx.checkpoint()
                })?;
            }
            Ok(())
        })
        .unwrap();
        assert_eq!((running.most(), running.ever()), (1, 3));
    });
    assert!(proof.complete() && proof.runs() > 5, "{proof}");
}

#[test]
fn a_generator_in_all_orders() {
    let proof = exhaust(2, |cx| {
        let taken = AtomicU32::new(0);
        cx.generate(
            |cx, out| -> Result<(), Fault> {
                for i in [1, 10] {
                    cx.checkpoint()?;
                    out.send(cx, i)?;
                }
                Ok(())
            },
            |cx, items| {
                let take = |cx: &mut Cx| -> Result<(), Fault> {
                    while let Some(item) = items.next(cx)? {
                        taken.fetch_add(item, SeqCst);
                    }
                    Ok(())
                };
                cx.join(take, take)?;
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(taken.into_inner(), 11);
    });
    assert!(proof.runs() > 10, "{proof}");
}

// Closing comes at any moment: nobody waits for ever, and nothing comes twice.
#[test]
fn closing_a_generator_in_all_orders() {
    let proof = exhaust(2, |cx| {
        let (mut sent, taken) = (0, AtomicU32::new(0));
        cx.generate(
            |cx, out| -> Result<(), Fault> {
                for _ in 0..2 {
                    out.send(cx, 1)?;
                    sent += 1;
                }
                Ok(())
            },
            |cx, items| {
                cx.join(
                    |cx| -> Result<(), Fault> {
                        while let Some(item) = items.next(cx)? {
                            taken.fetch_add(item, SeqCst);
                        }
                        Ok(())
                    },
                    |cx| {
                        cx.checkpoint()?;
                        items.close();
                        Ok(())
                    },
                )?;
                Ok(())
            },
        )
        .unwrap();
        assert!(taken.into_inner() <= 2 && sent <= 2);
    });
    assert!(proof.runs() > 10, "{proof}");
}

#[test]
fn a_pool_in_all_orders() {
    let proof = exhaust(2, |cx| {
        let users = Running::default();
        let pool = Pool::new(1, |cx: &mut Cx| -> Result<(), Cancelled> { cx.checkpoint() });
        let user = |cx: &mut Cx| -> Result<(), Cancelled> {
            let object = pool.get(cx)?;
            let _user = users.enter();
            cx.checkpoint()?;
            if users.ever() == 1 {
                Pooled::discard(object);
            }
            Ok(())
        };
        cx.join3(user, user, user).unwrap();
        assert_eq!((users.most(), users.ever()), (1, 3));
        assert_eq!(pool.statistics().idle, 1);
    });
    assert!(proof.runs() > 10, "{proof}");
}

#[test]
fn what_may_be_shared_may_be() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Pool<'_, std::cell::Cell<u32>, Fault>>();
    shared::<RateLimiter>();
    shared::<Schedule>();
    shared::<Limited<'_, '_, Fault>>();
    shared::<Services<'_, '_, Fault>>();
    shared::<Items<'_, u32>>();
    sent::<Place<'_, '_, Fault>>();
    sent::<Output<'_, u32>>();
    sent::<Pooled<'_, u32>>();
    sent::<SupervisorError<Fault>>();
    fn supervisor_is_built_anywhere(supervisor: Supervisor<'_, Fault>) -> Supervisor<'_, Fault> {
        supervisor.restart_panics()
    }
    let built = supervisor_is_built_anywhere(Supervisor::one_for_one());
    assert!(format!("{built:?}").contains("OneForOne"));
}
