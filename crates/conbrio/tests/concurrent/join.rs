//! Joining arms: values in order, errors and panics like those of a nursery.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use conbrio::concurrent::arm;
use conbrio::prelude::*;
use conbrio::testing::{Builder, explore, run};

use super::support::{Fault, Running, ms, names, on_workers, panic_text};

#[test]
fn values_come_in_the_order_of_the_arms() {
    run(|cx| {
        let text = String::from("lent");
        let local = Cell::new(0);
        let two = cx.join(
            |cx| cx.sleep(ms(2)).map(|()| text.len()),
            |cx| {
                local.set(7); // the last arm need not be `Send`
                cx.sleep(ms(1)).map(|()| text.as_str())
            },
        );
        assert_eq!(two.unwrap(), (4, "lent"));
        assert_eq!(local.get(), 7);
        let slow = |n: u32| move |cx: &mut Cx| cx.sleep(ms(u64::from(10 - n))).map(|()| n);
        let began = cx.now();
        assert_eq!(cx.join3(slow(1), slow(2), slow(3)).unwrap(), (1, 2, 3));
        let arms4 = cx.join4(slow(1), slow(2), slow(3), slow(4));
        assert_eq!(arms4.unwrap(), (1, 2, 3, 4));
        let arms5 = cx.join5(slow(1), slow(2), slow(3), slow(4), slow(5));
        assert_eq!(arms5.unwrap(), (1, 2, 3, 4, 5));
        let arms6 = cx.join6(slow(1), slow(2), slow(3), slow(4), slow(5), slow(6));
        assert_eq!(arms6.unwrap(), (1, 2, 3, 4, 5, 6));
        let arms7 = cx.join7(slow(1), slow(2), slow(3), slow(4), slow(5), slow(6), slow(7));
        assert_eq!(arms7.unwrap(), (1, 2, 3, 4, 5, 6, 7));
        let arms8 =
            cx.join8(slow(1), slow(2), slow(3), slow(4), slow(5), slow(6), slow(7), slow(8));
        assert_eq!(arms8.unwrap(), (1, 2, 3, 4, 5, 6, 7, 8));
        assert_eq!(cx.now() - began, ms(6 * 9), "the arms ran at the same time");
        let all = cx.join_all((1..=5).rev().map(slow)).unwrap();
        assert_eq!(all, [5, 4, 3, 2, 1]);
        let mixed = cx.join_all([arm(slow(1)), arm(|_| Ok(2))]).unwrap();
        assert_eq!(mixed, [1, 2]);
        assert_eq!(cx.join_all(Vec::<fn(&mut Cx) -> Result<u32, Cancelled>>::new()).unwrap(), []);
    });
}

// spec: S14
#[test]
fn an_error_cancels_the_others_and_none_is_lost() {
    explore(0..300, |cx| {
        let ended = Running::default();
        let result = cx.join3(
            |_| Err::<(), _>(Fault::Named("first")),
            |cx| {
                let _ended = ended.enter();
                cx.sleep_forever().map_err(|_| Fault::Named("second"))
            },
            |cx| Ok(cx.sleep_forever()?),
        );
        assert_eq!(ended.now(), 0);
        let mut names = names(result);
        names.sort_unstable();
        assert_eq!(names, ["first", "second"]);
        let result = cx.join_all((0..3).map(|i| {
            move |cx: &mut Cx| -> Result<(), Fault> {
                if i == 1 { Err(Fault::Named("one")) } else { Ok(cx.sleep_forever()?) }
            }
        }));
        assert_eq!(super::support::names(result), ["one"]);
    });
}

#[test]
fn a_panic_comes_out_when_all_have_ended() {
    for which in 0..3 {
        let running = Running::default();
        let panicking = |at: u32, cx: &mut Cx| -> Result<(), Cancelled> {
            let _running = running.enter();
            if at == which {
                panic!("arm {at}");
            }
            cx.sleep_forever()
        };
        let text = panic_text(|| {
            run(|cx| {
                cx.join3(|cx| panicking(0, cx), |cx| panicking(1, cx), |cx| panicking(2, cx))
                    .unwrap()
            })
        });
        assert_eq!(text, format!("arm {which}"));
        assert_eq!((running.now(), running.ever()), (0, 3));
    }
}

// spec: N2
#[test]
fn arms_of_a_cancelled_join_have_ended_when_it_returns() {
    explore(0..200, |cx| {
        let running = Running::default();
        let outcome = cx.move_on_after(ms(5), |cx| {
            let stubborn = |cx: &mut Cx| -> Result<(), Cancelled> {
                let _running = running.enter();
                let result = cx.sleep_forever();
                cx.shield(|cx| cx.sleep(ms(3)))?;
                result
            };
            cx.join(stubborn, stubborn)
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert_eq!((running.now(), running.ever()), (0, 2));
    });
}

#[test]
fn completed_arms_count_in_spite_of_a_cancellation() {
    run(|cx| {
        let outcome = cx.cancel_scope(|cx, scope| {
            scope.cancel();
            cx.join(|_| Ok::<_, Cancelled>(1), |_| Ok(2))
        });
        assert_eq!(outcome.unwrap(), Some((1, 2)));
    });
}

#[test]
fn arms_run_on_all_workers() {
    // Each arm waits for the other one without giving its worker away.
    conbrio::Builder::new()
        .workers(2)
        .run(|cx| {
            let here = AtomicU32::new(0);
            let meet = |_: &mut Cx| -> Result<(), Cancelled> {
                here.fetch_add(1, SeqCst);
                while here.load(SeqCst) < 2 {
                    std::thread::yield_now();
                }
                Ok(())
            };
            cx.join(meet, meet).unwrap();
        })
        .unwrap();
}

#[test]
fn while_unwinding_arms_run_here_and_cannot_wait() {
    struct OnDrop<'a>(&'a mut Cx, &'a AtomicU32);
    impl Drop for OnDrop<'_> {
        fn drop(&mut self) {
            let OnDrop(cx, calls) = self;
            let calls = *calls;
            let joined = cx.join(
                |_| Ok::<_, Cancelled>(calls.fetch_add(1, SeqCst)),
                |cx| {
                    assert!(cx.checkpoint().is_err());
                    Ok(calls.fetch_add(1, SeqCst))
                },
            );
            assert_eq!(joined.unwrap(), (0, 1));
            assert_eq!(
                cx.race(|_| Ok::<_, Cancelled>(1), |cx| cx.yield_now().map(|()| 2)).unwrap(),
                1
            );
            assert!(cx.map_concurrent(2, 0..3, |_, i| Ok::<_, Cancelled>(i)).is_err());
        }
    }
    let calls = AtomicU32::new(0);
    let text = panic_text(|| {
        run(|cx| {
            let _on_drop = OnDrop(cx, &calls);
            panic!("on purpose");
        })
    });
    assert_eq!(text, "on purpose");
    assert_eq!(calls.into_inner(), 2);
}

#[test]
fn joins_nest_to_a_tree() {
    fn sum(cx: &mut Cx, numbers: &[u64]) -> Result<u64, Cancelled> {
        if numbers.len() <= 4 {
            cx.checkpoint()?;
            return Ok(numbers.iter().sum());
        }
        let (left, right) = numbers.split_at(numbers.len() / 2);
        match cx.join(|cx| sum(cx, left), |cx| sum(cx, right)) {
            Ok((left, right)) => Ok(left + right),
            Err(NurseryError::Cancelled(cancelled)) => Err(cancelled),
            Err(other) => panic!("{other}"),
        }
    }
    let numbers: Vec<u64> = (0..1000).collect();
    on_workers(|cx| assert_eq!(sum(cx, &numbers).unwrap(), 499_500));
    Builder::new().explore(0..20, |cx| assert_eq!(sum(cx, &numbers[..50]).unwrap(), 1225));
}
