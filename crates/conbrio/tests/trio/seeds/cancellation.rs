//! The protocol of cancellation: request, wait, report (S19 to S47).

use std::io;
use std::mem::size_of;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use conbrio::prelude::*;
use conbrio::testing::settle;
use conbrio::{Builder, CancelSource};

use crate::support::{Fault, Trace, on_all_workers, on_one_worker, panic_text, seconds};

// spec: S19, S30
#[test]
fn who_is_cancelled_may_finish_first_and_report_success() {
    on_all_workers(|cx| {
        let start = cx.now();
        let ended = cx.cancel_scope(|cx, scope| {
            let handle = scope.handle();
            cx.nursery(|cx, n| -> Result<u32, Fault> {
                let mut child = n.spawn(|cx| {
                    let written = cx.shield(|cx| -> Result<u32, Cancelled> {
                        cx.sleep(seconds(3))?;
                        Ok(7)
                    })?;
                    // It was cancelled long ago, and has completed all the same.
                    Ok(written)
                });
                settle(cx, std::time::Duration::ZERO)?;
                handle.cancel();
                Ok(cx.shield(|cx| child.join(cx))?)
            })
        });
        assert!(matches!(ended, Ok(Some(7))), "{ended:?}");
        assert_eq!(cx.now() - start, seconds(3));
    });
}

// spec: S20
#[test]
fn a_cancellation_is_requested_waited_for_and_reported_in_this_order() {
    on_all_workers(|cx| {
        let trace = Trace::new();
        let outcome = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let trace = &trace;
            n.spawn(move |cx| {
                let result = cx.sleep_forever();
                trace.push("seen");
                cx.cleanup(seconds(9), |cx| cx.sleep(seconds(1)))?;
                trace.push("cleaned up");
                result
            });
            cx.sleep(seconds(1))?;
            trace.push("requested");
            n.cancel();
            cx.checkpoint()
        });
        trace.push("reported");
        assert!(matches!(outcome, Err(NurseryError::Stopped(_))));
        assert_eq!(trace.take(), ["requested", "seen", "cleaned up", "reported"]);
    });
}

// spec: S22
#[test]
fn work_has_stopped_when_the_scope_that_was_cancelled_has_ended() {
    on_all_workers(|cx| {
        let counter = AtomicU64::new(0);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for _ in 0..4 {
                let counter = &counter;
                n.spawn(move |cx| -> Result<(), Cancelled> {
                    loop {
                        counter.fetch_add(1, Ordering::Relaxed);
                        cx.checkpoint()?;
                    }
                });
            }
            while counter.load(Ordering::Relaxed) < 100 {
                cx.yield_now()?;
            }
            n.cancel();
            Ok(())
        })
        .unwrap();
        let stopped_at = counter.load(Ordering::Relaxed);
        for _ in 0..100 {
            cx.yield_now().unwrap();
        }
        assert_eq!(counter.load(Ordering::Relaxed), stopped_at);
    });
}

/// An error as an application has it.
#[derive(Debug)]
enum AppError {
    Stopped(Cancelled),
    Io(io::Error),
}

impl From<Cancelled> for AppError {
    fn from(cancelled: Cancelled) -> AppError {
        AppError::Stopped(cancelled)
    }
}

impl From<io::Error> for AppError {
    fn from(error: io::Error) -> AppError {
        AppError::Io(error)
    }
}

impl MaybeCancelled for AppError {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            AppError::Stopped(cancelled) => Some(cancelled),
            AppError::Io(error) => error.cancelled(),
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Five layers, each with an error type of its own, none of which knows of cancellation.
fn layer_1(cx: &mut Cx) -> Result<(), Cancelled> {
    cx.sleep(seconds(100))
}

fn layer_2(cx: &mut Cx) -> io::Result<()> {
    Ok(layer_1(cx)?)
}

fn layer_3(cx: &mut Cx) -> Result<(), BoxError> {
    Ok(layer_2(cx)?)
}

fn generic_layer<E>(cx: &mut Cx, below: impl FnOnce(&mut Cx) -> Result<(), E>) -> Result<(), E> {
    below(cx)
}

fn layer_5(cx: &mut Cx) -> Result<(), AppError> {
    generic_layer(cx, layer_3).map_err(|error| AppError::Io(io::Error::other(error)))
}

// spec: S27, S35
#[test]
fn a_cancellation_passes_through_layers_that_know_nothing_of_it() {
    on_all_workers(|cx| {
        let start = cx.now();
        // The innermost scope is not the one that was cancelled: it lets it through.
        let ended = cx.move_on_after(seconds(1), |cx| -> Result<(), AppError> {
            let inner = cx.cancel_scope(|cx, _| layer_5(cx));
            assert!(matches!(&inner, Err(AppError::Io(error)) if error.cancelled().is_some()));
            inner.map(|_| ())
        });
        assert!(matches!(ended, Ok(None)), "{ended:?}");
        assert_eq!(cx.now() - start, seconds(1));
        // An error that only looks like one is passed on.
        let ended = cx.cancel_scope(|_, scope| -> io::Result<()> {
            scope.cancel();
            Err(io::Error::new(io::ErrorKind::Interrupted, "cancelled by nobody"))
        });
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::Interrupted);
    });
}

// spec: S27
#[test]
fn a_cancelled_io_error_is_never_retried_by_the_standard_library() {
    struct Stopped<'a>(&'a mut Cx, u32);
    impl io::Read for Stopped<'_> {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            self.0.checkpoint()?;
            Ok(0)
        }
    }
    on_one_worker(|cx| {
        let ended = cx.cancel_scope(|cx, scope| -> io::Result<()> {
            scope.cancel();
            let mut reader = Stopped(cx, 0);
            let result = io::Read::read_exact(&mut reader, &mut [0; 4]);
            assert_eq!(reader.1, 1);
            result
        });
        assert!(matches!(ended, Ok(None)), "{ended:?}");
    });
}

// spec: S32
#[test]
fn a_graceful_end_is_as_short_as_a_hard_one() {
    on_all_workers(|cx| {
        let start = cx.now();
        let served = AtomicU32::new(0);
        let result = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let served = &served;
            for client in 1..=3 {
                n.spawn(move |cx| {
                    // A connection ends between two requests, or is cut off when the grace is over.
                    while !cx.shutdown_requested() {
                        cx.sleep(seconds(if client == 3 { 1_000 } else { client }))?;
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                });
            }
            cx.sleep(seconds(10) + std::time::Duration::from_millis(500))?;
            n.shutdown(seconds(60));
            Ok(())
        });
        result.unwrap();
        // One each second until 11 s, one each two seconds until 12 s, and one that was cut off at 70.5 s.
        assert_eq!(served.into_inner(), 11 + 6);
        assert_eq!(cx.now() - start, seconds(70) + std::time::Duration::from_millis(500));
    });
}

// spec: S32
#[test]
fn a_graceful_end_wakes_who_waits_for_it_and_nobody_else() {
    on_all_workers(|cx| {
        let start = cx.now();
        let trace = Trace::new();
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let trace = &trace;
            n.spawn(move |cx| {
                cx.wait_shutdown()?;
                trace.push(("asked", cx.now() - start));
                Ok(())
            });
            n.spawn(move |cx| {
                cx.sleep(seconds(5))?;
                trace.push(("finished", cx.now() - start));
                Ok(())
            });
            cx.sleep(seconds(1))?;
            n.shutdown(seconds(60));
            Ok(())
        })
        .unwrap();
        assert_eq!(trace.take(), [("asked", seconds(1)), ("finished", seconds(5))]);
        assert_eq!(cx.now() - start, seconds(5));
    });
}

// spec: S40
#[test]
fn a_scope_takes_back_its_own_cancellation_and_no_other() {
    on_all_workers(|cx| {
        // Own.
        let own = cx.cancel_scope(|cx, scope| {
            scope.cancel();
            cx.checkpoint()
        });
        assert!(matches!(own, Ok(None)));
        // Completed after the request: the value counts.
        let kept = cx.cancel_scope(|cx, scope| {
            scope.cancel();
            let _ = cx.checkpoint();
            Ok::<_, Cancelled>("kept")
        });
        assert_eq!(kept.unwrap(), Some("kept"));
        // Another's: it passes, although the scope was cancelled as well.
        let outer = cx.cancel_scope(|cx, outer| {
            outer.cancel_with("outer");
            let inner = cx.cancel_scope(|cx, inner| {
                inner.cancel_with("inner");
                cx.checkpoint()
            });
            let cancelled = inner.unwrap_err();
            assert_eq!(cancelled.reason(), Some("outer"));
            Err::<(), _>(cancelled)
        });
        assert!(matches!(outer, Ok(None)));
        // One that was kept from a scope that is gone belongs to nobody.
        let mut stale = None;
        let _ = cx.cancel_scope(|cx, scope| {
            scope.cancel_with("stale");
            stale = cx.checkpoint().err();
            Ok::<_, Cancelled>(())
        });
        let passed = cx.cancel_scope(|_, scope| {
            scope.cancel_with("new");
            Err::<(), _>(stale.unwrap())
        });
        assert_eq!(passed.unwrap_err().reason(), Some("stale"));
    });
}

// spec: S41
#[test]
fn a_loop_that_ignores_its_cancellation_cannot_wait_again() {
    on_all_workers(|cx| {
        let start = cx.now();
        let rounds = AtomicU32::new(0);
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                for _ in 0..1_000 {
                    // Ignored, against all advice: every sleep after the request fails at once.
                    let _ = cx.sleep(seconds(1));
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
            cx.sleep(seconds(3) + std::time::Duration::from_millis(500))?;
            n.cancel();
            Ok(())
        })
        .unwrap();
        assert_eq!(rounds.into_inner(), 1_000);
        assert_eq!(cx.now() - start, seconds(3) + std::time::Duration::from_millis(500));
    });
}

// spec: S44
#[test]
fn what_travels_with_a_cancellation_is_one_pointer() {
    assert_eq!(size_of::<Cancelled>(), size_of::<usize>());
    assert_eq!(size_of::<Result<(), Cancelled>>(), size_of::<usize>());
    assert_eq!(size_of::<Result<Option<()>, Cancelled>>(), 2 * size_of::<usize>());
}

// spec: S46
#[test]
fn an_error_type_shows_whether_it_was_a_cancellation() {
    // Without a wildcard: the compiler would complain about a third arm, or a forgotten one.
    fn describe(error: OrCancelled<io::Error>) -> &'static str {
        match error {
            OrCancelled::Cancelled(_) => "cancelled",
            OrCancelled::Failed(_) => "failed",
        }
    }
    assert_eq!(describe(io::Error::other("disk").into()), "failed");
    on_one_worker(|cx| {
        let _ = cx.cancel_scope(|cx, scope| {
            scope.cancel();
            let cancelled = cx.checkpoint().unwrap_err();
            assert_eq!(describe(cancelled.into()), "cancelled");
            cx.checkpoint()
        });
    });
}

// spec: S47
#[test]
fn misuse_panics_and_says_how_to_do_it_right() {
    assert!(panic_text(|| Builder::new().workers(0)).contains("at least one worker"));
    assert!(panic_text(|| Builder::new().blocking_threads(0)).contains("at least one thread"));
    on_one_worker(|cx| {
        assert!(panic_text(|| conbrio::run(|_| ())).contains("cx.nursery"));
        assert!(panic_text(|| cx.interval(std::time::Duration::ZERO)).contains("longer than zero"));
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut child = n.spawn(|_| Ok(1));
            child.join(cx)?;
            assert!(panic_text(|| child.join(cx)).contains("taken by an earlier"));
            Ok(())
        })
        .unwrap();
    });
}

// spec: S71
#[test]
fn nothing_unwinds_when_tasks_are_cancelled() {
    /// Counts destructors that ran in an unwinding thread.
    struct Watch<'a>(&'a AtomicU32, &'a AtomicU32);
    impl Drop for Watch<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            self.1.fetch_add(u32::from(std::thread::panicking()), Ordering::Relaxed);
        }
    }
    on_all_workers(|cx| {
        let (dropped, unwound) = (AtomicU32::new(0), AtomicU32::new(0));
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for _ in 0..10 {
                n.spawn(|cx| {
                    let _watch = Watch(&dropped, &unwound);
                    let cancelled = cx.sleep_forever().unwrap_err();
                    assert_eq!(cancelled.source(), CancelSource::Explicit);
                    Err::<(), _>(cancelled)
                });
            }
            cx.sleep(seconds(1))?;
            n.cancel();
            Ok(())
        })
        .unwrap();
        assert_eq!((dropped.into_inner(), unwound.into_inner()), (10, 0));
    });
}
