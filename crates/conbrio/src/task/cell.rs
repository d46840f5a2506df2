//! What every task has, whatever its closure and result are.
//!
//! A task is a heap cell that begins with a [`Task`]; what follows (closure, result) is known to the
//! functions in its [`TaskKind`]. It gets a stack when it starts and gives it back when it ends, so that
//! a child that waits for its turn costs only the cell.
//!
//! Life: created unstarted in a queue → started by one worker, its home → suspended and resumed there →
//! finished: the body stores its outcome and counts itself down, the worker takes the stack back and
//! drops the reference that the task held on itself.

use std::backtrace::Backtrace;
use std::borrow::Cow;
use std::cell::{Cell, OnceCell, UnsafeCell};
use std::ptr::NonNull;

use conbrio_fiber::{Fiber, Label, Resumed, StackError, Suspender};

use crate::cancel::Branch;
use crate::sched::{Identity, Runnable, Vtable, WATCHED, Worker};
use crate::util::atomic::AtomicU64;

use super::around::{self, Around};
use super::cx::Cx;
use super::holding::Blocker;
use super::locals::Locals;
use super::on_exit::OnExit;

/// What differs between tasks of different closures.
pub(crate) struct TaskKind {
    /// Runs the closure and stores its outcome, on the task's own stack. Does not unwind.
    pub(crate) body: unsafe fn(NonNull<Task>, &mut Cx),
    /// There is no stack for it: drops the closure and reports the error instead.
    pub(crate) fail: unsafe fn(NonNull<Task>, StackError),
    /// Frees the cell. What is left in it is leaked on purpose (a forgotten handle's result).
    pub(crate) free: unsafe fn(NonNull<Task>),
}

/// What a task is given when it is created.
#[derive(Clone, Debug)]
pub(crate) struct TaskOptions {
    pub(crate) name: Cow<'static, str>,
    pub(crate) stack_bytes: usize,
}

/// The head of every task's cell.
#[repr(C)]
pub(crate) struct Task {
    /// First, so that a pointer to one is a pointer to the other.
    runnable: Runnable,
    // What every turn uses comes next, so that it shares cache lines with the runnable. These are home
    // fields: touched by the home worker only.
    fiber: UnsafeCell<Option<Fiber>>,
    suspender: Cell<Option<NonNull<Suspender>>>,
    worker: Cell<Option<NonNull<Worker>>>,
    /// What is called around its turns.
    around: Cell<Around>,
    /// What it waits for, or waited for last: written when it stops, and read only by reports.
    waits_for: Cell<&'static str>,
    branch: Branch,
    /// What it waits in: see `holding.rs`.
    blocker: Cell<Option<NonNull<dyn Blocker>>>,
    kind: &'static TaskKind,
    options: TaskOptions,
    /// What the overflow message calls the task. A home field.
    label: UnsafeCell<Label>,
    /// The values that it sees. Written before the task is queued, and then a home field.
    locals: Cell<Locals>,
    /// What hears of its end. A home field.
    on_exit: OnceCell<Box<dyn OnExit>>,
    /// Its number among the tasks of the runtime; zero until somebody asks for it.
    id: AtomicU64,
}

static VTABLE: Vtable = Vtable { run, attend, free, identify, has_children };

impl Task {
    pub(crate) fn new(kind: &'static TaskKind, options: TaskOptions, references: usize) -> Task {
        Task {
            runnable: Runnable::new(&VTABLE, references),
            branch: Branch::new(),
            kind,
            label: UnsafeCell::new(Label::new("")),
            options,
            fiber: UnsafeCell::new(None),
            suspender: Cell::new(None),
            worker: Cell::new(None),
            around: Cell::new(None),
            waits_for: Cell::new("its first turn"),
            blocker: Cell::new(None),
            locals: Cell::default(),
            on_exit: OnceCell::new(),
            id: AtomicU64::new(0),
        }
    }

    /// Tells the parts of a task where it lives. Called once, when it has its final address.
    pub(crate) fn attach(this: NonNull<Task>) {
        // SAFETY: the caller has just put it there.
        let task = unsafe { this.as_ref() };
        task.branch.attach(this.cast());
    }

    /// The values that it sees: see `locals.rs` for the rules.
    pub(crate) fn locals(&self) -> &Cell<Locals> {
        &self.locals
    }

    #[inline]
    pub(crate) fn runnable(&self) -> &Runnable {
        &self.runnable
    }

    #[inline]
    pub(crate) fn branch(&self) -> &Branch {
        &self.branch
    }

    pub(crate) fn name(&self) -> &str {
        &self.options.name
    }

    #[inline]
    pub(crate) fn pointer(&self) -> NonNull<Runnable> {
        NonNull::from(self).cast()
    }

    /// Checkpoints left until the task gives way.
    #[inline]
    pub(super) fn fuel(&self) -> &Cell<u32> {
        self.runnable.fuel()
    }

    pub(super) fn blocker(&self) -> &Cell<Option<NonNull<dyn Blocker>>> {
        &self.blocker
    }

    pub(super) fn on_exit(&self) -> &OnceCell<Box<dyn OnExit>> {
        &self.on_exit
    }

    /// What instruments and [`Cx::task_id`] number.
    pub(crate) fn id(&self) -> &AtomicU64 {
        &self.id
    }

    /// *Home.* What it waits for, as words that follow "waits for".
    pub(crate) fn waits_for(&self) -> &'static str {
        self.waits_for.get()
    }

    /// *Home.* Notes what it is about to stop for.
    pub(super) fn note_wait(&self, what: &'static str) {
        self.waits_for.set(what);
    }

    /// *Home.* The worker that the task runs on.
    #[inline]
    pub(crate) fn worker(&self) -> &Worker {
        let worker = self.worker.get().expect("the task has started");
        // SAFETY: a worker does not leave its loop while it has a task (checked there), so it outlives
        // every reference that is made from a running task.
        unsafe { worker.as_ref() }
    }

    /// *Home, running.* Stops the task. Somebody has it in a queue, or will put it there.
    ///
    /// Always inlined, as `Cx::give_way` is: the processor predicts a return by the calls that it has
    /// seen, and after a switch those are of another stack. So each frame between a switch and the code
    /// that goes on costs two returns to the wrong place, some 5 ns.
    #[inline(always)]
    pub(super) fn suspend(&self) {
        // Contract of `Cx`: it is used by its own task only. A mix-up would corrupt two stacks.
        assert!(
            self.worker().running() == Some(self.pointer()),
            "a `Cx` was used outside of its task"
        );
        let suspender = self.suspender.get().expect("the task has started");
        let here = 0_u8;
        self.runnable.note_stop(&raw const here);
        // SAFETY: it lives on the task's stack for as long as the task runs, which it does now.
        unsafe { suspender.as_ref() }.suspend();
        if self.worker().is_tracing() {
            self.say_where();
        }
    }

    /// *Home, running.* Goes back to the worker, which resumes it at once: see `around.rs`.
    pub(super) fn switch(&self) {
        let suspender = self.suspender.get().expect("the task has started");
        // SAFETY: as in `suspend`.
        unsafe { suspender.as_ref() }.suspend();
    }

    /// *Home.* What is called around its turns.
    #[inline]
    pub(super) fn around(&self) -> &Cell<Around> {
        &self.around
    }

    /// It was not resumed to go on, but to say where it has stopped.
    #[cold]
    #[inline(never)]
    fn say_where(&self) {
        let suspender = self.suspender.get().expect("the task has started");
        while self.worker().is_tracing() {
            self.worker().trace_taken(Backtrace::force_capture());
            // SAFETY: as in `suspend`.
            unsafe { suspender.as_ref() }.suspend();
        }
    }

    /// *Home.* Whether it has started: then it runs, or has stopped.
    pub(crate) fn has_started(&self) -> bool {
        self.suspender.get().is_some()
    }

    /// *Home.* Where the task, which has started, has stopped.
    ///
    /// It is resumed for a moment, in which none of its code runs: a task stops in `suspend` alone.
    pub(crate) fn trace(&self) -> Option<Backtrace> {
        self.worker().trace(self.pointer())
    }

    /// *Home, running.* Runs `f` on the stack of the worker's thread.
    pub(super) fn on_thread_stack<R>(&self, f: impl FnOnce() -> R) -> R {
        let suspender = self.suspender.get().expect("the task has started");
        // SAFETY: as in `suspend`.
        unsafe { suspender.as_ref() }.on_thread_stack(f)
    }

    /// *Home.* Tells instruments that the task has ended. Called by its kind, in its turn, before it tells
    /// anybody else: whoever sees that a nursery has ended can rely on what its instruments have heard.
    #[inline]
    pub(crate) fn tell_exited(&self) {
        if self.worker().is_observed() {
            self.tell_exited_at_length();
        }
    }

    #[cold]
    fn tell_exited_at_length(&self) {
        // SAFETY: the task is alive, and this is its home.
        let tell = || unsafe { self.worker().tell_exited(self.pointer()) };
        if self.has_started() {
            // Hooks are foreign code, which need not make do with the stack of a task.
            self.on_thread_stack(tell);
        } else {
            tell();
        }
    }
}

/// # Safety
/// See `Vtable::run`.
unsafe fn run(runnable: NonNull<Runnable>, worker: &Worker) {
    let this = runnable.cast::<Task>();
    // SAFETY: the queue's reference keeps it alive; only tasks have this vtable.
    let task = unsafe { this.as_ref() };
    task.fuel().set(worker.fuel());
    // SAFETY: home field, and the fiber's code never touches it.
    let slot = unsafe { &mut *task.fiber.get() };
    let fiber = match slot {
        Some(fiber) => fiber,
        None => match start(this, worker) {
            Ok(fiber) => slot.insert(fiber),
            Err(error) => {
                // SAFETY: the task will never run: its kind ends it.
                unsafe { (task.kind.fail)(this, error) };
                // SAFETY: the queue's reference.
                unsafe { Runnable::release(runnable) };
                return;
            }
        },
    };
    if around::resume(task, fiber) == Resumed::Finished {
        // The pool takes the label off.
        worker.stacks().borrow_mut().release(fiber.take_stack());
        *slot = None;
        worker.task_ended();
        // SAFETY: the reference that the queue handed over.
        unsafe { Runnable::release(runnable) };
    }
}

fn start(this: NonNull<Task>, worker: &Worker) -> Result<Fiber, StackError> {
    // SAFETY: alive, see `run`.
    let task = unsafe { this.as_ref() };
    if task.runnable.home().is_none() {
        task.runnable.settle_at(NonNull::from(worker.remote()));
    }
    // A poke that came before it had a home is in no inbox, and its flag keeps later ones away: take it
    // in now, as the task may open a nursery and wait for its children without passing a checkpoint.
    // SAFETY: on the home worker, with a live task.
    unsafe { attend(this.cast(), worker) };
    task.worker.set(Some(NonNull::from(worker)));
    if worker.shared().observer().is_some() {
        task.runnable.set_watching(WATCHED);
    }
    let stack = worker.stacks().borrow_mut().acquire(task.options.stack_bytes)?;
    // SAFETY: home field; nobody else has a reference to the label before it is set below.
    let label = unsafe { &mut *task.label.get() };
    *label = Label::new(&task.options.name);
    // SAFETY: the label and the name lie in the cell, which outlives the stack's use by this task; `run`
    // gives the stack back, which takes the label off, before it releases its reference.
    unsafe { stack.set_label(Some(NonNull::from(label))) };
    worker.task_started();
    Ok(Fiber::new(stack, move |suspender: &Suspender| {
        // SAFETY: the cell outlives the fiber.
        let task = unsafe { this.as_ref() };
        task.suspender.set(Some(NonNull::from(suspender)));
        Cx::with(this, |cx| {
            // SAFETY: called once, on the task's own stack.
            unsafe { (task.kind.body)(this, cx) }
        });
    }))
}

/// # Safety
/// See `Vtable::attend`.
unsafe fn attend(runnable: NonNull<Runnable>, worker: &Worker) {
    // SAFETY: alive by contract; only tasks have this vtable.
    let task = unsafe { runnable.cast::<Task>().as_ref() };
    if task.runnable.take_dirty() {
        task.branch.refresh(worker);
    }
}

/// # Safety
/// See `Vtable::free`.
unsafe fn free(runnable: NonNull<Runnable>) {
    let this = runnable.cast::<Task>();
    // SAFETY: alive until the call below frees it.
    let kind = unsafe { this.as_ref() }.kind;
    // SAFETY: the last reference is gone.
    unsafe { (kind.free)(this) };
}

/// # Safety
/// See `Vtable::identify`.
unsafe fn identify(runnable: NonNull<Runnable>, to: &mut dyn FnMut(Identity<'_>)) {
    // SAFETY: alive by contract; only tasks have this vtable.
    let task = unsafe { runnable.cast::<Task>().as_ref() };
    // SAFETY: whoever opened the nursery is in it as long as it has children.
    let parent = task.branch.parent().map(|parent| unsafe { parent.cast::<Task>().as_ref() });
    to(Identity {
        id: &task.id,
        parent: parent.map(|parent| &parent.id),
        name: task.name(),
        waits_for: task.waits_for(),
    });
}

/// # Safety
/// See `Vtable::has_children`.
unsafe fn has_children(runnable: NonNull<Runnable>) -> bool {
    // SAFETY: alive by contract; only tasks have this vtable.
    let task = unsafe { runnable.cast::<Task>().as_ref() };
    let mut any = false;
    // SAFETY: only the task itself changes its chain, on this thread, and it does not run now.
    unsafe { task.branch.visit_children(&mut |_| any = true) };
    any
}
