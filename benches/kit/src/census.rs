//! Counts the yields of many tasks between two moments, whatever order they run in.
//!
//! The work of all systems uses it, so that they count the same thing: not the spawning, not the first
//! touch of the stacks, only yields.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const WARMING: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// Relaxed throughout: the tasks of these questions share one thread, or are joined before the count is read.
#[derive(Debug, Default)]
pub struct Census {
    phase: AtomicU8,
    started: AtomicUsize,
    yields: AtomicU64,
}

/// What one task has counted.
#[derive(Debug, Default)]
pub struct Tally(u64);

impl Census {
    /// A task says that it runs.
    pub fn enter(&self) -> Tally {
        self.started.fetch_add(1, Ordering::Relaxed);
        Tally(0)
    }

    /// How many tasks run.
    pub fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    /// Before each yield of a task; false when the count is over.
    #[inline]
    pub fn goes_on(&self, tally: &mut Tally) -> bool {
        match self.phase.load(Ordering::Relaxed) {
            WARMING => true,
            COUNTING => {
                tally.0 += 1;
                true
            }
            _ => false,
        }
    }

    /// A task ends.
    pub fn leave(&self, tally: Tally) {
        self.yields.fetch_add(tally.0, Ordering::Relaxed);
    }

    /// Begins the count.
    pub fn begin(&self) -> Instant {
        self.phase.store(COUNTING, Ordering::Relaxed);
        Instant::now()
    }

    /// Ends the count that began at `begun` and says how long it took.
    pub fn end(&self, begun: Instant) -> Duration {
        let elapsed = begun.elapsed();
        self.phase.store(OVER, Ordering::Relaxed);
        elapsed
    }

    /// After the last task has left.
    pub fn ns_per_yield(&self, elapsed: Duration) -> f64 {
        elapsed.as_nanos() as f64 / self.yields.load(Ordering::Relaxed) as f64
    }
}
