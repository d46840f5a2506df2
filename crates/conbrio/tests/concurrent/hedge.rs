//! Hedging: when arms begin, and when no more do.

use std::sync::Mutex;

use conbrio::prelude::*;
use conbrio::testing::{explore, run};

use super::support::{Fault, Running, ms, names};

/// Runs arms that take and fail as told; returns the result and when each began, in milliseconds.
fn hedge(
    cx: &mut Cx,
    arms: &[(u64, Option<&'static str>)],
) -> (Result<usize, NurseryError<Fault>>, Vec<u128>) {
    let (began, begun) = (cx.now(), Mutex::new(Vec::new()));
    let result = cx.hedge(
        ms(10),
        arms.iter().enumerate().map(|(index, &(takes, fault))| {
            let begun = &begun;
            move |cx: &mut Cx| {
                begun.lock().unwrap().push((cx.now() - began).as_millis());
                cx.sleep(ms(takes))?;
                fault.map_or(Ok(index), |name| Err(Fault::Named(name)))
            }
        }),
    );
    (result, begun.into_inner().unwrap())
}

#[test]
fn the_next_arm_begins_after_a_delay_or_a_failure() {
    explore(0..50, |cx| {
        let (result, begun) = hedge(cx, &[(5, None), (5, None)]);
        assert_eq!((result.unwrap(), begun), (0, vec![0]));
        let (result, begun) = hedge(cx, &[(50, None), (5, None), (5, None)]);
        assert_eq!((result.unwrap(), begun), (1, vec![0, 10]));
        let (result, begun) = hedge(cx, &[(3, Some("a")), (50, None), (1, Some("b")), (1, None)]);
        assert_eq!((result.unwrap(), begun), (3, vec![0, 3, 13, 14]));
        // The first one goes on, and wins in the end.
        let (result, begun) = hedge(cx, &[(35, None), (100, None), (100, None), (100, None)]);
        assert_eq!((result.unwrap(), begun), (0, vec![0, 10, 20, 30]));
        let (result, begun) = hedge(cx, &[(25, Some("a")), (1, Some("b")), (30, Some("c"))]);
        assert_eq!(begun, [0, 10, 11]);
        assert_eq!(names(result), ["b", "a", "c"]);
    });
}

// spec: N2
#[test]
fn a_cancelled_hedge_begins_no_more() {
    explore(0..100, |cx| {
        let running = Running::default();
        let outcome = cx.move_on_after(ms(15), |cx| {
            cx.hedge(
                ms(10),
                (0..5).map(|_| {
                    let running = &running;
                    move |cx: &mut Cx| -> Result<(), Fault> {
                        let _running = running.enter();
                        Ok(cx.sleep_forever()?)
                    }
                }),
            )
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert_eq!((running.now(), running.ever()), (0, 2));
        // What has failed is no answer while others are missing.
        let outcome = cx.move_on_after(ms(5), |cx| hedge(cx, &[(1, Some("a")), (50, None)]).0);
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
    });
}

#[test]
fn the_iterator_is_not_pulled_ahead() {
    run(|cx| {
        let mut pulled = 0;
        let arms = std::iter::from_fn(|| {
            pulled += 1;
            Some(|cx: &mut Cx| cx.sleep(ms(25)))
        });
        cx.hedge(ms(10), arms).unwrap();
        assert_eq!(pulled, 3);
    });
}
