//! Random trees of nurseries, scopes, shields, deadlines, errors and panics, under fire from outside.
//!
//! Every body has a canary in its frame and looks at those of all frames around it after every step. Every
//! nursery keeps a ledger of what went wrong in it and checks that nothing of that was lost, and that all
//! of its children had ended when it returned. Two threads that belong to nobody cancel scopes and unpark
//! tasks at any time, also when the runtime is gone. One seed gives one tree; how threads interleave in it
//! is up to the machine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conbrio::lowlevel::{Abort, Unparker, Wait};
use conbrio::{CancelHandle, Cx, NurseryError, NurseryPanic};

use crate::support::{Canary, Dice, Fault, Planned, flatten, is_slow_wanted, plan_panic, run};

/// A chain of the frames around a body, through the stacks of its parents.
struct Frame<'a> {
    canary: Canary,
    outer: Option<&'a Frame<'a>>,
}

impl Frame<'_> {
    fn check(&self) {
        let mut frame = Some(self);
        while let Some(here) = frame {
            here.canary.check();
            frame = here.outer;
        }
    }
}

/// What the bodies of one storm share with the threads outside.
struct World {
    /// Steps left for all bodies together, so that every tree is finite.
    steps: AtomicI64,
    next_child: AtomicU64,
    handles: Mutex<Vec<CancelHandle>>,
    unparkers: Mutex<Vec<Unparker>>,
    is_over: AtomicBool,
}

/// What a nursery must report.
#[derive(Default)]
struct Ledger {
    begun: AtomicUsize,
    ended: AtomicUsize,
    errors: AtomicUsize,
    panics: AtomicUsize,
}

/// A wait that a thread outside ends.
struct Outside<'a> {
    world: &'a World,
    is_stubborn: bool,
}

impl Wait for Outside<'_> {
    fn arm(&mut self, unparker: Unparker) {
        self.world.unparkers.lock().unwrap().push(unparker);
    }

    fn abort(&mut self) -> Abort {
        if self.is_stubborn { Abort::Pending } else { Abort::Succeeded }
    }
}

/// Does a few random steps.
fn body(
    cx: &mut Cx,
    world: &World,
    outer: &Frame<'_>,
    mut dice: Dice,
    depth: u32,
) -> Result<(), Fault> {
    let frame = Frame { canary: Canary::new(), outer: Some(outer) };
    let here = std::thread::current().id();
    for _ in 0..1 + dice.below(5) {
        if world.steps.fetch_sub(1, Ordering::Relaxed) <= 0 {
            break;
        }
        let step = step(cx, world, &frame, &mut dice, depth);
        frame.check();
        assert_eq!(std::thread::current().id(), here, "a task stays on its thread");
        // Some bodies stop for a failure, and some go on as if nothing had happened.
        if !dice.one_in(4) {
            step?;
        }
    }
    Ok(())
}

fn step(
    cx: &mut Cx,
    world: &World,
    frame: &Frame<'_>,
    dice: &mut Dice,
    depth: u32,
) -> Result<(), Fault> {
    let inside = Dice::new(dice.next());
    let short = Duration::from_micros(dice.below(150));
    match dice.below(if depth < 6 { 16 } else { 8 }) {
        0 => cx.yield_now()?,
        1 => cx.checkpoint()?,
        2 | 3 => cx.sleep(short)?,
        4 => cx.park_on(&mut Outside { world, is_stubborn: dice.one_in(3) })?,
        5 => cx.blocking(|| frame.check())?,
        6 if dice.one_in(4) => return Err(Fault::Broken(dice.next())),
        7 if dice.one_in(6) => plan_panic(dice.next()),
        6 | 7 => cx.yield_shielded(),
        8..=11 => nursery(cx, world, frame, inside, depth)?,
        12 => {
            let steps = dice.below(4);
            cx.cancel_scope(|cx, scope| {
                world.handles.lock().unwrap().push(scope.handle());
                match steps {
                    0 => scope.cancel(),
                    1 => scope.set_timeout(short),
                    2 => scope.set_shield(true),
                    _ => {}
                }
                body(cx, world, frame, inside, depth + 1)
            })?;
        }
        13 => {
            cx.move_on_after(short, |cx| body(cx, world, frame, inside, depth + 1))?;
        }
        14 => cx.shield(|cx| body(cx, world, frame, inside, depth + 1))?,
        _ => {
            let caught =
                catch_unwind(AssertUnwindSafe(|| body(cx, world, frame, inside, depth + 1)));
            match caught {
                Ok(result) => result?,
                Err(payload) => assert!(is_planned(&*payload), "an attack has hit"),
            }
        }
    }
    Ok(())
}

fn is_planned(payload: &(dyn std::any::Any + Send)) -> bool {
    payload.is::<Planned>()
        || payload
            .downcast_ref::<NurseryPanic>()
            .is_some_and(|panic| panic.panics().iter().all(|inner| is_planned(&**inner)))
}

/// Opens a nursery with some children, does things to it, and checks what comes out of it.
fn nursery(
    cx: &mut Cx,
    world: &World,
    frame: &Frame<'_>,
    mut dice: Dice,
    depth: u32,
) -> Result<(), Fault> {
    let ledger = Ledger::default();
    let guard = Canary::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        cx.nursery(|cx, n| {
            for _ in 0..1 + dice.below(4) {
                let inside = Dice::new(dice.next());
                let (ledger, guard) = (&ledger, &guard);
                let number = world.next_child.fetch_add(1, Ordering::Relaxed);
                let child = move |cx: &mut Cx| {
                    let _visit = guard.visit();
                    let outcome = catch_unwind(AssertUnwindSafe(|| {
                        in_ledger(ledger, || body(cx, world, frame, inside, depth + 1))
                    }));
                    ledger.ended.fetch_add(1, Ordering::SeqCst);
                    match outcome {
                        Ok(result) => result.map(|()| number),
                        Err(payload) => std::panic::resume_unwind(payload),
                    }
                };
                ledger.begun.fetch_add(1, Ordering::SeqCst);
                match dice.below(8) {
                    0 => std::mem::forget(n.spawn(child)),
                    1 => {
                        let mut child = n.spawn_local(cx, child);
                        if child.join(cx).is_ok_and(|value| value != number) {
                            panic!("the value of another child");
                        }
                    }
                    2 => {
                        let mut child = n.spawn(child);
                        let value = cx.move_on_after(Duration::from_micros(dice.below(60)), |cx| {
                            child.join(cx)
                        });
                        if matches!(value, Ok(Some(value)) if value != number) {
                            panic!("the value of another child");
                        }
                    }
                    3 => n.spawn(child).cancel(),
                    4 => {
                        let is_ready = dice.one_in(2);
                        let started = n.start(cx, move |cx, started| {
                            if is_ready {
                                started.ready(number);
                            } else {
                                drop(started);
                            }
                            child(cx).map(drop)
                        });
                        if matches!(started, Ok(value) if value != number) {
                            panic!("the value of another child");
                        }
                    }
                    _ => drop(n.spawn(child)),
                }
                match dice.below(12) {
                    0 => n.cancel(),
                    1 => n.shutdown(Duration::from_micros(dice.below(100))),
                    2 => world.handles.lock().unwrap().push(n.handle()),
                    _ => {}
                }
            }
            in_ledger(&ledger, || body(cx, world, frame, dice.clone(), depth + 1))
        })
    }));
    assert_eq!(
        ledger.begun.load(Ordering::SeqCst),
        ledger.ended.load(Ordering::SeqCst),
        "every child has ended"
    );
    frame.check();
    let (errors, panics) = (ledger.errors.into_inner(), ledger.panics.into_inner());
    match outcome {
        // What fails inside of `start` comes out there, so that there may be less than the ledger says.
        Err(payload) => {
            assert!(is_planned(&*payload), "an attack has hit");
            assert!(panics > 0, "a panic from nowhere");
            std::panic::resume_unwind(payload)
        }
        Ok(outcome) => {
            let reported = match &outcome {
                Err(NurseryError::Failed(errors)) => errors.len(),
                _ => 0,
            };
            assert!(reported <= errors, "an error from nowhere");
            flatten(outcome)
        }
    }
}

/// Runs one body of a nursery and writes down what becomes of it.
fn in_ledger(ledger: &Ledger, body: impl FnOnce() -> Result<(), Fault>) -> Result<(), Fault> {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    match &outcome {
        Ok(Err(Fault::Broken(_))) => _ = ledger.errors.fetch_add(1, Ordering::SeqCst),
        Err(_) => _ = ledger.panics.fetch_add(1, Ordering::SeqCst),
        Ok(_) => {}
    }
    outcome.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

/// What a thread outside does until the storm is over, and once more afterwards.
fn fire(world: &World, mut dice: Dice) {
    loop {
        let is_over = world.is_over.load(Ordering::SeqCst);
        let unparker = {
            let mut unparkers = world.unparkers.lock().unwrap();
            let some = unparkers.len() as u64;
            (some > 0).then(|| unparkers.swap_remove(dice.below(some) as usize))
        };
        if let Some(unparker) = unparker {
            unparker.unpark();
        }
        let handle = {
            let handles = world.handles.lock().unwrap();
            let some = handles.len() as u64;
            (some > 0).then(|| handles[dice.below(some) as usize].clone())
        };
        if let Some(handle) = handle {
            match dice.below(8) {
                0 => handle.cancel(),
                1 => handle.shutdown(Duration::from_micros(dice.below(100))),
                2 => handle.set_shield(dice.one_in(2)),
                3 => handle.set_deadline(None),
                _ => {
                    let soon = Duration::from_micros(dice.below(100));
                    handle.set_deadline(Some(Instant::now() + soon));
                }
            }
            assert!(!is_over || !handle.is_open(), "every scope has been left");
        }
        if is_over && world.unparkers.lock().unwrap().is_empty() {
            return;
        }
        std::thread::yield_now();
    }
}

/// One storm; returns how many bodies it had.
fn storm(seed: u64, workers: usize, steps: i64) -> u64 {
    let world = World {
        steps: AtomicI64::new(steps),
        next_child: AtomicU64::new(0),
        handles: Mutex::default(),
        unparkers: Mutex::default(),
        is_over: AtomicBool::new(false),
    };
    std::thread::scope(|threads| {
        for gunner in 0..2 {
            let world = &world;
            threads.spawn(move || fire(world, Dice::new(seed ^ gunner ^ 0xF17E)));
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            run(workers, |cx| {
                let frame = Frame { canary: Canary::new(), outer: None };
                let mut dice = Dice::new(seed);
                while world.steps.load(Ordering::Relaxed) > 0 {
                    let inside = Dice::new(dice.next());
                    let outcome =
                        catch_unwind(AssertUnwindSafe(|| nursery(cx, &world, &frame, inside, 0)));
                    if let Err(payload) = outcome {
                        assert!(is_planned(&*payload), "an attack has hit");
                    }
                    assert!(cx.checkpoint().is_ok(), "nothing around the main task is cancelled");
                }
            });
        }));
        world.is_over.store(true, Ordering::SeqCst);
        if let Err(payload) = outcome {
            eprintln!("seed {seed}, {workers} workers");
            std::panic::resume_unwind(payload);
        }
    });
    world.next_child.into_inner()
}

/// spec: N1, N2, N4, N5, N14
#[test]
fn short_storms_hit_nobody() {
    let mut bodies = 0;
    for seed in 0..24 {
        bodies += storm(seed, [1, 2, 4, 8][seed as usize % 4], 150);
    }
    assert!(bodies > 500, "only {bodies} children");
}

/// spec: N1, N2, N4, N5, N14
#[test]
fn a_thousand_storms_hit_nobody() {
    if !is_slow_wanted("a thousand storms") {
        return;
    }
    let first = std::env::var("CONBRIO_STORM_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(1_000);
    for seed in first..first + 1_000 {
        storm(seed, [1, 2, 4, 8][seed as usize % 4], 400);
    }
}
