//! A clock of the user that many runtimes use, one after the other.
//!
//! A clock keeps what it is to call for every runtime that it was given to, and calls it at every jump. So
//! the runs of one exploration share one place there: the latest runtime is the one that hears.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::{Clock, Idle};

use super::mock_clock::MockClock;

/// See the module's documentation.
#[derive(Clone)]
pub(super) struct SharedClock {
    clock: MockClock,
    listener: Arc<Mutex<Option<Listener>>>,
}

type Listener = Arc<dyn Fn() + Send + Sync>;

impl SharedClock {
    pub(super) fn new(clock: MockClock) -> SharedClock {
        let listener: Arc<Mutex<Option<Listener>>> = Arc::default();
        let current = Arc::clone(&listener);
        clock.on_change(Arc::new(move || {
            let listener = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(listener) = listener {
                listener();
            }
        }));
        SharedClock { clock, listener }
    }
}

impl Clock for SharedClock {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn real_time_until(&self, deadline: Instant) -> Duration {
        self.clock.real_time_until(deadline)
    }

    fn on_idle(&self, next: Option<Instant>, idle: Duration) -> Idle {
        self.clock.on_idle(next, idle)
    }

    fn on_change(&self, changed: Listener) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(changed);
    }

    fn is_virtual(&self) -> bool {
        self.clock.is_virtual()
    }
}

impl std::fmt::Debug for SharedClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.clock.fmt(f)
    }
}
