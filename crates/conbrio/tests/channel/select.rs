//! Exactly one arm happens, and the others are untouched.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use conbrio::channel::{self, OneOf2, OneOf3, RecvError, after, at};
use conbrio::prelude::*;
use conbrio::testing::{Builder, exhaust};

use super::support::*;

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn what_is_ready_happens_and_the_rest_is_left() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded(1);
        let (tx2, rx2) = channel::bounded(1);
        tx.try_send(1).unwrap();
        tx2.try_send(2).unwrap();
        let mut seen = [0; 2];
        for _ in 0..200 {
            match cx.select((rx.receiving(), rx2.receiving())).unwrap() {
                OneOf2::First(item) => {
                    assert_eq!(
                        (item.unwrap(), tx.statistics().len, tx2.statistics().len),
                        (1, 0, 1)
                    );
                    seen[0] += 1;
                    tx.try_send(1).unwrap();
                }
                OneOf2::Second(item) => {
                    assert_eq!(
                        (item.unwrap(), tx.statistics().len, tx2.statistics().len),
                        (2, 1, 0)
                    );
                    seen[1] += 1;
                    tx2.try_send(2).unwrap();
                }
            }
        }
        assert!(seen.iter().all(|times| (60..=140).contains(times)), "{seen:?}");
        // In order, it is the first as long as that is ready.
        for _ in 0..10 {
            let arms = [rx.receiving(), rx2.receiving()];
            assert_eq!(cx.select_in_order(arms).unwrap().0, 0);
            tx.try_send(1).unwrap();
        }
    });
}

#[test]
fn a_select_that_waits_gets_what_comes_first() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded(1);
        let (tx2, rx2) = channel::bounded(0);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                cx.sleep(SHORT)?;
                tx.send(cx, 1).unwrap();
                cx.sleep(SHORT)?;
                assert_eq!(rx2.recv(cx).unwrap(), 2);
                Ok(())
            });
            let mut sending = tx2.sending(2);
            let first = cx.select((&mut sending, rx.receiving()))?;
            assert!(matches!(first, OneOf2::Second(Ok(1))));
            let second = cx.select((rx.receiving(), &mut sending))?;
            assert!(matches!(second, OneOf2::Second(Ok(()))));
            // An arm that has happened does not happen again.
            let third = cx.select((&mut sending, after(SHORT * 5)))?;
            assert!(matches!(third, OneOf2::Second(())));
            assert!(sending.into_item().is_none());
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn ends_are_things_that_happen() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded::<u8>(0);
        let (tx2, rx2) = channel::bounded::<u8>(0);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let child = n.spawn(|cx| cx.sleep_forever());
            n.spawn(move |cx| {
                cx.sleep(SHORT)?;
                drop(tx);
                cx.sleep(SHORT)?;
                drop(rx2);
                Ok(())
            });
            let mut child = child;
            let ended = cx.select((rx.receiving(), tx2.sending(1), child.joining()))?;
            assert!(matches!(ended, OneOf3::First(Err(RecvError::Ended))));
            let broken = cx.select((tx2.sending(1), child.joining()))?;
            assert!(matches!(broken, OneOf2::First(Err(error)) if error.is_broken()));
            child.cancel();
            let joined = cx.select((child.joining(), after(SHORT)))?;
            assert!(matches!(joined, OneOf2::First(Err(_))));
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn children_are_joined_by_the_first_select_that_sees_them_end() {
    in_all_orders(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut slow = n.spawn(|cx| cx.sleep(SHORT * 3).map(|()| "slow"));
            let mut fast = n.spawn_local(cx, |cx| cx.sleep(SHORT).map(|()| "fast"));
            let first = cx.select((slow.joining(), fast.joining()))?;
            assert!(matches!(first, OneOf2::Second(Ok("fast"))));
            let second = cx.select((slow.joining(), after(SHORT * 100)))?;
            assert!(matches!(second, OneOf2::First(Ok("slow"))));
            // The handles of ended children are at once ready.
            let mut third = n.spawn(|_| Ok(3));
            settle(cx)?;
            assert!(matches!(cx.select([third.joining()]), Ok((0, Ok(3)))));
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn time_is_an_arm() {
    conbrio::testing::run(|cx| {
        let start = cx.now();
        let (_tx, rx) = channel::bounded::<u8>(0);
        let arms = (rx.receiving(), after(SHORT * 2), at(start + SHORT));
        assert!(matches!(cx.select(arms), Ok(OneOf3::Third(()))));
        assert_eq!(cx.now() - start, SHORT);
        // One limit for several selects.
        let mut limit = after(SHORT * 10);
        let mut ticks = 0;
        while let OneOf2::First(()) = cx.select_in_order((after(SHORT * 3), &mut limit)).unwrap() {
            ticks += 1;
        }
        assert_eq!((ticks, cx.now() - start), (3, SHORT * 11));
        assert!(matches!(cx.select([after(Duration::ZERO)]), Ok((0, ()))));
        // Times that are too far away for any clock do not come.
        let far = cx.select((after(Duration::MAX), after(SHORT)));
        assert!(matches!(far, Ok(OneOf2::Second(()))));
    });
}

#[test]
fn absent_arms_and_lists_of_arms() {
    conbrio::testing::run(|cx| {
        let channels: Vec<_> = (0..5).map(|_| channel::bounded(1)).collect();
        channels[3].0.try_send(3).unwrap();
        let arms: Vec<_> = channels.iter().map(|(_, rx)| rx.receiving()).collect();
        assert!(matches!(cx.select(arms), Ok((3, Ok(3)))));
        let mut arms = [channels[0].1.receiving(), channels[1].1.receiving()];
        channels[1].0.try_send(1).unwrap();
        assert!(matches!(cx.select(&mut arms[..]), Ok((1, Ok(1)))));
        let absent: Option<channel::Receiving<'_, i32>> = None;
        assert!(matches!(cx.select((absent, after(SHORT))), Ok(OneOf2::Second(()))));
        let boxed: Box<dyn conbrio::lowlevel::Arm<Output = ()>> = Box::new(after(SHORT));
        assert!(matches!(cx.select([boxed]), Ok((0, ()))));
    });
}

#[test]
#[should_panic = "pass one arm at least"]
fn a_select_without_arms_is_refused() {
    conbrio::testing::run(|cx| {
        let _ = cx.select(Vec::<channel::Timer>::new());
    });
}

/// Two selects that want to deal with each other, and one that could deal with itself only.
#[test]
fn selects_meet_selects() {
    in_all_orders(|cx| {
        let (tx, rx) = channel::bounded(0);
        let (tx2, rx2) = channel::bounded(0);
        let meetings = AtomicU32::new(0);
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                let outcome = cx.select((tx.sending(1), rx2.receiving()))?;
                meetings
                    .fetch_add(if matches!(outcome, OneOf2::First(_)) { 1 } else { 10 }, SeqCst);
                Ok(())
            });
            n.spawn(|cx| {
                let outcome = cx.select((rx.receiving(), tx2.sending(2)))?;
                meetings
                    .fetch_add(if matches!(outcome, OneOf2::First(_)) { 1 } else { 10 }, SeqCst);
                Ok(())
            });
            Ok(())
        })
        .unwrap();
        // Both have come by the same way.
        assert!([2, 20].contains(&meetings.load(SeqCst)), "{meetings:?}");
        // With itself alone, a select waits.
        let outcome = cx.select((tx.sending(1), rx.receiving(), after(SHORT)));
        assert!(matches!(outcome, Ok(OneOf3::Third(()))));
    });
}

/// Every item of several senders is got by exactly one of several selects over the same channels.
#[test]
fn nothing_is_lost_between_selects() {
    for seed in 0..100 {
        Builder::new().workers(3).seed(seed).run(|cx| {
            let (tx, rx) = channel::bounded(0);
            let (tx2, rx2) = channel::bounded(1);
            let sum = AtomicU32::new(0);
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                for _ in 0..3 {
                    let (rx, rx2, sum) = (rx.clone(), rx2.clone(), &sum);
                    n.spawn(move |cx| {
                        let (mut open, mut open2) = (true, true);
                        while open || open2 {
                            let arms =
                                (open.then(|| rx.receiving()), open2.then(|| rx2.receiving()));
                            match cx.select(arms)? {
                                OneOf2::First(Ok(item)) | OneOf2::Second(Ok(item)) => {
                                    sum.fetch_add(item, SeqCst);
                                }
                                OneOf2::First(Err(_)) => open = false,
                                OneOf2::Second(Err(_)) => open2 = false,
                            }
                        }
                        Ok(())
                    });
                }
                for item in 0..2 {
                    let (tx, tx2) = (tx.clone(), tx2.clone());
                    n.spawn(move |cx| {
                        for round in 0..5 {
                            let value = 1 << (item * 5 + round);
                            let outcome = cx.select((tx.sending(value), tx2.sending(value)))?;
                            match outcome {
                                OneOf2::First(sent) | OneOf2::Second(sent) => sent.unwrap(),
                            }
                        }
                        Ok(())
                    });
                }
                drop((tx, tx2));
                Ok(())
            })
            .unwrap();
            assert_eq!(sum.into_inner(), (1 << 10) - 1);
        });
    }
}

/// All courses of two selects and one plain sender, up to two preemptions.
#[test]
fn one_item_goes_to_one_of_two_selects_in_every_course() {
    let proof = exhaust(2, |cx| {
        let (tx, rx) = channel::bounded(0);
        let (tx2, rx2) = channel::bounded(0);
        let sum = AtomicU32::new(0);
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for _ in 0..2 {
                let (rx, rx2, sum) = (&rx, &rx2, &sum);
                n.spawn(move |cx| {
                    match cx.select((rx.receiving(), rx2.receiving()))? {
                        OneOf2::First(item) | OneOf2::Second(item) => {
                            sum.fetch_add(item.unwrap(), SeqCst)
                        }
                    };
                    Ok(())
                });
            }
            n.spawn(|cx| {
                tx.send(cx, 1).unwrap();
                tx2.send(cx, 2).unwrap();
                Ok(())
            });
            Ok(())
        })
        .unwrap();
        assert_eq!(sum.into_inner(), 3);
    });
    assert!(proof.runs() > 10, "{proof}");
}
