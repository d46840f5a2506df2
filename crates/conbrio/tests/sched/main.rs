//! Regressions of the scheduler: programs that once hung, and the fairness that keeps them from it.

#[path = "../attack/child_process.rs"]
mod child_process;
mod deadlock;
mod holders;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use conbrio::prelude::*;
use conbrio::testing::MockClock;
use conbrio::{Builder, Cancelled};

/// A child that opens a nursery before its first checkpoint has not taken in yet that it was cancelled.
// spec: N1, test_run.precancelled_task
#[test]
fn a_child_cancelled_before_it_begins_passes_that_on_to_its_own_children() {
    for workers in [1, 2] {
        let outcome = Builder::new().workers(workers).run(|cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                n.spawn(|cx| -> Result<(), Cancelled> {
                    let inner = cx.nursery(|_, m| -> Result<(), Cancelled> {
                        m.spawn(|cx| cx.sleep_forever());
                        Ok(())
                    });
                    match inner {
                        Err(NurseryError::Cancelled(cancelled)) => Err(cancelled),
                        other => panic!("the inner nursery ended with {other:?}"),
                    }
                });
                n.cancel();
                Ok(())
            })
        });
        assert!(matches!(outcome, Ok(Ok(()))));
    }
}

#[test]
fn a_child_spawned_by_a_foreign_thread_begins_though_the_worker_is_busy() {
    let begun = AtomicBool::new(false);
    let outcome = Builder::new().workers(1).run(|cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            std::thread::scope(|s| {
                s.spawn(|| {
                    n.spawn(|_| {
                        begun.store(true, Ordering::SeqCst);
                        Ok(())
                    });
                });
            });
            while !begun.load(Ordering::SeqCst) {
                cx.yield_now()?;
            }
            Ok(())
        })
    });
    assert!(matches!(outcome, Ok(Ok(()))));
}

/// The parent computes until the child has begun: without another worker it would for ever.
#[test]
fn a_child_begins_elsewhere_while_its_parent_computes() {
    let begun = AtomicBool::new(false);
    let outcome = Builder::new().workers(2).run(|cx| {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|_| {
                begun.store(true, Ordering::SeqCst);
                Ok(())
            });
            while !begun.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Ok(())
        })
    });
    assert!(matches!(outcome, Ok(Ok(()))));
}

#[test]
fn virtual_time_goes_on_after_a_blocking_call() {
    for workers in [1, 2] {
        let clock = MockClock::new().autojump(Duration::ZERO);
        let outcome = Builder::new().workers(workers).clock(clock.clone()).run(|cx| {
            for _ in 0..200 {
                cx.blocking(|| ())?;
                cx.sleep(Duration::from_secs(3600))?;
            }
            Ok::<(), Cancelled>(())
        });
        assert!(matches!(outcome, Ok(Ok(()))));
        assert_eq!(clock.elapsed(), Duration::from_secs(200 * 3600));
    }
}

/// A task whose operations always complete at once yields all the same.
#[test]
fn checkpoints_alone_let_others_run() {
    let turns = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    let outcome = Builder::new().workers(1).run(|cx| {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.spawn(|cx| {
                while !done.load(Ordering::Relaxed) {
                    cx.checkpoint()?;
                }
                Ok(())
            });
            n.spawn(|cx| {
                for _ in 0..100 {
                    turns.fetch_add(1, Ordering::Relaxed);
                    cx.yield_now()?;
                }
                done.store(true, Ordering::Relaxed);
                Ok(())
            });
            Ok(())
        })
    });
    assert!(matches!(outcome, Ok(Ok(()))));
    assert_eq!(turns.into_inner(), 100);
}

/// Timers are looked at although tasks yield to each other without an end.
#[test]
fn yielding_tasks_do_not_starve_timers() {
    let outcome = Builder::new().workers(1).run(|cx| {
        cx.move_on_after(Duration::from_millis(1), |cx| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                for _ in 0..10 {
                    n.spawn(|cx| -> Result<(), Cancelled> {
                        loop {
                            cx.yield_now()?;
                        }
                    });
                }
                Ok(())
            })
        })
    });
    assert!(matches!(outcome, Ok(Ok(None))));
}

/// I/O is looked at although tasks yield to each other without an end.
#[test]
fn yielding_tasks_do_not_starve_io() {
    let outcome = Builder::new().workers(1).run(|cx| -> std::io::Result<()> {
        let done = AtomicBool::new(false);
        let mut listener = TcpListener::bind(cx, "127.0.0.1:0")?;
        let address = listener.local_addr()?;
        cx.nursery(|_, n| {
            for _ in 0..10 {
                n.spawn(|cx| {
                    while !done.load(Ordering::Relaxed) {
                        cx.yield_now()?;
                    }
                    Ok(())
                });
            }
            n.spawn(|cx| {
                let (mut stream, _) = listener.accept(cx)?;
                stream.write_all(cx, b"x")?;
                Ok(())
            });
            n.spawn(|cx| {
                let mut stream = TcpStream::connect(cx, address)?;
                let mut byte = [0];
                stream.read_exact(cx, &mut byte)?;
                done.store(true, Ordering::Relaxed);
                Ok(())
            });
            Ok(())
        })?;
        Ok(())
    });
    outcome.unwrap().unwrap();
}

fn order_of_a_run(seed: u64) -> Vec<usize> {
    let order = std::sync::Mutex::new(Vec::new());
    let outcome = Builder::new().workers(1).seed(seed).run(|cx| {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            for task in 0..8 {
                let order = &order;
                n.spawn(move |cx| {
                    for _ in 0..8 {
                        order.lock().unwrap().push(task);
                        cx.yield_now()?;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
    });
    assert!(matches!(outcome, Ok(Ok(()))));
    order.into_inner().unwrap()
}

// spec: test_scheduler_determinism.the_trio_scheduler_is_deterministic_if_seeded
#[test]
fn one_seed_gives_one_order() {
    for seed in [0, 1, 42, u64::MAX] {
        assert_eq!(order_of_a_run(seed), order_of_a_run(seed), "seed {seed}");
    }
}

// spec: test_scheduler_determinism.the_trio_scheduler_is_not_deterministic
#[test]
fn other_seeds_give_other_orders() {
    let orders: std::collections::HashSet<_> = (0..20).map(order_of_a_run).collect();
    assert!(orders.len() > 10, "{} orders of 20 seeds", orders.len());
}
