//! What a failure prints, and that it can be replayed: each in a process of its own.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use conbrio::prelude::*;
use conbrio::testing::{Builder, exhaust, explore};

use crate::bugs;
use crate::support::in_child;

#[test]
fn a_failure_shows_its_seed_and_a_reduced_course_in_words() {
    const TEST: &str = "report::a_failure_shows_its_seed_and_a_reduced_course_in_words";
    let body = || {
        explore(0..10_000, bugs::short_moment);
    };
    let said = in_child(TEST, &[], body);
    said.assert_failed_as_a_test();
    assert_eq!(said.count("it was seen"), 2, "the first and the last failure: {}", said.stderr);
    assert_eq!(said.count(" a preemption)"), 1, "{}", said.stderr);
    assert!(said.stderr.contains("task 3 'short'"), "{}", said.stderr);
    let by_seed =
        said.line("CONBRIO_SEED=").strip_suffix(&format!(" cargo test -- --exact {TEST}"));
    let (name, seed) = by_seed.expect("a whole command").split_once('=').unwrap();
    let by_choices = said.line("CONBRIO_CHOICES=").split(' ').next().unwrap();
    let (choices_name, choices) = by_choices.split_once('=').unwrap();

    let again = in_child(TEST, &[(name, seed)], body);
    again.assert_failed_as_a_test();
    assert!(again.stderr.contains("fails, after 0 runs that did not"), "{}", again.stderr);
    assert_eq!(again.line("CONBRIO_CHOICES="), said.line("CONBRIO_CHOICES="));

    let reduced = in_child(TEST, &[(choices_name, choices)], body);
    reduced.assert_failed_as_a_test();
    assert_eq!(reduced.count("it was seen"), 1, "{}", reduced.stderr);
    let course = |text: &str| text[text.find("; * marks").unwrap()..].to_owned();
    let steps = |text: &str| course(text).lines().filter(|line| line.contains("step ")).count();
    assert_eq!(steps(&reduced.stderr), steps(&said.stderr));
}

#[test]
fn a_proof_that_fails_shows_the_shortest_course() {
    const TEST: &str = "report::a_proof_that_fails_shows_the_shortest_course";
    let body = || assert!(!exhaust(3, bugs::lost_update).complete());
    let said = in_child(TEST, &[], body);
    said.assert_failed_as_a_test();
    said.line("run 3 fails; preemptions in it: 1");
    let course: Vec<&str> = said.stderr.lines().filter(|line| line.contains(" step ")).collect();
    let expected = [
        "    step 1: task 1 'main'",
        "    step 2: task 2 'one'",
        "  * step 3: task 3 'two', by which task goes on (1 of 0 to 1, a preemption)",
        "    step 4: task 3 'two'",
        "    step 5: task 2 'one'",
        "    step 6: task 1 'main'",
    ];
    assert_eq!(course, expected);
    let choices = said.line("CONBRIO_CHOICES=").split(' ').next().unwrap();
    assert_eq!(choices, "CONBRIO_CHOICES=t.0.1");
    let again = in_child(TEST, &[("CONBRIO_CHOICES", "t.0.1")], body);
    again.assert_failed_as_a_test();
    assert_eq!(again.count("an update was lost"), 1, "{}", again.stderr);
    in_child(TEST, &[("CONBRIO_CHOICES", "t")], body).assert_survived();
    let wrong = in_child(TEST, &[("CONBRIO_CHOICES", "x.1")], body);
    assert!(wrong.stderr.contains("is no list of choices"), "{}", wrong.stderr);
}

#[test]
fn a_failure_that_does_not_come_again_is_shown_as_it_is_with_the_reason() {
    const TEST: &str =
        "report::a_failure_that_does_not_come_again_is_shown_as_it_is_with_the_reason";
    let said = in_child(TEST, &[], || {
        let runs = Cell::new(0);
        explore(0..10, |cx| {
            runs.set(runs.get() + 1);
            for _ in 0..runs.get() {
                cx.yield_now().unwrap();
            }
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                for _ in 0..runs.get() {
                    n.spawn(|cx| cx.checkpoint());
                }
                Ok(())
            })
            .unwrap();
            assert!(runs.get() != 5, "the fifth run");
        });
    });
    said.assert_failed_as_a_test();
    assert!(said.line("not simulated").contains("decision "), "{}", said.stderr);
    assert_eq!(said.count("the fifth run"), 1, "{}", said.stderr);
    assert_eq!(said.count("CONBRIO_CHOICES"), 0, "{}", said.stderr);
}

#[test]
fn a_program_that_defies_its_cancellation_ends_the_process_with_its_seed() {
    const TEST: &str =
        "report::a_program_that_defies_its_cancellation_ends_the_process_with_its_seed";
    let said = in_child(TEST, &[], || {
        Builder::new().steps_max(1_000).explore(5..6, |cx| {
            loop {
                let _ = cx.yield_now();
            }
        });
    });
    said.assert_aborted();
    assert!(said.stderr.contains("CONBRIO_SEED=5"), "{}", said.stderr);
    assert!(said.stderr.contains("does not end"), "{}", said.stderr);
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("from a drop");
    }
}

#[test]
fn a_panic_while_unwinding_ends_the_process_and_both_are_shown() {
    const TEST: &str = "report::a_panic_while_unwinding_ends_the_process_and_both_are_shown";
    let said = in_child(TEST, &[], || {
        explore(0..10, |_| {
            let _bomb = PanicsWhenDropped;
            panic!("from the task");
        });
    });
    said.assert_aborted();
    assert!(said.stderr.contains("from the task"), "{}", said.stderr);
    assert!(said.stderr.contains("from a drop"), "{}", said.stderr);
}

#[test]
fn a_panic_in_a_drop_fails_like_any_other() {
    const TEST: &str = "report::a_panic_in_a_drop_fails_like_any_other";
    let said = in_child(TEST, &[], || {
        explore(0..10, |cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                n.spawn(|cx| {
                    let _bomb = PanicsWhenDropped;
                    cx.checkpoint()
                });
                Ok(())
            })
            .unwrap();
        });
    });
    said.assert_failed_as_a_test();
    assert_eq!(said.count("from a drop"), 2, "{}", said.stderr);
    assert!(said.stderr.contains("CONBRIO_CHOICES=w "), "{}", said.stderr);
}

#[test]
fn the_panic_hook_of_the_program_still_hears_everything_else() {
    const TEST: &str = "report::the_panic_hook_of_the_program_still_hears_everything_else";
    let said = in_child(TEST, &[], || {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload().downcast_ref::<&str>().copied().unwrap_or("?");
            kept.lock().unwrap().push(text.to_owned());
        }));
        let explored = std::panic::catch_unwind(|| {
            explore(0..10, |_| {
                // Another thread is never quiet.
                let _ = std::thread::spawn(|| panic!("another thread")).join();
                panic!("explored")
            });
        });
        assert!(explored.is_err());
        assert!(std::panic::catch_unwind(|| panic!("after")).is_err());
        let heard = heard.lock().unwrap().clone();
        let count = |what: &str| heard.iter().filter(|text| *text == what).count();
        assert_eq!((count("explored"), count("after")), (2, 1), "{heard:?}");
        assert!(count("another thread") > 2, "{heard:?}");
    });
    said.assert_survived();
}

#[test]
fn an_exploration_inside_another_leaves_it_as_quiet_as_it_was() {
    const TEST: &str = "report::an_exploration_inside_another_leaves_it_as_quiet_as_it_was";
    let said = in_child(TEST, &[], || {
        explore(0..100, |cx| {
            cx.blocking(|| explore(0..2, |cx| cx.yield_now().unwrap())).unwrap();
            bugs::lost_update(cx);
        });
    });
    said.assert_failed_as_a_test();
    assert_eq!(said.count("an update was lost"), 2, "{}", said.stderr);
}

/// The limit of the reduction is real time.
#[test]
fn a_reduction_is_bounded() {
    let begun = Instant::now();
    let payload = std::panic::catch_unwind(|| {
        Builder::new().steps_max(20_000).explore(0..1, |cx| while cx.yield_now().is_ok() {});
    })
    .expect_err("it never ends");
    assert!(payload.downcast_ref::<String>().unwrap().contains("the limit of steps"));
    assert!(begun.elapsed().as_secs() < 60);
}
