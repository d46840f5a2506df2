//! What a closure on a thread can do with the task that waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::threads::Host;
use conbrio::{CancelSource, LocalKey};

use crate::support::{message_of, on_all_workers, on_workers, this_thread};

static NAME: LocalKey<&'static str> = LocalKey::new();

/// Looks until it is cancelled.
fn look_until_cancelled(host: &Host) -> Result<(), Cancelled> {
    loop {
        host.check_cancelled()?;
        std::thread::yield_now();
    }
}

// spec: test_threads.from_thread_check_cancelled_no_abandon, S23
#[test]
fn the_closure_sees_a_cancellation_with_its_reason_and_the_scope_takes_it_back() {
    on_all_workers(|cx| {
        let outcome = cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
            let handle = scope.handle();
            cx.blocking_with(|host| {
                host.check_cancelled().unwrap();
                handle.cancel_with("enough");
                let cancelled = look_until_cancelled(host).unwrap_err();
                assert_eq!(cancelled.reason(), Some("enough"));
                assert_eq!(cancelled.source(), CancelSource::Explicit);
                // It stays so.
                assert_eq!(host.check_cancelled().unwrap_err().reason(), Some("enough"));
                Err(cancelled)
            })?
        });
        assert!(matches!(outcome, Ok(None)));
        cx.checkpoint().unwrap();
    });
}

// spec: test_threads.from_thread_check_cancelled_abandon_on_cancel
#[test]
fn a_closure_that_was_left_behind_sees_why() {
    on_all_workers(|cx| {
        let (sender, receiver) = mpsc::channel();
        let outcome = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            cx.blocking_or_abandon(move |host| {
                handle.cancel_with("too long");
                let cancelled = look_until_cancelled(host).unwrap_err();
                sender.send(cancelled.reason().map(str::to_owned)).unwrap();
                // The task has left or is about to: its value counts if it comes first.
                loop {
                    if host.run(|_| ()).is_err() {
                        return;
                    }
                }
            })
        });
        assert!(matches!(outcome, Ok(None)));
        let reason = cx.blocking(move || receiver.recv().unwrap());
        assert_eq!(reason.unwrap().as_deref(), Some("too long"));
    });
}

// spec: test_threads.trio_from_thread_run, test_threads.trio_from_thread_run_sync
// spec: test_threads.from_thread_reuses_task
#[test]
fn what_the_closure_asks_for_runs_in_the_waiting_task() {
    on_all_workers(|cx| {
        let (id, thread) = (cx.task_id(), this_thread());
        cx.fail_after(Duration::from_secs(3600), |cx| -> Result<(), Cancelled> {
            let deadline = cx.deadline();
            assert!(deadline.is_some());
            let mut count = 0;
            cx.blocking_with(|host| {
                let there = this_thread();
                for _ in 0..3 {
                    let waited = host.run(|cx| {
                        assert_eq!(cx.task_id(), id);
                        assert_eq!(this_thread(), thread);
                        assert_eq!(cx.deadline(), deadline);
                        count += 1;
                        cx.sleep(Duration::from_micros(10))
                    });
                    waited.unwrap().unwrap();
                    assert_eq!(this_thread(), there);
                }
                let failed: Result<(), &str> = host.run(|_| Err("an error")).unwrap();
                assert_eq!(failed, Err("an error"));
                let message = message_of(|| host.run(|_| panic!("in the task")));
                assert_eq!(message, "in the task");
            })?;
            assert_eq!(count, 3);
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_threads.recursive_to_thread
#[test]
fn thread_task_thread_task() {
    on_all_workers(|cx| {
        let task_thread = this_thread();
        let threads = cx.blocking_with(|outer| {
            let inner = outer.run(|cx| {
                cx.blocking_with(|inner| (this_thread(), inner.run(|_| this_thread()).unwrap()))
            });
            (this_thread(), inner.unwrap().unwrap())
        });
        let (first, (second, back)) = threads.unwrap();
        assert_ne!(first, task_thread);
        assert_ne!(second, task_thread);
        assert_ne!(first, second);
        assert_eq!(back, task_thread);
    });
}

// The task is in the closure, which waits for the thread, which would wait for the task.
#[test]
fn a_closure_that_would_wait_for_itself_is_refused() {
    on_all_workers(|cx| {
        let outcome = cx.blocking_with(|outer| {
            outer.run(|cx| {
                let direct = cx.blocking(|| message_of(|| outer.run(|_| ())));
                // Also two levels down, and from a child, whose end the closure waits for.
                let deep = cx.blocking_with(|inner| {
                    inner.run(|cx| {
                        cx.nursery(|cx, n| {
                            let mut child = n.spawn_blocking(|| {
                                Ok::<_, Cancelled>(message_of(|| outer.run(|_| ())))
                            });
                            child.join(cx)
                        })
                    })
                });
                (direct.unwrap(), deep.unwrap().unwrap().unwrap())
            })
        });
        let (direct, deep) = outcome.unwrap().unwrap();
        assert!(direct.contains("use the `Host` of the inner call"), "{direct}");
        assert_eq!(deep, direct);
        // Threads that nobody waits for have their turn later, as ever.
        let turns = cx.blocking_with(|host| {
            std::thread::scope(|s| {
                let threads = [(); 3].map(|()| s.spawn(|| host.run(|cx| cx.yield_now())));
                threads.map(|thread| thread.join().unwrap().is_ok())
            })
        });
        assert_eq!(turns.unwrap(), [true; 3]);
    });
}

// spec: test_threads.from_thread_host_cancelled
#[test]
fn closures_run_in_a_cancelled_task_and_see_it_where_they_wait() {
    on_all_workers(|cx| {
        let outcome = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            cx.blocking_with(|host| {
                handle.cancel();
                drop(look_until_cancelled(host));
                // It does not wait, so it has nothing to fail for.
                assert_eq!(host.run(|_| 7).unwrap(), 7);
                let waited = host.run(|cx| cx.sleep_forever());
                assert!(waited.unwrap().is_err());
                let shielded = host.run(|cx| cx.shield(|cx| cx.yield_now()));
                shielded.unwrap().unwrap();
                "finished"
            })
        });
        // The call has completed; it is no checkpoint at its end.
        assert_eq!(outcome.unwrap(), Some("finished"));
    });
}

// spec: test_threads.from_thread_run_during_shutdown
#[test]
fn the_host_answers_also_when_the_portal_is_closed() {
    on_all_workers(|cx| {
        let closed = AtomicBool::new(false);
        cx.portal(|cx, portal| {
            let portal = portal.clone();
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.spawn(|cx| {
                    let portal = cx.portal(|_, portal| portal.clone());
                    cx.blocking_with(|host| {
                        assert!(portal.run(|_| ()).is_err());
                        assert_eq!(host.run(|_| 5).unwrap(), 5);
                        closed.store(true, SeqCst);
                    })
                });
                drop(portal);
                cx.checkpoint()
            })
            .unwrap();
        });
        assert!(closed.into_inner());
    });
}

// spec: test_threads.reentry_doesnt_deadlock
#[test]
fn many_tasks_go_to_threads_and_back() {
    on_all_workers(|cx| {
        let rounds = AtomicU64::new(0);
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for _ in 0..4 {
                n.spawn(|cx| {
                    for _ in 0..25 {
                        cx.blocking_with(|host| {
                            host.run(|cx| cx.blocking(|| rounds.fetch_add(1, SeqCst)))?
                        })??;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(rounds.into_inner(), 100);
    });
}

// spec: test_threads.trio_to_thread_run_sync_contextvars
// spec: test_threads.trio_from_thread_run_sync_contextvars
// spec: test_threads.trio_from_thread_run_contextvars
#[test]
fn the_thread_sees_what_the_task_sees_and_changes_do_not_leak() {
    on_all_workers(|cx| {
        cx.with_local(&NAME, &"outer", |cx| {
            cx.blocking_with(|host| {
                assert_eq!(host.local(&NAME), Some(&"outer"));
                host.run(|cx| {
                    assert_eq!(cx.local(&NAME), Some(&"outer"));
                    cx.with_local(&NAME, &"inner", |cx| {
                        cx.yield_shielded();
                        // The thread that waits for this sees what it saw before.
                        assert_eq!(cx.local(&NAME), Some(&"inner"));
                        let seen = cx.blocking_with(|inner| inner.local(&NAME).copied());
                        assert_eq!(seen.unwrap(), Some("inner"));
                        assert_eq!(host.local(&NAME), Some(&"outer"));
                    });
                })
                .unwrap();
                assert_eq!(host.local(&NAME), Some(&"outer"));
            })
            .unwrap();
            // What may outlive the task does not see what is on its stack.
            let seen = cx.blocking_or_abandon(|host| host.local(&NAME).copied());
            assert_eq!(seen.unwrap(), None);
        });
        assert_eq!(cx.blocking_with(|host| host.local(&NAME).copied()).unwrap(), None);
    });
}

#[test]
fn several_threads_may_ask_one_task() {
    on_all_workers(|cx| {
        let mut sum = 0;
        cx.blocking_with(|host| {
            let sum = std::sync::Mutex::new(&mut sum);
            std::thread::scope(|s| {
                for number in 1..=10 {
                    let sum = &sum;
                    s.spawn(move || {
                        host.run(|cx| {
                            **sum.lock().unwrap() += number;
                            cx.yield_shielded();
                        })
                        .unwrap();
                    });
                }
            });
        })
        .unwrap();
        assert_eq!(sum, 55);
    });
}

// A thread that belongs to no call has no host to ask: that does not compile (see `Host`). One that a call has
// started may be lent the host.
// spec: test_threads.from_thread_check_cancelled_raises_in_foreign_threads
#[test]
fn a_thread_of_the_closures_own_sees_the_cancellation_too() {
    on_all_workers(|cx| {
        let outcome = cx.cancel_scope(|cx, scope| -> Result<(), Cancelled> {
            let handle = scope.handle();
            cx.blocking_with(|host| {
                std::thread::scope(|s| {
                    let foreign = s.spawn(|| look_until_cancelled(host));
                    handle.cancel_with("for all of them");
                    let cancelled = foreign.join().unwrap().unwrap_err();
                    assert_eq!(cancelled.reason(), Some("for all of them"));
                    Err(cancelled)
                })
            })?
        });
        assert!(matches!(outcome, Ok(None)));
    });
}

// spec: test_threads.do_in_trio_thread_from_trio_thread, test_threads.from_thread_inside_trio_thread
#[test]
fn asking_from_inside_a_task_is_refused() {
    on_workers(1, |cx| {
        let message = cx.blocking_with(|host| message_of(|| host.run(|_| host.run(|_| ()))));
        assert!(message.unwrap().contains("use the `cx` that is there"));
        let message = cx.portal(|_, portal| message_of(|| portal.run(|_| ())));
        assert!(message.contains("use the `cx` that is there"));
    });
}

#[test]
fn in_a_simulated_run_one_seed_gives_one_order() {
    let order_of = |seed| {
        conbrio::testing::Builder::new().seed(seed).workers(2).run(|cx| {
            let order = std::sync::Mutex::new(Vec::new());
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                for child in 0..3 {
                    let order = &order;
                    n.spawn(move |cx| {
                        cx.blocking_with(|host| {
                            for step in 0..3 {
                                order.lock().unwrap().push((child, step, "thread"));
                                host.run(|cx| {
                                    cx.yield_shielded();
                                    order.lock().unwrap().push((child, step, "task"));
                                })
                                .unwrap();
                            }
                        })
                    });
                }
                Ok(())
            })
            .unwrap();
            order.into_inner().unwrap()
        })
    };
    let orders: Vec<_> = (0..8).map(order_of).collect();
    assert!(orders.iter().all(|order| order.len() == 18));
    assert!(orders.iter().any(|order| *order != orders[0]), "the seed decides");
    assert_eq!(orders, (0..8).map(order_of).collect::<Vec<_>>());
}

#[test]
fn a_wait_while_unwinding_is_refused() {
    struct CallsWhenDropped<'a>(&'a mut Cx);
    impl Drop for CallsWhenDropped<'_> {
        fn drop(&mut self) {
            let refused = self.0.blocking_with(|_| panic!("it was not to run"));
            assert_eq!(refused.unwrap_err().source(), CancelSource::Unwinding);
            assert_eq!(self.0.blocking(|| 7).unwrap(), 7);
        }
    }
    on_workers(1, |cx| {
        let message = message_of(|| {
            let _calls = CallsWhenDropped(cx);
            panic!("unwinds");
        });
        assert_eq!(message, "unwinds");
    });
}
