//! The first success, and quorums.

use conbrio::prelude::*;
use conbrio::testing::{explore, run};

use super::support::{Fault, Running, ms, names, panic_text};

/// An arm that takes `after` and then fails if its name is given.
fn arm_of(
    after: u64,
    fault: Option<&'static str>,
) -> impl FnOnce(&mut Cx) -> Result<u64, Fault> + Send {
    move |cx| {
        cx.sleep(ms(after))?;
        fault.map_or(Ok(after), |name| Err(Fault::Named(name)))
    }
}

#[test]
fn errors_are_passed_over_while_one_may_succeed() {
    explore(0..100, |cx| {
        let arms =
            [arm_of(1, Some("one")), arm_of(3, None), arm_of(9, None), arm_of(2, Some("two"))];
        let began = cx.now();
        assert_eq!(cx.first_ok(arms).unwrap(), 3);
        assert_eq!(cx.now() - began, ms(3), "the last one was cancelled");
    });
}

#[test]
fn all_errors_are_kept_if_all_fail() {
    explore(0..100, |cx| {
        let arms = [arm_of(2, Some("two")), arm_of(1, Some("one")), arm_of(3, Some("three"))];
        assert_eq!(names(cx.first_ok(arms)), ["one", "two", "three"]);
    });
}

// spec: N2
#[test]
fn who_is_cancelled_has_not_failed() {
    explore(0..100, |cx| {
        let running = Running::default();
        let outcome = cx.move_on_after(ms(5), |cx| {
            cx.first_ok([1, 10].map(|after| {
                let running = &running;
                move |cx: &mut Cx| {
                    let _running = running.enter();
                    arm_of(after, Some("failed"))(cx)
                }
            }))
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert_eq!((running.now(), running.ever()), (0, 2));
    });
}

#[test]
fn a_quorum_is_reached_or_given_up_early() {
    explore(0..100, |cx| {
        let began = cx.now();
        let arms = [arm_of(1, None), arm_of(2, Some("two")), arm_of(3, None), arm_of(9, None)];
        assert_eq!(cx.quorum(2, arms).unwrap(), [1, 3]);
        assert_eq!(cx.now() - began, ms(3));
        let arms = [arm_of(1, Some("a")), arm_of(2, None), arm_of(3, Some("b")), arm_of(9, None)];
        assert_eq!(names(cx.quorum(3, arms)), ["a", "b"]);
        assert_eq!(cx.now() - began, ms(6), "the last one could not help any more");
        let all = cx.quorum(2, [arm_of(1, None), arm_of(1, None)]).unwrap();
        assert_eq!(all, [1, 1]);
        assert_eq!(cx.quorum(0, [arm_of(1, None)]).unwrap(), []);
    });
}

#[test]
fn values_that_come_too_late_to_be_cancelled_are_kept() {
    run(|cx| {
        let arms = (0..3).map(|i| {
            move |cx: &mut Cx| -> Result<u32, Fault> {
                cx.shield(|cx| cx.sleep(ms(i.into())))?;
                Ok(i)
            }
        });
        assert_eq!(cx.quorum(2, arms).unwrap(), [0, 1, 2]);
    });
}

#[test]
fn what_cannot_be_reached_is_refused() {
    let text = panic_text(|| run(|cx| cx.quorum(2, [arm_of(1, None)]).unwrap()));
    assert_eq!(text, "a quorum of 2 cannot be reached by 1 arms: ask for fewer, or give more");
    let text = panic_text(|| run(|cx| cx.first_ok(Vec::<super::NoArm>::new()).unwrap()));
    assert!(text.contains("at least one arm"), "{text}");
}

#[test]
fn a_panic_comes_out_although_another_succeeds() {
    let text = panic_text(|| {
        run(|cx| {
            let arms = (0..2).map(|i| {
                move |cx: &mut Cx| -> Result<(), Cancelled> {
                    if i == 0 {
                        let _ = cx.sleep_forever();
                        panic!("loser");
                    }
                    Ok(())
                }
            });
            cx.first_ok(arms).unwrap()
        })
    });
    assert_eq!(text, "loser");
}
