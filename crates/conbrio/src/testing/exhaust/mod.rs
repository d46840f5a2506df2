//! All runs of a small program, up to a number of preemptions, or up to the order of steps that have nothing
//! to do with each other.
//!
//! Both searches replay a run up to some decision, take another possibility there, and ordinary choices from
//! then on. They differ in which run comes next: see `bounded.rs` and `reduced.rs`.
//!
//! They are not joined. Together with a bound a reduction loses runs that are within it, unless it adds some
//! for the sake of the bound alone (Coons, Musuvathi and McKinley, "Bounded partial-order reduction", OOPSLA
//! 2013); and of what those need, that a task which could go on is all that makes a switch dear, `yield_now`
//! is an exception here.

mod bounded;
mod reduced;

use std::fmt;

use crate::sched::{Scheduling, Turn};
use crate::task::Cx;
use crate::util::choices::Choice;

use super::builder::Builder;
use super::course::{from_environment, plan_of};
use super::explore::Search;
use super::progress::Progress;
use super::session::{Course, Report};

use bounded::Bounded;
use reduced::Reduced;

/// Runs `main` in all ways that need up to `preemptions` preemptions. See [`Builder::exhaust`].
///
/// # Panics
///
/// As [`Builder::exhaust`].
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// let proof = conbrio::testing::exhaust(usize::MAX, |cx| {
///     let counter = AtomicU32::new(0);
///     cx.nursery(|_, n| -> Result<(), Cancelled> {
///         for _ in 0..3 {
///             n.spawn(|cx| {
///                 cx.checkpoint()?;
///                 counter.fetch_add(1, Relaxed);
///                 Ok(())
///             });
///         }
///         Ok(())
///     })
///     .unwrap();
///     assert_eq!(counter.into_inner(), 3);
/// });
/// assert!(proof.complete());
/// ```
#[track_caller]
pub fn exhaust(preemptions: usize, main: impl Fn(&mut Cx)) -> Exhausted {
    Builder::new().preemptions_max(preemptions).exhaust(main)
}

/// What an [`exhaust`] has proved: that none of these runs fails.
#[derive(Clone, Debug, Default)]
#[must_use = "whether all runs were made is for the caller to look at"]
pub struct Exhausted {
    runs: u64,
    steps: u64,
    longest: usize,
    by_preemptions: Vec<u64>,
    cut: u64,
    too_many: u64,
    /// How many runs were another one once more, but for the order of steps that share nothing.
    repeated: u64,
    is_reduced: bool,
    /// `CONBRIO_CHOICES` asked for one run.
    is_replay: bool,
}

impl Exhausted {
    /// How many runs there were. No two were the same.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// How many steps all runs took together.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How many decisions the longest run took.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// How many runs needed no preemption, one, two, and so on.
    #[must_use]
    pub fn by_preemptions(&self) -> &[u64] {
        &self.by_preemptions
    }

    /// How many of the runs differ from an earlier one in the order of steps that share nothing:
    /// [`partial_order_reduction`](Builder::partial_order_reduction) does not know beforehand of all of them.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// How many possibilities were left out because they would have been one preemption too many.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// Whether these were all runs that the program has, whatever the number of preemptions, or
    /// [stand for all](Builder::partial_order_reduction). (Never if `CONBRIO_CHOICES` asked for a single
    /// one.)
    #[must_use]
    pub fn complete(&self) -> bool {
        self.cut == 0 && self.too_many == 0 && !self.is_replay
    }

    fn add(&mut self, course: &Course<()>, departures: usize) {
        self.runs += 1;
        self.steps += course.steps;
        self.longest = self.longest.max(course.choices.len());
        if self.by_preemptions.len() <= departures {
            self.by_preemptions.resize(departures + 1, 0);
        }
        self.by_preemptions[departures] += 1;
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_replay {
            return write!(f, "one run of {} decisions, as CONBRIO_CHOICES says", self.longest);
        }
        write!(f, "{} runs of up to {} decisions, ", self.runs, self.longest)?;
        match (self.cut, self.too_many) {
            (0, 0) if self.is_reduced => {
                let different = self.runs - self.repeated;
                write!(
                    f,
                    "of which {different} stand for all: others differ in the order of steps that \
                           share nothing"
                )
            }
            (0, 0) => write!(f, "which are all"),
            (cut, 0) => write!(f, "all with this bound, which left out {cut} possibilities"),
            (cut, many) => write!(
                f,
                "not all: the bound left out {cut} possibilities, and {many} decisions had more than \
                 {AMONG_MAX} possibilities, of which only the first was taken"
            ),
        }?;
        write!(f, "; by preemptions: {:?}", self.by_preemptions)
    }
}

impl Builder {
    /// How many preemptions, or other departures from the ordinary, a run of [`exhaust`](Builder::exhaust)
    /// may have; 2 if not set, which finds most bugs. `usize::MAX` for no bound.
    pub fn preemptions_max(mut self, preemptions: usize) -> Builder {
        self.preemptions_max = Some(preemptions);
        self
    }

    /// Lets [`exhaust`](Builder::exhaust) leave out runs that differ from another one only in the order of
    /// steps that have nothing to do with each other. There is no bound on preemptions then.
    ///
    /// What tasks share through this crate is seen: nurseries, scopes, channels, [`sync`](crate::sync), and
    /// everything that is built on [`ParkingLot`](crate::lowlevel::ParkingLot). **Of other memory that tasks
    /// share you have to tell**, by [`touch`](super::touch): of an atomic, a lock of `std`, a cell. If you do
    /// not, the proof is none: runs that differ in the order of such accesses may be left out.
    ///
    /// The more the tasks share, the less is left out. A step that cancels, sets a deadline, polls a future,
    /// calls [`blocking`](Cx::blocking), or draws something from the seed counts as one that shares all with
    /// every other; so does each step after the first one that does I/O. What tells tasks apart without
    /// being shared, such as the ids of tasks or what an [instrument](Builder::instrument) sees, is not
    /// looked at.
    ///
    /// # Panics
    ///
    /// `exhaust` panics if [`preemptions_max`](Builder::preemptions_max) sets a bound as well.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use conbrio::channel;
    /// use conbrio::testing::Builder;
    ///
    /// let proof = Builder::new().partial_order_reduction().exhaust(|cx| {
    ///     cx.nursery(|_, n| -> Result<(), Cancelled> {
    ///         for _ in 0..3 {
    ///             let (tx, rx) = channel::bounded(1);
    ///             n.spawn(move |cx| Ok(tx.send(cx, 1).unwrap()));
    ///             n.spawn(move |cx| Ok(assert_eq!(rx.recv(cx).unwrap(), 1)));
    ///         }
    ///         Ok(())
    ///     })
    ///     .unwrap();
    /// });
    /// // Six tasks; but only the two at a channel can tell who was first.
    /// assert!(proof.complete());
    /// assert_eq!(proof.runs() - proof.repeated(), 8);
    /// ```
    pub fn partial_order_reduction(mut self) -> Builder {
        self.is_reduced = true;
        self
    }

    /// How many runs [`exhaust`](Builder::exhaust) may make before it gives up; a million if not set.
    pub fn runs_max(mut self, runs: u64) -> Builder {
        self.runs_max = runs;
        self
    }

    /// Runs `main` in all ways it can go, up to a number of preemptions: a proof for a small program, where
    /// [`explore`](Builder::explore) only samples.
    ///
    /// There is one virtual worker, and any task may be stopped at any checkpoint in favour of any other
    /// that can run: that is every order in which the tasks of any number of workers can take their steps.
    /// A *preemption* is a task that is stopped although it could go on, or one that goes on after
    /// [`Cx::yield_now`] before the others had their turn. Which task comes next when one waits or ends is
    /// free, and every possibility is tried. Other decisions that a run leaves open (a
    /// [delay](Builder::delay_one_in), what a simulated network does) count like preemptions unless they
    /// are the ordinary ones.
    ///
    /// When a run fails, the failure is made simpler and shown as by `explore`. Runs with fewer preemptions
    /// come first, so it has as few as it can.
    ///
    /// The number of runs grows fast: five tasks with two steps each have 113 400 of them without a bound.
    /// Make the program small, and the bound low; or let
    /// [`partial_order_reduction`](Builder::partial_order_reduction) find out which orders matter.
    ///
    /// # What is proved
    ///
    /// Code between two checkpoints runs as a whole, so what threads can do to each other in between, with
    /// atomics say, is not tried: that is for loom. Time passes only when no task can run, so a timeout does
    /// not fire while a task is merely slow, unless [`delay_one_in`](Builder::delay_one_in) is set.
    /// Otherwise, if [`complete`](Exhausted::complete) says so, no order of the tasks makes the program
    /// fail.
    ///
    /// # Panics
    ///
    /// As the run that failed; when the limit of runs is reached; when the program does not do the same
    /// with the same choices; and as [`run`](Builder::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use conbrio::testing::Builder;
    ///
    /// let proof = Builder::new().preemptions_max(1).exhaust(|cx| {
    ///     cx.nursery(|_, n| -> Result<(), Cancelled> {
    ///         for _ in 0..2 {
    ///             n.spawn(|cx| {
    ///                 cx.checkpoint()?;
    ///                 cx.checkpoint()
    ///             });
    ///         }
    ///         Ok(())
    ///     })
    ///     .unwrap();
    /// });
    /// // Two orders without a preemption; with one there are four more.
    /// assert_eq!(proof.by_preemptions(), [2, 4]);
    /// assert!(!proof.complete());
    /// ```
    #[track_caller]
    pub fn exhaust(self, main: impl Fn(&mut Cx)) -> Exhausted {
        let mut tree: Box<dyn Tree> = match (self.is_reduced, self.preemptions_max) {
            (false, bound) => {
                Box::new(Bounded::new(bound.unwrap_or(PREEMPTIONS_MAX), self.runs_max))
            }
            (true, None | Some(usize::MAX)) => Box::<Reduced>::default(),
            (true, Some(bound)) => panic!(
                "exhaust: `partial_order_reduction` with `preemptions_max({bound})` would leave out runs that \
                 are within the bound: set one of the two"
            ),
        };
        let mut search = Search::new(&self, &main);
        let mut seen = Exhausted { is_reduced: self.is_reduced, ..Exhausted::default() };
        if let Some(plan) = from_environment() {
            let course = search.replay(&plan);
            seen.add(&course, course.departures());
            return Exhausted { is_replay: true, ..seen };
        }
        let report = if self.is_reduced { Report::Turns } else { Report::Usual };
        let mut progress = Progress::new();
        loop {
            let plan = plan_of(Scheduling::Tasks, tree.list());
            let course = search.session.run(&self, plan, report, &main);
            let departures = course.departures();
            if course.outcome.is_err() {
                progress.end();
                let run = seen.runs + 1;
                eprintln!("conbrio: exhaust: run {run} fails; preemptions in it: {departures}");
                search.fail(Scheduling::Tasks, course);
            }
            seen.add(&course, departures);
            let mut turns = search.session.take_turns();
            if let Err(difference) = tree.take_in(&course.choices, &mut turns, &mut seen) {
                panic!(
                    "exhaust: this program depends on something that is not simulated, such as real time, \
                     another thread, the order in a hash map, or what the run before has left behind: with \
                     the same choices, {difference}"
                );
            }
            let goes_on = tree.advance();
            if if goes_on { seen.runs >= self.runs_max } else { tree.forgotten() > 0 } {
                panic!(
                    "exhaust: the limit of {} runs is reached, and there are more (so far: {:?} by their \
                     number of preemptions): make the program smaller, or set fewer `preemptions_max` or \
                     more `runs_max`; `explore` takes samples of programs that are too large for this",
                    self.runs_max, seen.by_preemptions
                );
            }
            if !goes_on {
                return seen;
            }
            progress.tick(|| {
                let runs = seen.runs;
                format!("exhaust: {runs} runs, the last one with preemptions: {departures}")
            });
        }
    }
}

/// Which run comes next.
trait Tree {
    /// The choices of the next run.
    fn list(&self) -> Vec<u32>;

    /// Takes in what was decided in the run, which `seen` counts already. `Err` with the difference if that
    /// is not what was asked for.
    fn take_in(
        &mut self,
        choices: &[Choice],
        turns: &mut [Turn],
        seen: &mut Exhausted,
    ) -> Result<(), String>;

    /// Finds the next run. `false` if there is none.
    fn advance(&mut self) -> bool;

    /// How many parts of the search were given up, because there would be more runs than there may be.
    fn forgotten(&self) -> u64 {
        0
    }
}

/// How many preemptions a run may have if nobody says so.
const PREEMPTIONS_MAX: usize = 2;

/// Of decisions with more possibilities only the first is taken, and the search is not complete.
const AMONG_MAX: u32 = 1_000;
