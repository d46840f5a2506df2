//! Simulated runs as users see them: options, the seed of a failure, and what is done about a run that
//! does not end.
//!
//! The invariant is the promise to the user: with the same program, options and seed, a run takes the
//! same course.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::run::Builder as RuntimeBuilder;
use crate::sched::{OnStuck, Simulation, Stuck};
use crate::scope::CancelHandle;
use crate::task::Cx;
use crate::testing::MockClock;
use crate::util::choices::Choices;

/// Runs `main` in a simulated runtime and returns its value. See [`Builder`] for what that means.
///
/// # Panics
///
/// As [`Builder::run`].
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use std::time::Duration;
///
/// // In a `#[test]` this takes no time, and takes the same course every time.
/// conbrio::testing::run(|cx| {
///     let answer = cx.move_on_after(Duration::from_secs(3600), |cx| cx.sleep_forever());
///     assert!(matches!(answer, Ok(None)));
/// });
/// ```
#[track_caller]
pub fn run<R>(main: impl FnOnce(&mut Cx) -> R) -> R {
    Builder::new().run(main)
}

/// The options of a simulated runtime.
///
/// A simulated runtime runs everything on the calling thread, with virtual workers and a virtual clock
/// that jumps to the next deadline when nothing can run. Which worker goes on, which task it takes, where
/// a worker is stopped in favour of the others (at any checkpoint), where children start: everything that
/// is left open is drawn from one seed. So a failure that depends on the order comes again with its seed,
/// and another seed is another order.
///
/// When a run fails, its seed is printed with a line that replays it. The variable `CONBRIO_SEED` takes
/// the place of the seed in the program.
///
/// # What is simulated, and what is not
///
/// * [`Cx::blocking`] runs its closure on the one thread; it must not wait for another task.
/// * Threads that the program starts itself run as they like: what they do is not drawn from the seed, and
///   while every task waits for one of them the run counts as a deadlock.
/// * A lock of `std` that is held across a call that takes `cx` stops everything if another task asks for
///   it. It may do so in a real runtime, too.
/// * I/O on descriptors of the system is not simulated.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// // Two tasks that read, wait, and write: with some seed an update is lost.
/// let count = |seed: u64| {
///     conbrio::testing::Builder::new().seed(seed).run(|cx| {
///         let counter = AtomicU32::new(0);
///         cx.nursery(|_, n| -> Result<(), Cancelled> {
///             for _ in 0..2 {
///                 n.spawn(|cx| {
///                     let seen = counter.load(Relaxed);
///                     cx.checkpoint()?;
///                     counter.store(seen + 1, Relaxed);
///                     Ok(())
///                 });
///             }
///             Ok(())
///         })
///         .unwrap();
///         counter.into_inner()
///     })
/// };
/// assert!((0..100).any(|seed| count(seed) == 1));
/// assert!((0..100).any(|seed| count(seed) == 2));
/// assert_eq!(count(7), count(7));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a simulation begins when `run` is called"]
pub struct Builder {
    workers: usize,
    clock: Option<MockClock>,
    seed: u64,
    steps_max: u64,
    preempt_one_in: usize,
    delay_one_in: usize,
    stack_bytes: Option<usize>,
}

impl Builder {
    /// Two virtual workers, seed 0, a clock that jumps when nothing can run, a million steps at most.
    pub fn new() -> Builder {
        Builder {
            workers: 2,
            clock: None,
            seed: 0,
            steps_max: 1_000_000,
            preempt_one_in: 4,
            delay_one_in: 0,
            stack_bytes: None,
        }
    }

    /// How many virtual workers there are.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn workers(mut self, workers: usize) -> Builder {
        assert!(workers > 0, "a runtime has at least one worker: `Builder::workers(0)` makes none");
        self.workers = workers;
        self
    }

    /// Draws everything that is left open from `seed`. `CONBRIO_SEED` takes its place.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = seed;
        self
    }

    /// The clock, which must not run by itself: time passes by its jumps.
    pub fn clock(mut self, clock: MockClock) -> Builder {
        self.clock = Some(clock);
        self
    }

    /// How many steps a run may take, which are turns of tasks, before it is cancelled and fails.
    pub fn steps_max(mut self, steps: u64) -> Builder {
        self.steps_max = steps;
        self
    }

    /// Stops a worker at one of so many checkpoints, in favour of the other workers; 4 if not set. Zero
    /// never stops one.
    pub fn preempt_one_in(mut self, checkpoints: usize) -> Builder {
        self.preempt_one_in = checkpoints;
        self
    }

    /// Lets time jump to the next deadline before one of so many steps although tasks could run, as if they
    /// were slow. Zero, which is the default, never does, so that a sleep takes exactly its time.
    pub fn delay_one_in(mut self, steps: usize) -> Builder {
        self.delay_one_in = steps;
        self
    }

    /// The stack size of tasks in bytes. See [`Builder::stack_size`](crate::Builder::stack_size).
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_bytes = Some(bytes);
        self
    }

    /// Runs `main`, and returns its value.
    ///
    /// # Panics
    ///
    /// A panic of `main` goes on in the caller, after the seed was printed. If nothing can ever run again,
    /// or the limit of steps is reached, the main task is cancelled, and when it has ended this panics with
    /// a list of all tasks and what each was waiting for. (A program that does not end then either aborts
    /// the process.) Also if it is called inside a task, or the system refuses what a runtime needs.
    #[track_caller]
    pub fn run<R>(self, main: impl FnOnce(&mut Cx) -> R) -> R {
        let seed = seed_from_environment().unwrap_or(self.seed);
        let course = self.attempt(Arc::new(Choices::seeded(seed)), main);
        match course.outcome {
            Ok(value) => value,
            Err(failure) => {
                eprintln!(
                    "conbrio: this run was drawn from seed {seed}; to see it again:\n  {}",
                    replay(seed)
                );
                failure.go_on()
            }
        }
    }

    /// One run with these choices.
    #[track_caller]
    pub(super) fn attempt<R>(
        &self,
        choices: Arc<Choices>,
        main: impl FnOnce(&mut Cx) -> R,
    ) -> Course<R> {
        let clock = match &self.clock {
            Some(clock) => clock.clone(),
            None => MockClock::new().autojump(Duration::ZERO),
        };
        assert!(
            clock.real_time_until(clock.now() + Duration::from_nanos(1)) == Duration::MAX,
            "the clock of a simulated run must not run by itself: set its rate to 0"
        );
        let rescue = Arc::new(Rescue::default());
        let simulation = Arc::new(Simulation {
            choices,
            steps_max: self.steps_max,
            preempt_one_in: if self.workers > 1 { self.preempt_one_in } else { 0 },
            delay_one_in: self.delay_one_in,
            world: None,
            on_stuck: Box::new(Arc::clone(&rescue)),
        });
        let mut builder = RuntimeBuilder::new().workers(self.workers).clock(clock);
        if let Some(bytes) = self.stack_bytes {
            builder = builder.stack_size(bytes);
        }
        let outcome = builder.run_simulated(simulation, |cx| {
            let mut value = None;
            let rescued: Result<Option<()>, crate::Cancelled> = cx.cancel_scope(|cx, scope| {
                rescue.lock().handle = Some(scope.handle());
                value = Some(main(cx));
                Ok(())
            });
            // It was cancelled, or it was not: whatever `main` has made of it is in `value`.
            drop(rescued);
            value.expect("`main` has returned")
        });
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => panic!("conbrio::testing: {error}"),
        };
        let stuck = rescue.lock().stuck.take();
        Course {
            outcome: match (stuck, outcome) {
                (Some((why, tasks)), _) => Err(Failure::Stuck(why, tasks)),
                (None, Err(payload)) => Err(Failure::Panic(payload)),
                (None, Ok(value)) => Ok(value),
            },
        }
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

/// What became of one run.
pub(super) struct Course<R> {
    pub(super) outcome: Result<R, Failure>,
}

/// Why a run counts as failed.
pub(super) enum Failure {
    Panic(Box<dyn std::any::Any + Send>),
    Stuck(Stuck, String),
}

impl Failure {
    #[track_caller]
    pub(super) fn go_on(self) -> ! {
        match self {
            Failure::Panic(payload) => resume_unwind(payload),
            Failure::Stuck(why, tasks) => {
                panic!("{why}; the main task was cancelled; all tasks were:\n{tasks}")
            }
        }
    }
}

/// Cancels the main task of a run that does not go on, and keeps why.
#[derive(Debug, Default)]
struct Rescue(Mutex<RescueState>);

#[derive(Debug, Default)]
struct RescueState {
    handle: Option<CancelHandle>,
    stuck: Option<(Stuck, String)>,
}

impl Rescue {
    fn lock(&self) -> std::sync::MutexGuard<'_, RescueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OnStuck for Arc<Rescue> {
    fn stuck(&self, why: Stuck, tasks: String) {
        let mut state = self.lock();
        state.stuck = Some((why, tasks));
        let handle = state.handle.take();
        drop(state);
        if let Some(handle) = handle {
            handle.cancel_with(why.to_string());
        }
    }
}

/// The seed that the environment asks for.
///
/// # Panics
///
/// If the variable holds anything but a number.
#[track_caller]
pub(super) fn seed_from_environment() -> Option<u64> {
    let value = std::env::var_os("CONBRIO_SEED")?;
    match value.to_str().and_then(|text| text.trim().parse().ok()) {
        Some(seed) => Some(seed),
        None => panic!("CONBRIO_SEED is {value:?}, which is not a number below 2^64"),
    }
}

/// A command that runs the current test with this seed.
pub(super) fn replay(seed: u64) -> String {
    match std::thread::current().name() {
        // The test harness names its threads after the tests.
        Some(test) if test != "main" => format!("CONBRIO_SEED={seed} cargo test -- --exact {test}"),
        _ => format!("CONBRIO_SEED={seed}, with the same command"),
    }
}
