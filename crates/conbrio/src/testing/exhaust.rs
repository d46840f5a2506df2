//! All runs of a small program, up to a number of preemptions.
//!
//! Stateless search (Godefroid, "Model checking for programming languages using VeriSoft", POPL 1997): a
//! run is replayed up to some decision, takes the next possibility there, and ordinary choices from then
//! on. What is bounded is not the depth but the number of departures from the ordinary, which are
//! preemptions above all, and runs with fewer of them come first (Musuvathi and Qadeer, "Iterative context
//! bounding for systematic testing of multithreaded programs", PLDI 2007). So a failure is found with as
//! few preemptions as it needs.
//!
//! Nothing is pruned beyond that. Partial-order reduction (Godefroid 1996; Flanagan and Godefroid, POPL
//! 2005) leaves out orders of steps that do not depend on each other. But steps run code that may share
//! memory the runtime does not see, so that every two of them may; and steps that run no code of the
//! program are no decisions here to begin with (see `sched/sim/tasks.rs`). Besides, together with a bound
//! the reductions lose runs that are within it (Coons, Musuvathi and McKinley, "Bounded partial-order
//! reduction", OOPSLA 2013).
//!
//! Invariant: each run is made once, namely from the longest of its beginnings that ends with a choice
//! other than the first.

use std::fmt;
use std::rc::Rc;

use crate::sched::Scheduling;
use crate::task::Cx;
use crate::util::choices::Choice;

use super::builder::Builder;
use super::course::{difference, from_environment, plan_of};
use super::explore::Search;
use super::progress::Progress;
use super::session::Report;

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
#[derive(Clone, Debug)]
#[must_use = "whether all runs were made is for the caller to look at"]
pub struct Exhausted {
    runs: u64,
    steps: u64,
    longest: usize,
    by_preemptions: Vec<u64>,
    cut: u64,
    too_many: u64,
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

    /// How many possibilities were left out because they would have been one preemption too many.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// Whether these were all runs that the program has, whatever the number of preemptions. (Never if
    /// `CONBRIO_CHOICES` asked for a single one.)
    #[must_use]
    pub fn complete(&self) -> bool {
        self.cut == 0 && self.too_many == 0 && !self.is_replay
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_replay {
            return write!(f, "one run of {} decisions, as CONBRIO_CHOICES says", self.longest);
        }
        write!(f, "{} runs of up to {} decisions, ", self.runs, self.longest)?;
        match (self.cut, self.too_many) {
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
        self.preemptions_max = preemptions;
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
    /// Make the program small, and the bound low.
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
        let mut search = Search::new(&self, &main);
        let mut tree = Tree::new(self.preemptions_max, self.runs_max);
        if let Some(plan) = from_environment() {
            let course = search.replay(&plan);
            let longest = course.choices.len();
            return Exhausted {
                runs: 1,
                steps: course.steps,
                longest,
                is_replay: true,
                ..tree.seen
            };
        }
        let mut progress = Progress::new();
        loop {
            let plan = plan_of(Scheduling::Tasks, tree.list());
            let course = search.session.run(&self, plan, Report::Usual, &main);
            if course.outcome.is_err() {
                progress.end();
                let (run, level) = (tree.seen.runs + 1, tree.level);
                eprintln!("conbrio: exhaust: run {run} fails; preemptions in it: {level}");
                search.fail(Scheduling::Tasks, course);
            }
            tree.seen.steps += course.steps;
            if let Err(difference) = tree.extend(&course.choices) {
                panic!(
                    "exhaust: this program depends on something that is not simulated, such as real time, \
                     another thread, the order in a hash map, or what the run before has left behind: with \
                     the same choices, {difference}"
                );
            }
            let goes_on = tree.advance();
            let is_limited =
                if goes_on { tree.seen.runs >= self.runs_max } else { tree.forgotten > 0 };
            if is_limited {
                panic!(
                    "exhaust: the limit of {} runs is reached, and there are more (so far: {:?} by their \
                     number of preemptions): make the program smaller, or set fewer `preemptions_max` or \
                     more `runs_max`; `explore` takes samples of programs that are too large for this",
                    self.runs_max, tree.seen.by_preemptions
                );
            }
            if !goes_on {
                return tree.seen;
            }
            progress.tick(|| {
                let (runs, level) = (tree.seen.runs, tree.level);
                format!("exhaust: {runs} runs, now those with preemptions: {level}")
            });
        }
    }
}

/// The search: which run comes next.
struct Tree {
    /// The decisions of the current run, and of the next one up to its last.
    path: Vec<Choice>,
    /// So many of `path`, the first ones, belong to all runs of this part of the search.
    fixed: usize,
    /// How many preemptions the runs of this level have. level <= bound
    level: usize,
    bound: usize,
    runs_max: u64,
    /// What is left of this level, and what belongs to the next.
    this_level: Vec<Branch>,
    next_level: Vec<Branch>,
    /// Branches that were forgotten, because there would be more runs than there may be.
    forgotten: u64,
    seen: Exhausted,
}

/// A part of the search: the runs that begin like an earlier one up to a decision and differ there.
struct Branch {
    run: Rc<[Choice]>,
    at: usize,
    chosen: u32,
}

impl Tree {
    fn new(bound: usize, runs_max: u64) -> Tree {
        let seen = Exhausted {
            runs: 0,
            steps: 0,
            longest: 0,
            by_preemptions: vec![0],
            cut: 0,
            too_many: 0,
            is_replay: false,
        };
        Tree {
            path: Vec::new(),
            fixed: 0,
            level: 0,
            bound,
            runs_max,
            this_level: Vec::new(),
            next_level: Vec::new(),
            forgotten: 0,
            seen,
        }
    }

    /// The choices of the next run.
    fn list(&self) -> Vec<u32> {
        self.path.iter().map(|choice| choice.chosen).collect()
    }

    /// Takes in what was decided in the run; the difference if that is not what was asked for.
    fn extend(&mut self, choices: &[Choice]) -> Result<(), String> {
        let known = choices.len().min(self.path.len());
        if let Some(difference) = difference(&self.path, &choices[..known]) {
            return Err(difference);
        }
        self.seen.runs += 1;
        self.seen.longest = self.seen.longest.max(choices.len());
        self.seen.by_preemptions[self.level] += 1;
        self.path.extend(&choices[known..]);
        let mut run = None;
        for (at, choice) in choices.iter().enumerate().skip(known) {
            if choice.among > AMONG_MAX {
                self.seen.too_many += 1;
                continue;
            }
            for chosen in choice.ordinary..choice.among {
                if self.level == self.bound {
                    self.seen.cut += 1;
                } else if self.seen.runs + self.pending() >= self.runs_max {
                    self.forgotten += 1;
                } else {
                    let run = Rc::clone(run.get_or_insert_with(|| Rc::from(choices)));
                    self.next_level.push(Branch { run, at, chosen });
                }
            }
        }
        Ok(())
    }

    /// Runs that are certain to come: there is one for each branch at least.
    fn pending(&self) -> u64 {
        (self.this_level.len() + self.next_level.len()) as u64
    }

    /// Finds the next run. `false` if there is none.
    fn advance(&mut self) -> bool {
        while self.path.len() > self.fixed
            && let Some(choice) = self.path.last_mut()
        {
            if choice.among <= AMONG_MAX && choice.chosen + 1 < choice.ordinary {
                choice.chosen += 1;
                return true;
            }
            self.path.pop();
        }
        if self.this_level.is_empty() {
            if self.next_level.is_empty() {
                return false;
            }
            self.level += 1;
            self.seen.by_preemptions.push(0);
            self.this_level = std::mem::take(&mut self.next_level);
            // The last is taken first.
            self.this_level.reverse();
        }
        if let Some(branch) = self.this_level.pop() {
            self.path.clear();
            self.path.extend(&branch.run[..=branch.at]);
            self.path[branch.at].chosen = branch.chosen;
        }
        self.fixed = self.path.len();
        true
    }
}

/// Of decisions with more possibilities only the first is taken, and the search is not complete.
const AMONG_MAX: u32 = 1_000;
