//! Who sleeps: the part of the idle protocol that all workers share.
//!
//! A worker that wants to sleep publishes `SLEEPING` and only then looks once more for work that others
//! may have given it; whoever gives it work makes the work visible and only then looks at its status.
//! Both sides have a sequentially consistent fence between their write and their read (Dekker), so at
//! least one of them sees the other: either the worker stays awake, or the giver wakes it. See
//! `README.md` and the loom test below.

use crate::util::atomic::{
    AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence, model_fence, yield_thread,
};

pub(super) const AWAKE: u32 = 0;
pub(super) const SLEEPING: u32 = 1;

/// Counts shared by all workers of a runtime. They steer heuristics and the search for quiet moments;
/// the wake-up of a particular worker rests on its own status alone.
#[derive(Debug)]
pub(super) struct Crew {
    /// How many have published `SLEEPING`. Whoever changes a status changes this.
    pub(super) sleeping: AtomicUsize,
    /// How many look for work to steal. While somebody does, nobody else is woken to do so.
    pub(super) searching: AtomicUsize,
    /// Counts the ends of sleeps, so that two looks at `sleeping` can tell whether anyone was up between.
    pub(super) awakenings: AtomicU64,
    /// One sleeper looks after the others from time to time while they work (see `Worker::sleep`).
    pub(super) sentinel: AtomicBool,
    /// Whoever rises while this is set stops there until it is not (see `freeze`).
    frozen: AtomicBool,
}

impl Crew {
    pub(super) fn new() -> Crew {
        Crew {
            sleeping: AtomicUsize::new(0),
            searching: AtomicUsize::new(0),
            awakenings: AtomicU64::new(0),
            sentinel: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
        }
    }

    /// The worker's half of the protocol: publishes that it sleeps. Afterwards the worker looks for
    /// work once more, and calls [`rise`](Crew::rise) if there is some, or when it has slept.
    pub(super) fn lie_down(&self, status: &AtomicU32) {
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        status.store(SLEEPING, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The worker is awake again, by itself or because it was woken.
    pub(super) fn rise(&self, status: &AtomicU32) {
        if status.swap(AWAKE, Ordering::SeqCst) == SLEEPING {
            self.risen();
        }
    }

    /// The giver's half: wakes the worker if it sleeps; the caller then notifies its reactor.
    pub(super) fn wake(&self, status: &AtomicU32) -> bool {
        fence(Ordering::SeqCst);
        if status.load(Ordering::Relaxed) == SLEEPING
            && status.compare_exchange(SLEEPING, AWAKE, Ordering::SeqCst, Ordering::Relaxed).is_ok()
        {
            self.risen();
            true
        } else {
            false
        }
    }

    /// Stops every worker that rises from now on. A worker whose status is found `SLEEPING` after this
    /// runs nothing until [`thaw`](Crew::thaw).
    ///
    /// The mirror image of sleeping: set the flag, then read the status here; change the status, then
    /// read the flag in [`wait_while_frozen`](Crew::wait_while_frozen).
    pub(super) fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
        model_fence();
    }

    pub(super) fn thaw(&self) {
        self.frozen.store(false, Ordering::SeqCst);
    }

    /// Called by a worker after it has risen, and before it touches what it runs.
    pub(super) fn wait_while_frozen(&self) {
        model_fence();
        // Ends: either a few loads later, or the process is about to be aborted.
        while self.frozen.load(Ordering::SeqCst) {
            yield_thread();
        }
    }

    fn risen(&self) {
        self.awakenings.fetch_add(1, Ordering::SeqCst);
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    /// One giver, one worker that sleeps when it sees nothing: the item is never left with a sleeper
    /// that nobody has woken.
    #[test]
    fn loom_no_wake_up_is_lost() {
        loom::model(|| {
            let crew = Arc::new(Crew::new());
            let status = Arc::new(AtomicU32::new(AWAKE));
            let work = Arc::new(AtomicBool::new(false));
            let giver = {
                let (crew, status, work) = (crew.clone(), status.clone(), work.clone());
                loom::thread::spawn(move || {
                    work.store(true, Ordering::SeqCst);
                    crew.wake(&status)
                })
            };
            crew.lie_down(&status);
            let seen = work.load(Ordering::SeqCst);
            let woken = giver.join().unwrap();
            assert!(seen || woken, "the worker would sleep although there is work");
            crew.rise(&status);
            assert_eq!(crew.sleeping.load(Ordering::SeqCst), 0);
        });
    }

    /// Two givers wake one sleeper: exactly one of them notifies, and the count comes out right.
    #[test]
    fn loom_one_sleeper_is_woken_once() {
        loom::model(|| {
            let crew = Arc::new(Crew::new());
            let status = Arc::new(AtomicU32::new(AWAKE));
            crew.lie_down(&status);
            let givers: Vec<_> = (0..2)
                .map(|_| {
                    let (crew, status) = (crew.clone(), status.clone());
                    loom::thread::spawn(move || crew.wake(&status))
                })
                .collect();
            let woken = givers.into_iter().filter(|_| true).map(|g| g.join().unwrap());
            assert_eq!(woken.filter(|&w| w).count(), 1);
            assert_eq!(crew.sleeping.load(Ordering::SeqCst), 0);
        });
    }

    /// A giver wakes a sleeper while somebody freezes the crew: whoever was found asleep after freezing
    /// does not get to what it runs.
    #[test]
    fn loom_nobody_found_asleep_runs_while_frozen() {
        loom::model(|| {
            let crew = Arc::new(Crew::new());
            let status = Arc::new(AtomicU32::new(AWAKE));
            let stopped = Arc::new(AtomicBool::new(false));
            crew.lie_down(&status);
            let giver = {
                let (crew, status) = (crew.clone(), status.clone());
                loom::thread::spawn(move || crew.wake(&status))
            };
            let reporter = {
                let (crew, status, stopped) = (crew.clone(), status.clone(), stopped.clone());
                loom::thread::spawn(move || {
                    crew.freeze();
                    if status.load(Ordering::SeqCst) == SLEEPING {
                        stopped.store(true, Ordering::SeqCst);
                        // The walk would be here.
                        stopped.store(false, Ordering::SeqCst);
                    }
                    crew.thaw();
                })
            };
            crew.rise(&status);
            crew.wait_while_frozen();
            assert!(!stopped.load(Ordering::SeqCst), "it runs during the walk");
            giver.join().unwrap();
            reporter.join().unwrap();
        });
    }
}
