//! Closures that are handed over and not waited for: order, merging, fairness, failures, lateness.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use conbrio::CancelSource;
use conbrio::prelude::*;
use conbrio::threads::Portal;

use crate::support::{message_of, on_all_workers, on_workers, wait_until};

/// What has run, in order; shared with closures that outlive the caller.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<u32>>>);

impl Record {
    fn add(&self, number: u32) -> impl FnOnce() + Send + 'static {
        let record = self.clone();
        move || record.0.lock().unwrap().push(number)
    }

    fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

// spec: test_run.TrioToken_run_sync_soon_basic
#[test]
fn it_does_not_run_at_once_but_when_the_body_waits() {
    on_workers(1, |cx| {
        let record = Record::default();
        cx.portal(|cx, portal| {
            portal.run_soon(record.add(1)).unwrap();
            assert_eq!(record.len(), 0);
            assert_eq!(portal.statistics().calls_waiting, 1);
            wait_until(cx, |_| record.len() == 1);
            assert_eq!(portal.statistics().calls_waiting, 0);
        });
    });
}

// spec: test_run.TrioToken_run_sync_soon_FIFO
#[test]
fn a_hundred_run_in_order() {
    on_all_workers(|cx| {
        let record = Record::default();
        cx.portal(|_, portal| {
            for number in 0..100 {
                portal.run_soon(record.add(number)).unwrap();
            }
        });
        assert_eq!(record.take(), (0..100).collect::<Vec<_>>());
    });
}

// spec: test_run.TrioToken_run_sync_soon_massive_queue
#[test]
fn a_thousand_that_come_before_anybody_looks_are_not_lost() {
    on_workers(1, |cx| {
        let record = Record::default();
        cx.portal(|cx, portal| {
            for number in 0..1_000 {
                portal.run_soon(record.add(number)).unwrap();
            }
            assert_eq!(portal.statistics().calls_waiting, 1_000);
            wait_until(cx, |_| record.len() == 1_000);
        });
        assert_eq!(record.take(), (0..1_000).collect::<Vec<_>>());
    });
}

// spec: test_run.TrioToken_run_sync_soon_idempotent
#[test]
fn equal_keys_are_merged_and_plain_calls_are_not() {
    on_workers(1, |cx| {
        let record = Record::default();
        cx.portal(|cx, portal| {
            portal.run_soon(record.add(1)).unwrap();
            portal.run_soon_once(7, record.add(1)).unwrap();
            portal.run_soon_once(7, record.add(1)).unwrap();
            portal.run_soon_once(7, record.add(1)).unwrap();
            portal.run_soon(record.add(1)).unwrap();
            portal.run_soon_once(7, record.add(1)).unwrap();
            wait_until(cx, |_| record.len() == 3);
            for number in 0..100 {
                for _ in 0..3 {
                    portal.run_soon_once(u64::from(number), record.add(number)).unwrap();
                }
            }
        });
        let ran = record.take();
        assert_eq!(ran[..3], [1, 1, 1]);
        assert_eq!(ran[3..], (0..100).collect::<Vec<_>>());
    });
}

// spec: test_run.TrioToken_run_sync_soon_idempotent_requeue
#[test]
fn one_that_hands_itself_over_again_runs_again() {
    fn again(portal: Portal, left: Arc<AtomicUsize>) {
        if left.fetch_sub(1, SeqCst) > 1 {
            let next = portal.clone();
            // The portal may be closed by now: that is the test's end.
            let _ = portal.run_soon_once(1, move || again(next, left));
        }
    }
    on_all_workers(|cx| {
        let left = Arc::new(AtomicUsize::new(10));
        cx.portal(|cx, portal| {
            let (next, count) = (portal.clone(), Arc::clone(&left));
            portal.run_soon_once(1, move || again(next, count)).unwrap();
            wait_until(cx, |_| left.load(SeqCst) == 0);
        });
    });
}

// spec: test_run.TrioToken_run_sync_soon_starvation_resistance
#[test]
fn one_that_hands_itself_over_again_starves_nobody_and_ends() {
    fn again(portal: Portal, refused: Arc<AtomicBool>) {
        let next = portal.clone();
        let flag = Arc::clone(&refused);
        if portal.run_soon(move || again(next, flag)).is_err() {
            refused.store(true, SeqCst);
        }
    }
    on_workers(1, |cx| {
        let refused = Arc::new(AtomicBool::new(false));
        cx.portal(|cx, portal| {
            let (next, flag) = (portal.clone(), Arc::clone(&refused));
            portal.run_soon(move || again(next, flag)).unwrap();
            for _ in 0..20 {
                cx.yield_now().unwrap();
            }
            assert!(!refused.load(SeqCst));
        });
        assert!(refused.load(SeqCst), "it was told that the portal is closed");
    });
}

// spec: test_run.TrioToken_run_sync_soon_threaded_stress_test
#[test]
fn a_thread_that_hammers_always_wakes_the_workers() {
    on_all_workers(|cx| {
        let count = Arc::new(AtomicUsize::new(0));
        cx.portal(|cx, portal| {
            let (portal, total) = (portal.clone(), Arc::clone(&count));
            let hammer = move || {
                for _ in 0..2_000 {
                    let count = Arc::clone(&total);
                    portal.run_soon(move || _ = count.fetch_add(1, SeqCst)).unwrap();
                    // Now and then the workers fall asleep before the next one.
                    let before = total.load(SeqCst);
                    if before % 3 == 0 {
                        std::thread::yield_now();
                    }
                }
                // Every wake-up counts: nobody else wakes the dispatcher.
                while total.load(SeqCst) < 2_000 {
                    std::thread::yield_now();
                }
            };
            cx.blocking(hammer).unwrap();
        });
        assert_eq!(count.load(SeqCst), 2_000);
    });
}

// spec: test_run.TrioToken_run_sync_soon_after_main_crash
#[test]
fn what_was_handed_over_before_the_body_panicked_still_runs() {
    on_all_workers(|cx| {
        let record = Record::default();
        let message = message_of(|| {
            cx.portal(|_, portal| {
                portal.run_soon(record.add(1)).unwrap();
                panic!("the body");
            })
        });
        assert_eq!(message, "the body");
        assert_eq!(record.take(), [1]);
    });
}

// spec: test_run.TrioToken_run_sync_soon_crashes
#[test]
fn a_panic_cancels_the_body_and_comes_out_and_later_ones_run() {
    on_all_workers(|cx| {
        let record = Record::default();
        let message = message_of(|| {
            cx.portal(|cx, portal| {
                portal.run_soon(|| panic!("in a closure")).unwrap();
                portal.run_soon(record.add(1)).unwrap();
                let cancelled = cx.sleep_forever().unwrap_err();
                assert_eq!(cancelled.source(), CancelSource::ChildPanicked);
                // Also from here on: it is open until the body has ended.
                portal.run_soon(record.add(2)).unwrap();
            })
        });
        assert_eq!(message, "in a closure");
        assert_eq!(record.take(), [1, 2]);
        cx.checkpoint().unwrap();
    });
}

// spec: test_run.TrioToken_run_sync_soon_late_crash
#[test]
fn a_panic_after_the_body_has_ended_comes_out_too() {
    on_workers(1, |cx| {
        let record = Record::default();
        let message = message_of(|| {
            cx.portal(|_, portal| {
                portal.run_soon(|| panic!("late")).unwrap();
                portal.run_soon(record.add(1)).unwrap();
            })
        });
        assert_eq!(message, "late");
        assert_eq!(record.take(), [1]);
    });
}

#[test]
fn closures_may_be_deep() {
    fn depth(n: u32) -> u32 {
        let frame = std::hint::black_box([n; 1_000]);
        if n == 0 { 0 } else { 1 + depth(frame[0] - 1) }
    }
    on_workers(1, |cx| {
        let deepest = Arc::new(AtomicUsize::new(0));
        let result = Arc::clone(&deepest);
        cx.portal(|_, portal| {
            portal.run_soon(move || result.store(depth(100) as usize, SeqCst)).unwrap();
        });
        assert_eq!(deepest.load(SeqCst), 100);
    });
}

#[test]
fn in_simulated_runs_nothing_is_lost_in_any_order() {
    conbrio::testing::explore(0..200, |cx| {
        let record = Record::default();
        cx.portal(|cx, portal| {
            cx.nursery(|_, n| -> Result<(), Cancelled> {
                for child in 0..3 {
                    let record = &record;
                    n.spawn(move |cx| {
                        for call in 0..3 {
                            portal.run_soon(record.add(child * 10 + call)).unwrap();
                            cx.checkpoint()?;
                        }
                        Ok(())
                    });
                }
                Ok(())
            })
            .unwrap();
        });
        let ran = record.take();
        assert_eq!(ran.len(), 9);
        for child in 0..3 {
            let of_child: Vec<u32> = ran.iter().copied().filter(|n| n / 10 == child).collect();
            assert_eq!(of_child, [child * 10, child * 10 + 1, child * 10 + 2]);
        }
    });
}
