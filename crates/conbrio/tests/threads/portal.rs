//! Threads that have something run by tasks, and wait for it.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::threads::Portal;
use conbrio::{LocalKey, NurseryPanic};

use crate::support::{message_of, on_all_workers, on_workers, this_thread, wait_until};

/// Runs `f` on a thread that the runtime does not know, and waits for it as a task.
fn on_a_foreign_thread<R: Send>(cx: &mut Cx, f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|s| {
        let thread = s.spawn(f);
        let joined = cx.blocking(|| thread.join().unwrap());
        joined.unwrap()
    })
}

// spec: test_threads.do_in_trio_thread
#[test]
fn a_foreign_thread_gets_values_errors_and_panics() {
    on_all_workers(|cx| {
        cx.portal(|cx, portal| {
            let mut borrowed = 0;
            on_a_foreign_thread(cx, || {
                let here = this_thread();
                let there = portal.run(|cx| {
                    borrowed += 1;
                    cx.sleep(Duration::from_micros(10)).unwrap();
                    this_thread()
                });
                assert_ne!(there.unwrap(), here);
                let failed: Result<(), &str> = portal.run(|_| Err("an error")).unwrap();
                assert_eq!(failed, Err("an error"));
                // It is the caller's, and does not harm the portal.
                let message = message_of(|| portal.run(|_| panic!("in a task")));
                assert_eq!(message, "in a task");
                assert_eq!(portal.run(|_| 7), Ok(7));
            });
            assert_eq!(borrowed, 1);
            cx.checkpoint().unwrap();
        });
    });
}

// Nothing can begin while a task unwinds, so nobody must be left waiting for it.
#[test]
fn a_portal_that_is_opened_while_unwinding_is_closed() {
    struct OpensWhenDropped<'a>(&'a mut Cx);
    impl Drop for OpensWhenDropped<'_> {
        fn drop(&mut self) {
            self.0.portal(|_, portal| {
                let called = std::thread::scope(|s| s.spawn(|| portal.run(|_| 7)).join().unwrap());
                assert!(called.is_err());
                assert!(portal.run_soon(|| ()).is_err());
                assert!(portal.statistics().is_closed);
            });
        }
    }
    on_all_workers(|cx| {
        let message = message_of(|| {
            let _opens = OpensWhenDropped(cx);
            panic!("on purpose");
        });
        assert_eq!(message, "on purpose");
        // As ever when it does not.
        cx.portal(|_, portal| portal.run_soon(|| ()).unwrap());
    });
}

// spec: test_threads.await_in_trio_thread_while_main_exits
#[test]
fn a_call_is_cancelled_when_the_body_ends() {
    on_all_workers(|cx| {
        let waiting = AtomicUsize::new(0);
        std::thread::scope(|s| {
            let thread = cx.portal(|cx, portal| {
                let (portal, waiting) = (portal.clone(), &waiting);
                let thread = s.spawn(move || {
                    portal.run(|cx| {
                        waiting.fetch_add(1, SeqCst);
                        cx.sleep_forever().unwrap_err()
                    })
                });
                wait_until(cx, |_| waiting.load(SeqCst) == 1);
                thread
            });
            // It has its answer before the portal is gone.
            let cancelled = cx.blocking(|| thread.join().unwrap()).unwrap().unwrap();
            assert_eq!(cancelled.reason(), Some("the portal was closed"));
        });
    });
}

// spec: test_threads.from_thread_no_token
#[test]
fn there_is_a_portal_where_one_was_opened() {
    on_all_workers(|cx| {
        assert_eq!(cx.current_portal(), None);
        cx.portal(|cx, portal| {
            assert_eq!(cx.current_portal().as_ref(), Some(portal));
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                let mut child = n.spawn(|cx| Ok(cx.current_portal()));
                assert_eq!(child.join(cx)?.as_ref(), Some(portal));
                Ok(())
            })
            .unwrap();
        });
        assert_eq!(cx.current_portal(), None);
    });
}

// spec: test_threads.trio_to_thread_run_sync_token, test_threads.trio_from_thread_token
// spec: test_threads.trio_from_thread_token_kwarg
#[test]
fn a_call_finds_the_portal_that_it_came_through() {
    on_all_workers(|cx| {
        cx.portal(|cx, outer| {
            cx.portal(|cx, inner| {
                assert_ne!(inner, outer);
                let found = on_a_foreign_thread(cx, || {
                    let outer = outer.run(|cx| cx.current_portal()).unwrap();
                    let inner = inner.run(|cx| cx.current_portal()).unwrap();
                    (outer, inner)
                });
                assert_eq!(found, (Some(outer.clone()), Some(inner.clone())));
                let found = cx.blocking_with(|host| host.run(|cx| cx.current_portal()).unwrap());
                assert_eq!(found.unwrap().as_ref(), Some(inner));
            });
        });
    });
}

// spec: test_run.TrioToken_identity
#[test]
fn each_opening_has_a_portal_of_its_own() {
    let portals: Vec<Portal> = (0..2)
        .map(|_| {
            on_workers(1, |cx| {
                cx.portal(|cx, portal| {
                    assert_eq!(*portal, portal.clone());
                    cx.yield_now().unwrap();
                    assert_eq!(cx.current_portal().as_ref(), Some(portal));
                    portal.clone()
                })
            })
        })
        .collect();
    assert_ne!(portals[0], portals[1]);
}

// spec: test_run.TrioToken_run_sync_soon_too_late
#[test]
fn a_closed_portal_says_so_and_drops_the_closure() {
    let portal = on_workers(1, |cx| cx.portal(|_, portal| portal.clone()));
    let held = std::sync::Arc::new(());
    for held in [held.clone(), held.clone(), held.clone()] {
        let (first, second) = (held.clone(), held.clone());
        assert!(portal.run_soon(move || drop(first)).is_err());
        assert!(portal.run_soon_once(1, move || drop(second)).is_err());
        let error = portal.run(move |_| drop(held)).unwrap_err();
        assert!(error.to_string().contains("has ended"), "{error}");
    }
    assert_eq!(std::sync::Arc::strong_count(&held), 1);
    assert!(portal.statistics().is_closed);
    assert_eq!(portal.statistics().calls_waiting, 0);
}

static NAME: LocalKey<&'static str> = LocalKey::new();

// spec: test_run.system_task_contexts
#[test]
fn a_call_sees_what_was_bound_around_the_portal() {
    on_all_workers(|cx| {
        cx.with_local(&NAME, &"around the portal", |cx| {
            cx.portal(|cx, portal| {
                cx.with_local(&NAME, &"in the body", |cx| {
                    let seen = on_a_foreign_thread(cx, || {
                        portal.run(|cx| {
                            let here = cx.local(&NAME).copied();
                            // A child sees what whoever opened its nursery sees.
                            cx.with_local(&NAME, &"in a call", |cx| {
                                cx.nursery(|cx, n| -> Result<_, Cancelled> {
                                    let mut child = n.spawn(|cx| Ok(cx.local(&NAME).copied()));
                                    Ok((here, child.join(cx)?))
                                })
                                .unwrap()
                            })
                        })
                    });
                    assert_eq!(seen, Ok((Some("around the portal"), Some("in a call"))));
                });
            });
        });
    });
}

#[test]
fn an_outer_cancellation_reaches_body_and_calls() {
    on_all_workers(|cx| {
        std::thread::scope(|s| {
            let outcome = cx.cancel_scope(|cx, scope| {
                cx.portal(|cx, portal| {
                    let portal = portal.clone();
                    let (begun, has_begun) = mpsc::channel();
                    let thread = s.spawn(move || {
                        portal.run(|cx| {
                            begun.send(()).unwrap();
                            cx.sleep_forever().unwrap_err().reason().map(str::to_owned)
                        })
                    });
                    cx.blocking(move || has_begun.recv().unwrap())?;
                    scope.cancel_with("from outside");
                    let reason = cx.shield(|cx| cx.blocking(|| thread.join().unwrap()))?;
                    assert_eq!(reason.unwrap().as_deref(), Some("from outside"));
                    cx.checkpoint()
                })
            });
            assert!(matches!(outcome, Ok(None)));
        });
    });
}

#[test]
fn a_panic_of_the_body_comes_out_when_the_calls_have_ended() {
    on_all_workers(|cx| {
        let ended = AtomicUsize::new(0);
        std::thread::scope(|s| {
            let message = message_of(|| {
                cx.portal(|cx, portal| {
                    let (portal, ended) = (portal.clone(), &ended);
                    let (begun, has_begun) = mpsc::channel();
                    s.spawn(move || {
                        portal.run(|cx| {
                            begun.send(()).unwrap();
                            assert!(cx.sleep_forever().is_err());
                            ended.fetch_add(1, SeqCst);
                        })
                    });
                    cx.blocking(move || has_begun.recv().unwrap()).unwrap();
                    panic!("the body");
                })
            });
            assert_eq!(message, "the body");
            assert_eq!(ended.load(SeqCst), 1);
        });
    });
}

#[test]
fn every_panic_comes_out() {
    on_workers(1, |cx| {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            cx.portal(|_, portal| {
                for text in ["first", "second"] {
                    let panics = move || std::panic::resume_unwind(Box::new(text));
                    portal.run_soon(panics).unwrap();
                }
            });
        }));
        let payload = outcome.unwrap_err().downcast::<NurseryPanic>().unwrap();
        let mut texts: Vec<&str> =
            payload.panics().iter().map(|p| *p.downcast_ref::<&str>().unwrap()).collect();
        texts.sort_unstable();
        assert_eq!(texts, ["first", "second"]);
    });
}

#[test]
fn many_threads_call_at_once() {
    on_all_workers(|cx| {
        let sum = AtomicUsize::new(0);
        cx.portal(|cx, portal| {
            let sum = &sum;
            on_a_foreign_thread(cx, || {
                std::thread::scope(|s| {
                    for thread in 0..8 {
                        s.spawn(move || {
                            for call in 0..50 {
                                let value = portal.run(|cx| {
                                    cx.yield_now().unwrap();
                                    sum.fetch_add(1, SeqCst);
                                    thread * 1_000 + call
                                });
                                assert_eq!(value, Ok(thread * 1_000 + call));
                            }
                        });
                    }
                });
            });
        });
        assert_eq!(sum.into_inner(), 400);
    });
}
