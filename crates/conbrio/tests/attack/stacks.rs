//! Small stacks: overflow, reuse, signals, depth.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use conbrio::Cx;

use crate::child_process::in_child;
use crate::support::{CREWS, Fault, flatten, plan_panic, run};

#[inline(never)]
fn recurse(depth: usize) -> usize {
    let frame = black_box([depth as u8; 256]);
    if depth == 0 {
        0
    } else {
        1 + recurse(depth - 1) + usize::from(frame[3]) - usize::from(frame[200])
    }
}

/// spec: N8
#[test]
fn an_overflow_says_which_task_it_was() {
    let outcome = in_child("stacks::an_overflow_says_which_task_it_was", || {
        run(2, |cx| {
            let outcome = cx.nursery(|_, n| -> Result<(), Fault> {
                for _ in 0..10 {
                    n.spawn(|cx| Ok(cx.sleep_forever()?));
                }
                n.task("the deep one").spawn(|cx| {
                    cx.yield_now()?;
                    black_box(recurse(black_box(10_000_000)));
                    Ok(())
                });
                Ok(())
            });
            flatten(outcome).unwrap();
        });
    });
    outcome.assert_aborted().assert_says("the deep one").assert_says("stack");
}

/// The same with a name that has no place in the message.
/// spec: N8
#[test]
fn an_overflow_with_a_strange_name_is_reported_too() {
    let outcome = in_child("stacks::an_overflow_with_a_strange_name_is_reported_too", || {
        run(1, |cx| {
            let _ = cx.nursery(|_, n| -> Result<(), Fault> {
                n.task("long\0 \u{1F980} name ".repeat(5_000)).spawn(|_| {
                    black_box(recurse(black_box(10_000_000)));
                    Ok(())
                });
                Ok(())
            });
        });
    });
    outcome.assert_aborted().assert_says("long");
}

/// Tasks that go nearly as deep as they can, in turns, on stacks that lie side by side: each finds its
/// frames as it left them.
/// spec: N8
#[test]
fn deep_neighbours_leave_each_other_alone() {
    #[inline(never)]
    fn descend(cx: &mut Cx, depth: usize, mark: u8) -> Result<(), Fault> {
        let frame = black_box([mark; 512]);
        if depth > 0 {
            descend(cx, depth - 1, mark)?;
        } else {
            for _ in 0..5 {
                cx.yield_now()?;
            }
        }
        assert!(frame.iter().all(|&byte| byte == mark), "a neighbour wrote here");
        Ok(())
    }
    for workers in CREWS {
        run(workers, |cx| {
            let outcome = cx.nursery(|_, n| -> Result<(), Fault> {
                for mark in 0..32_u8 {
                    n.spawn(move |cx| descend(cx, 25, mark));
                }
                Ok(())
            });
            flatten(outcome).unwrap();
        });
    }
}

/// Stacks of several sizes are used again after panics, and at once.
/// spec: N9
#[test]
fn stacks_are_used_again_after_panics() {
    run(1, |cx| {
        let runs = AtomicUsize::new(0);
        for round in 0..60_u32 {
            let size = (32 * 1024) << (round % 5);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _ = cx.nursery(|_, n| -> Result<(), Fault> {
                    for child in 0..8 {
                        let runs = &runs;
                        n.task("panics").stack_size(size).spawn(move |cx| {
                            runs.fetch_add(1, Ordering::SeqCst);
                            assert!(recurse(20) == 20);
                            cx.yield_shielded();
                            if child % 2 == 0 { plan_panic(1) } else { Ok(()) }
                        });
                    }
                    Ok(())
                });
            }));
            assert!(caught.is_err());
        }
        assert_eq!(runs.into_inner(), 480);
    });
}

/// spec: N9
#[test]
fn ten_thousand_calls_deep_on_a_stack_that_is_large_enough() {
    run(1, |cx| {
        let outcome = cx.nursery(|_, n| -> Result<(), Fault> {
            n.task("deep").stack_size(32 << 20).spawn(|cx| {
                #[inline(never)]
                fn down(cx: &mut Cx, depth: u32) -> Result<u32, Fault> {
                    if depth.is_multiple_of(1_000) {
                        cx.yield_now()?;
                    }
                    Ok(if depth == 0 { 0 } else { 1 + black_box(down(cx, depth - 1)?) })
                }
                assert_eq!(down(cx, 10_000)?, 10_000);
                Ok(())
            });
            Ok(())
        });
        flatten(outcome).unwrap();
        assert_eq!(cx.on_thread_stack(|| recurse(1_000)), 1_000);
    });
}

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_signal(_: libc::c_int) {
    let frame = black_box([1_u8; 2_048]);
    SIGNALS.fetch_add(usize::from(frame[7]), Ordering::SeqCst);
}

/// A handler that was installed without an alternate stack runs on the stack of a task.
/// spec: N11
#[test]
fn a_signal_handler_finds_room_on_the_stack_of_a_task() {
    // SAFETY: an all-zero `sigaction` is a valid one: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the handler only touches its frame and an atomic; nothing else in this binary uses SIGUSR2.
    let installed =
        unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()) };
    assert_eq!(installed, 0);
    run(1, |cx| {
        let outcome = cx.nursery(|_, n| -> Result<(), Fault> {
            for _ in 0..4 {
                n.spawn(|cx| {
                    for _ in 0..25 {
                        // SAFETY: `raise` sends a signal that has a handler to this very thread.
                        let raised = unsafe { libc::raise(libc::SIGUSR2) };
                        assert_eq!(raised, 0);
                        cx.yield_now()?;
                    }
                    Ok(())
                });
            }
            Ok(())
        });
        flatten(outcome).unwrap();
    });
    assert_eq!(SIGNALS.load(Ordering::SeqCst), 100);
}
