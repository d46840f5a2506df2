//! A clock that moves when the test says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::{Clock, Idle};
use crate::util::footprint;

/// A clock for tests: it stands still until it is told to jump, to run at some rate, or to jump on its
/// own whenever every task waits.
///
/// Clones are handles to the same clock. Give one to [`Builder::clock`](crate::Builder::clock) and keep
/// another.
///
/// # Examples
///
/// ```
/// use conbrio::testing::MockClock;
/// use std::time::{Duration, Instant};
///
/// // A week passes in no time.
/// let clock = MockClock::new().autojump(Duration::ZERO);
/// let start = Instant::now();
/// conbrio::Builder::new()
///     .clock(clock.clone())
///     .run(|cx| cx.sleep(Duration::from_secs(7 * 24 * 3600)))?
///     .unwrap();
/// assert_eq!(clock.elapsed(), Duration::from_secs(7 * 24 * 3600));
/// assert!(start.elapsed() < Duration::from_secs(3600));
/// # Ok::<(), conbrio::RuntimeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MockClock {
    state: Arc<Mutex<State>>,
}

struct State {
    origin: Instant,
    /// Virtual time passed at `real`.
    elapsed: Duration,
    real: Instant,
    /// Virtual seconds per real second.
    rate: f64,
    autojump: Option<Duration>,
    listeners: Vec<Arc<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("elapsed", &self.elapsed_at(Instant::now()))
            .field("rate", &self.rate)
            .field("autojump", &self.autojump)
            .finish_non_exhaustive()
    }
}

impl State {
    fn elapsed_at(&self, real: Instant) -> Duration {
        if self.rate == 0.0 {
            return self.elapsed;
        }
        let real = real.saturating_duration_since(self.real);
        self.elapsed.saturating_add(scaled(real, self.rate))
    }

    fn settle_at(&mut self, real: Instant) {
        self.elapsed = self.elapsed_at(real);
        self.real = real;
    }
}

/// `duration` × `factor`, at most the longest duration there is.
fn scaled(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

impl MockClock {
    /// A clock that stands still.
    #[must_use]
    pub fn new() -> MockClock {
        let now = Instant::now();
        MockClock {
            state: Arc::new(Mutex::new(State {
                origin: now,
                elapsed: Duration::ZERO,
                real: now,
                rate: 0.0,
                autojump: None,
                listeners: Vec::new(),
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and tells the runtimes that use the clock.
    fn change(&self, change: impl FnOnce(&mut State)) {
        footprint::touch_everything();
        let mut state = self.lock();
        change(&mut state);
        let listeners = state.listeners.clone();
        drop(state);
        for listener in listeners {
            listener();
        }
    }

    /// Makes time pass at `rate` virtual seconds per real second; zero stops it.
    ///
    /// # Panics
    ///
    /// If `rate` is negative or not finite.
    #[track_caller]
    pub fn set_rate(&self, rate: f64) {
        assert!(rate >= 0.0 && rate.is_finite(), "a clock cannot run at a rate of {rate}");
        self.change(|state| {
            state.settle_at(Instant::now());
            state.rate = rate;
        });
    }

    /// As [`set_rate`](MockClock::set_rate), for a new clock.
    ///
    /// # Panics
    ///
    /// If `rate` is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn rate(self, rate: f64) -> MockClock {
        self.set_rate(rate);
        self
    }

    /// Makes the clock jump to the next deadline whenever no task has been able to run for `threshold`
    /// of real time, or never.
    ///
    /// A closure in [`Cx::blocking`](crate::Cx::blocking) counts as running. Data on its way between
    /// sockets does not: with several workers, or with I/O, use a threshold of some milliseconds.
    pub fn set_autojump(&self, threshold: Option<Duration>) {
        self.change(|state| state.autojump = threshold);
    }

    /// As [`set_autojump`](MockClock::set_autojump), for a new clock.
    #[must_use]
    pub fn autojump(self, threshold: Duration) -> MockClock {
        self.set_autojump(Some(threshold));
        self
    }

    /// Moves the clock forward. Deadlines that it passes fire.
    pub fn jump(&self, by: Duration) {
        self.change(|state| state.elapsed = state.elapsed.saturating_add(by));
    }

    /// How much virtual time has passed since the clock was made.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.lock().elapsed_at(Instant::now())
    }
}

impl Default for MockClock {
    fn default() -> MockClock {
        MockClock::new()
    }
}

impl Clock for MockClock {
    fn now(&self) -> Instant {
        let state = self.lock();
        let elapsed = state.elapsed_at(Instant::now());
        // The platform cannot represent every sum; a clock that far ahead stands still.
        state.origin.checked_add(elapsed).unwrap_or(state.origin)
    }

    fn real_time_until(&self, deadline: Instant) -> Duration {
        let ahead = deadline.saturating_duration_since(self.now());
        let rate = self.lock().rate;
        if ahead.is_zero() {
            Duration::ZERO
        } else if rate == 0.0 {
            Duration::MAX
        } else {
            scaled(ahead, 1.0 / rate)
        }
    }

    fn on_idle(&self, next: Option<Instant>, idle: Duration) -> Idle {
        let state = self.lock();
        let (Some(threshold), Some(next)) = (state.autojump, next) else {
            return Idle::Sleep;
        };
        if idle < threshold {
            return Idle::AskAgainAfter(threshold);
        }
        drop(state);
        let ahead = next.saturating_duration_since(self.now());
        self.jump(ahead);
        Idle::Jumped
    }

    fn on_change(&self, changed: Arc<dyn Fn() + Send + Sync>) {
        self.lock().listeners.push(changed);
    }

    fn is_virtual(&self) -> bool {
        true
    }
}
