//! Proofs that leave out orders of independent steps: nothing is lost by it.

mod cases;
mod programs;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use conbrio::prelude::*;
use conbrio::testing::{Builder, Exhausted, touch};

use crate::bugs;
use crate::support::is_slow_wanted;

use programs::Program;

fn reduced() -> Builder {
    Builder::new().partial_order_reduction()
}

/// `counters[i]` tasks each touch the counter `i` so many times, and something of their own in between.
fn count(cx: &mut Cx, tasks: &[usize], times: usize) {
    let counters: Vec<AtomicU32> = tasks.iter().map(|_| AtomicU32::new(0)).collect();
    cx.nursery(|_, n| -> Result<(), Cancelled> {
        for (counter, &tasks) in counters.iter().zip(tasks) {
            for _ in 0..tasks {
                n.spawn(move |cx| {
                    for _ in 0..times {
                        cx.checkpoint()?;
                        touch(counter);
                        counter.fetch_add(1, Relaxed);
                        cx.checkpoint()?;
                    }
                    Ok(())
                });
            }
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn tasks_that_share_nothing_have_one_run() {
    let proof = reduced().exhaust(|cx| count(cx, &[1; 8], 3));
    assert_eq!(proof.runs(), 1, "{proof}");
    assert!(proof.complete());
}

/// The order at each counter is all there is: a multinomial for each, and their product. (Only that they are
/// so many is exact; in which runs repetitions are found is not.)
#[test]
fn each_order_that_matters_has_one_run() {
    for (tasks, times, orders) in [
        (&[2][..], 1, 2),
        (&[3], 1, 6),
        (&[2, 2], 1, 4),
        (&[2, 2, 2], 1, 8),
        (&[3, 2], 1, 12),
        (&[2], 2, 6),
        (&[2, 2], 2, 36),
        (&[2, 1, 1], 2, 6),
        (&[5], 1, 120),
    ] {
        let proof = reduced().exhaust(|cx| count(cx, tasks, times));
        assert_eq!(proof.runs() - proof.repeated(), orders, "{tasks:?} {times}: {proof}");
        println!("{tasks:?} {times}: {proof}");
    }
}

/// What a program can come to, and in how many runs that was found; nothing if there are too many.
fn outcomes(options: Builder, program: &Program) -> Option<(BTreeSet<String>, Exhausted)> {
    let seen = RefCell::new(BTreeSet::new());
    let run = || options.exhaust(|cx| _ = seen.borrow_mut().insert(program.outcome(cx)));
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(proof) => Some((seen.into_inner(), proof)),
        Err(payload) => {
            let message = payload.downcast_ref::<String>().expect("a message");
            assert!(message.contains("the limit of"), "{message}; the program is {program:?}");
            None
        }
    }
}

/// Programs, their outcomes, the runs that there are, and those that were made.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    programs: u64,
    outcomes: usize,
    all: u64,
    made: u64,
}

fn compare(programs: impl Iterator<Item = Program>, runs_max: u64) -> Sum {
    let mut sum = Sum::default();
    for (number, program) in programs.enumerate() {
        let all = Builder::new().preemptions_max(usize::MAX).runs_max(runs_max);
        let Some((all, proof)) = outcomes(all, &program) else { continue };
        let (found, reduced_proof) = outcomes(reduced(), &program).expect("they are fewer");
        assert!(proof.complete() && reduced_proof.complete());
        let lost: Vec<_> = all.difference(&found).take(3).collect();
        assert!(
            found == all,
            "program {number}: {} of {} outcomes were found ({reduced_proof}, {proof}), and not {lost:#?}; the \
             program is {program:?}",
            found.len(),
            all.len()
        );
        sum.programs += 1;
        sum.outcomes += all.len();
        sum.all += proof.runs();
        sum.made += reduced_proof.runs();
    }
    sum
}

#[test]
fn a_wake_of_a_task_that_can_run_already_is_seen() {
    let sum = compare(std::iter::once(Program::last_moment()), 3_000);
    assert_eq!(sum.outcomes, 5, "{sum:?}");
}

#[test]
fn generated_programs_come_to_all_they_can_come_to() {
    let sum = compare((0..60).map(|seed| Program::drawn(seed, 8)), 500);
    println!("{sum:?}");
    assert!(sum.programs > 25 && sum.outcomes > 40 && sum.made < sum.all / 2, "{sum:?}");
    if is_slow_wanted("two thousand generated programs") {
        println!("{:?}", compare((0..2_000).map(|seed| Program::drawn(seed, 9)), 20_000));
    }
}

#[test]
fn mistakes_are_found_as_before() {
    let message = |main: fn(&mut Cx)| {
        let run = AssertUnwindSafe(|| _ = reduced().exhaust(main));
        let payload = catch_unwind(run).expect_err("it fails");
        payload.downcast_ref::<String>().cloned().expect("a message")
    };
    let lost_update = message(|cx| {
        let counter = AtomicU32::new(0);
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for _ in 0..2 {
                n.spawn(|cx| {
                    touch(&counter);
                    let seen = counter.load(Relaxed);
                    cx.checkpoint()?;
                    touch(&counter);
                    counter.store(seen + 1, Relaxed);
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(counter.into_inner(), 2, "an update was lost");
    });
    assert!(lost_update.contains("an update was lost"), "{lost_update}");
    let lost_wake = message(bugs::lost_wake);
    assert!(lost_wake.contains("deadlock"), "{lost_wake}");
}

#[test]
fn a_bound_and_the_reduction_exclude_each_other() {
    let run = || _ = reduced().preemptions_max(2).exhaust(|_| {});
    let payload = catch_unwind(run).expect_err("it fails");
    let message = payload.downcast_ref::<String>().expect("a message");
    assert!(message.contains("`preemptions_max(2)`"), "{message}");
    assert!(reduced().preemptions_max(usize::MAX).exhaust(|_| {}).complete());
}

/// Without a word about the memory that is shared, nothing is known of it.
#[test]
fn memory_that_nobody_tells_of_is_not_seen() {
    let order = |is_told: bool, options: Builder| {
        let seen = RefCell::new(BTreeSet::new());
        let proof = options.exhaust(|cx| {
            let (first, order) = (AtomicU32::new(0), &seen);
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                for task in 1..=2 {
                    let first = &first;
                    n.spawn_local(cx, move |_| {
                        if is_told {
                            touch(first);
                        }
                        _ = first.compare_exchange(0, task, Relaxed, Relaxed);
                        Ok(())
                    });
                }
                Ok(())
            })
            .unwrap();
            order.borrow_mut().insert(first.into_inner());
        });
        (seen.into_inner().len(), proof.runs())
    };
    assert_eq!(order(true, reduced()), (2, 2));
    assert_eq!(order(false, reduced()), (1, 1));
    assert_eq!(order(false, Builder::new()), (2, 2));
}
