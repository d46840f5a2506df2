//! The cancel tree of a runtime.
//!
//! ```text
//! Branch (one per task) ── outermost ScopeNode ── … ── innermost ScopeNode      on the task's stack
//!                                   │ a nursery's node
//!                                   └─ Group ── Branch of child, Branch of child, …
//! ```
//!
//! Every task has a branch: a chain of the scopes it is in, linked through its own stack frames. The node
//! of a nursery owns a group, which holds the branches of the children. What is in force for a task
//! (`Branch::current`) is computed by walking the chain from the outside in, starting with what is in
//! force for its group, and is cached; the runnable's `CANCELLED` flag is one bit of it, and the only
//! thing that a checkpoint looks at.
//!
//! Rules:
//! 1. A branch and its nodes are read and written by the home worker of their task only (before the task
//!    has a home: by its creator). Entering and leaving a scope takes no lock and allocates nothing.
//! 2. Other threads leave requests in the group (nurseries) or in a `ScopeShared` (handles), and poke the
//!    task that owns the node. The home worker carries requests over when it refreshes the branch.
//! 3. What is in force for the children stands in their group, under its lock. It is written by the home
//!    worker of the owner, and by whoever cancels the nursery, so that a nursery's own cancellation is
//!    seen at once by whoever asked for it.
//! 4. A group's list holds exactly the branches whose tasks have not counted themselves down. The count
//!    is the last thing that a task does to its group, under the lock, which is a `BriefLock`: the owner
//!    may free the group as soon as it has seen zero under that lock.
//! 5. Nothing here recurses: a change goes one level down by poking the tasks there, and each of them
//!    refreshes its own branch. Cost is linear in the tasks reached and in the nodes of their chains.

use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, OnceLock};

use crate::clock::{NEVER, Ticks};
use crate::sched::{Alarm, Interrupt, Runnable, Worker};
use crate::timer::TimerKey;
use crate::util::brief_lock::BriefLock;

use super::cancelled::{CancelSource, Cancelled, Notice};

/// What is in force at some place of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    /// The outermost cancellation that no shield hides.
    pub(crate) cancel: Option<Arc<Notice>>,
    /// The outermost shutdown request that no shield hides.
    pub(crate) shutdown: Option<Arc<Notice>>,
    /// The earliest deadline that no shield hides.
    pub(crate) deadline: Ticks,
}

impl Default for Effective {
    fn default() -> Effective {
        Effective { cancel: None, shutdown: None, deadline: NEVER }
    }
}

impl Effective {
    fn same(&self, other: &Effective) -> bool {
        let same = |a: &Option<Arc<Notice>>, b: &Option<Arc<Notice>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same(&self.cancel, &other.cancel)
            && same(&self.shutdown, &other.shutdown)
            && self.deadline == other.deadline
    }
}

/// What other threads ask of a scope (rule 2).
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) cancel: Option<Arc<Notice>>,
    pub(crate) shutdown: Option<Arc<Notice>>,
    pub(crate) deadline: Option<(Ticks, CancelSource)>,
    pub(crate) shield: Option<bool>,
}

/// A task that waits for something that is decided under a group's lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) runnable: NonNull<Runnable>,
    pub(crate) sequence: u64,
}

/// A waiter that was taken out under the lock and is to be woken after it.
struct Wake {
    waiter: Waiter,
    /// Whether it has a reference of its own, because its task might end before it has been woken.
    retained: bool,
}

impl Wake {
    /// Called under the lock that the waiter would have to take in order to leave.
    fn prepare(waiter: Waiter) -> Wake {
        // SAFETY: the waiter is alive: it cannot end before it has taken the lock that we hold.
        let home = unsafe { waiter.runnable.as_ref() }.home();
        let local = home.is_some_and(|home| Worker::current_if(home).is_some());
        if !local {
            // SAFETY: as above.
            unsafe { Runnable::retain(waiter.runnable) };
        }
        Wake { waiter, retained: !local }
    }

    fn wake(self) {
        // SAFETY: on its own worker it cannot have run since `prepare`; elsewhere it was retained. We run
        // in its runtime.
        unsafe { Runnable::wake(self.waiter.runnable, self.waiter.sequence) };
        if self.retained {
            // SAFETY: the reference taken in `prepare`.
            unsafe { Runnable::release(self.waiter.runnable) };
        }
    }
}

/// The cancel state of one task.
pub(crate) struct Branch {
    /// The task's runnable; set when the task has its final address.
    runnable: Cell<Option<NonNull<Runnable>>>,
    /// The nursery that the task is a child of; `None` for the main task.
    group: Cell<Option<NonNull<Group>>>,
    outermost: Cell<Option<NonNull<ScopeNode>>>,
    innermost: Cell<Option<NonNull<ScopeNode>>>,
    current: Cell<Effective>,
    /// Guarded by the group's lock.
    links: UnsafeCell<Links>,
}

#[derive(Default)]
struct Links {
    next: Option<NonNull<Branch>>,
    previous: Option<NonNull<Branch>>,
    /// Whether the task has counted itself down.
    done: bool,
    joiner: Option<Waiter>,
    /// The cancellation of this child alone.
    request: Option<Arc<Notice>>,
}

impl Branch {
    pub(crate) fn new() -> Branch {
        Branch {
            runnable: Cell::new(None),
            group: Cell::new(None),
            outermost: Cell::new(None),
            innermost: Cell::new(None),
            current: Cell::default(),
            links: UnsafeCell::default(),
        }
    }

    /// Tells the branch where its task lives. Called once, before anything else.
    pub(crate) fn attach(&self, runnable: NonNull<Runnable>) {
        self.runnable.set(Some(runnable));
    }

    fn runnable(&self) -> &Runnable {
        let runnable = self.runnable.get().expect("a branch is attached before it is used");
        // SAFETY: the branch is part of the task that the runnable heads.
        unsafe { runnable.as_ref() }
    }

    pub(crate) fn group(&self) -> Option<NonNull<Group>> {
        self.group.get()
    }

    /// The cancellation in force, if there is one.
    pub(crate) fn cancellation(&self) -> Option<Cancelled> {
        self.peek(|current| current.cancel.clone()).map(Cancelled)
    }

    pub(crate) fn shutdown_requested(&self) -> bool {
        self.peek(|current| current.shutdown.is_some() || current.cancel.is_some())
    }

    /// The earliest deadline in force; zero if cancelled already.
    pub(crate) fn deadline(&self) -> Ticks {
        self.peek(|current| if current.cancel.is_some() { 0 } else { current.deadline })
    }

    fn peek<R>(&self, f: impl FnOnce(&Effective) -> R) -> R {
        let current = self.current.take();
        let result = f(&current);
        self.current.set(current);
        result
    }

    /// *Home.* Carries requests over, computes anew what is in force, and passes changes on (rule 5).
    pub(crate) fn refresh(&self, worker: &Worker) {
        let mut force = match self.group.get() {
            // SAFETY: the group outlives its children (rule 4).
            Some(group) => unsafe { group.as_ref() }.effective_for(self),
            None => Effective::default(),
        };
        let mut next = self.outermost.get();
        while let Some(node) = next {
            // SAFETY: linked nodes live in frames of this task, which do not end while we look (rule 1).
            let node = unsafe { node.as_ref() };
            node.before.set(force.clone());
            node.take_requests(worker);
            node.apply(&mut force);
            if let Some(group) = node.group.get() {
                // SAFETY: a node is unlinked before its group ends.
                unsafe { group.as_ref() }.set_effective(&force);
            }
            next = node.inner.get();
        }
        let (cancelled, shutdown) = (force.cancel.is_some(), force.shutdown.is_some());
        self.current.set(force);
        let runnable = self.runnable();
        runnable.set_cancelled(cancelled);
        if cancelled {
            runnable.interrupt(worker, Interrupt::OnCancel);
        } else if shutdown {
            runnable.interrupt(worker, Interrupt::OnShutdown);
        }
    }
}

/// One cancel scope, in a frame of the task that entered it.
#[repr(C)]
pub(crate) struct ScopeNode {
    /// First, because the timer store points to it.
    alarm: Alarm,
    branch: Cell<Option<NonNull<Branch>>>,
    outer: Cell<Option<NonNull<ScopeNode>>>,
    inner: Cell<Option<NonNull<ScopeNode>>>,
    cancel: Cell<Option<Arc<Notice>>>,
    shutdown: Cell<Option<Arc<Notice>>>,
    /// What was in force outside, as of the last refresh.
    before: Cell<Effective>,
    shield: Cell<bool>,
    deadline: Cell<Ticks>,
    deadline_source: Cell<CancelSource>,
    timer: Cell<Option<TimerKey>>,
    group: Cell<Option<NonNull<Group>>>,
    shared: OnceLock<Arc<ScopeShared>>,
}

impl ScopeNode {
    pub(crate) fn new(shield: bool, deadline: Ticks) -> ScopeNode {
        ScopeNode {
            alarm: Alarm { fire: ScopeNode::on_deadline },
            branch: Cell::new(None),
            outer: Cell::new(None),
            inner: Cell::new(None),
            cancel: Cell::new(None),
            shutdown: Cell::new(None),
            before: Cell::default(),
            shield: Cell::new(shield),
            deadline: Cell::new(deadline),
            deadline_source: Cell::new(CancelSource::Deadline),
            timer: Cell::new(None),
            group: Cell::new(None),
            shared: OnceLock::new(),
        }
    }

    /// Makes this the innermost scope of the running task.
    ///
    /// # Safety
    /// Called on the home worker of the branch. Node and group stay in place until `leave`.
    pub(crate) unsafe fn enter(&self, branch: &Branch, worker: &Worker, group: Option<&Group>) {
        let this = NonNull::from(self);
        self.branch.set(Some(NonNull::from(branch)));
        self.group.set(group.map(NonNull::from));
        let outer = branch.innermost.replace(Some(this));
        self.outer.set(outer);
        match outer {
            // SAFETY: linked nodes are in place (rule 1).
            Some(outer) => unsafe { outer.as_ref() }.inner.set(Some(this)),
            None => branch.outermost.set(Some(this)),
        }
        let mut force = branch.current.take();
        self.before.set(force.clone());
        if self.deadline.get() != NEVER {
            self.arm_deadline(worker);
        }
        self.apply(&mut force);
        if let Some(group) = group {
            group.begin(&force, NonNull::from(branch.runnable()));
        }
        branch.runnable().set_cancelled(force.cancel.is_some());
        branch.current.set(force);
    }

    /// Takes the scope, which is the innermost, out of the chain.
    ///
    /// # Safety
    /// Called on the home worker, after `enter`, when no child of the group is left.
    pub(crate) unsafe fn leave(&self, worker: &Worker) {
        if let Some(shared) = self.shared.get() {
            // A last request that came by a handle still counts, as one made from inside does.
            self.take_shared_requests(worker, shared);
            shared.close();
        }
        if let Some(timer) = self.timer.take() {
            worker.cancel_alarm(timer);
        }
        let branch = self.branch.get().expect("a scope is entered before it is left");
        // SAFETY: the branch is part of the task that runs this.
        let branch = unsafe { branch.as_ref() };
        debug_assert_eq!(branch.innermost.get(), Some(NonNull::from(self)), "scopes nest");
        let outer = self.outer.get();
        branch.innermost.set(outer);
        match outer {
            // SAFETY: linked nodes are in place (rule 1).
            Some(outer) => unsafe { outer.as_ref() }.inner.set(None),
            None => branch.outermost.set(None),
        }
        let before = self.before.take();
        branch.runnable().set_cancelled(before.cancel.is_some());
        branch.current.set(before);
    }

    /// What is in force inside, given what is outside.
    fn apply(&self, force: &mut Effective) {
        if self.shield.get() {
            *force = Effective::default();
        }
        if force.cancel.is_none() {
            force.cancel = clone_of(&self.cancel);
        }
        if force.shutdown.is_none() {
            force.shutdown = clone_of(&self.shutdown);
        }
        force.deadline = force.deadline.min(self.deadline.get());
    }

    /// *Home.* Whether this scope itself was asked to cancel.
    pub(crate) fn cancel_called(&self) -> bool {
        self.notice().is_some()
    }

    /// *Home.* The scope's own request, including one that a handle or a child has just left.
    pub(crate) fn notice(&self) -> Option<Arc<Notice>> {
        clone_of(&self.cancel)
            .or_else(|| self.shared.get().and_then(|shared| shared.notice()))
            // SAFETY: the node of a nursery is gone before its group is.
            .or_else(|| self.group.get().and_then(|group| unsafe { group.as_ref() }.notice()))
    }

    /// *Home.* Whether `cancelled` reports the request of this very scope.
    pub(crate) fn owns(&self, cancelled: &Cancelled) -> bool {
        // A nursery that was cancelled from two sides at once may have two notices; both are its own.
        let is = |notice: Option<Arc<Notice>>| notice.is_some_and(|notice| cancelled.is(&notice));
        is(clone_of(&self.cancel))
            || is(self.shared.get().and_then(|shared| shared.notice()))
            // SAFETY: the node of a nursery is gone before its group is.
            || is(self.group.get().and_then(|group| unsafe { group.as_ref() }.notice()))
    }

    /// *Home.* Cancels the scope; the first request wins.
    pub(crate) fn cancel(&self, worker: &Worker, notice: Notice) {
        self.request(worker, |requests| {
            if requests.cancel.is_none() {
                requests.cancel = Some(Arc::new(notice));
            }
        });
    }

    /// *Home.* Asks for a graceful end; the scope is cancelled when `deadline` passes.
    pub(crate) fn shut_down(&self, worker: &Worker, notice: Notice, deadline: Ticks) {
        self.request(worker, |requests| shutdown_into(requests, notice, deadline));
    }

    /// *Home.* Moves the deadline.
    pub(crate) fn set_deadline(&self, worker: &Worker, deadline: Ticks) {
        self.request(worker, |requests| {
            requests.deadline = Some((deadline, CancelSource::Deadline));
        });
    }

    /// *Home.* Raises or lowers the shield.
    pub(crate) fn set_shield(&self, worker: &Worker, shield: bool) {
        self.request(worker, |requests| requests.shield = Some(shield));
    }

    pub(crate) fn deadline(&self) -> Ticks {
        self.deadline.get()
    }

    pub(crate) fn is_shielded(&self) -> bool {
        self.shield.get()
    }

    /// The half of the scope that handles hold; made when the first handle is asked for.
    pub(crate) fn shared(&self, owner: NonNull<Runnable>) -> &Arc<ScopeShared> {
        self.shared.get_or_init(|| Arc::new(ScopeShared::new(owner)))
    }

    /// Applies a request made on the home worker, and everything that is pending with it.
    fn request(&self, worker: &Worker, make: impl FnOnce(&mut Requests)) {
        let mut requests = Requests { cancel: self.notice(), ..Requests::default() };
        make(&mut requests);
        self.absorb(worker, requests);
        if let Some(branch) = self.branch.get() {
            // SAFETY: the branch is in place while the scope is entered.
            unsafe { branch.as_ref() }.refresh(worker);
        }
        worker.drain_inbox();
    }

    fn take_requests(&self, worker: &Worker) {
        if let Some(shared) = self.shared.get() {
            self.take_shared_requests(worker, shared);
        }
        if let Some(group) = self.group.get() {
            // SAFETY: a node is unlinked before its group ends.
            let requests = unsafe { group.as_ref() }.take_requests();
            self.absorb(worker, requests);
        }
    }

    fn take_shared_requests(&self, worker: &Worker, shared: &ScopeShared) {
        let requests = shared.take_requests();
        self.absorb(worker, requests);
    }

    fn absorb(&self, worker: &Worker, requests: Requests) {
        if let Some(shield) = requests.shield {
            self.shield.set(shield);
        }
        if let Some(notice) = requests.cancel {
            self.cancel_with(notice);
        }
        if let Some(notice) = requests.shutdown
            && clone_of(&self.shutdown).is_none()
        {
            self.shutdown.set(Some(notice));
        }
        if let Some((deadline, source)) = requests.deadline {
            let grace = source == CancelSource::ShutdownGrace;
            // A grace period only ever shortens; a deadline that is moved goes where it is put.
            if !grace || deadline < self.deadline.get() {
                self.deadline.set(deadline);
                self.deadline_source.set(source);
                if let Some(timer) = self.timer.take() {
                    worker.cancel_alarm(timer);
                }
                self.arm_deadline(worker);
            }
        }
    }

    /// Records a request, here and where handles and children look for it; the first one wins.
    fn cancel_with(&self, notice: Arc<Notice>) {
        if clone_of(&self.cancel).is_some() {
            return;
        }
        let notice = match self.shared.get() {
            Some(shared) => shared.record(notice),
            None => notice,
        };
        self.cancel.set(Some(notice));
    }

    fn arm_deadline(&self, worker: &Worker) {
        let deadline = self.deadline.get();
        if deadline == NEVER {
            return;
        }
        if deadline <= worker.shared().timeline().now() {
            self.expire();
            return;
        }
        // SAFETY: the node stays in place until `leave`, which cancels the alarm. The pointer to the
        // whole node is also one to its first field.
        let timer = unsafe { worker.set_alarm(deadline, NonNull::from(self).cast::<Alarm>()) };
        self.timer.set(timer);
    }

    fn expire(&self) {
        if self.notice().is_none() {
            self.cancel_with(Arc::new(Notice::new(self.deadline_source.get())));
        }
    }

    /// # Safety
    /// Called by the worker's timers with the alarm of an entered node.
    unsafe fn on_deadline(alarm: NonNull<Alarm>, worker: &Worker) {
        // SAFETY: `alarm` is the first field of a node that is in place until its alarm is cancelled.
        let node = unsafe { alarm.cast::<ScopeNode>().as_ref() };
        node.timer.set(None);
        node.expire();
        if let Some(branch) = node.branch.get() {
            // SAFETY: the branch is in place while the scope is entered.
            unsafe { branch.as_ref() }.refresh(worker);
        }
    }
}

fn shutdown_into(requests: &mut Requests, notice: Notice, deadline: Ticks) {
    if requests.shutdown.is_none() {
        requests.shutdown = Some(Arc::new(notice));
    }
    if deadline != NEVER {
        requests.deadline = Some((deadline, CancelSource::ShutdownGrace));
    }
}

fn clone_of(cell: &Cell<Option<Arc<Notice>>>) -> Option<Arc<Notice>> {
    let value = cell.take();
    let clone = value.clone();
    cell.set(value);
    clone
}

/// The half of a scope that lives on the heap, for handles that may be anywhere and outlive it.
#[derive(Debug)]
pub(crate) struct ScopeShared {
    state: Mutex<SharedState>,
}

#[derive(Debug)]
struct SharedState {
    requests: Requests,
    /// The task that is in the scope; `None` once the scope has been left. While it is set and the lock
    /// is held, the task cannot leave the scope, so that it and its runtime are alive.
    owner: Option<NonNull<Runnable>>,
    /// The scope's request, wherever it came from.
    notice: Option<Arc<Notice>>,
}

// SAFETY: `owner` is used under the lock only, for `poke`, which any thread may call.
unsafe impl Send for SharedState {}

impl ScopeShared {
    fn new(owner: NonNull<Runnable>) -> ScopeShared {
        let state = SharedState { requests: Requests::default(), owner: Some(owner), notice: None };
        ScopeShared { state: Mutex::new(state) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn take_requests(&self) -> Requests {
        let mut state = self.lock();
        let mut requests = std::mem::take(&mut state.requests);
        requests.cancel = state.notice.clone();
        requests
    }

    fn record(&self, notice: Arc<Notice>) -> Arc<Notice> {
        Arc::clone(self.lock().notice.get_or_insert(notice))
    }

    fn close(&self) {
        self.lock().owner = None;
    }

    pub(crate) fn notice(&self) -> Option<Arc<Notice>> {
        self.lock().notice.clone()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().owner.is_some()
    }

    pub(crate) fn cancel(&self, notice: Notice) {
        self.request(|state| {
            if state.notice.is_none() {
                state.notice = Some(Arc::new(notice));
            }
        });
    }

    pub(crate) fn shut_down(&self, notice: Notice, deadline: Ticks) {
        self.request(|state| shutdown_into(&mut state.requests, notice, deadline));
    }

    pub(crate) fn set_deadline(&self, deadline: Ticks) {
        self.request(|state| state.requests.deadline = Some((deadline, CancelSource::Deadline)));
    }

    pub(crate) fn set_shield(&self, shield: bool) {
        self.request(|state| state.requests.shield = Some(shield));
    }

    fn request(&self, make: impl FnOnce(&mut SharedState)) {
        let mut state = self.lock();
        make(&mut state);
        if let Some(owner) = state.owner {
            // SAFETY: see `SharedState::owner`.
            unsafe { Runnable::poke(owner) };
        }
        drop(state);
        settle_here();
    }
}

/// Lets pokes of tasks of this very worker take effect before the call that made them returns.
fn settle_here() {
    if let Some(worker) = Worker::current() {
        worker.drain_inbox();
    }
}

/// The children of a nursery. It lives in the frame of the task that opened the nursery.
pub(crate) struct Group {
    state: BriefLock<GroupState>,
}

struct GroupState {
    first: Option<NonNull<Branch>>,
    /// Children that have not counted themselves down, and places reserved for children in `start`.
    live: usize,
    effective: Effective,
    requests: Requests,
    /// The nursery's own request, once there is one.
    notice: Option<Arc<Notice>>,
    owner: Option<NonNull<Runnable>>,
    /// The owner, when it waits for `live` to become zero.
    waiter: Option<Waiter>,
}

// SAFETY: the pointers lead to tasks of the same runtime, which are alive while they are here (rule 4),
// and are used under the lock only, for `poke` and for linking.
unsafe impl Send for GroupState {}

impl Group {
    pub(crate) fn new() -> Group {
        Group {
            state: BriefLock::new(GroupState {
                first: None,
                live: 0,
                effective: Effective::default(),
                requests: Requests::default(),
                notice: None,
                owner: None,
                waiter: None,
            }),
        }
    }

    fn begin(&self, effective: &Effective, owner: NonNull<Runnable>) {
        let mut state = self.state.lock();
        state.effective = effective.clone();
        state.owner = Some(owner);
    }

    fn effective_for(&self, branch: &Branch) -> Effective {
        let state = self.state.lock();
        let mut effective = state.effective.clone();
        if effective.cancel.is_none() {
            // SAFETY: links are guarded by the lock that we hold.
            effective.cancel = unsafe { &*branch.links.get() }.request.clone();
        }
        effective
    }

    pub(crate) fn notice(&self) -> Option<Arc<Notice>> {
        self.state.lock().notice.clone()
    }

    fn take_requests(&self) -> Requests {
        let mut state = self.state.lock();
        let mut requests = std::mem::take(&mut state.requests);
        requests.cancel = state.notice.clone();
        requests
    }

    /// The owner's worker says what is in force (rule 3).
    fn set_effective(&self, force: &Effective) {
        let mut state = self.state.lock();
        let mut force = force.clone();
        if force.cancel.is_none() {
            force.cancel = state.notice.clone();
        }
        if !state.effective.same(&force) {
            state.effective = force;
            state.poke_children();
        }
    }

    /// Adds a task that has not started. It inherits what is in force.
    pub(crate) fn add(&self, branch: &Branch) {
        branch.group.set(Some(NonNull::from(self)));
        let mut state = self.state.lock();
        state.link(branch);
        state.live += 1;
        // The branch has no home yet, so that it is still ours to write (rule 1).
        let cancelled = state.effective.cancel.is_some();
        branch.current.set(state.effective.clone());
        drop(state);
        branch.runnable().set_cancelled(cancelled);
    }

    /// The last thing that a task does: it is no longer a child of anything.
    pub(crate) fn count_down(&self, branch: &Branch) {
        // A late poke may still be in the inbox: it must not look for a group that is gone.
        branch.group.set(None);
        let mut state = self.state.lock();
        state.unlink(branch);
        // SAFETY: links are guarded by the lock that we hold.
        let links = unsafe { &mut *branch.links.get() };
        links.done = true;
        let joiner = links.joiner.take().map(Wake::prepare);
        let owner = state.decrement();
        drop(state);
        // From here on the group may be gone.
        for wake in [joiner, owner].into_iter().flatten() {
            wake.wake();
        }
    }

    /// Takes the running task, a child of `from`, over as a child of this group, into a reserved place.
    /// Nothing happens if a cancellation is in force in the group it is in.
    ///
    /// `before_leaving` runs under the lock of `from`, whose owner goes on as soon as it is released.
    pub(crate) fn adopt(
        &self,
        from: &Group,
        branch: &Branch,
        worker: &Worker,
        before_leaving: impl FnOnce(),
    ) {
        let mut old = from.state.lock();
        if old.effective.cancel.is_some() {
            return;
        }
        before_leaving();
        old.unlink(branch);
        let owner = old.decrement();
        drop(old);
        branch.group.set(Some(NonNull::from(self)));
        self.state.lock().link(branch);
        branch.refresh(worker);
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// Keeps the group from ending for the sake of a child that may come.
    pub(crate) fn reserve(&self) {
        self.state.lock().live += 1;
    }

    /// Gives a reserved place up.
    pub(crate) fn release_reserved(&self) {
        let owner = self.state.lock().decrement();
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// Whether no child is left; otherwise `waiter` will be woken when none is.
    pub(crate) fn is_done_or_wait(&self, waiter: Waiter) -> bool {
        let mut state = self.state.lock();
        if state.live == 0 {
            return true;
        }
        state.waiter = Some(waiter);
        false
    }

    /// The task that opened the nursery.
    pub(crate) fn owner(&self) -> Option<NonNull<Runnable>> {
        self.state.lock().owner
    }

    pub(crate) fn live(&self) -> usize {
        self.state.lock().live
    }

    /// Whether the child has counted itself down; otherwise `waiter` will be woken when it has.
    pub(crate) fn is_joined_or_wait(&self, branch: &Branch, waiter: Waiter) -> bool {
        let _state = self.state.lock();
        // SAFETY: links are guarded by the lock that we hold.
        let links = unsafe { &mut *branch.links.get() };
        if !links.done {
            links.joiner = Some(waiter);
        }
        links.done
    }

    /// Takes a joiner back; returns whether the child has counted itself down meanwhile.
    pub(crate) fn stop_joining(&self, branch: &Branch) -> bool {
        let _state = self.state.lock();
        // SAFETY: links are guarded by the lock that we hold.
        let links = unsafe { &mut *branch.links.get() };
        links.joiner = None;
        links.done
    }

    pub(crate) fn is_joined(&self, branch: &Branch) -> bool {
        let _state = self.state.lock();
        // SAFETY: links are guarded by the lock that we hold.
        unsafe { &*branch.links.get() }.done
    }

    /// Cancels one child, from anywhere inside the nursery. Nothing happens if it has ended.
    pub(crate) fn cancel_child(&self, branch: &Branch, notice: Notice) {
        let state = self.state.lock();
        // SAFETY: links are guarded by the lock that we hold.
        let links = unsafe { &mut *branch.links.get() };
        if !links.done && links.request.is_none() {
            links.request = Some(Arc::new(notice));
            // SAFETY: a child that is not done is alive, and so is its runtime.
            unsafe { Runnable::poke(NonNull::from(branch.runnable())) };
        }
        drop(state);
        settle_here();
    }

    /// The request made for this child alone.
    pub(crate) fn child_notice(&self, branch: &Branch) -> Option<Arc<Notice>> {
        let _state = self.state.lock();
        // SAFETY: links are guarded by the lock that we hold.
        unsafe { &*branch.links.get() }.request.clone()
    }

    /// Marks a child as ended that was never added.
    pub(crate) fn refuse(&self, branch: &Branch) {
        let _state = self.state.lock();
        // SAFETY: links are guarded by the lock that we hold.
        unsafe { &mut *branch.links.get() }.done = true;
    }

    /// What ends the children now, if anything does.
    pub(crate) fn cancellation(&self) -> Option<Cancelled> {
        self.state.lock().effective.cancel.clone().map(Cancelled)
    }

    /// Cancels the nursery, from anywhere inside it; the first request wins.
    pub(crate) fn cancel(&self, notice: Notice) {
        let mut state = self.state.lock();
        if state.notice.is_some() {
            return;
        }
        let notice = Arc::new(notice);
        state.notice = Some(Arc::clone(&notice));
        if state.effective.cancel.is_none() {
            state.effective.cancel = Some(notice);
            state.poke_children();
        }
        state.poke_owner();
        drop(state);
        settle_here();
    }

    /// Asks for a graceful end, from anywhere inside.
    pub(crate) fn shut_down(&self, notice: Notice, deadline: Ticks) {
        let mut state = self.state.lock();
        shutdown_into(&mut state.requests, notice, deadline);
        if state.effective.shutdown.is_none() {
            state.effective.shutdown = state.requests.shutdown.clone();
            state.poke_children();
        }
        state.poke_owner();
        drop(state);
        settle_here();
    }
}

impl GroupState {
    fn link(&mut self, branch: &Branch) {
        let this = NonNull::from(branch);
        // SAFETY: links are guarded by the lock, which the caller holds (it has `&mut` to the state).
        let links = unsafe { &mut *branch.links.get() };
        links.previous = None;
        links.next = self.first;
        if let Some(first) = self.first {
            // SAFETY: as above; linked branches are alive (rule 4).
            unsafe { (*first.as_ref().links.get()).previous = Some(this) };
        }
        self.first = Some(this);
    }

    fn unlink(&mut self, branch: &Branch) {
        // SAFETY: links are guarded by the lock, which the caller holds.
        let links = unsafe { &mut *branch.links.get() };
        let (previous, next) = (links.previous.take(), links.next.take());
        match previous {
            // SAFETY: as above; linked branches are alive (rule 4).
            Some(previous) => unsafe { (*previous.as_ref().links.get()).next = next },
            None => self.first = next,
        }
        if let Some(next) = next {
            // SAFETY: as above.
            unsafe { (*next.as_ref().links.get()).previous = previous };
        }
    }

    fn decrement(&mut self) -> Option<Wake> {
        self.live -= 1;
        if self.live != 0 {
            return None;
        }
        self.waiter.take().map(Wake::prepare)
    }

    fn poke_children(&self) {
        let mut next = self.first;
        while let Some(branch) = next {
            // SAFETY: linked branches are alive, and the lock keeps them linked (rule 4).
            let branch = unsafe { branch.as_ref() };
            // SAFETY: the child is alive, and so is the runtime that it belongs to.
            unsafe { Runnable::poke(NonNull::from(branch.runnable())) };
            // SAFETY: links are guarded by the lock, which the caller holds.
            next = unsafe { (*branch.links.get()).next };
        }
    }

    fn poke_owner(&self) {
        if let Some(owner) = self.owner {
            // SAFETY: the owner waits for its children before it ends, and whoever calls is inside.
            unsafe { Runnable::poke(owner) };
        }
    }
}
