//! Arms that users write around those of channels, and that do not keep to the rules: nothing worse than a
//! missed wake-up of their own may come of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use conbrio::channel::{self, OneOf2, after};
use conbrio::lowlevel::{Arm, Claim, Registered};
use conbrio::prelude::*;

use super::support::*;

const SHORT: Duration = Duration::from_millis(1);

/// Passes everything on but the end of the registration.
struct Forgetful<A>(A);

impl<A: Arm> Arm for Forgetful<A> {
    type Output = A::Output;

    fn poll(&mut self, cx: &Cx) -> Option<A::Output> {
        self.0.poll(cx)
    }

    fn register(&mut self, claim: Claim) -> Registered {
        self.0.register(claim)
    }

    fn unregister(&mut self) {}
}

// The child would wake a task that has ended, or the one that has come into its place in memory.
#[test]
fn a_child_may_outlive_a_forgetful_select_for_its_end() {
    in_all_orders(|cx| {
        cx.nursery(|cx, outer| -> Result<(), Cancelled> {
            let mut child = outer.spawn(|cx| cx.sleep(10 * SHORT));
            for _ in 0..3 {
                let selecting = cx.nursery(|_, n| -> Result<(), Cancelled> {
                    n.spawn(|cx| {
                        let arm = std::mem::ManuallyDrop::new(Forgetful(child.joining()));
                        let arm: &mut Forgetful<_> =
                            Box::leak(Box::new(std::mem::ManuallyDrop::into_inner(arm)));
                        let chosen = cx.select((arm, after(SHORT)))?;
                        assert!(matches!(chosen, OneOf2::Second(())));
                        Ok(())
                    });
                    Ok(())
                });
                selecting.unwrap();
            }
            // In the memory of those that selected.
            let mut others: Vec<_> = (0..3)
                .map(|_| {
                    outer.spawn(|cx| {
                        let began = cx.now();
                        cx.sleep(100 * SHORT)?;
                        Ok(cx.now() - began)
                    })
                })
                .collect();
            for other in &mut others {
                assert!(other.join(cx)? >= 100 * SHORT);
            }
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn an_arm_that_is_registered_twice_leaves_its_first_place() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded(1);
        let (heard, mut hears) = (channel::broadcast::<u32>(1), channel::watch(0).1);
        let mut listener = heard.0.subscribe();
        let (full, _kept) = channel::bounded(1);
        full.try_send(0).unwrap();
        for _ in 0..2 {
            let mut receiving = Forgetful(rx.receiving());
            let mut sending = Forgetful(full.sending(1));
            let mut hearing = Forgetful(listener.receiving());
            let mut changing = Forgetful(hears.changing());
            for _ in 0..3 {
                let arms = (&mut receiving, &mut sending, &mut hearing, after(SHORT));
                assert!(matches!(cx.select(arms), Ok(channel::OneOf4::Fourth(()))));
                let arms = (&mut changing, after(SHORT));
                assert!(!matches!(cx.select(arms), Ok(OneOf2::First(Ok(_)))));
            }
            assert_eq!(sending.0.into_item(), Some(1));
        }
        // What came to an arm that nobody asked again goes back.
        tx.try_send(7).unwrap();
        assert_eq!(rx.try_recv().unwrap(), 7);
    });
}

#[test]
fn a_used_up_arm_never_happens_again_and_holds_nobody_up() {
    in_all_orders(|cx| {
        let (tx, _rx) = channel::bounded(4);
        let mut sending = tx.sending(1);
        assert!(matches!(cx.select((&mut sending, after(SHORT))), Ok(OneOf2::First(Ok(())))));
        assert!(matches!(cx.select((&mut sending, after(SHORT))), Ok(OneOf2::Second(()))));
        assert_eq!(tx.statistics().len, 1);
    });
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker panics");
    }
}

#[test]
fn a_waker_that_panics_keeps_nobody_else_from_being_woken() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded::<u32>(1);
        let waker = Waker::from(Arc::new(Panics));
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let rx2 = rx.clone();
            let mut waiting = n.spawn(move |cx| {
                let chosen = cx.select((rx2.receiving(), after(1000 * SHORT)))?;
                Ok(matches!(chosen, OneOf2::First(Err(_))))
            });
            let mut future = std::pin::pin!(rx.recv_async());
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            settle(cx)?;
            assert!(catch_unwind(AssertUnwindSafe(|| tx.close())).is_err());
            assert!(waiting.join(cx)?);
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn a_permit_whose_waker_panics_is_used_up_once() {
    in_all_orders(|_| {
        let (tx, rx) = channel::bounded(1);
        let waker = Waker::from(Arc::new(Panics));
        let permit = tx.try_reserve().unwrap();
        let mut future = std::pin::pin!(rx.recv_async());
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(catch_unwind(AssertUnwindSafe(|| permit.send(1))).is_err());
        assert_eq!(tx.statistics().reserved, 0);
    });
}
