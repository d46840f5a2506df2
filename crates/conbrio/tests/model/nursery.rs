//! Nurseries as the interpreter sees them: an object per nursery, whatever its lifetimes are, so that
//! statements of children reach the nurseries around them.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use conbrio::{Cancelled, Child, Cx, Nursery, StartError, Started};

use crate::interpret::{Place, Ran, execute};
use crate::program::{Id, Op, Request, Statement, TaskId};
use crate::trace::{Canary, StartResult, Wait, Waited, What};
use crate::world::{Fail, Marked, World, notice, outcome, payload_of, raised};

/// The nurseries around a statement, the innermost first.
pub(crate) struct Env<'a> {
    pub(crate) port: &'a (dyn Port + 'a),
}

impl<'a> Env<'a> {
    pub(crate) fn find(&self, nursery: Id) -> Option<&(dyn Port + '_)> {
        if self.port.id() == nursery {
            return Some(self.port);
        }
        self.port.outer().and_then(|env| env.find(nursery))
    }
}

/// What statements do with a nursery.
pub(crate) trait Port: Sync {
    fn id(&self) -> Id;
    fn outer(&self) -> Option<&Env<'_>>;
    fn step(&self, cx: &mut Cx, place: &Place<'_>, statement: &Statement) -> Ran;
    fn ask(&self, id: Id, request: Request, world: &World<'_>);
}

/// How a task that was started says that it is ready.
pub(crate) trait ReadyPort {
    fn ready(&self, cx: &Cx, place: &Place<'_>);
}

struct ReadySlot<'s, 'w> {
    started: Cell<Option<Started<'s, Marked<'w>, Fail>>>,
    world: &'w World<'w>,
}

impl ReadyPort for ReadySlot<'_, '_> {
    fn ready(&self, cx: &Cx, place: &Place<'_>) {
        if let Some(started) = self.started.take() {
            let canary = Canary::Ready(place.task);
            started.ready(Marked { world: self.world, canary });
            place.world.note(cx, What::Ready { task: place.task });
        }
    }
}

type Handles<'scope, 'env> = Mutex<Vec<(TaskId, Child<'scope, Marked<'env>>)>>;

pub(crate) struct NurseryPort<'scope, 'env> {
    id: Id,
    n: &'scope Nursery<'scope, 'env, Fail>,
    outer: Option<&'env Env<'env>>,
    world: &'env World<'env>,
    /// Handles of children that somebody may join or cancel. Shared by body and children: the last of
    /// them drops what is left.
    handles: Arc<Handles<'scope, 'env>>,
}

impl Clone for NurseryPort<'_, '_> {
    fn clone(&self) -> Self {
        NurseryPort { handles: Arc::clone(&self.handles), ..*self }
    }
}

impl<'scope, 'env> NurseryPort<'scope, 'env> {
    pub(crate) fn new(
        id: Id,
        n: &'scope Nursery<'scope, 'env, Fail>,
        outer: Option<&'env Env<'env>>,
        world: &'env World<'env>,
    ) -> Self {
        NurseryPort { id, n, outer, world, handles: Arc::default() }
    }

    /// The body of every child.
    fn child(
        self,
        cx: &mut Cx,
        task: TaskId,
        ready: Option<&dyn ReadyPort>,
    ) -> Result<Marked<'env>, Fail> {
        let world = self.world;
        world.note(cx, What::TaskBegan { task });
        let result = catch_unwind(AssertUnwindSafe(|| {
            let env = Env { port: &self };
            let stash = RefCell::new(None);
            let place = Place { world, task, env: Some(&env), scopes: None, stash: &stash, ready };
            execute(cx, &place, &world.program.tasks[usize::from(task)])
        }));
        drop(self);
        world.note(cx, What::TaskEnded { task, outcome: outcome(&result) });
        match result {
            Ok(Ok(())) => Ok(Marked { world, canary: Canary::Value(task) }),
            Ok(Err(fail)) => Err(fail),
            Err(payload) => resume_unwind(payload),
        }
    }

    fn take(&self, task: TaskId) -> Option<Child<'scope, Marked<'env>>> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let at = handles.iter().position(|(child, _)| *child == task)?;
        Some(handles.swap_remove(at).1)
    }

    fn keep(&self, task: TaskId, child: Child<'scope, Marked<'env>>) {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).push((task, child));
    }

    fn spawn(&self, cx: &Cx, by: TaskId, task: TaskId, keep: bool) {
        let (world, port) = (self.world, self.clone());
        world.note(cx, What::Spawned { by, nursery: self.id, task });
        let closure = Marked { world, canary: Canary::Closure(task) };
        let child = self.n.task(name(task)).stack_size(STACK_BYTES).spawn(move |cx| {
            let _closure = closure;
            port.child(cx, task, None)
        });
        if keep {
            self.keep(task, child);
        } else {
            world.note(cx, What::HandleGone { by, task });
            drop(child);
        }
    }

    fn spawn_local(
        &self,
        cx: &mut Cx,
        place: &Place<'_>,
        id: Id,
        task: TaskId,
        then: &[Statement],
        join: bool,
    ) -> Ran {
        let (world, port, by) = (self.world, self.clone(), place.task);
        world.note(cx, What::Spawned { by, nursery: self.id, task });
        let closure = Marked { world, canary: Canary::Closure(task) };
        let options = self.n.task(name(task)).stack_size(STACK_BYTES);
        let mut child = options.spawn_local(cx, move |cx| {
            let _closure = closure;
            port.child(cx, task, None)
        });
        let result = execute(cx, place, then);
        if !join {
            world.note(cx, What::HandleGone { by, task });
            drop(child);
            return result;
        }
        // Joined also if `then` has failed; its failure counts.
        let joined = joined(cx, place, id, task, |cx| child.join(cx));
        result.and(joined)
    }

    fn start(&self, cx: &mut Cx, place: &Place<'_>, id: Id, task: TaskId) -> Ran {
        let (world, port, by) = (self.world, self.clone(), place.task);
        let wait = Wait::Start { nursery: self.id, task };
        world.note(cx, What::Waits { task: by, id, wait });
        let options = self.n.task(name(task)).stack_size(STACK_BYTES);
        let closure = Marked { world, canary: Canary::Closure(task) };
        let result = catch_unwind(AssertUnwindSafe(|| {
            options.start(cx, move |cx, started| {
                let _closure = closure;
                let slot = ReadySlot { started: Cell::new(Some(started)), world };
                // The value of a task that was started goes nowhere.
                port.child(cx, task, Some(&slot)).map(drop)
            })
        }));
        let seen = match &result {
            Ok(Ok(_)) => StartResult::Value,
            Ok(Err(StartError::Failed(fail))) => StartResult::Failed(raised(fail)),
            Ok(Err(StartError::Cancelled(cancelled))) => StartResult::Cancelled(notice(cancelled)),
            Ok(Err(StartError::NeverReady)) => StartResult::NeverReady,
            Err(payload) => StartResult::Panicked(payload_of(&**payload)),
        };
        world.note(cx, What::Started { by, id, result: seen });
        match result {
            Ok(Ok(_value)) => Ok(()),
            Ok(Err(StartError::Cancelled(cancelled))) => Err(Fail::Cancelled(cancelled, id)),
            Ok(Err(_)) => Err(Fail::Raised(id)),
            Err(payload) => resume_unwind(payload),
        }
    }
}

/// A join, between two lines of the trace.
fn joined<'w>(
    cx: &mut Cx,
    place: &Place<'_>,
    id: Id,
    task: TaskId,
    join: impl FnOnce(&mut Cx) -> Result<Marked<'w>, Cancelled>,
) -> Ran {
    let (world, by) = (place.world, place.task);
    world.note(cx, What::Waits { task: by, id, wait: Wait::Child(task) });
    let result = join(cx);
    let seen = match &result {
        Ok(value) if value.canary == Canary::Value(task) => Waited::Done,
        Ok(_) => unreachable!("the value of another child came out of a join"),
        Err(cancelled) => Waited::Cancelled(notice(cancelled)),
    };
    world.note(cx, What::Waited { task: by, id, result: seen });
    result.map(drop).map_err(|cancelled| Fail::Cancelled(cancelled, id))
}

impl Port for NurseryPort<'_, '_> {
    fn id(&self) -> Id {
        self.id
    }

    fn outer(&self) -> Option<&Env<'_>> {
        self.outer
    }

    fn step(&self, cx: &mut Cx, place: &Place<'_>, statement: &Statement) -> Ran {
        let (world, by, id) = (place.world, place.task, statement.id);
        match &statement.op {
            Op::Spawn { task, keep, .. } => self.spawn(cx, by, *task, *keep),
            Op::SpawnLocal { task, then, join, .. } => {
                return self.spawn_local(cx, place, id, *task, then, *join);
            }
            Op::Start { task, .. } => return self.start(cx, place, id, *task),
            Op::Join { task, .. } => {
                // While somebody joins it, nobody else finds the handle.
                let Some(mut child) = self.take(*task) else { return Ok(()) };
                let result = joined(cx, place, id, *task, |cx| child.join(cx));
                if result.is_err() {
                    self.keep(*task, child);
                }
                return result;
            }
            Op::DropHandle { task, .. } => {
                if let Some(child) = self.take(*task) {
                    world.note(cx, What::HandleGone { by, task: *task });
                    drop(child);
                }
            }
            Op::CancelChild { task, .. } => {
                if let Some(child) = self.take(*task) {
                    world.note(cx, What::ChildCancelled { by, task: *task });
                    child.cancel();
                    self.keep(*task, child);
                }
            }
            Op::ReadChild { task, .. } => {
                if let Some(child) = self.take(*task) {
                    let finished = child.is_finished();
                    world.note(cx, What::ReadChild { by, task: *task, finished });
                    self.keep(*task, child);
                }
            }
            Op::ReadNursery(nursery) => {
                let (children, cancelled) = (self.n.child_count(), self.n.is_cancelled());
                let what = What::ReadNursery { by, nursery: *nursery, children, cancelled };
                world.note(cx, what);
            }
            other => unreachable!("no statement for a nursery: {other:?}"),
        }
        Ok(())
    }

    fn ask(&self, id: Id, request: Request, world: &World<'_>) {
        match request {
            Request::Cancel => self.n.cancel(),
            Request::CancelWith => self.n.cancel_with(id.to_string()),
            Request::Shutdown(units) => self.n.shutdown(world.span(units)),
            other => unreachable!("nurseries have this by their handles only: {other:?}"),
        }
    }
}

fn name(task: TaskId) -> &'static str {
    NAMES.get(usize::from(task)).expect("there are as many names as a program may have tasks")
}

const NAMES: [&str; 24] = [
    "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t10", "t11", "t12", "t13", "t14",
    "t15", "t16", "t17", "t18", "t19", "t20", "t21", "t22", "t23",
];
/// Programs may have that many tasks.
pub(crate) const TASKS_MAX: usize = NAMES.len();
/// Room for the interpreter in an unoptimised build.
pub(crate) const STACK_BYTES: usize = 256 * 1024;
