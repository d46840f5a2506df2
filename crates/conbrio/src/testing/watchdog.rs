//! Says which step of a simulated run does not end.
//!
//! A simulated run has one thread. A task that keeps it, by waiting for a lock of the standard library that
//! another task holds across a wait, say, stops everything, also what would report it. So another
//! thread looks from time to time whether the step is still the same one, says so once, and lets it go on.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::sched::Trace;

/// Ends its thread when it is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    over: Arc<(Mutex<bool>, Condvar)>,
    /// `None` if the system has no thread to spare: then nobody watches.
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(super) fn start(trace: Arc<Trace>) -> Watchdog {
        // Not by a macro: a test that never ends never shows what it has printed with one.
        Watchdog::with(trace, PATIENCE, |line| _ = writeln!(std::io::stderr(), "{line}"))
    }

    fn with(
        trace: Arc<Trace>,
        patience: Duration,
        say: impl Fn(String) + Send + 'static,
    ) -> Watchdog {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let watch = {
            let over = Arc::clone(&over);
            move || watch(&trace, patience, &over, &say)
        };
        let thread = std::thread::Builder::new().name("conbrio-watchdog".into()).spawn(watch).ok();
        Watchdog { over, thread }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.1.notify_one();
        if let Some(thread) = self.thread.take() {
            // It panics nowhere; and if it did, the run would be none the worse.
            let _ = thread.join();
        }
    }
}

fn watch(trace: &Trace, patience: Duration, over: &(Mutex<bool>, Condvar), say: &dyn Fn(String)) {
    let mut seen = None;
    let mut is_over = over.0.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let waited = over.1.wait_timeout_while(is_over, patience, |over| !*over);
        is_over = waited.unwrap_or_else(PoisonError::into_inner).0;
        if *is_over {
            return;
        }
        let running = trace.running();
        if running.is_some() && running == seen {
            if let Some(running) = running {
                let what = trace.what();
                let (task, worker) = (running.task, running.worker);
                let name = trace.name(task);
                say(format!(
                    "conbrio: {what}: task {task} '{name}' on virtual worker {worker} has kept the thread for \
                     {patience:?} of real time; no other task can run meanwhile. Does it wait for a lock of \
                     the standard library that another task holds across a call with `cx`?"
                ));
            }
            return;
        }
        seen = running;
    }
}

/// For how long a step may last, in real time.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::sched::Scheduling;
    use crate::testing::Builder;
    use crate::testing::session::{Report, Session};
    use crate::util::choices::Afterwards;

    /// No time to speak of: the step below lasts until it was reported.
    const SHORT: Duration = Duration::from_millis(5);

    #[test]
    fn a_step_that_does_not_end_is_named_once_and_a_run_that_goes_on_is_not() {
        let (said, hear) = mpsc::channel();
        let mut session = Session::new(&Builder::new());
        let dog = Watchdog::with(session.trace(), SHORT, move |line| said.send(line).unwrap());
        let plan = super::super::session::Plan {
            what: String::from("CONBRIO_SEED=5"),
            scheduling: Scheduling::Tasks,
            list: Vec::new(),
            afterwards: Afterwards::Ordinary,
        };
        let course = session.run(&Builder::new(), plan, Report::Usual, |cx| {
            cx.nursery(|cx, n| -> Result<(), crate::Cancelled> {
                n.task("keeps the thread").spawn_local(cx, |_| {
                    let line = hear.recv().expect("the watchdog says something");
                    assert!(line.contains("CONBRIO_SEED=5: task 2 'keeps the thread'"), "{line}");
                    assert!(line.contains("on virtual worker 0"), "{line}");
                    Ok(())
                });
                Ok(())
            })
            .unwrap();
        });
        assert!(course.outcome.is_ok());
        drop(dog);
        assert!(hear.try_recv().is_err(), "it is said once");
    }
}
