//! Instruments in simulated runs: they hear the course of a run, the same for the same seed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use conbrio::instrument::{Instrument, TaskInfo};
use conbrio::prelude::*;
use conbrio::testing::Builder;

/// Notes what happens to which task on which worker.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    fn note(&self, what: &str, task: &TaskInfo<'_>) {
        let line = format!("{what} {} {} on {:?}", task.id(), task.name(), task.worker());
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Instrument for Recorder {
    fn before_run(&self) {
        self.0.lock().unwrap().push("before".to_owned());
    }

    fn after_run(&self) {
        self.0.lock().unwrap().push("after".to_owned());
    }

    fn task_spawned(&self, task: &TaskInfo<'_>) {
        self.note("spawned", task);
    }

    fn task_scheduled(&self, task: &TaskInfo<'_>) {
        self.note("scheduled", task);
    }

    fn before_task_step(&self, task: &TaskInfo<'_>) {
        self.note("before", task);
    }

    fn after_task_step(&self, task: &TaskInfo<'_>) {
        self.note("after", task);
    }

    fn task_exited(&self, task: &TaskInfo<'_>) {
        self.note("exited", task);
    }
}

fn program(cx: &mut Cx) {
    cx.nursery(|_, n| -> Result<(), Cancelled> {
        for seconds in 1..=3 {
            n.task(format!("sleeper {seconds}")).spawn(move |cx| {
                cx.checkpoint()?;
                cx.sleep(Duration::from_secs(seconds))
            });
        }
        Ok(())
    })
    .unwrap();
}

// spec: test_instrumentation.instruments
#[test]
fn an_instrument_hears_the_same_of_every_run_with_one_seed() {
    let recorder = Arc::new(Recorder::default());
    let builder = Builder::new().workers(3).instrument(recorder.clone());
    let mut courses = std::collections::HashSet::new();
    for seed in 0..20 {
        builder.clone().seed(seed).run(program);
        let first = recorder.take();
        builder.clone().seed(seed).run(program);
        assert_eq!(first, recorder.take(), "seed {seed}");
        assert_eq!((&*first[0], first.last().map(|last| &**last)), ("before", Some("after")));
        for what in ["spawned", "exited"] {
            assert_eq!(first.iter().filter(|line| line.starts_with(what)).count(), 4, "{what}");
        }
        courses.insert(first);
    }
    assert!(courses.len() > 10, "{} courses of 20 seeds", courses.len());
}

#[test]
fn each_run_of_an_exploration_is_heard_from_its_start_to_its_end() {
    let recorder = Arc::new(Recorder::default());
    Builder::new().instrument(recorder.clone()).explore(0..50, program);
    let heard = recorder.take();
    let count = |what: &str| heard.iter().filter(|line| *line == what).count();
    assert_eq!((count("before"), count("after")), (50, 50));
    assert_eq!(heard.iter().filter(|line| line.starts_with("exited")).count(), 50 * 4);
}
