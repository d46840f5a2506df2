//! Threads of nobody that reach into a runtime, and threads of the body that use its nursery.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use conbrio::CancelHandle;

use crate::support::{CREWS, Canary, Fault, flatten, is_slow_wanted, run};

/// Runtimes come and go while another thread holds handles of their scopes and uses them all the time:
/// in the moment in which a scope is left, a runtime ends, and ever after.
///
/// spec: N5, N14
#[test]
fn handles_are_used_while_runtimes_end() {
    let runtimes = if is_slow_wanted("three thousand runtimes") { 3_000 } else { 40 };
    let (sender, receiver) = mpsc::channel::<CancelHandle>();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let is_over = &is_over;
        threads.spawn(move || {
            let mut kept = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                kept.extend(receiver.try_iter());
                // The newest ones are the most likely to be ending.
                for handle in kept.iter().rev().take(4) {
                    handle.cancel();
                    handle.set_shield(true);
                    handle.set_deadline(None);
                }
            }
        });
        for runtime in 0..runtimes {
            run(1 + runtime % 3, |cx| {
                let frame = Canary::new();
                let _ = cx.nursery(|cx, n| -> Result<(), Fault> {
                    sender.send(n.handle()).unwrap();
                    n.spawn(|cx| {
                        let _visit = frame.visit();
                        cx.cancel_scope(|cx, scope| {
                            sender.clone().send(scope.handle()).unwrap();
                            cx.sleep(Duration::from_micros(5))
                        })?;
                        Ok(())
                    });
                    Ok(cx.yield_now()?)
                });
            });
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

/// Threads inside of the body spawn into its nursery, cancel children, and look at handles.
/// spec: N14
#[test]
fn threads_of_the_body_use_its_nursery() {
    for workers in CREWS {
        let ran = AtomicUsize::new(0);
        run(workers, |cx| {
            let frame = Canary::new();
            let outcome = cx.nursery(|_, n| -> Result<(), Fault> {
                std::thread::scope(|threads| {
                    for _ in 0..3 {
                        threads.spawn(|| {
                            for round in 0..30 {
                                let child = n.spawn(|cx| {
                                    let _visit = frame.visit();
                                    ran.fetch_add(1, Ordering::SeqCst);
                                    Ok(cx.yield_now()?)
                                });
                                if round % 3 == 0 {
                                    child.cancel();
                                }
                                assert!(!child.name().is_empty());
                            }
                        });
                    }
                });
                Ok(())
            });
            flatten(outcome).unwrap();
        });
        assert_eq!(ran.into_inner(), 90, "every accepted child begins");
    }
}

/// A thread inside of the body cancels the nursery while its children end.
/// spec: N1, N14
#[test]
fn a_thread_cancels_while_the_last_child_ends() {
    for workers in CREWS {
        run(workers, |cx| {
            for _ in 0..30 {
                let frame = Canary::new();
                let outcome = cx.nursery(|cx, n| -> Result<(), Fault> {
                    for _ in 0..3 {
                        n.spawn(|cx| {
                            let _visit = frame.visit();
                            Ok(cx.yield_now()?)
                        });
                    }
                    cx.blocking(|| n.cancel())?;
                    Ok(())
                });
                flatten(outcome).unwrap();
            }
        });
    }
}
