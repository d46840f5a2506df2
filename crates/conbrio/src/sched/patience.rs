//! For how long a worker that has nothing to do looks around before it sleeps.
//!
//! To sleep and to be woken takes tens of microseconds, a thousand times as long as what two tasks on
//! different workers often have to tell each other. A worker that sleeps too soon makes such a conversation
//! that slow; and once both sides sleep between two words, neither waits long enough for the other to wake up,
//! and it stays so. A worker that never sleeps takes a processor away. So it learns: sleeps that another worker
//! ended soon make it more patient, and the first long one makes it forget that. Linux polls for its guests by
//! the same rule (Documentation/virt/kvm/halt-polling.rst).

use std::cell::Cell;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Patience {
    now: Cell<Duration>,
}

impl Patience {
    pub(super) fn new() -> Patience {
        Patience { now: Cell::new(LEAST) }
    }

    /// Until when to look around. While operations of the system are in flight, which nobody looks at
    /// meanwhile, it is never for long.
    pub(super) fn deadline(&self, in_flight: usize) -> Instant {
        let patience = if in_flight > 0 { LEAST } else { self.now.get() };
        Instant::now() + patience
    }

    /// A sleep that began at `began` is over.
    pub(super) fn slept(&self, began: Instant, was_woken_by_a_worker: bool) {
        let was_short = was_woken_by_a_worker && began.elapsed() < MOST;
        let next = if was_short { self.now.get() * 2 } else { LEAST };
        self.now.set(next.min(MOST));
    }
}

/// Longer than it takes a worker that is awake to answer.
const LEAST: Duration = Duration::from_micros(25);
/// Longer than it takes a worker to wake up, also on a virtual machine.
const MOST: Duration = Duration::from_micros(200);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_with_short_sleeps_and_ends_with_a_long_one() {
        let patience = Patience::new();
        for _ in 0..10 {
            patience.slept(Instant::now(), true);
        }
        assert_eq!(patience.now.get(), MOST);
        assert!(patience.deadline(1) < Instant::now() + MOST, "not while I/O waits");
        patience.slept(Instant::now(), false);
        assert_eq!(patience.now.get(), LEAST);
    }
}
