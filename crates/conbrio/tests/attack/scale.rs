//! Depth and number: what is linear stays linear, and nothing recurses.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conbrio::testing::settle;
use conbrio::{Cancelled, Cx};

use crate::child_process::in_child;
use crate::support::{Fault, flatten, is_slow_wanted, run};

const SCOPES: u32 = 5_000;

/// spec: N1
#[test]
fn five_thousand_nested_scopes_are_cancelled_without_recursion() {
    fn nest(
        cx: &mut Cx,
        depth: u32,
        at_the_bottom: &mut dyn FnMut(&mut Cx),
    ) -> Result<(), Cancelled> {
        if depth == 0 {
            at_the_bottom(cx);
            return cx.sleep_forever();
        }
        let caught = cx.cancel_scope(|cx, _| nest(cx, depth - 1, at_the_bottom))?;
        assert!(caught.is_some(), "an inner scope does not catch what the outermost was asked");
        Ok(())
    }
    run(1, |cx| {
        let outcome = cx.nursery(|_, n| -> Result<(), Fault> {
            // Deep on a large stack; the cancellation is requested from another task.
            n.task("deep").stack_size(64 << 20).spawn(|cx| {
                let outcome = cx.cancel_scope(|cx, scope| {
                    let handle = scope.handle();
                    cx.nursery(|cx, n| -> Result<(), Cancelled> {
                        n.spawn(move |cx| {
                            settle(cx, Duration::ZERO)?;
                            handle.cancel();
                            Ok(())
                        });
                        nest(cx, SCOPES, &mut |_| ())
                    })
                });
                assert!(matches!(outcome, Ok(None)), "{outcome:?}");
                Ok(())
            });
            Ok(())
        });
        flatten(outcome).unwrap();
    });
}

/// A chain of tasks, each the only child of the one before.
/// spec: N1
#[test]
fn a_cancellation_reaches_a_thousand_generations() {
    fn generation(cx: &mut Cx, left: u32, ended: &AtomicUsize) -> Result<(), Fault> {
        let result = match left {
            0 => cx.sleep_forever().map_err(Fault::from),
            _ => flatten(cx.nursery(|_, n| {
                n.spawn(move |cx| generation(cx, left - 1, ended));
                Ok(())
            })),
        };
        ended.fetch_add(1, Ordering::SeqCst);
        result
    }
    for workers in [1, 4] {
        let ended = AtomicUsize::new(0);
        run(workers, |cx| {
            let outcome = cx.nursery(|cx, n| {
                n.spawn(|cx| generation(cx, 1_000, &ended));
                settle(cx, Duration::ZERO)?;
                n.cancel();
                Ok(())
            });
            flatten(outcome).unwrap();
        });
        assert_eq!(ended.into_inner(), 1_001);
    }
}

/// How long it takes to cancel so many children. Only the ratio of two runs is looked at, with much room.
fn cancel_children(children: usize) -> Duration {
    let stopped = AtomicUsize::new(0);
    let took = run(1, |cx| {
        let mut took = Duration::ZERO;
        let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
            for _ in 0..children {
                n.spawn(|cx| {
                    let result = cx.sleep_forever();
                    stopped.fetch_add(1, Ordering::Relaxed);
                    Ok(result?)
                });
            }
            settle(cx, Duration::ZERO)?;
            let start = std::time::Instant::now();
            n.cancel();
            while n.child_count() > 0 {
                cx.yield_shielded();
            }
            took = start.elapsed();
            Ok(())
        });
        flatten(outcome).unwrap();
        took
    });
    assert_eq!(stopped.into_inner(), children);
    took
}

/// spec: N1, N19
#[test]
fn a_hundred_thousand_children_are_cancelled_in_linear_time() {
    if !is_slow_wanted("a hundred thousand children") {
        return;
    }
    let small = cancel_children(10_000);
    let large = cancel_children(100_000);
    eprintln!("10,000 in {small:?}, 100,000 in {large:?}");
    // Quadratic would be a hundred times as much.
    assert!(large < small * 50, "{small:?} for 10,000, {large:?} for 100,000");
}

/// spec: N1
#[test]
fn three_thousand_children_are_cancelled() {
    cancel_children(3_000);
}

/// Memory and mappings of a process with many tasks, which wait.
/// spec: N19
#[test]
fn a_hundred_thousand_tasks_fit() {
    if !is_slow_wanted("a hundred thousand tasks") {
        return;
    }
    let outcome = in_child("scale::a_hundred_thousand_tasks_fit", || {
        const TASKS: u64 = 100_000;
        run(2, |cx| {
            let before = resident_bytes();
            let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
                for _ in 0..TASKS {
                    n.spawn(|cx| Ok(cx.sleep_forever()?));
                }
                settle(cx, Duration::ZERO)?;
                let each = (resident_bytes() - before) / TASKS;
                let maps = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
                eprintln!("{each} bytes each, {maps} mappings");
                // Two pages of stack, the cell, and some page tables.
                assert!(each < 20_000, "{each} bytes each");
                assert!(maps < 2_000, "{maps} mappings");
                n.cancel();
                Ok(())
            });
            flatten(outcome).unwrap();
            // Idle stacks are given back when they were not used for a second.
            let mut left = u64::MAX;
            for _ in 0..40 {
                left = resident_bytes().saturating_sub(before) / TASKS;
                if left < 2_000 {
                    break;
                }
                // Time without use is what makes memory go back.
                cx.sleep(Duration::from_millis(250)).unwrap();
            }
            assert!(left < 2_000, "{left} bytes each after they have ended");
        });
    });
    outcome.assert_survived();
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

/// A nursery in which many children come and go keeps nothing of those that have ended.
/// spec: N5
#[test]
fn children_that_have_ended_leave_nothing_behind() {
    if cfg!(feature = "sanitizer") {
        eprintln!(
            "SKIPPED: resident memory says nothing under AddressSanitizer, which keeps what is freed"
        );
        return;
    }
    let outcome = in_child("scale::children_that_have_ended_leave_nothing_behind", || {
        run(1, |cx| {
            let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
                let mut before = 0;
                for round in 0..20_000 {
                    n.spawn(|_| Ok(vec![0_u8; 1_000]));
                    n.spawn(|cx| Ok(cx.sleep_forever()?)).cancel();
                    cx.yield_now()?;
                    if round == 2_000 {
                        before = resident_bytes();
                    }
                }
                let more = resident_bytes().saturating_sub(before);
                assert!(more < 4 << 20, "{more} bytes more than before");
                Ok(())
            });
            flatten(outcome).unwrap();
        });
    });
    outcome.assert_survived();
}
