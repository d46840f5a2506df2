//! What instruments hear, in which order, and what becomes of one that panics.

mod tree;

use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use conbrio::instrument::{Instrument, TaskId, TaskInfo};
use conbrio::lowlevel::in_task;
use conbrio::prelude::*;
use conbrio::{Builder, testing};

use crate::support::panic_text;

/// An event and the name of its task.
type Event = (&'static str, String);

/// Notes everything except I/O waits.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    fn note(&self, hook: &'static str, task: &str) {
        self.0.lock().unwrap().push((hook, task.to_owned()));
    }

    /// What it heard of the runtime and of the tasks of this name.
    fn of(&self, name: &str) -> Vec<&'static str> {
        let events = self.0.lock().unwrap();
        events.iter().filter(|(_, task)| task.is_empty() || task == name).map(|e| e.0).collect()
    }

    fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}

impl Instrument for Recorder {
    fn before_run(&self) {
        self.note("before_run", "");
    }

    fn after_run(&self) {
        self.note("after_run", "");
    }

    fn task_spawned(&self, task: &TaskInfo<'_>) {
        self.note("spawned", task.name());
    }

    fn task_scheduled(&self, task: &TaskInfo<'_>) {
        self.note("scheduled", task.name());
    }

    fn before_task_step(&self, task: &TaskInfo<'_>) {
        self.note("before", task.name());
    }

    fn after_task_step(&self, task: &TaskInfo<'_>) {
        self.note("after", task.name());
    }

    fn task_exited(&self, task: &TaskInfo<'_>) {
        self.note("exited", task.name());
    }
}

fn run_with<R: Send, const N: usize>(
    workers: usize,
    instruments: [Arc<dyn Instrument>; N],
    main: impl FnOnce(&mut Cx) -> R + Send,
) -> R {
    let builder = Builder::new().workers(workers);
    let builder = instruments.into_iter().fold(builder, Builder::instrument);
    builder.run(main).expect("the runtime starts")
}

// spec: test_instrumentation.instruments
#[test]
fn instruments_hear_every_turn_and_can_be_exchanged_meanwhile() {
    let [one, two, three] = std::array::from_fn(|_| Arc::new(Recorder::default()));
    run_with(1, [one.clone(), two.clone()], |cx| {
        cx.nursery(|_, n| -> Result<(), Cancelled> {
            n.task("child").spawn(|cx| {
                for _ in 0..4 {
                    cx.yield_now()?;
                }
                let instruments = cx.instruments();
                assert!(instruments.remove(&two));
                assert!(!instruments.remove(&two), "it is not there any more");
                assert!(instruments.add(three.clone()));
                assert!(!instruments.add(three.clone()), "once is enough");
                assert_eq!(instruments.len(), 2);
                cx.yield_now()
            });
            Ok(())
        })
        .unwrap();
    });
    let mut expected = vec!["before_run", "spawned", "scheduled"];
    for _ in 0..5 {
        expected.extend(["before", "scheduled", "after"]);
    }
    expected.extend(["before", "exited", "after", "after_run"]);
    assert_eq!(one.of("child"), expected);
    // Between them, the two that were exchanged have heard what the first has heard.
    assert_eq!([two.all(), three.all()].concat(), one.all());
    assert!(!two.all().is_empty() && !three.all().is_empty());
}

// spec: test_instrumentation.instruments_interleave
#[test]
fn the_turns_of_two_tasks_are_heard_as_they_interleave() {
    let recorder = Arc::new(Recorder::default());
    run_with(1, [recorder.clone()], |cx| {
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            for name in ["a", "b"] {
                n.task(name).spawn_local(cx, |cx| {
                    for _ in 0..2 {
                        cx.yield_now()?;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .unwrap();
    });
    let of_children = |event: &Event| event.1 == "a" || event.1 == "b";
    let events: Vec<Event> = recorder.all().into_iter().filter(of_children).collect();
    let mut expected = Vec::new();
    let mut hear = |hook, task: &str| expected.push((hook, task.to_owned()));
    // They are made at once and queued when their parent's turn ends.
    for hook in ["spawned", "scheduled"] {
        for task in ["a", "b"] {
            hear(hook, task);
        }
    }
    for round in 0..3 {
        for task in ["a", "b"] {
            for hook in ["before", if round < 2 { "scheduled" } else { "exited" }, "after"] {
                hear(hook, task);
            }
        }
    }
    assert_eq!(events, expected);
}

// spec: test_instrumentation.null_instrument
#[test]
fn hooks_that_are_not_written_do_nothing() {
    #[derive(Debug)]
    struct Nothing;

    impl Instrument for Nothing {}

    let value = run_with(2, [Arc::new(Nothing)], |cx| {
        cx.sleep(Duration::from_micros(1)).unwrap();
        let mut child = None;
        cx.nursery(|cx, n| -> Result<(), Cancelled> {
            child = Some(n.spawn(|cx| cx.yield_now().map(|()| 3)).join(cx)?);
            Ok(())
        })
        .unwrap();
        child
    });
    assert_eq!(value, Some(3));
}

// spec: test_instrumentation.instrument_before_after_run
#[test]
fn the_run_begins_before_and_ends_after_everything() {
    for workers in [1, 2, 4] {
        for fails in [false, true] {
            let recorder = Arc::new(Recorder::default());
            let run = || {
                run_with(workers, [recorder.clone()], |cx| {
                    cx.nursery(|_, n| -> Result<(), Cancelled> {
                        for _ in 0..20 {
                            n.spawn(|cx| cx.yield_now());
                        }
                        Ok(())
                    })
                    .unwrap();
                    assert!(!fails, "on purpose");
                });
            };
            if fails {
                assert!(panic_text(run).contains("on purpose"));
            } else {
                run();
            }
            let events = recorder.all();
            assert_eq!(events.first().unwrap().0, "before_run");
            assert_eq!(events.last().unwrap().0, "after_run");
            let count = |hook| events.iter().filter(|event| event.0 == hook).count();
            assert_eq!((count("before_run"), count("after_run")), (1, 1));
            assert_eq!((count("spawned"), count("exited")), (21, 21));
            assert_eq!((count("before"), count("before")), (count("after"), count("scheduled")));
        }
    }
}

// spec: test_instrumentation.instrument_task_spawn_exit
#[test]
fn every_task_is_spawned_and_ends_also_main() {
    /// Whether it was spawned; id, name and worker.
    type Seen = (bool, TaskId, String, Option<usize>);

    #[derive(Debug, Default)]
    struct Tasks(Mutex<Vec<Seen>>);

    impl Instrument for Tasks {
        fn task_spawned(&self, task: &TaskInfo<'_>) {
            let event = (true, task.id(), task.name().to_owned(), task.worker());
            self.0.lock().unwrap().push(event);
        }

        fn task_exited(&self, task: &TaskInfo<'_>) {
            let event = (false, task.id(), task.name().to_owned(), task.worker());
            self.0.lock().unwrap().push(event);
        }
    }

    for workers in [1, 2] {
        let tasks = Arc::new(Tasks::default());
        run_with(workers, [tasks.clone()], |cx| {
            cx.nursery(|cx, n| -> Result<(), Cancelled> {
                n.task("sent").spawn(|_| Ok(()));
                n.task("local").spawn_local(cx, |_| Ok(()));
                // Also from a thread that is no worker.
                std::thread::scope(|s| {
                    s.spawn(|| drop(n.task("from outside").spawn(|_| Ok(()))));
                });
                n.task("started")
                    .start(cx, |_, started| {
                        started.ready(());
                        Ok(())
                    })
                    .unwrap();
                Ok(())
            })
            .unwrap();
        });
        let events = std::mem::take(&mut *tasks.0.lock().unwrap());
        let mut spawned: Vec<_> = events.iter().filter(|event| event.0).collect();
        let mut exited: Vec<_> = events.iter().filter(|event| !event.0).collect();
        assert_eq!(spawned.iter().map(|event| &*event.2).collect::<Vec<_>>()[0], "main");
        assert_eq!(spawned[0].3, Some(0));
        assert_eq!(exited.last().unwrap().2, "main");
        assert!(exited.iter().all(|event| event.3.is_some_and(|worker| worker < workers)));
        spawned.sort();
        exited.sort();
        let ids = |events: &[&Seen]| {
            events.iter().map(|event| (event.1, event.2.clone())).collect::<Vec<_>>()
        };
        assert_eq!(ids(&spawned), ids(&exited));
        spawned.dedup_by_key(|event| event.1);
        assert_eq!(spawned.len(), 5, "ids are unique");
    }
}

#[test]
fn the_end_of_a_task_is_heard_before_anybody_knows_of_it() {
    /// The tasks that have ended, each with whether it was a child still.
    #[derive(Debug, Default)]
    struct Ended(Mutex<HashMap<TaskId, bool>>);

    impl Instrument for Ended {
        fn task_exited(&self, task: &TaskInfo<'_>) {
            self.0.lock().unwrap().insert(task.id(), task.parent().is_some());
        }
    }

    for workers in [1, 2, 4] {
        let ended = Arc::new(Ended::default());
        let has_heard = |id: TaskId| ended.0.lock().unwrap().contains_key(&id);
        run_with(workers, [ended.clone()], |cx| {
            for _ in 0..100 {
                let last = Mutex::new(None);
                cx.nursery(|cx, n| -> Result<(), Cancelled> {
                    let id = n.spawn(|cx| Ok(cx.task_id())).join(cx)?;
                    assert!(has_heard(id), "joined");
                    n.spawn(|cx| {
                        *last.lock().unwrap() = Some(cx.task_id());
                        Ok(())
                    });
                    Ok(())
                })
                .unwrap();
                assert!(has_heard(last.into_inner().unwrap().unwrap()), "its nursery has ended");
            }
        });
        let ended = ended.0.lock().unwrap();
        // All but the main task.
        assert_eq!(ended.values().filter(|is_child| **is_child).count(), 200);
        assert_eq!(ended.len(), 201);
    }
}

/// Panics in the hook that it is told, and notes how often it was called.
#[derive(Debug)]
struct Faulty {
    hook: &'static str,
    calls: AtomicUsize,
}

impl Faulty {
    fn new(hook: &'static str) -> Arc<Faulty> {
        Arc::new(Faulty { hook, calls: AtomicUsize::new(0) })
    }

    fn call(&self, hook: &'static str) {
        if hook == self.hook {
            self.calls.fetch_add(1, Ordering::SeqCst);
            panic!("oops in {hook}");
        }
    }
}

impl Instrument for Faulty {
    fn before_run(&self) {
        self.call("before_run");
    }

    fn after_run(&self) {
        self.call("after_run");
    }

    fn task_spawned(&self, _: &TaskInfo<'_>) {
        self.call("task_spawned");
    }

    fn task_scheduled(&self, _: &TaskInfo<'_>) {
        self.call("task_scheduled");
    }

    fn before_task_step(&self, _: &TaskInfo<'_>) {
        self.call("before_task_step");
    }

    fn after_task_step(&self, _: &TaskInfo<'_>) {
        self.call("after_task_step");
    }

    fn task_exited(&self, _: &TaskInfo<'_>) {
        self.call("task_exited");
    }

    fn before_io_wait(&self, _: Option<Duration>) {
        self.call("before_io_wait");
    }

    fn after_io_wait(&self, _: Option<Duration>) {
        self.call("after_io_wait");
    }
}

const HOOKS: [&str; 9] = [
    "before_run",
    "after_run",
    "task_spawned",
    "task_scheduled",
    "before_task_step",
    "after_task_step",
    "task_exited",
    "before_io_wait",
    "after_io_wait",
];

fn run_with_faulty_instruments() {
    for hook in HOOKS {
        let faulty = Faulty::new(hook);
        let recorder = Arc::new(Recorder::default());
        // The one that panics comes first, and the other hears of the same event.
        run_with(1, [faulty.clone(), recorder.clone()], |cx| {
            for _ in 0..2 {
                cx.nursery(|cx, n| n.spawn(|cx| cx.yield_now()).join(cx)).unwrap();
            }
            while hook.contains("io_wait") && faulty.calls.load(Ordering::SeqCst) == 0 {
                // No I/O is waited for if the time has passed before the worker gets there.
                cx.sleep(Duration::from_millis(1)).unwrap();
            }
            cx.sleep(Duration::from_millis(1)).unwrap();
            let removed = cx.instruments().len() == 1;
            assert_eq!(removed, hook != "after_run", "{hook}");
        });
        assert_eq!(faulty.calls.load(Ordering::SeqCst), 1, "{hook}");
        let all = recorder.all();
        let count = |hook| all.iter().filter(|event| event.0 == hook).count();
        assert_eq!((count("before_run"), count("spawned"), count("exited")), (1, 3, 3), "{hook}");
        assert_eq!((count("after"), count("after_run")), (count("before"), 1), "{hook}");
    }
}

// spec: test_instrumentation.instruments_crash, N4
#[test]
fn an_instrument_that_panics_is_disabled_and_the_others_go_on() {
    const AGAIN: &str = "CONBRIO_TEST_FAULTY_INSTRUMENTS";
    const NAME: &str = "instruments::an_instrument_that_panics_is_disabled_and_the_others_go_on";
    if std::env::var_os(AGAIN).is_some() {
        run_with_faulty_instruments();
        return;
    }
    // In a process of its own, so that what it writes to standard error can be read.
    let test = std::env::current_exe().unwrap();
    let output =
        Command::new(test).args([NAME, "--exact", "--nocapture"]).env(AGAIN, "1").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    for hook in HOOKS {
        let line = format!("panicked in `{hook}` and has been disabled");
        assert_eq!(stderr.matches(&line).count(), 1, "{hook}: {stderr}");
        assert!(stderr.contains(&format!("oops in {hook}")), "{stderr}");
    }
}

// spec: test_instrumentation.instrument_call_trio_context
#[test]
fn hooks_that_belong_to_a_task_are_called_in_it_and_others_are_not() {
    #[derive(Debug, Default)]
    struct Context {
        faults: Mutex<Vec<&'static str>>,
        heard: Mutex<Vec<&'static str>>,
    }

    impl Context {
        fn expect(&self, hook: &'static str, expected: bool) {
            self.heard.lock().unwrap().push(hook);
            if in_task() != expected {
                self.faults.lock().unwrap().push(hook);
            }
        }
    }

    impl Instrument for Context {
        fn before_run(&self) {
            self.expect("before_run", false);
        }

        fn after_run(&self) {
            self.expect("after_run", false);
        }

        fn before_task_step(&self, _: &TaskInfo<'_>) {
            self.expect("before_task_step", true);
        }

        fn after_task_step(&self, _: &TaskInfo<'_>) {
            self.expect("after_task_step", true);
        }

        fn task_exited(&self, _: &TaskInfo<'_>) {
            self.expect("task_exited", true);
        }

        fn before_io_wait(&self, _: Option<Duration>) {
            self.expect("before_io_wait", false);
        }

        fn after_io_wait(&self, _: Option<Duration>) {
            self.expect("after_io_wait", false);
        }
    }

    let context = Arc::new(Context::default());
    run_with(2, [context.clone()], |cx| cx.sleep(Duration::from_millis(1)).unwrap());
    assert!(context.faults.lock().unwrap().is_empty(), "{context:?}");
    let mut heard = std::mem::take(&mut *context.heard.lock().unwrap());
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard.len(), 7, "{heard:?}");
}

// spec: test_instrumentation.instruments
#[test]
fn io_waits_say_how_long_they_may_last() {
    type Timeouts = Vec<Option<Duration>>;

    #[derive(Debug)]
    struct Waits {
        heard: Mutex<(Timeouts, Timeouts)>,
        endless: mpsc::Sender<()>,
    }

    impl Instrument for Waits {
        fn before_io_wait(&self, timeout: Option<Duration>) {
            self.heard.lock().unwrap().0.push(timeout);
            if timeout.is_none() {
                // Nobody listens after the first time.
                let _ = self.endless.send(());
            }
        }

        fn after_io_wait(&self, timeout: Option<Duration>) {
            self.heard.lock().unwrap().1.push(timeout);
        }
    }

    let (endless, endlessly) = mpsc::channel();
    let waits = Arc::new(Waits { heard: Mutex::default(), endless });
    run_with(1, [waits.clone()], |cx| {
        cx.sleep(Duration::from_millis(2)).unwrap();
        // With nothing to come but what a thread does, there is no timeout; it waits for just that.
        cx.blocking(move || endlessly.recv().unwrap()).unwrap();
    });
    let (before, after) = std::mem::take(&mut *waits.heard.lock().unwrap());
    assert_eq!(before, after);
    let is_short =
        |t: &Option<Duration>| t.is_some_and(|t| !t.is_zero() && t <= Duration::from_millis(3));
    assert!(before.iter().any(is_short), "{before:?}");
    assert!(before.contains(&None), "{before:?}");
}

#[test]
fn an_instrument_may_use_what_it_observes() {
    /// Adds another instrument, spawns nothing, cancels what it was given, and goes.
    #[derive(Debug)]
    struct Meddler {
        handle: Mutex<Option<CancelHandle>>,
        scheduled: AtomicUsize,
        waits: AtomicBool,
    }

    impl Instrument for Meddler {
        fn task_scheduled(&self, task: &TaskInfo<'_>) {
            self.scheduled.fetch_add(usize::from(task.name() == "main"), Ordering::SeqCst);
        }

        fn before_io_wait(&self, timeout: Option<Duration>) {
            // The task waits on this very worker, which has made up its mind to sleep for ever.
            if timeout.is_none()
                && let Some(handle) = self.handle.lock().unwrap().take()
            {
                self.waits.store(true, Ordering::SeqCst);
                handle.cancel();
            }
        }
    }

    for workers in [1, 2] {
        let meddler = Arc::new(Meddler {
            handle: Mutex::new(None),
            scheduled: AtomicUsize::new(0),
            waits: AtomicBool::new(false),
        });
        run_with(workers, [], |cx| {
            assert!(cx.instruments().is_empty());
            cx.instruments().add(meddler.clone());
            let ended = cx.cancel_scope(|cx, scope| {
                *meddler.handle.lock().unwrap() = Some(scope.handle());
                cx.sleep_forever()
            });
            assert!(matches!(ended, Ok(None)));
            assert!(cx.instruments().remove(&meddler));
        });
        assert!(meddler.waits.load(Ordering::SeqCst));
        assert_eq!(meddler.scheduled.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn a_simulated_run_is_observed_like_any_other() {
    let recorders: Vec<Vec<Event>> = (0..2)
        .map(|_| {
            let recorder = Arc::new(Recorder::default());
            testing::Builder::new().workers(3).seed(5).run(|cx| {
                cx.instruments().add(recorder.clone());
                let start = cx.runtime().clock.now();
                cx.nursery(|_, n| -> Result<(), Cancelled> {
                    for name in ["a", "b", "c"] {
                        n.task(name).spawn(|cx| cx.sleep(Duration::from_secs(1)));
                    }
                    Ok(())
                })
                .unwrap();
                assert_eq!(cx.runtime().clock.now() - start, Duration::from_secs(1));
            });
            recorder.all()
        })
        .collect();
    assert_eq!(recorders[0], recorders[1]);
    assert_eq!(recorders[0].last().unwrap().0, "after_run");
}
