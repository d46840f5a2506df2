//! `cx.blocking` and what is built on it: where it runs, what comes back, how many run.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::threads::{Blocking, wait_all_ended};

use crate::support::{
    message_of, on_all_workers, on_workers, system_name, this_thread, wait_until,
};

// spec: test_threads.run_in_worker_thread, test_thread_cache.thread_cache_basics
#[test]
fn the_closure_runs_on_another_thread_and_its_outcome_comes_back() {
    on_all_workers(|cx| {
        let here = this_thread();
        let mut borrowed = Vec::new();
        let there = cx.blocking(|| {
            borrowed.push(1);
            this_thread()
        });
        assert_ne!(there.unwrap(), here);
        assert_eq!(borrowed, [1]);
        let failed: Result<(), &str> = cx.blocking_with(|_| Err("refused")).unwrap();
        assert_eq!(failed, Err("refused"));
        let message = message_of(|| cx.blocking(|| panic!("on a thread")));
        assert_eq!(message, "on a thread");
        let message = message_of(|| cx.blocking_with(|_| panic!("with a host")));
        assert_eq!(message, "with a host");
        let message = message_of(|| cx.blocking_or_abandon(|_| panic!("not abandoned")));
        assert_eq!(message, "not abandoned");
        assert_eq!(this_thread(), here);
    });
}

// spec: test_threads.run_in_worker_thread_cancellation, S26
#[test]
fn a_call_that_has_begun_is_waited_for_and_one_that_has_not_does_not_begin() {
    on_all_workers(|cx| {
        let (begun, has_begun) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let counter = AtomicUsize::new(0);
        let in_flight = &counter;
        let outcome = cx.nursery(|cx, n| -> Result<(), Cancelled> {
            let mut child = n.spawn(move |cx| {
                cx.blocking(move || {
                    in_flight.fetch_add(1, SeqCst);
                    begun.send(()).unwrap();
                    gate.recv().unwrap();
                    in_flight.fetch_sub(1, SeqCst);
                })?;
                // It completed; the cancellation shows now.
                assert!(cx.checkpoint().is_err());
                // Cancelled on entry: it does not begin.
                assert!(cx.blocking(|| panic!("it was not to run")).is_err());
                assert!(cx.blocking_with(|_| panic!("it was not to run")).is_err());
                assert!(cx.blocking_or_abandon(|_| panic!("it was not to run")).is_err());
                Ok(())
            });
            cx.blocking(move || has_begun.recv().unwrap())?;
            child.cancel();
            for _ in 0..20 {
                cx.yield_now()?;
                assert!(!child.is_finished());
            }
            open.send(()).unwrap();
            child.join(cx)
        });
        outcome.unwrap();
        assert_eq!(in_flight.load(SeqCst), 0);
    });
}

// spec: test_threads.run_in_worker_thread_limiter
#[test]
fn no_more_threads_than_allowed_are_at_work() {
    const MAX: usize = 3;
    for workers in [1, 2] {
        let (now, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let all_at_work = Barrier::new(MAX);
        conbrio::Builder::new()
            .workers(workers)
            .blocking_threads(MAX)
            .run(|cx| {
                cx.nursery(|_, n| -> Result<(), Cancelled> {
                    for _ in 0..MAX * 5 {
                        n.spawn_blocking(|| {
                            peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                            // The limit is not only kept but reached.
                            all_at_work.wait();
                            now.fetch_sub(1, SeqCst);
                            Ok(())
                        });
                    }
                    Ok(())
                })
            })
            .unwrap()
            .unwrap();
        assert_eq!(peak.into_inner(), MAX);
    }
}

// spec: test_threads.named_thread, test_threads.named_thread_os
#[test]
fn a_thread_has_the_name_of_its_call_for_the_time_of_the_call() {
    conbrio::Builder::new()
        .workers(1)
        .blocking_threads(1)
        .run(|cx| {
            let before = cx.blocking(system_name).unwrap();
            assert!(before.starts_with("conbrio-blk-"), "{before}");
            let named = |name: &str| Blocking::new().name(name);
            assert_eq!(named("resolver").run(cx, |_| system_name()).unwrap(), "resolver");
            let cut = named("a name of more than 15 bytes").run(cx, |_| system_name());
            assert_eq!(cut.unwrap(), "a name of more ".trim_end());
            let abandonable = named("left behind").run_or_abandon(cx, |_| system_name());
            assert_eq!(abandonable.unwrap(), "left behind");
            let message = message_of(|| named("panics").run(cx, |_| panic!("named")));
            assert_eq!(message, "named");
            assert_eq!(cx.blocking(system_name).unwrap(), before);
        })
        .unwrap();
}

// spec: test_threads.wait_all_threads_completed, test_threads.wait_all_threads_completed_no_threads
#[test]
fn one_can_wait_until_no_thread_is_at_work() {
    fn at_work(cx: &Cx) -> usize {
        let statistics = cx.statistics();
        statistics.blocking_threads - statistics.blocking_idle
    }
    on_all_workers(|cx| {
        wait_all_ended(cx).unwrap();
        assert_eq!(at_work(cx), 0);
        let gates = [(); 2].map(|()| mpsc::channel::<()>());
        let [(first, first_gate), (second, second_gate)] = gates;
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            n.spawn_blocking(move || {
                first_gate.recv().unwrap();
                Ok(())
            });
            n.spawn_blocking(move || {
                second_gate.recv().unwrap();
                Ok(())
            });
            wait_until(cx, |cx| at_work(cx) == 2);
            let mut waiting = n.spawn(wait_all_ended);
            first.send(()).unwrap();
            wait_until(cx, |cx| at_work(cx) == 1);
            assert!(!waiting.is_finished());
            second.send(()).unwrap();
            waiting.join(cx)?;
            assert_eq!(at_work(cx), 0);
            Ok(())
        })
        .unwrap();
    });
}

// spec: S23
#[test]
fn no_thread_is_left_when_the_runtime_has_ended() {
    let names = || {
        let mut names = Vec::new();
        for entry in std::fs::read_dir("/proc/self/task").unwrap() {
            let name = std::fs::read_to_string(entry.unwrap().path().join("comm"));
            names.push(name.unwrap_or_default().trim_end().to_owned());
        }
        names.iter().filter(|name| *name == "s23-probe").count()
    };
    let ended = Arc::new(AtomicUsize::new(0));
    on_workers(2, |cx| {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for _ in 0..8 {
                let ended = Arc::clone(&ended);
                n.spawn(move |cx| {
                    Blocking::new().name("s23-probe").run(cx, |_| {
                        assert!(names() > 0);
                        ended.fetch_add(1, SeqCst);
                    })
                });
            }
            n.cancel();
            Ok(())
        })
        .unwrap();
    });
    assert_eq!(names(), 0);
    // Whoever had begun has also ended; the others have not begun.
    assert_eq!(Arc::strong_count(&ended), 1);
}

#[test]
fn a_child_on_a_thread_borrows_and_its_error_is_the_nurserys() {
    on_all_workers(|cx| {
        let numbers = [1_u64, 2, 3];
        let sum = cx.nursery(|cx, n| -> std::io::Result<u64> {
            let mut sum = n.spawn_blocking(|| Ok(numbers.iter().sum()));
            Ok(sum.join(cx)?)
        });
        assert_eq!(sum.unwrap(), 6);
        let outcome = cx.nursery(|_, n| -> std::io::Result<()> {
            n.spawn_blocking(|| std::fs::read("/nowhere at all"));
            Ok(())
        });
        let error = std::io::Error::from(outcome.unwrap_err());
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        // Cancelled before it has begun: it does not run.
        let outcome = cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.cancel();
            n.spawn_blocking(|| -> Result<(), _> { panic!("it was not to run") });
            Ok(())
        });
        outcome.unwrap();
    });
}

#[test]
fn threads_are_reused_and_time_out() {
    conbrio::Builder::new()
        .workers(1)
        .blocking_idle(Duration::from_millis(1))
        .run(|cx| {
            cx.blocking(|| ()).unwrap();
            wait_until(cx, |cx| cx.statistics().blocking_threads == 0);
            cx.blocking(|| ()).unwrap();
        })
        .unwrap();
    on_workers(1, |cx| {
        let first = cx.blocking(this_thread).unwrap();
        for _ in 0..100 {
            assert_eq!(cx.blocking(this_thread).unwrap(), first);
        }
    });
}
