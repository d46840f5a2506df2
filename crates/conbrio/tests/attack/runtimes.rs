//! Two runtimes in one process: they do not meet, and whoever tries to make them is told so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use conbrio::{Builder, Cancelled, Cx, MaybeCancelled};

use crate::child_process::in_child;
use crate::support::{Canary, Fault, flatten, run};

fn panics(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("this is a misuse");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a message")).to_owned(),
    }
}

/// A handle of one runtime is joined by a task of another. The waker might outlive the second runtime.
/// spec: N14
#[test]
fn a_task_of_another_runtime_cannot_join() {
    run(2, |cx| {
        let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
            let mut child = n.spawn(|cx| Ok(cx.sleep_forever()?));
            let said = cx.blocking(|| run(1, |inner| panics(|| drop(child.join(inner)))))?;
            assert!(said.contains("another runtime"), "{said}");
            n.cancel();
            Ok(())
        });
        flatten(outcome).unwrap();
    });
}

/// spec: N14
#[test]
fn a_nursery_takes_no_local_children_of_another_runtime() {
    run(2, |cx| {
        let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
            let said = cx.blocking(|| {
                run(1, |inner| panics(|| drop(n.spawn_local(inner, |cx| Ok(cx.sleep_forever()?)))))
            })?;
            assert!(said.contains("another runtime"), "{said}");
            Ok(())
        });
        flatten(outcome).unwrap();
    });
}

/// spec: N2
#[test]
fn a_nursery_starts_no_children_in_another_runtime() {
    run(2, |cx| {
        let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
            let said = cx.blocking(|| {
                run(1, |inner| {
                    panics(|| {
                        let _ = n.start(inner, |cx, started| {
                            started.ready(());
                            Ok(cx.sleep_forever()?)
                        });
                    })
                })
            })?;
            assert!(said.contains("another runtime"), "{said}");
            Ok(())
        });
        flatten(outcome).unwrap();
    });
}

/// A child for the nursery of another runtime goes where the nursery is.
/// spec: N14
#[test]
fn a_child_spawned_from_another_runtime_runs_at_home() {
    let seen = AtomicUsize::new(0);
    run(2, |cx| {
        let frame = Canary::new();
        let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
            cx.blocking(|| {
                run(1, |_| {
                    for _ in 0..20 {
                        n.spawn(|cx| {
                            let _visit = frame.visit();
                            assert_eq!(cx.runtime().workers, 2);
                            seen.fetch_add(1, Ordering::SeqCst);
                            Ok(cx.yield_now()?)
                        });
                    }
                })
            })?;
            Ok(())
        });
        flatten(outcome).unwrap();
    });
    assert_eq!(seen.into_inner(), 20);
}

/// Runtimes that end while tasks of an outer one cancel scopes in them.
/// spec: N5
#[test]
fn a_scope_of_a_runtime_that_ends_can_be_cancelled_from_another_one() {
    run(2, |cx| {
        let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
            for _ in 0..50 {
                let (sender, receiver) = std::sync::mpsc::channel();
                n.spawn(move |cx| {
                    let handle: conbrio::CancelHandle =
                        cx.blocking(move || receiver.recv().unwrap())?;
                    handle.cancel();
                    handle.set_shield(true);
                    handle.shutdown(std::time::Duration::ZERO);
                    Ok(())
                });
                cx.blocking(|| {
                    run(1, |inner| {
                        inner.cancel_scope(|inner, scope| {
                            sender.send(scope.handle()).unwrap();
                            inner.yield_now()
                        })
                    })
                })?
                .ok();
            }
            Ok(())
        });
        flatten(outcome).unwrap();
    });
}

/// An error whose classification panics when it is asked for the second time: by the caller of `start`.
#[derive(Default)]
struct Unsure(AtomicUsize);

impl MaybeCancelled for Unsure {
    fn cancelled(&self) -> Option<&conbrio::Cancelled> {
        assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0, "nobody knows");
        None
    }
}

/// The place that `start` reserves in the nursery is given up even if the error's own code panics.
/// spec: N2
#[test]
fn an_error_that_panics_in_start_does_not_keep_the_nursery_open() {
    run(1, |cx| {
        let said = panics(|| {
            let _ = cx.nursery(|cx: &mut Cx, n| -> Result<(), Unsure> {
                let said = panics(|| {
                    let _ = n.start(cx, |_, started: conbrio::Started<'_, (), Unsure>| {
                        drop(started);
                        Err(Unsure::default())
                    });
                });
                assert!(said.contains("nobody knows"), "{said}");
                Ok(())
            });
            panic!("the nursery has ended");
        });
        assert_eq!(said, "the nursery has ended");
    });
}

/// A worker whose hook panics would never run what is placed on it: the process ends, and says why.
/// spec: N4
#[test]
fn a_start_hook_that_panics_ends_the_process() {
    let outcome = in_child("runtimes::a_start_hook_that_panics_ends_the_process", || {
        let _ =
            Builder::new().workers(3).on_thread_start(|worker| assert_ne!(worker, 1)).run(|_| ());
    });
    outcome.assert_aborted().assert_says("a thread hook");
}

/// A stack that no system can provide fails the child, not the process.
/// spec: N9
#[test]
fn a_stack_of_impossible_size_fails_the_child() {
    run(1, |cx| {
        for bytes in [usize::MAX, usize::MAX / 2, 1 << 60, 1 << 47] {
            let said = panics(|| {
                let _ = cx.nursery(|_, n| -> Result<(), Fault> {
                    n.task("huge").stack_size(bytes).spawn(|_| Ok(()));
                    Ok(())
                });
            });
            assert!(said.contains("'huge' cannot start"), "{said}");
        }
        cx.yield_now().unwrap();
    });
}

// A runtime keeps nothing for the process, such as idle threads, that a forked child would look for in vain.
// spec: test_thread_cache.clear_thread_cache_after_fork
#[test]
fn a_forked_child_has_runtimes_and_threads_of_its_own() {
    let use_threads = || {
        let sum = conbrio::Builder::new().workers(2).run(|cx| {
            cx.nursery(|cx, n| -> Result<u32, Cancelled> {
                let mut child = n.spawn_blocking(|| Ok(3));
                Ok(cx.blocking(|| 4)? + child.join(cx)?)
            })
        });
        sum.is_ok_and(|sum| sum.is_ok_and(|sum| sum == 7))
    };
    in_child("runtimes::a_forked_child_has_runtimes_and_threads_of_its_own", || {
        assert!(use_threads());
        // SAFETY: this process has no other threads now, but for that of the test harness, which only waits:
        // the child finds no lock taken by a thread that it does not have.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let code = if use_threads() { 0 } else { 1 };
            // SAFETY: a plain C call; the child leaves nothing to be tidied up.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: `status` is valid for a write.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert_eq!(status, 0, "the forked child has failed");
        assert!(use_threads(), "the parent goes on");
    })
    .assert_survived();
}
