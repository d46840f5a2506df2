//! Proofs: every order of a small program is run once, and what is cut is said.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::{Builder, exhaust};

use crate::bugs;
use crate::support::is_slow_wanted;

fn message_of(run: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("it fails");
    payload.downcast_ref::<String>().cloned().expect("a message")
}

/// `tasks` children with `steps` steps each, which note their names.
fn steps(cx: &mut Cx, tasks: usize, steps: usize) -> String {
    let log = Mutex::new(String::new());
    cx.nursery(|_, n| -> Result<(), Cancelled> {
        for name in &["a", "b", "c", "d", "e"][..tasks] {
            let log = &log;
            n.spawn(move |cx| {
                log.lock().unwrap().push_str(name);
                for _ in 1..steps {
                    cx.checkpoint()?;
                    log.lock().unwrap().push_str(name);
                }
                Ok(())
            });
        }
        Ok(())
    })
    .unwrap();
    log.into_inner().unwrap()
}

#[test]
fn every_order_is_run_exactly_once() {
    // Multinomials: (steps * tasks)! / steps!^tasks.
    for (tasks, each, orders) in [(1, 3, 1), (2, 2, 6), (2, 3, 20), (3, 2, 90), (3, 3, 1_680)] {
        let seen = RefCell::new(BTreeSet::new());
        let proof = exhaust(usize::MAX, |cx| {
            let is_new = seen.borrow_mut().insert(steps(cx, tasks, each));
            assert!(is_new, "the same order twice");
        });
        assert_eq!(seen.borrow().len(), orders);
        assert_eq!(proof.runs(), orders as u64);
        assert_eq!(proof.by_preemptions().iter().sum::<u64>(), proof.runs());
        assert!(proof.complete(), "{proof}");
    }
}

#[test]
fn the_bound_counts_preemptions_and_says_what_it_left_out() {
    let all = exhaust(usize::MAX, |cx| _ = steps(cx, 3, 2));
    for bound in 0..=all.by_preemptions().len() {
        let proof = exhaust(bound, |cx| _ = steps(cx, 3, 2));
        let within = all.by_preemptions().iter().take(bound + 1);
        assert_eq!(proof.runs(), within.sum::<u64>(), "bound {bound}");
        assert_eq!(proof.complete(), bound + 1 >= all.by_preemptions().len(), "{proof}");
        assert_eq!(proof.cut() > 0, !proof.complete());
    }
    // Without a preemption: each order of the tasks as a whole.
    assert_eq!(all.by_preemptions()[0], 6);
}

#[test]
fn five_tasks_of_two_steps_are_proved() {
    let proof = exhaust(1, |cx| assert_eq!(steps(cx, 5, 2).len(), 10));
    assert_eq!(proof.by_preemptions(), [120, 1_200]);
    if is_slow_wanted("all 113 400 orders of five tasks") {
        let proof = exhaust(usize::MAX, |cx| assert_eq!(steps(cx, 5, 2).len(), 10));
        assert_eq!(proof.runs(), 113_400);
        assert!(proof.complete());
    }
}

#[test]
fn a_lost_update_needs_one_preemption() {
    let proof = exhaust(0, bugs::lost_update);
    assert!(!proof.complete(), "{proof}");
    let message = message_of(|| _ = exhaust(1, bugs::lost_update));
    assert!(message.contains("an update was lost"), "{message}");
}

#[test]
fn a_wrong_lock_is_found_and_a_right_one_proved() {
    let message = message_of(|| _ = exhaust(2, |cx| bugs::lock(cx, true)));
    assert!(message.contains("two tasks are inside"), "{message}");
    let proof = exhaust(4, |cx| bugs::lock(cx, false));
    // Whoever waits may look at the lock as often as it likes, so there is no end without a bound.
    assert!(!proof.complete() && proof.runs() > 300, "{proof}");
}

#[test]
fn a_lost_wake_is_a_deadlock_in_one_order() {
    let message = message_of(|| _ = exhaust(1, bugs::lost_wake));
    assert!(message.contains("deadlock"), "{message}");
    assert!(message.contains("'waits' waits for ever"), "{message}");
}

/// Waiting by giving way again and again has no endless courses, also where two do it.
#[test]
fn tasks_that_spin_come_to_an_end() {
    let proof = exhaust(2, |cx| {
        let (ping, pong) = (AtomicBool::new(false), AtomicBool::new(false));
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            let until = |cx: &mut Cx, flag: &AtomicBool| -> Result<(), Cancelled> {
                while !flag.load(Relaxed) {
                    cx.yield_now()?;
                }
                Ok(())
            };
            let (ping, pong) = (&ping, &pong);
            n.spawn(move |cx| {
                until(cx, ping)?;
                pong.store(true, Relaxed);
                Ok(())
            });
            n.spawn(move |cx| until(cx, pong));
            n.spawn(move |cx| {
                cx.checkpoint()?;
                ping.store(true, Relaxed);
                Ok(())
            });
            Ok(())
        })
        .unwrap();
    });
    assert!(proof.runs() > 50, "{proof}");
}

#[test]
fn a_deadline_fires_early_only_where_delays_are_allowed() {
    let outcomes = |one_in: usize| {
        let seen = RefCell::new(BTreeSet::new());
        let proof = Builder::new().delay_one_in(one_in).preemptions_max(usize::MAX).exhaust(|cx| {
            let result = cx.move_on_after(Duration::from_secs(1), |cx| {
                for step in 0..3 {
                    if cx.yield_now().is_err() {
                        return Ok(step);
                    }
                }
                Ok::<_, Cancelled>(3)
            });
            seen.borrow_mut().insert(result.unwrap());
        });
        assert!(proof.complete(), "{proof}");
        seen.into_inner()
    };
    assert_eq!(outcomes(0), BTreeSet::from([Some(3)]));
    assert_eq!(outcomes(2), BTreeSet::from([Some(0), Some(1), Some(2), Some(3)]));
}

#[test]
fn the_limit_of_runs_is_a_failure_that_says_what_to_do() {
    for limit in [1, 10, 89] {
        let options = Builder::new().preemptions_max(usize::MAX).runs_max(limit);
        let runs = Cell::new(0);
        let message = message_of(|| {
            let _ = options.exhaust(|cx| {
                runs.set(runs.get() + 1);
                steps(cx, 3, 2);
            });
        });
        assert!(message.contains(&format!("the limit of {limit} runs")), "{message}");
        assert_eq!(runs.get(), limit);
    }
    let options = Builder::new().preemptions_max(usize::MAX).runs_max(90);
    assert!(options.exhaust(|cx| _ = steps(cx, 3, 2)).complete());
}

#[test]
fn a_program_that_depends_on_its_last_run_is_found_out() {
    let runs = Cell::new(0);
    let message = message_of(|| {
        let _ = exhaust(2, |cx| {
            runs.set(runs.get() + 1);
            steps(cx, if runs.get() < 4 { 3 } else { 2 }, 2);
        });
    });
    assert!(message.contains("not simulated"), "{message}");
    assert!(message.contains("was: which task goes on"), "{message}");
}

/// A program with everything: children of children, local ones, a cancellation, sleep, giving way.
fn mixed(cx: &mut Cx) -> String {
    let log = Mutex::new(String::new());
    let note = |name: &str| log.lock().unwrap().push_str(name);
    let result = cx.nursery(|_, n| -> Result<(), Cancelled> {
        let handle = n.handle();
        let note = &note;
        n.spawn(move |cx| {
            note("a");
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn_local(cx, |cx| {
                    note("x");
                    cx.checkpoint()?;
                    note("y");
                    Ok(())
                });
                cx.yield_now()?;
                note("z");
                Ok(())
            })
            .map_err(|_| note("!"))
            .ok();
            Ok(())
        });
        n.spawn(move |cx| {
            cx.sleep(Duration::from_secs(1)).inspect_err(|_| note("?"))?;
            note("b");
            Ok(())
        });
        n.spawn(move |_| {
            note("c");
            handle.cancel();
            Ok(())
        });
        Ok(())
    });
    note(if result.is_ok() { "." } else { ";" });
    log.into_inner().unwrap()
}

/// The claim of the one worker: it has every course that more of them can take.
#[test]
fn what_any_number_of_workers_does_is_among_what_is_proved() {
    for program in [mixed, |cx: &mut Cx| steps(cx, 3, 3)] {
        let proved = RefCell::new(BTreeSet::new());
        let proof = exhaust(usize::MAX, |cx| _ = proved.borrow_mut().insert(program(cx)));
        assert!(proof.complete(), "{proof}");
        let proved = proved.into_inner();
        let mut sampled = BTreeSet::new();
        for seed in 0..200 {
            let options = Builder::new().workers(1 + seed as usize % 4).seed(seed);
            let outcome = options.run(program);
            assert!(proved.contains(&outcome), "{outcome} of seed {seed} is not among {proved:?}");
            sampled.insert(outcome);
        }
        assert!(sampled.len() > 10, "{} of {}", sampled.len(), proved.len());
    }
}
