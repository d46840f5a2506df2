//! Many runs of one program, each drawn from another seed; and what is done about the first that fails.

use std::time::{Duration, Instant};

use crate::sched::Scheduling;
use crate::task::Cx;
use crate::util::choices::Choice;

use super::builder::{Builder, Strategy, replay, seed_from_environment};
use super::course::{difference, from_environment, plan_of, words_of};
use super::exploration::Exploration;
use super::progress::Progress;
use super::session::{Course, Failure, Plan, Report, Session};
use super::shrink::{Limits, shrink};

/// Runs `main` once for each seed in a simulated runtime. See [`Builder::explore`].
///
/// # Panics
///
/// As [`Builder::explore`].
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use std::sync::Mutex;
///
/// // Whatever the order: the sum is the same.
/// conbrio::testing::explore(0..200, |cx| {
///     let sum = Mutex::new(0);
///     cx.nursery(|_, n| -> Result<(), Cancelled> {
///         for i in 0..3 {
///             let sum = &sum;
///             n.spawn(move |cx| {
///                 cx.checkpoint()?;
///                 *sum.lock().unwrap() += i;
///                 Ok(())
///             });
///         }
///         Ok(())
///     })
///     .unwrap();
///     assert_eq!(*sum.lock().unwrap(), 3);
/// });
/// ```
#[track_caller]
pub fn explore(seeds: impl IntoIterator<Item = u64>, main: impl Fn(&mut Cx)) -> Exploration {
    Builder::new().explore(seeds, main)
}

impl Builder {
    /// Runs `main` once for each seed, until a run fails: by a panic, a deadlock, or the limit of steps.
    ///
    /// When one fails, its seed is printed with a line that replays it. Then the run is made simpler, for
    /// some seconds at most: of the decisions that were not the ordinary ones as many are taken back as
    /// the failure allows. What is left is run once more, printed in words, step by step, with a line that
    /// replays it (`CONBRIO_CHOICES`), and its failure goes on in the caller. Panics of the runs in between
    /// are not printed: the first exploration of a process puts a panic hook before the one that is there,
    /// which does nothing else.
    ///
    /// If `CONBRIO_SEED` is set there is one run, with that seed; if `CONBRIO_CHOICES` is, one with those
    /// choices. After a second a line on standard error says how far it has come.
    ///
    /// `main` must do the same whenever it is called with the same choices: no other source of time or
    /// chance, no state that is left from the run before. If a run that failed does not come again, this is
    /// said, with the first decision that was another one.
    ///
    /// # Panics
    ///
    /// As the run that failed. Also if there is no seed, and as [`run`](Builder::run).
    ///
    /// # Examples
    ///
    /// ```should_panic
    /// use conbrio::prelude::*;
    /// use conbrio::testing::Builder;
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    ///
    /// Builder::new().explore(0..1000, |cx| {
    ///     let counter = AtomicU32::new(0);
    ///     cx.nursery(|_, n| -> Result<(), Cancelled> {
    ///         for name in ["one", "two"] {
    ///             let counter = &counter;
    ///             n.task(name).spawn(move |cx| {
    ///                 let seen = counter.load(Relaxed);
    ///                 cx.checkpoint()?;
    ///                 counter.store(seen + 1, Relaxed);
    ///                 Ok(())
    ///             });
    ///         }
    ///         Ok(())
    ///     })
    ///     .unwrap();
    ///     assert_eq!(counter.into_inner(), 2);
    /// });
    /// ```
    #[track_caller]
    pub fn explore(
        self,
        seeds: impl IntoIterator<Item = u64>,
        main: impl Fn(&mut Cx),
    ) -> Exploration {
        let mut search = Search::new(&self, &main);
        let mut seen = Exploration::default();
        if let Some(plan) = from_environment() {
            let course = search.replay(&plan);
            seen.add(plan.scheduling, &course.list(), &course.choices, course.steps);
            return seen;
        }
        let only = seed_from_environment();
        let mut progress = Progress::new();
        for seed in seeds {
            let seed = only.unwrap_or(seed);
            let plan = self.plan(seed, Strategy::Mixed);
            let course = search.session.run(&self, plan.clone(), Report::Usual, &main);
            seen.add(plan.scheduling, &course.list(), &course.choices, course.steps);
            if course.outcome.is_err() {
                progress.end();
                eprintln!(
                    "conbrio: seed {seed} fails, after {} runs that did not; to see it again:\n  {}",
                    seen.runs() - 1,
                    replay(&plan.what)
                );
                search.fail(plan.scheduling, course);
            }
            if only.is_some() {
                break;
            }
            progress.tick(|| format!("{} runs, now seed {seed}", seen.runs()));
        }
        assert!(seen.runs() > 0, "there is nothing to explore: no seed was given");
        seen
    }
}

/// What is done about runs of one program.
pub(super) struct Search<'a, F> {
    pub(super) session: Session,
    options: &'a Builder,
    main: &'a F,
}

impl<'a, F: Fn(&mut Cx)> Search<'a, F> {
    pub(super) fn new(options: &'a Builder, main: &'a F) -> Search<'a, F> {
        Search { session: Session::new(options), options, main }
    }

    /// Makes a run that failed simpler, and lets it fail once more.
    #[track_caller]
    pub(super) fn fail(&mut self, scheduling: Scheduling, course: Course<()>) -> ! {
        let run = course.failing();
        let Err(failure) = course.outcome else { unreachable!("only a run that failed is shown") };
        let (options, main, session) = (self.options, self.main, &mut self.session);
        let plan = |list: &[u32]| plan_of(scheduling, list.to_vec());
        let again = session.run(options, plan(&run.list), Report::Quiet, main);
        if let Some(difference) = difference(&course.choices, &again.choices) {
            give_up(failure, &difference);
        }
        let kind = failure.kind();
        if again.outcome.err().map(|failure| failure.kind()).as_ref() != Some(&kind) {
            give_up(failure, "with the same choices the run does not fail in the same way");
        }
        let begun = Instant::now();
        let before = course.choices.len();
        let unusual_before = unusual(&run.list);
        let shrunk = shrink(run, LIMITS, |list| {
            let course = session.run(options, plan(list), Report::Quiet, main);
            let run = course.failing();
            course.outcome.is_err_and(|failure| failure.kind() == kind).then_some(run)
        });
        let plan = plan(&shrunk.list);
        eprintln!(
            "conbrio: {before} choices, {unusual_before} of them not ordinary, were reduced to {}, {} of them \
             not ordinary ({} tries in {:.1?}{}); to see that again:\n  {}",
            shrunk.list.len(),
            unusual(&shrunk.list),
            shrunk.tries,
            begun.elapsed(),
            if shrunk.is_done { "" } else { ", which is the limit" },
            replay(&plan.what)
        );
        let last = session.run(options, plan, Report::Full, main);
        match last.outcome {
            Err(last_failure) if last_failure.kind() == kind => {
                self.print_course(&last.choices);
                last_failure.go_on()
            }
            _ => give_up(failure, "the reduced run did not fail again"),
        }
    }

    /// The one run that was asked for.
    #[track_caller]
    pub(super) fn replay(&mut self, plan: &Plan) -> Course<()> {
        let course = self.session.run(self.options, plan.clone(), Report::Full, self.main);
        if let Err(failure) = course.outcome {
            eprintln!("conbrio: {} fails", plan.what);
            self.print_course(&course.choices);
            failure.go_on()
        }
        course
    }

    fn print_course(&self, choices: &[Choice]) {
        let (steps, names) = self.session.take_log();
        eprint!(
            "conbrio: its {} steps; * marks decisions that are not ordinary:\n{}",
            steps.len(),
            words_of(choices, &steps, &names)
        );
    }
}

/// How many choices are not the first.
fn unusual(list: &[u32]) -> usize {
    list.iter().filter(|&&chosen| chosen != 0).count()
}

/// The failure cannot be made simpler: goes on with it as it is.
#[track_caller]
fn give_up(failure: Failure, why: &str) -> ! {
    eprintln!(
        "conbrio: this program depends on something that is not simulated, such as real time, another thread, \
         the order in a hash map, or what the run before has left behind, so it cannot be replayed: {why}"
    );
    failure.go_on()
}

/// How much the reduction of a run may cost.
const LIMITS: Limits = Limits { tries: 2_000, time: Duration::from_secs(5) };
