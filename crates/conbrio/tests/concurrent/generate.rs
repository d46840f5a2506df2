//! Generators: the producer runs when it is asked, and ends when its consumer leaves.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Mutex;

use conbrio::concurrent::Output;
use conbrio::prelude::*;
use conbrio::testing::{explore, run};

use super::support::{Fault, ms, names, on_workers, panic_text};

fn count_to(cx: &mut Cx, out: &mut Output<'_, u32>, end: u32) -> Result<(), Fault> {
    for i in 1..=end {
        out.send(cx, i)?;
    }
    Ok(())
}

// spec: test_channel.as_safe_channel_exhaust
#[test]
fn all_items_come_and_then_none_more() {
    explore(0..50, |cx| {
        let mut items = Vec::new();
        let result = cx.generate(
            |cx, out| count_to(cx, out, 5),
            |cx, numbers| {
                while let Some(number) = numbers.next(cx)? {
                    items.push(number);
                }
                assert_eq!(numbers.next(cx)?, None);
                Ok("done")
            },
        );
        assert_eq!((result.unwrap(), items), ("done", vec![1, 2, 3, 4, 5]));
    });
}

// spec: test_channel.as_safe_channel_broken_resource
#[test]
fn a_consumer_that_closes_gets_no_more_and_no_error() {
    explore(0..50, |cx| {
        let result = cx.generate(
            |cx, out| count_to(cx, out, 5),
            |cx, numbers| {
                assert_eq!(numbers.next(cx)?, Some(1));
                numbers.close();
                numbers.close();
                assert_eq!(numbers.next(cx)?, None);
                Ok(())
            },
        );
        assert!(result.is_ok());
    });
}

// spec: test_channel.as_safe_channel_cancelled
// spec: test_channel.as_safe_channel_close_before_iteration
#[test]
fn a_producer_that_is_not_asked_does_not_begin() {
    explore(0..50, |cx| {
        let begun = RefCell::new(0);
        let produce = |_: &mut Cx, _: &mut Output<'_, u32>| -> Result<(), Fault> {
            *begun.borrow_mut() += 1;
            Ok(())
        };
        let outcome = cx.cancel_scope(|cx, scope| {
            cx.generate(produce, |cx, items| {
                scope.cancel();
                Ok(items.next(cx)?)
            })
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        cx.generate(produce, |cx, items| {
            items.close();
            cx.sleep(ms(1))?;
            assert_eq!(items.next(cx)?, None);
            Ok(())
        })
        .unwrap();
        cx.generate(produce, |cx, _| Ok(cx.sleep(ms(1))?)).unwrap();
        assert_eq!(begun.into_inner(), 0);
    });
}

// spec: test_channel.as_safe_channel_no_race
#[test]
fn an_error_after_the_last_item_always_arrives() {
    explore(0..200, |cx| {
        let mut items = 0;
        let mut ended_early = false;
        let result = cx.generate(
            |cx, out| {
                out.send(cx, 1)?;
                Err(Fault::Named("after the last item"))
            },
            |cx, numbers| {
                while numbers.next(cx)?.is_some() {
                    items += 1;
                }
                ended_early = true;
                Ok(())
            },
        );
        assert_eq!(names(result), ["after the last item"]);
        assert_eq!((items, ended_early), (1, false));
    });
}

// spec: test_channel.as_safe_channel_buffer_size_too_small, test_channel.as_safe_channel_no_interleave
#[test]
fn the_producer_does_not_run_ahead() {
    explore(0..100, |cx| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let note = |event: &'static str| log.borrow_mut().push(event);
        cx.generate(
            |cx, out| -> Result<(), Fault> {
                note("first");
                out.send(cx, 1)?;
                note("second");
                out.send(cx, 2)?;
                note("end");
                Ok(())
            },
            |cx, items| {
                cx.sleep(ms(1))?;
                note("ask");
                while items.next(cx)?.is_some() {
                    note("got");
                    cx.sleep(ms(10))?;
                    note("ask");
                }
                Ok(())
            },
        )
        .unwrap();
        let expected = ["ask", "first", "got", "ask", "second", "got", "ask", "end"];
        assert_eq!(*log.borrow(), expected);
    });
}

// spec: test_channel.as_safe_channel_genexit_finally
#[test]
fn errors_of_the_body_and_of_the_cleanup_come_together() {
    explore(0..50, |cx| {
        let result = cx.generate(
            |cx, out| {
                out.send(cx, 1)?;
                out.send(cx, 2).map_err(|_| Fault::Named("cleanup"))
            },
            |cx, items| {
                items.next(cx)?;
                Err::<(), _>(Fault::Named("body"))
            },
        );
        assert_eq!(names(result), ["body", "cleanup"]);
    });
}

// spec: test_channel.as_safe_channel_nested_loop
#[test]
fn generators_nest() {
    explore(0..50, |cx| {
        let mut seen = Vec::new();
        cx.generate(
            |cx, out| count_to(cx, out, 3),
            |cx, outer| {
                while let Some(i) = outer.next(cx)? {
                    cx.generate(
                        |cx, out| count_to(cx, out, i),
                        |cx, inner| {
                            while let Some(j) = inner.next(cx)? {
                                seen.push((i, j));
                            }
                            Ok(())
                        },
                    )?;
                }
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(seen, [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3)]);
    });
}

// spec: test_channel.as_safe_channel_doesnt_leak_cancellation
#[test]
fn a_scope_of_the_producer_does_not_touch_the_consumer() {
    explore(0..50, |cx| {
        let result = cx.generate(
            |cx, out| -> Result<(), Fault> {
                let sent = cx.cancel_scope(|cx, scope| {
                    scope.cancel();
                    out.send(cx, 1)
                })?;
                assert_eq!(sent, None);
                // A scope that is open across items, and cancelled between them.
                cx.move_on_after(ms(5), |cx| {
                    out.send(cx, 2)?;
                    cx.sleep_forever()
                })?;
                Ok(out.send(cx, 3)?)
            },
            |cx, items| {
                assert_eq!(items.next(cx)?, Some(2));
                cx.sleep(ms(10))?;
                assert_eq!(items.next(cx)?, Some(3));
                assert_eq!(items.next(cx)?, None);
                Ok(cx.checkpoint()?)
            },
        );
        assert!(result.is_ok(), "{result:?}");
    });
}

// spec: test_channel.as_safe_channel_dont_unwrap_user_exceptiongroup
#[test]
fn a_group_of_errors_stays_a_group() {
    run(|cx| {
        let result = cx.generate(
            |cx, out| {
                out.send(cx, 1)?;
                let group = cx.nursery(|_, n| -> Result<(), Fault> {
                    for name in ["one", "two"] {
                        n.spawn(move |_| Err::<(), _>(Fault::Named(name)));
                    }
                    Ok(())
                });
                Ok(group?)
            },
            |cx, items| -> Result<(), Fault> {
                while items.next(cx)?.is_some() {}
                Ok(())
            },
        );
        let Err(NurseryError::Failed(errors)) = result else { panic!("{result:?}") };
        let Ok(Fault::Group(group)) = errors.into_single() else { panic!("it was one group") };
        let mut names = names(Err::<(), _>(*group));
        names.sort_unstable();
        assert_eq!(names, ["one", "two"]);
    });
}

// spec: test_channel.as_safe_channel_multiple_receiver
#[test]
fn who_has_asked_first_gets_the_next_item() {
    explore(0..100, |cx| {
        let seen = Mutex::new(Vec::new());
        cx.generate(
            |cx, out| -> Result<(), Fault> {
                for i in 1..=6 {
                    cx.sleep(ms(10))?;
                    out.send(cx, i)?;
                }
                Ok(())
            },
            |cx, items| {
                Ok(cx.nursery(|_, n| -> Result<(), Fault> {
                    for who in ["a", "b"] {
                        let seen = &seen;
                        n.spawn(move |cx| {
                            cx.sleep(ms(if who == "a" { 1 } else { 2 }))?;
                            while let Some(item) = items.next(cx)? {
                                seen.lock().unwrap().push((who, item));
                            }
                            Ok(())
                        });
                    }
                    Ok(())
                })?)
            },
        )
        .unwrap();
        let expected = [("a", 1), ("b", 2), ("a", 3), ("b", 4), ("a", 5), ("b", 6)];
        assert_eq!(seen.into_inner().unwrap(), expected);
    });
}

// spec: test_channel.as_safe_channel_multi_cancel
#[test]
fn the_body_sees_a_cancellation_before_the_producer() {
    explore(0..100, |cx| {
        let log = RefCell::new(Vec::new());
        let outcome = cx.cancel_scope(|cx, scope| {
            cx.generate(
                |cx, out| -> Result<(), Fault> {
                    loop {
                        if let Err(cancelled) = out.send(cx, 1) {
                            log.borrow_mut().push("producer");
                            return Err(cancelled.into());
                        }
                    }
                },
                |cx, items| {
                    items.next(cx)?;
                    scope.cancel();
                    cx.yield_shielded();
                    let outcome = items.next(cx).map(drop);
                    log.borrow_mut().push("body");
                    Ok(outcome?)
                },
            )
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert_eq!(log.into_inner(), ["body", "producer"]);
    });
}

// spec: test_channel.as_safe_channel_genexit_filter, test_channel.as_safe_channel_swallowing_extra_exceptions
#[test]
fn being_stopped_is_no_error_but_what_children_fail_with_is() {
    explore(0..100, |cx| {
        let result = cx.generate(
            |cx, out| {
                Ok(cx.nursery(|cx, n| -> Result<(), Fault> {
                    n.spawn(|cx| cx.sleep_forever().map_err(|_| Fault::Named("child")));
                    Ok(out.send(cx, 1)?)
                })?)
            },
            |cx, items| -> Result<(), Fault> {
                assert_eq!(items.next(cx)?, Some(1));
                Ok(())
            },
        );
        let Err(NurseryError::Failed(errors)) = result else { panic!("{result:?}") };
        let Ok(Fault::Group(group)) = errors.into_single() else { panic!("it was one group") };
        assert_eq!(names(Err::<(), _>(*group)), ["child"]);
        // Without such a child there is nothing to report.
        let result = cx.generate(
            |cx, out| -> Result<(), Fault> {
                cx.nursery(|cx, n| -> Result<(), Fault> {
                    n.spawn(|cx| Ok(cx.sleep_forever()?));
                    Ok(out.send(cx, 1)?)
                })?;
                Ok(())
            },
            |cx, items| Ok(items.next(cx)?),
        );
        assert_eq!(result.unwrap(), Some(1));
    });
}

// spec: test_channel.as_safe_channel_close_between_iteration
// spec: test_channel.as_safe_channel_close_during_iteration
#[test]
fn closing_wakes_whoever_waits() {
    explore(0..100, |cx| {
        let mut stopped = false;
        cx.generate(
            |cx, out| -> Result<(), Fault> {
                out.send(cx, 1)?;
                let result = cx.sleep_forever();
                stopped = result.is_err();
                Ok(result?)
            },
            |cx, items| {
                assert_eq!(items.next(cx)?, Some(1));
                Ok(cx.nursery(|_, n| -> Result<(), Fault> {
                    n.spawn(|cx| {
                        assert_eq!(items.next(cx)?, None);
                        Ok(())
                    });
                    n.spawn(|cx| {
                        cx.sleep(ms(5))?;
                        items.close();
                        Ok(())
                    });
                    Ok(())
                })?)
            },
        )
        .unwrap();
        assert!(stopped);
    });
}

// spec: N2
#[test]
fn a_producer_that_takes_its_time_to_end_is_waited_for() {
    explore(0..100, |cx| {
        let mut ended = false;
        let began = cx.now();
        let outcome = cx.move_on_after(ms(10), |cx| {
            cx.generate(
                |cx, out| -> Result<(), Fault> {
                    let result = out.send(cx, 1).and_then(|()| cx.sleep_forever());
                    cx.shield(|cx| cx.sleep(ms(20)))?;
                    ended = true;
                    Ok(result?)
                },
                |cx, items| {
                    while items.next(cx)?.is_some() {}
                    Ok(())
                },
            )
        });
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert!(ended);
        assert_eq!(cx.now() - began, ms(30));
    });
}

#[test]
fn the_item_of_a_cancelled_asker_is_not_lost() {
    explore(0..100, |cx| {
        let mut seen = Vec::new();
        cx.generate(
            |cx, out| -> Result<(), Fault> {
                for i in 1..=3 {
                    cx.sleep(ms(10))?;
                    out.send(cx, i)?;
                }
                Ok(())
            },
            |cx, items| {
                let impatient = cx.move_on_after(ms(5), |cx| items.next(cx))?;
                assert_eq!(impatient, None);
                cx.sleep(ms(50))?;
                while let Some(item) = items.next(cx)? {
                    seen.push(item);
                }
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(seen, [1, 2, 3]);
    });
}

#[test]
fn panics_of_either_side_come_out() {
    for by_producer in [true, false] {
        let text = panic_text(|| {
            run(|cx| {
                cx.generate(
                    |cx, out| -> Result<(), Fault> {
                        out.send(cx, 1)?;
                        assert!(!by_producer, "the producer");
                        Ok(cx.sleep_forever()?)
                    },
                    |cx, items| {
                        items.next(cx)?;
                        assert!(by_producer, "the consumer");
                        let more = items.next(cx);
                        assert!(more.is_err(), "it is no ordinary end: {more:?}");
                        Ok(())
                    },
                )
            })
        });
        assert_eq!(text, if by_producer { "the producer" } else { "the consumer" });
    }
}

#[test]
fn a_consumer_behind_a_shield_goes_on() {
    run(|cx| {
        let outcome = cx.cancel_scope(|cx, scope| {
            cx.generate(
                |cx, out| count_to(cx, out, 3),
                |cx, items| {
                    scope.cancel();
                    let mut sum = 0;
                    cx.shield(|cx| -> Result<(), Fault> {
                        while let Some(item) = items.next(cx)? {
                            sum += item;
                        }
                        Ok(())
                    })?;
                    Ok(sum)
                },
            )
        });
        assert_eq!(outcome.unwrap(), Some(6));
    });
}

#[test]
fn generators_on_real_workers() {
    on_workers(|cx| {
        for _ in 0..50 {
            let sum = cx.generate(
                |cx, out| count_to(cx, out, 100),
                |cx, items| {
                    let sum = std::sync::atomic::AtomicU32::new(0);
                    cx.nursery(|_, n| -> Result<(), Fault> {
                        for _ in 0..4 {
                            n.spawn(|cx| {
                                while let Some(item) = items.next(cx)? {
                                    sum.fetch_add(item, std::sync::atomic::Ordering::Relaxed);
                                }
                                Ok(())
                            });
                        }
                        Ok(())
                    })?;
                    Ok(sum.into_inner())
                },
            );
            assert_eq!(sum.unwrap(), 5050);
        }
    });
}
