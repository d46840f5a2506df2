//! Explorations: which bugs they find, with how many seeds, and what they have covered.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::{Builder, MockClock, Strategy, explore};

use crate::bugs;
use crate::support::is_slow_wanted;

type Bug = (&'static str, fn(&mut Cx));

const BUGS: [Bug; 5] = [
    ("lost update", bugs::lost_update),
    ("wrong lock", |cx| bugs::lock(cx, true)),
    ("lost wake", bugs::lost_wake),
    ("short moment", bugs::short_moment),
    ("three in order", bugs::three_in_order),
];

/// The payload of the failure that the exploration ends with.
fn failure_of(explores: impl FnOnce()) -> Box<dyn std::any::Any + Send> {
    catch_unwind(AssertUnwindSafe(explores)).expect_err("a run fails")
}

fn text_of(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).expect("a message")
}

#[test]
fn each_planted_bug_is_found_and_its_failure_goes_on() {
    let messages = [
        "an update was lost",
        "two tasks are inside",
        "deadlock: nothing can run",
        "it was seen",
        "the rare order",
    ];
    for ((name, bug), message) in BUGS.into_iter().zip(messages) {
        let payload = failure_of(|| {
            explore(0..2_000, bug);
        });
        let text = text_of(&*payload);
        assert!(text.contains(message), "{name}: {text}");
    }
}

#[test]
fn without_a_bug_all_seeds_run() {
    let seen = explore(0..300, |cx| bugs::lock(cx, false));
    assert_eq!(seen.runs(), 300);
    assert!(seen.distinct_courses() > 100, "{seen}");
    assert!(seen.steps() > 300 * 6, "{seen}");
    let goes_on = seen.coverage().iter().find(|kind| kind.what == "which task goes on");
    assert_eq!(goes_on.map(|kind| kind.taken), Some(3), "{seen}");
    assert!(seen.to_string().starts_with("300 runs, "), "{seen}");
}

/// The mean number of seeds until `program` fails, over some ranges of seeds.
fn seeds_needed(strategy: Strategy, program: fn(&mut Cx), searches: u64) -> u64 {
    let fails = |seed: u64| {
        let options = Builder::new().strategy(strategy).seed(seed);
        catch_unwind(AssertUnwindSafe(|| options.run(program))).is_err()
    };
    let needed = |first: u64| {
        (first..first + SEEDS_MAX).position(fails).map_or(SEEDS_MAX, |index| index as u64 + 1)
    };
    (0..searches).map(|search| needed(search * 1_000_000)).sum::<u64>() / searches
}

const SEEDS_MAX: u64 = 3_000;

/// What chance finds at once and what it does not: priorities keep one task back for long.
#[test]
fn each_strategy_finds_what_the_other_does_not() {
    if !is_slow_wanted("how many seeds each bug needs") {
        return;
    }
    let strategies = [
        Strategy::Random,
        Strategy::Priorities { depth: 2 },
        Strategy::Priorities { depth: 3 },
        Strategy::Mixed,
    ];
    println!("mean number of seeds by {strategies:?}, {SEEDS_MAX} at most:");
    let rows = BUGS.map(|(name, bug)| {
        let needed = strategies.map(|strategy| seeds_needed(strategy, bug, 20));
        println!("{name}: {needed:?}");
        needed
    });
    assert!(rows.iter().all(|row| row[3] < SEEDS_MAX / 2), "mixed finds everything: {rows:?}");
    assert!(rows[0][0] < rows[0][1], "a race of two short tasks: by chance: {rows:?}");
    assert!(rows[3][1] * 2 < rows[3][0], "a short moment, late: by priorities: {rows:?}");
}

/// A type of its own, to see that the very payload comes out.
#[derive(Debug, PartialEq)]
struct Wrong(u32);

#[test]
fn the_payload_of_a_panic_comes_out_and_a_child_that_panics_is_no_other_case() {
    let payload = failure_of(|| {
        explore(0..100, |cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                n.spawn(|cx| -> Result<(), Cancelled> {
                    cx.checkpoint()?;
                    panic_any(Wrong(7))
                });
                Ok(())
            })
            .unwrap();
        });
    });
    assert_eq!(payload.downcast_ref(), Some(&Wrong(7)));
}

#[test]
fn the_failure_that_was_found_is_kept_where_a_simpler_one_is_another() {
    // Every run fails, most of them simply; only what seed 0 found is of interest.
    let runs = Cell::new(0);
    let orders = RefCell::new(BTreeSet::new());
    let payload = failure_of(|| {
        explore(0..1, |cx| {
            let order = RefCell::new(String::new());
            let result = cx.nursery(|cx, n| -> Result<(), Cancelled> {
                for name in ["a", "b", "c", "d"] {
                    let order = &order;
                    n.spawn_local(cx, move |cx| {
                        cx.checkpoint()?;
                        order.borrow_mut().push_str(name);
                        Ok(())
                    });
                }
                Ok(())
            });
            result.unwrap();
            runs.set(runs.get() + 1);
            let order = order.into_inner();
            orders.borrow_mut().insert(order.clone());
            match order.as_str() {
                "abcd" => panic!("the ordinary order"),
                _ => panic!("another order"),
            }
        });
    });
    assert_eq!(text_of(&*payload), "another order");
    assert!(orders.borrow().contains("abcd"), "the simpler one was tried");
}

#[test]
#[should_panic(expected = "there is nothing to explore")]
fn no_seeds_are_a_mistake() {
    explore([], |_| ());
}

#[test]
fn thousands_of_tasks_in_each_run() {
    let seen = explore(0..4, |cx| {
        let done = AtomicU32::new(0);
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for _ in 0..3_000 {
                n.spawn(|cx| {
                    cx.yield_now()?;
                    done.fetch_add(1, Relaxed);
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(done.into_inner(), 3_000);
    });
    assert_eq!(seen.distinct_courses(), 4);
}

#[test]
fn explorations_nest_in_blocking_calls() {
    let seen = explore(0..3, |cx| {
        let inner = cx.blocking(|| {
            let payload = failure_of(|| {
                explore(0..100, bugs::lost_update);
            });
            text_of(&*payload).contains("an update was lost")
        });
        assert!(inner.unwrap());
        cx.sleep(Duration::from_secs(1)).unwrap();
    });
    assert_eq!(seen.runs(), 3);
}

/// The orders of two local children of two steps.
fn orders_of_local_children(strategy: Strategy) -> BTreeSet<String> {
    let seen = RefCell::new(BTreeSet::new());
    Builder::new().strategy(strategy).explore(0..600, |cx| {
        let order = RefCell::new(String::new());
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for name in ["a", "b"] {
                let order = &order;
                n.spawn_local(cx, move |cx| {
                    let mut borrowed = order.borrow_mut();
                    borrowed.push_str(name);
                    drop(borrowed);
                    cx.checkpoint()?;
                    order.borrow_mut().push_str(name);
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        seen.borrow_mut().insert(order.into_inner());
    });
    seen.into_inner()
}

#[test]
fn local_children_take_turns_at_their_checkpoints_in_every_way() {
    let all = ["aabb", "abab", "abba", "baab", "baba", "bbaa"].map(String::from);
    for strategy in [Strategy::Random, Strategy::Priorities { depth: 3 }, Strategy::Mixed] {
        assert_eq!(orders_of_local_children(strategy), BTreeSet::from(all.clone()), "{strategy:?}");
    }
}

/// The clock is one, so its time goes on from run to run, and every jump is noticed.
#[test]
fn a_clock_of_the_test_is_shared_by_all_runs() {
    let clock = MockClock::new().autojump(Duration::ZERO);
    let options = Builder::new().clock(clock.clone());
    options.explore(0..500, |cx| {
        let begun = cx.now();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let clock = &clock;
            n.spawn(|cx| cx.sleep(Duration::from_secs(3)));
            n.spawn(move |_| {
                clock.jump(Duration::from_secs(1));
                Ok(())
            });
            cx.sleep(Duration::from_secs(2))
        })
        .unwrap();
        let passed = (cx.now() - begun).as_secs();
        assert!((2..=4).contains(&passed), "{passed}");
    });
    assert!(clock.elapsed() >= Duration::from_secs(1_000));
}
