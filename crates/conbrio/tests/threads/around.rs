//! State of the thread that is there while a task runs, and at no other time.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::{Turn, testing};

use crate::support::{message_of, on_all_workers, on_workers, this_thread};

scoped_tls::scoped_thread_local!(static SCOPED: String);

thread_local! {
    static INSIDE: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// Notes `number` as the innermost for the time of a turn.
fn note(number: u32) -> impl Fn(Turn<'_>) {
    move |turn| {
        INSIDE.with_borrow_mut(|inside| inside.push(number));
        turn.run();
        assert_eq!(INSIDE.with_borrow_mut(Vec::pop), Some(number));
    }
}

fn inside() -> Vec<u32> {
    INSIDE.with_borrow(Clone::clone)
}

/// The program of soundness finding F1: two tasks of one worker, each inside a dynamically scoped thread
/// local, and the first to enter is the first to leave. By `ScopedKey::set` around waiting code it leaves a
/// dangling pointer behind.
#[test]
fn a_dynamically_scoped_thread_local_is_sound() {
    on_workers(1, |cx| {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for (number, millis) in [(1, 2), (2, 4), (3, 1), (4, 3)] {
                n.spawn(move |cx| {
                    let value = format!("of task {number}");
                    assert!(!SCOPED.is_set());
                    cx.around_turns(
                        |turn| SCOPED.set(&value, || turn.run()),
                        |cx| {
                            for _ in 0..3 {
                                SCOPED.with(|seen| assert_eq!(*seen, value));
                                cx.sleep(Duration::from_millis(millis))?;
                            }
                            SCOPED.with(|seen| assert_eq!(*seen, value));
                            Ok::<(), Cancelled>(())
                        },
                    )?;
                    assert!(!SCOPED.is_set());
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        assert!(!SCOPED.is_set());
    });
}

#[test]
fn so_it_is_in_every_order() {
    testing::explore(0..300, |cx| {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for number in 0..3 {
                n.spawn(move |cx| {
                    let value = number.to_string();
                    cx.around_turns(
                        |turn| SCOPED.set(&value, || turn.run()),
                        |cx| {
                            for _ in 0..3 {
                                cx.checkpoint()?;
                                SCOPED.with(|seen| assert_eq!(*seen, value));
                            }
                            Ok(())
                        },
                    )
                });
            }
            Ok(())
        })
        .unwrap();
        assert!(!SCOPED.is_set());
    });
}

#[test]
fn calls_nest_and_others_see_nothing_of_them() {
    on_all_workers(|cx| {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for first in [10, 20, 30] {
                n.spawn(move |cx| {
                    assert_eq!(inside(), []);
                    cx.around_turns(note(first), |cx| {
                        assert_eq!(inside(), [first]);
                        cx.around_turns(note(first + 1), |cx| {
                            assert_eq!(inside(), [first, first + 1]);
                            cx.yield_now()?;
                            assert_eq!(inside(), [first, first + 1]);
                            // It runs in the middle of a turn.
                            assert_eq!(cx.on_thread_stack(inside), [first, first + 1]);
                            cx.sleep(Duration::from_micros(50))
                        })?;
                        assert_eq!(inside(), [first]);
                        cx.yield_now()?;
                        // Another thread is another thread.
                        assert_eq!(cx.blocking(inside)?, []);
                        cx.around_turns(note(first + 2), |_| {
                            assert_eq!(inside(), [first, first + 2]);
                        });
                        assert_eq!(inside(), [first]);
                        Ok(())
                    })?;
                    assert_eq!(inside(), []);
                    cx.yield_now()
                });
            }
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn children_do_not_inherit_it_and_may_borrow_what_is_installed() {
    on_workers(1, |cx| {
        let value = String::from("the parent's");
        cx.around_turns(
            |turn| SCOPED.set(&value, || turn.run()),
            |cx| {
                cx.nursery(|_, n| -> Result<(), Cancelled> {
                    n.spawn(|cx| {
                        assert!(!SCOPED.is_set());
                        cx.around_turns(
                            |turn| SCOPED.set(&value, || turn.run()),
                            |cx| {
                                cx.yield_now()?;
                                SCOPED.with(|seen| assert_eq!(seen, "the parent's"));
                                Ok(())
                            },
                        )
                    });
                    Ok(())
                })
                .unwrap();
                assert!(SCOPED.is_set());
            },
        );
    });
}

#[test]
fn the_closure_is_called_once_for_each_turn_on_the_tasks_thread() {
    on_workers(1, |cx| {
        let calls = Cell::new(0);
        let thread = this_thread();
        let around = |turn: Turn<'_>| {
            calls.set(calls.get() + 1);
            assert_eq!(this_thread(), thread);
            turn.run();
        };
        let value = cx.around_turns(around, |cx| {
            assert_eq!(calls.get(), 1);
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| cx.yield_now());
                cx.sleep(Duration::from_micros(1))
            })
            .unwrap();
            calls.get()
        });
        assert!((2..=3).contains(&value), "{value}");
        assert_eq!(calls.get(), value);
    });
}

#[test]
fn a_panic_inside_leaves_it_in_order() {
    on_workers(1, |cx| {
        let message = message_of(|| {
            cx.around_turns(note(1), |cx| {
                cx.around_turns(note(2), |cx| {
                    cx.yield_now().unwrap();
                    panic!("inside");
                })
            })
        });
        assert_eq!(message, "inside");
        assert_eq!(inside(), []);
        cx.yield_now().unwrap();
        assert_eq!(inside(), []);
    });
}

#[test]
fn it_can_be_entered_while_unwinding() {
    struct EntersWhenDropped<'a>(&'a mut Cx);
    impl Drop for EntersWhenDropped<'_> {
        fn drop(&mut self) {
            self.0.around_turns(note(7), |cx| {
                assert_eq!(inside(), [7]);
                assert!(cx.yield_now().is_err());
            });
        }
    }
    on_workers(1, |cx| {
        let message = message_of(|| {
            let _enters = EntersWhenDropped(cx);
            panic!("unwinds");
        });
        assert_eq!(message, "unwinds");
        assert_eq!(inside(), []);
    });
}

/// Runs `test` of this binary again in a process of its own, where `body` ends it, and returns what it said.
fn last_words(test: &str, body: impl FnOnce()) -> String {
    const VARIABLE: &str = "CONBRIO_TEST_CHILD";
    if std::env::var(VARIABLE).is_ok_and(|name| name == test) {
        body();
        std::process::exit(0);
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, test)
        .output()
        .unwrap();
    assert!(!output.status.success(), "it was to end");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_turn_that_is_not_run_ends_the_process() {
    let words = last_words("around::a_turn_that_is_not_run_ends_the_process", || {
        on_workers(1, |cx| cx.around_turns(|turn| drop(turn), |_| ()));
    });
    assert!(words.contains("did not run the turn"), "{words}");
}

#[test]
fn a_panic_around_a_turn_ends_the_process() {
    let words = last_words("around::a_panic_around_a_turn_ends_the_process", || {
        let panics = |turn: Turn<'_>| {
            turn.run();
            panic!("around");
        };
        on_workers(1, |cx| cx.around_turns(panics, |_| ()));
    });
    assert!(words.contains("`Cx::around_turns` panicked"), "{words}");
}
