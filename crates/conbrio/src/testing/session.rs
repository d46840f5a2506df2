//! Runs of one program, one after the other: what they share, and the outcome of each.
//!
//! A run of a small program takes microseconds, and so would everything around it. So the runs of one
//! exploration share stacks, a reactor, and the thread that watches over them.

use std::any::Any;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cancel::Cancelled;
use crate::clock::{Clock, Ticks};
use crate::run::{Builder as RuntimeBuilder, SpareParts};
use crate::sched::{
    Keep, OnStuck, Scheduling, SimulatedSignals, Simulation, Step, Stuck, Trace, Turn,
};
use crate::scope::CancelHandle;
use crate::task::Cx;
use crate::testing::MockClock;
use crate::util::choices::{Afterwards, Choice, Choices};

use super::builder::Builder;
use super::network::SimulatedNetwork;
use super::panics::{Catcher, Caught};
use super::shared_clock::SharedClock;
use super::shrink::Failing;
use super::watchdog::Watchdog;

/// What the runs of one exploration share.
pub(super) struct Session {
    parts: SpareParts,
    trace: Arc<Trace>,
    catcher: Catcher,
    /// The user's; `None` for a new one in each run.
    clock: Option<SharedClock>,
    _watchdog: Watchdog,
}

/// From what the decisions of a run come.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// What this run is called in reports: a variable that replays it.
    pub(super) what: String,
    pub(super) scheduling: Scheduling,
    pub(super) list: Vec<u32>,
    pub(super) afterwards: Afterwards,
}

/// How much is to be heard of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// Panics are reported as always.
    Usual,
    /// Panics are not reported: the same ones have been, or will be.
    Quiet,
    /// As usual, and the steps are kept.
    Full,
    /// As usual, and what each step touches is kept.
    Turns,
}

/// What became of one run.
pub(super) struct Course<R> {
    pub(super) outcome: Result<R, Failure>,
    pub(super) choices: Vec<Choice>,
    pub(super) steps: u64,
}

/// Why a run counts as failed.
pub(super) enum Failure {
    /// It panicked; the last panic that was reported says where.
    Panic(Box<dyn Any + Send>, Option<Caught>),
    /// It did not go on; with a list of all tasks, if there were any left.
    Stuck(Stuck, String),
}

/// Failures of one kind have the same cause, as far as can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Panic(Option<String>),
    Stuck(Stuck),
}

impl Session {
    pub(super) fn new(options: &Builder) -> Session {
        let trace = Arc::new(Trace::default());
        Session {
            parts: SpareParts::default(),
            _watchdog: Watchdog::start(Arc::clone(&trace)),
            trace,
            catcher: Catcher::new(),
            clock: options.clock.clone().map(SharedClock::new),
        }
    }

    /// One run.
    #[track_caller]
    pub(super) fn run<R>(
        &mut self,
        options: &Builder,
        plan: Plan,
        report: Report,
        main: impl FnOnce(&mut Cx) -> R,
    ) -> Course<R> {
        let clock = match &self.clock {
            Some(clock) => clock.clone(),
            None => SharedClock::new(MockClock::new().autojump(Duration::ZERO)),
        };
        assert!(
            clock.real_time_until(clock.now() + Duration::from_nanos(1)) == Duration::MAX,
            "the clock of a simulated run must not run by itself: set its rate to 0"
        );
        let rescue = Arc::new(Rescue::new(report));
        let choices = Arc::new(Choices::new(plan.list, plan.afterwards).recorded());
        let workers = match plan.scheduling {
            Scheduling::Workers => options.workers,
            Scheduling::Tasks => 1,
        };
        let keep = match report {
            Report::Usual | Report::Quiet => Keep::Number,
            Report::Full => Keep::Steps,
            Report::Turns => Keep::Turns,
        };
        self.trace.begin(plan.what, keep);
        let network = SimulatedNetwork::new(&options.network, Arc::clone(&choices));
        let simulation = Arc::new(Simulation {
            choices: Arc::clone(&choices),
            scheduling: plan.scheduling,
            steps_max: options.steps_max,
            preempt_one_in: options.preempt_one_in,
            delay_one_in: options.delay_one_in,
            world: Some(Arc::new(network)),
            signals: SimulatedSignals::default(),
            on_stuck: Box::new(Arc::clone(&rescue)),
            trace: Arc::clone(&self.trace),
        });
        let mut builder = RuntimeBuilder::new().workers(workers).clock(clock);
        if let Some(bytes) = options.stack_bytes {
            builder = builder.stack_size(bytes);
        }
        for instrument in &options.instruments {
            builder = builder.instrument(Arc::clone(instrument));
        }
        self.catcher.listen(report == Report::Quiet);
        let ran = Arc::clone(&simulation);
        let outcome = builder.run_simulated(ran, &mut self.parts, |cx| {
            let mut value = None;
            let rescued: Result<Option<()>, Cancelled> = cx.cancel_scope(|cx, scope| {
                rescue.lock().handle = Some(scope.handle());
                value = Some(main(cx));
                Ok(())
            });
            // It was cancelled, or it was not: whatever `main` has made of it is in `value`.
            drop(rescued);
            value.expect("`main` has returned")
        });
        let caught = self.catcher.stop();
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => panic!("conbrio::testing: {error}"),
        };
        let stuck = rescue.lock().stuck.take();
        // What is still on its way finds nobody who listens, but a process that has not quite ended.
        simulation.signals.advance(Ticks::MAX);
        Course {
            outcome: match (stuck, outcome, simulation.signals.take_end()) {
                (Some((why, tasks)), ..) => Err(Failure::Stuck(why, tasks)),
                (None, Err(payload), _) => Err(Failure::Panic(payload, caught)),
                (None, Ok(_), Some(number)) => {
                    Err(Failure::Stuck(Stuck::EndedBySignal(number), String::new()))
                }
                (None, Ok(value), None) => Ok(value),
            },
            choices: choices.take_record(),
            steps: self.trace.steps(),
        }
    }

    /// What the runs are doing.
    #[cfg(test)]
    pub(super) fn trace(&self) -> Arc<Trace> {
        Arc::clone(&self.trace)
    }

    /// The turns of the last run, if they were to be kept.
    pub(super) fn take_turns(&self) -> Vec<Turn> {
        self.trace.take_turns()
    }

    /// The steps of the last run, which was to be reported in full, and the names of its tasks.
    pub(super) fn take_log(&self) -> (Vec<Step>, Vec<String>) {
        self.trace.take_log()
    }
}

impl<R> Course<R> {
    /// What was decided, as something that fails.
    pub(super) fn failing(&self) -> Failing {
        Failing { departures: self.departures(), list: self.list() }
    }

    /// How many decisions depart from the ordinary run of things.
    pub(super) fn departures(&self) -> usize {
        self.choices.iter().filter(|choice| choice.chosen >= choice.ordinary).count()
    }

    /// What was decided, without the zeros at the end.
    pub(super) fn list(&self) -> Vec<u32> {
        let mut list: Vec<u32> = self.choices.iter().map(|choice| choice.chosen).collect();
        let length = list.iter().rposition(|&chosen| chosen != 0).map_or(0, |last| last + 1);
        list.truncate(length);
        list
    }
}

impl Failure {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Failure::Panic(_, caught) => Kind::Panic(caught.as_ref().map(|c| c.place.clone())),
            Failure::Stuck(why, _) => Kind::Stuck(*why),
        }
    }

    /// Goes on in the caller as if this had been its only run.
    #[track_caller]
    pub(super) fn go_on(self) -> ! {
        match self {
            Failure::Panic(payload, _) => resume_unwind(payload),
            Failure::Stuck(why, tasks) if tasks.is_empty() => panic!("{why}"),
            Failure::Stuck(why, tasks) => {
                panic!("{why}; the main task was cancelled; all tasks were:\n{tasks}")
            }
        }
    }
}

/// Cancels the main task of a run that does not go on, and keeps why.
#[derive(Debug)]
struct Rescue {
    /// To list the tasks takes its time.
    lists_tasks: bool,
    state: Mutex<RescueState>,
}

#[derive(Debug, Default)]
struct RescueState {
    handle: Option<CancelHandle>,
    stuck: Option<(Stuck, String)>,
}

impl Rescue {
    fn new(report: Report) -> Rescue {
        Rescue { lists_tasks: report != Report::Quiet, state: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, RescueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OnStuck for Arc<Rescue> {
    fn stuck(&self, why: Stuck, tasks: &dyn Fn() -> String) {
        let tasks = if self.lists_tasks { tasks() } else { String::new() };
        let mut state = self.lock();
        state.stuck = Some((why, tasks));
        let handle = state.handle.take();
        drop(state);
        if let Some(handle) = handle {
            handle.cancel_with(why.to_string());
        }
    }
}
