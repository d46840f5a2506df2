//! Simulated runs as users see them: options, the seed of a failure, and what is done about a run that
//! does not end.
//!
//! The invariant is the promise to the user: with the same program, options and seed, a run takes the
//! same course.

use std::sync::Arc;

use crate::instrument::Instrument;
use crate::sched::Scheduling;
use crate::task::Cx;
use crate::testing::MockClock;
use crate::util::choices::Afterwards;

use super::network::NetworkOptions;
use super::session::{Plan, Report, Session};

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
///   it. It may do so in a real runtime, too. After ten seconds of real time a line on standard error
///   names the task that keeps the thread.
/// * [`net`](crate::net) works on a simulated [`network`](super::network). Descriptors of the system cannot
///   be waited for: operations on them fail with `Unsupported`.
/// * [Signals](crate::signal) come from the test, by [`raise`](super::raise), and never from the system.
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
    pub(super) workers: usize,
    pub(super) clock: Option<MockClock>,
    seed: u64,
    pub(super) steps_max: u64,
    pub(super) preempt_one_in: usize,
    pub(super) delay_one_in: usize,
    pub(super) stack_bytes: Option<usize>,
    pub(super) network: NetworkOptions,
    pub(super) instruments: Vec<Arc<dyn Instrument>>,
    strategy: Option<Strategy>,
    /// `None` where nobody has said.
    pub(super) preemptions_max: Option<usize>,
    pub(super) is_reduced: bool,
    pub(super) runs_max: u64,
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
            network: NetworkOptions::new(),
            instruments: Vec::new(),
            strategy: None,
            preemptions_max: None,
            is_reduced: false,
            runs_max: 1_000_000,
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

    /// Stops a task at one of so many checkpoints, in favour of other workers or of other tasks of its
    /// worker; 4 if not set. Zero never stops one.
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

    /// How the network behaves; nothing goes wrong there if this is not called. See
    /// [`network`](super::network).
    pub fn network(mut self, options: NetworkOptions) -> Builder {
        self.network = options;
        self
    }

    /// Adds an instrument, which hears of everything from the start of a run. All runs of an exploration
    /// have the same ones: `before_run` tells that the next begins.
    ///
    /// It hears of the same events in the same order whenever a run is repeated.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::instrument::TaskTree;
    /// use std::sync::Arc;
    ///
    /// let tree = Arc::new(TaskTree::new());
    /// conbrio::testing::Builder::new().instrument(tree.clone()).run(|_| {
    ///     assert_eq!(tree.to_string(), "'main' runs, on worker 0\n");
    /// });
    /// assert_eq!(tree.to_string(), "");
    /// ```
    pub fn instrument(mut self, instrument: Arc<dyn Instrument>) -> Builder {
        self.instruments.push(instrument);
        self
    }

    /// How an exploration draws what is left open: see [`Strategy`]. [`run`](Builder::run) draws by chance
    /// alone unless this was called.
    pub fn strategy(mut self, strategy: Strategy) -> Builder {
        self.strategy = Some(strategy);
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
        let plan = self.plan(seed, Strategy::Random);
        let variable = plan.what.clone();
        let course = Session::new(&self).run(&self, plan, Report::Usual, main);
        match course.outcome {
            Ok(value) => value,
            Err(failure) => {
                eprintln!(
                    "conbrio: this run was drawn from seed {seed}; to see it again:\n  {}",
                    replay(&variable)
                );
                failure.go_on()
            }
        }
    }

    /// The run that is drawn from `seed`.
    pub(super) fn plan(&self, seed: u64, default: Strategy) -> Plan {
        let by_workers = (Scheduling::Workers, Afterwards::Seed(seed));
        let by_tasks = |falls| (Scheduling::Tasks, Afterwards::Priorities { seed, falls });
        let (scheduling, afterwards) = match self.strategy.unwrap_or(default) {
            Strategy::Random => by_workers,
            Strategy::Priorities { depth } => by_tasks(depth.saturating_sub(1)),
            Strategy::Mixed if seed.is_multiple_of(2) => by_workers,
            // Most bugs need few moments; each depth has its share of the seeds.
            Strategy::Mixed => by_tasks((seed / 2 % MIXED_DEPTHS) as usize),
        };
        Plan { what: format!("CONBRIO_SEED={seed}"), scheduling, list: Vec::new(), afterwards }
    }
}

/// How the runs of an exploration are drawn.
///
/// # Examples
///
/// ```
/// use conbrio::testing::{Builder, Strategy};
///
/// Builder::new().strategy(Strategy::Priorities { depth: 2 }).explore(0..50, |cx| {
///     cx.yield_now().unwrap();
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Each decision is drawn by chance, on virtual workers like the real ones: also where children are
    /// placed, and who takes them.
    Random,
    /// Each task has a priority drawn by chance, and the highest one that can run does; at `depth - 1`
    /// moments of the run, drawn by chance, the highest falls below all others. There is one virtual
    /// worker, and each checkpoint may stop a task.
    ///
    /// It finds quickly what needs a certain order of `depth` moments in a long run: the chance does not
    /// shrink with the number of all orders, as it does for [`Random`](Strategy::Random). From Burckhardt
    /// and others, "A randomized scheduler with probabilistic guarantees of finding bugs" (ASPLOS 2010).
    Priorities {
        /// One for each ordering that the bug needs: 1 for "b before a", 2 for an atomicity that is broken.
        depth: usize,
    },
    /// Even seeds by chance, odd ones by priorities of the depths 1 to 4: what an exploration does unless
    /// it is told otherwise.
    Mixed,
}

/// How many depths [`Strategy::Mixed`] tries.
const MIXED_DEPTHS: u64 = 4;

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
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

/// A command that runs the current test with this variable.
pub(super) fn replay(variable: &str) -> String {
    match std::thread::current().name() {
        // The test harness names its threads after the tests.
        Some(test) if test != "main" => format!("{variable} cargo test -- --exact {test}"),
        _ => format!("{variable}, with the same command"),
    }
}
