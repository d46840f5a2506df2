//! The children of a nursery, and what is in force for them.

use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use crate::cancel::cancelled::{Cancelled, Notice};
use crate::clock::Ticks;
use crate::sched::{Remote, Runnable, Worker};
use crate::util::brief_lock::{BriefGuard, BriefLock};
use crate::util::footprint::{self, How};

use super::branch::Branch;
use super::shared::ScopeShared;
use super::{Effective, Requests, settle_here, shutdown_into};

/// A task that waits for something that is decided under a group's lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) runnable: NonNull<Runnable>,
    pub(crate) sequence: u64,
}

/// Who hears of the end of a child.
#[derive(Debug)]
pub(crate) enum Joiner {
    /// A task in `join`, which takes itself back before it goes on.
    Task(Waiter),
    /// Whoever may forget to take itself back, such as an arm of a select: it is counted.
    Other(Waker),
}

/// A waiter that was taken out under the lock and is to be woken after it.
enum Wake<'w> {
    /// It belongs to the calling worker, and cannot run before that has woken it.
    Here(Waiter, &'w Worker),
    /// It has a reference of its own, because its task might end before it has been woken.
    Elsewhere(Waiter),
}

impl Wake<'_> {
    /// Called under the lock that the waiter would have to take in order to leave without being woken.
    #[inline]
    fn prepare(waiter: Waiter) -> Self {
        // SAFETY: the waiter is alive: it cannot end before it was woken, which is up to us, or has taken
        // the lock that we hold.
        let home = unsafe { waiter.runnable.as_ref() }.home();
        if let Some(worker) = home.and_then(Worker::current_if) {
            return Wake::Here(waiter, worker);
        }
        // SAFETY: as above.
        unsafe { Runnable::retain(waiter.runnable) };
        Wake::Elsewhere(waiter)
    }

    #[inline]
    fn wake(self) {
        match self {
            Wake::Here(waiter, worker) => {
                // SAFETY: its task has not run since `prepare`, so that it has not ended.
                unsafe { waiter.runnable.as_ref() }.wake_at_home(worker, waiter.sequence);
            }
            Wake::Elsewhere(waiter) => {
                // SAFETY: it was retained, and we run in its runtime.
                unsafe { Runnable::wake(waiter.runnable, waiter.sequence) };
                // SAFETY: the reference taken in `prepare`.
                unsafe { Runnable::release(waiter.runnable) };
            }
        }
    }
}

/// The children of a nursery. It lives in the frame of the task that opened the nursery.
pub(crate) struct Group {
    state: BriefLock<GroupState>,
    /// The task that opened the nursery.
    owner: NonNull<Runnable>,
    /// The half that handles hold; made when the first is asked for.
    shared: OnceLock<Arc<ScopeShared>>,
}

struct GroupState {
    first: Option<NonNull<Branch>>,
    /// Children that have not counted themselves down, and places reserved for children in `start`.
    live: usize,
    effective: Effective,
    requests: Requests,
    /// The nursery's own request, once there is one.
    notice: Option<Arc<Notice>>,
    /// The owner, when it waits for `live` to become zero.
    waiter: Option<Waiter>,
}

// SAFETY: the pointers lead to tasks of the same runtime, which are alive while they are here (rule 4),
// and are used under the lock only, for `poke` and for linking.
unsafe impl Send for GroupState {}

impl Group {
    /// A group whose node is about to be entered in `branch`.
    pub(crate) fn new(branch: &Branch) -> Group {
        Group {
            state: BriefLock::new(GroupState {
                first: None,
                live: 0,
                effective: branch.effective(),
                requests: Requests::default(),
                notice: None,
                waiter: None,
            }),
            owner: NonNull::from(branch.runnable()),
            shared: OnceLock::new(),
        }
    }

    /// The task that opened the nursery.
    pub(super) fn owner(&self) -> NonNull<Runnable> {
        self.owner
    }

    /// The half that handles hold.
    pub(crate) fn share(&self) -> Arc<ScopeShared> {
        let notice = || self.state.lock().notice.clone();
        Arc::clone(self.shared.get_or_init(|| Arc::new(ScopeShared::new(self.owner, notice()))))
    }

    /// Panics if `worker` belongs to another runtime than the nursery.
    ///
    /// Wakes go from worker to worker without counting references to the runtime. That of a waiter could
    /// end while its waker still rings at its door, if the waker were not part of it.
    #[track_caller]
    pub(crate) fn assert_same_runtime(&self, worker: &Worker) {
        // SAFETY: the owner outlives its group.
        let home = unsafe { self.owner.as_ref() }.home();
        let here = NonNull::from(worker.remote());
        // SAFETY: the runtime of the owner is alive, and its `Remote`s with it.
        let is_beside = |home: NonNull<Remote>| unsafe { home.as_ref() }.is_beside(worker.remote());
        let same = home.is_some_and(|home| home == here || is_beside(home));
        assert!(
            same,
            "a nursery and its children were used with a `cx` of another runtime: join and start them \
             from tasks of their own runtime, or spawn with `Nursery::spawn`, which needs no `cx`"
        );
    }

    pub(super) fn shared_if_any(&self) -> Option<&Arc<ScopeShared>> {
        self.shared.get()
    }

    pub(super) fn effective_for(&self, branch: &Branch) -> Effective {
        let state = self.state.lock();
        let mut effective = state.effective.clone();
        if effective.requested.cancel.is_none() {
            // SAFETY: links are guarded by the lock that we hold.
            effective.requested.cancel = unsafe { &*branch.links.get() }.request.clone();
        }
        effective
    }

    pub(crate) fn notice(&self) -> Option<Arc<Notice>> {
        self.state.lock().notice.clone()
    }

    pub(super) fn take_requests(&self) -> Requests {
        let mut state = self.state.lock();
        let mut requests = std::mem::take(&mut state.requests);
        requests.cancel = state.notice.clone();
        requests
    }

    /// The owner's worker says what is in force (rule 3).
    pub(super) fn set_effective(&self, force: &Effective) {
        let mut state = self.state.lock();
        let mut force = force.clone();
        if force.requested.cancel.is_none() {
            force.requested.cancel = state.notice.clone();
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
        branch.deadline.set(state.effective.deadline);
        if state.effective.requested.is_nothing() {
            return;
        }
        let requested = state.effective.requested.clone();
        drop(state);
        branch.set_requested(requested);
    }

    /// The last thing that a task does: it is no longer a child of anything.
    pub(crate) fn count_down(&self, branch: &Branch) {
        // A late poke may still be in the inbox: it must not look for a group that is gone.
        branch.group.set(None);
        footprint::touch_as(self, How::CountsDown);
        let mut state = self.state.lock();
        state.unlink(branch);
        // SAFETY: links are guarded by the lock that we hold.
        let links = unsafe { &mut *branch.links.get() };
        branch.set_done();
        let joiner = links.joiner.take().map(|joiner| match joiner {
            Joiner::Task(waiter) => Ok(Wake::prepare(waiter)),
            Joiner::Other(waker) => Err(waker),
        });
        let owner = state.decrement();
        if owner.is_some() {
            footprint::touch_as(self, How::EndsCount);
        }
        drop(state);
        // From here on the group may be gone.
        match joiner {
            Some(Ok(joiner)) => joiner.wake(),
            Some(Err(waker)) => waker.wake(),
            None => {}
        }
        if let Some(owner) = owner {
            owner.wake();
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
        footprint::touch(self);
        footprint::touch(from);
        let mut old = from.state.lock();
        if old.effective.requested.cancel.is_some() {
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

    /// Visits the children, the youngest first. `visit` runs under the lock: it does nothing but note.
    pub(super) fn visit_children(&self, visit: &mut dyn FnMut(NonNull<Runnable>)) {
        self.state.lock().visit_children(visit);
    }

    /// Keeps the group from ending for the sake of a child that may come.
    pub(crate) fn reserve(&self) {
        self.state.lock().live += 1;
    }

    /// Gives a reserved place up.
    pub(crate) fn release_reserved(&self) {
        footprint::touch(self);
        let owner = self.state.lock().decrement();
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// Whether no child is left; otherwise `waiter` will be woken when none is.
    pub(crate) fn is_done_or_wait(&self, waiter: Waiter) -> bool {
        footprint::touch(self);
        let mut state = self.state.lock();
        if state.live == 0 {
            return true;
        }
        state.waiter = Some(waiter);
        false
    }

    pub(crate) fn live(&self) -> usize {
        // Also on additions, which say nothing for themselves: nothing else depends on them.
        footprint::touch_everything();
        self.state.lock().live
    }

    /// Whether the child has counted itself down; otherwise `joiner` will be woken when it has.
    ///
    /// No part of a footprint: whether a task finds the child done or waits for that, it goes on afterwards.
    /// Whoever can do something else instead asks `has_ended` before.
    pub(crate) fn is_joined_or_wait(&self, branch: &Branch, joiner: Joiner) -> bool {
        if branch.is_done() {
            return true;
        }
        let state = self.state.lock();
        // SAFETY: links are guarded by the lock that we hold.
        let links = unsafe { &mut *branch.links.get() };
        let done = branch.is_done();
        let unused = if done { Some(joiner) } else { links.joiner.replace(joiner) };
        // It may be the last that holds its task, and is dropped outside of the lock.
        drop(state);
        drop(unused);
        done
    }

    /// Whether the child has counted itself down.
    #[inline]
    pub(crate) fn has_ended(&self, branch: &Branch) -> bool {
        // Counting down is what this depends on.
        footprint::touch(self);
        branch.is_done()
    }

    /// Takes a joiner back; returns whether the child has counted itself down meanwhile.
    pub(crate) fn stop_joining(&self, branch: &Branch) -> bool {
        footprint::touch(self);
        let state = self.state.lock();
        // SAFETY: links are guarded by the lock that we hold.
        let links = unsafe { &mut *branch.links.get() };
        let (unused, done) = (links.joiner.take(), branch.is_done());
        drop(state);
        drop(unused);
        done
    }

    /// Who waits for the child in `join`.
    pub(super) fn joiner(&self, branch: &Branch) -> Option<NonNull<Runnable>> {
        let _state = self.state.lock();
        // SAFETY: links are guarded by the lock that we hold.
        let links = unsafe { &*branch.links.get() };
        match &links.joiner {
            Some(Joiner::Task(waiter)) => Some(waiter.runnable),
            Some(Joiner::Other(_)) | None => None,
        }
    }

    /// Cancels one child, from anywhere inside the nursery. Nothing happens if it has ended.
    pub(crate) fn cancel_child(&self, branch: &Branch, notice: Notice) {
        let state = self.state.lock();
        // SAFETY: links are guarded by the lock that we hold.
        let links = unsafe { &mut *branch.links.get() };
        if !branch.is_done() && links.request.is_none() {
            let child_of = Some(self.address());
            links.request = Some(Arc::new(Notice { child_of, ..notice }));
            // SAFETY: a child that is not done is alive, and so is its runtime.
            unsafe { Runnable::poke(NonNull::from(branch.runnable())) };
        }
        drop(state);
        settle_here();
    }

    /// Whether `cancelled` reports the request of one of this group's children.
    pub(crate) fn owns(&self, cancelled: &Cancelled) -> bool {
        cancelled.0.child_of == Some(self.address())
    }

    /// Names the group while it exists.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The request made for this child alone.
    pub(crate) fn child_notice(&self, branch: &Branch) -> Option<Arc<Notice>> {
        let _state = self.state.lock();
        // SAFETY: links are guarded by the lock that we hold.
        unsafe { &*branch.links.get() }.request.clone()
    }

    /// Marks a child as ended that was never added.
    pub(crate) fn refuse(&self, branch: &Branch) {
        branch.set_done();
    }

    /// What ends the children now, if anything does.
    pub(crate) fn cancellation(&self) -> Option<Cancelled> {
        self.state.lock().effective.requested.cancel.clone().map(Cancelled)
    }

    /// Records a request that came by the node: from a handle, or by a deadline. The first one wins.
    pub(super) fn record(&self, notice: Arc<Notice>) -> Arc<Notice> {
        self.state.lock().record(notice)
    }

    /// Cancels the nursery, from anywhere inside it; the first request wins.
    pub(crate) fn cancel(&self, notice: Notice) {
        let mut state = self.state.lock();
        if state.notice.is_some() {
            return;
        }
        state.record(Arc::new(notice));
        self.poke_owner(state);
        settle_here();
    }

    /// As `cancel`, for a request that usually comes too late: every child that a cancellation ends
    /// fails, and the notice of a failure has words in it.
    pub(crate) fn cancel_if_first(&self, notice: impl FnOnce() -> Notice) {
        // The order of failures is kept.
        footprint::touch(self);
        if !self.is_cancelled() {
            self.cancel(notice());
        }
    }

    /// Whether the nursery itself was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.state.lock().notice.is_some()
    }

    /// Asks for a graceful end, from anywhere inside.
    pub(crate) fn shut_down(&self, notice: Notice, deadline: Ticks) {
        let mut state = self.state.lock();
        shutdown_into(&mut state.requests, notice, deadline);
        if state.effective.requested.shutdown.is_none() {
            state.effective.requested.shutdown = state.requests.shutdown.clone();
            state.poke_children();
        }
        self.poke_owner(state);
        settle_here();
    }

    /// Tells the owner under the lock: it cannot have left the nursery while somebody is inside.
    fn poke_owner(&self, state: BriefGuard<'_, GroupState>) {
        // SAFETY: the owner waits for its children before it ends, and whoever calls is inside.
        unsafe { Runnable::poke(self.owner) };
        drop(state);
    }
}

impl GroupState {
    #[inline]
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

    #[inline]
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

    #[inline]
    fn decrement<'w>(&mut self) -> Option<Wake<'w>> {
        self.live -= 1;
        if self.live != 0 {
            return None;
        }
        self.waiter.take().map(Wake::prepare)
    }

    /// Records the nursery's own request; the first one wins. Whoever sees it recorded finds it in force.
    fn record(&mut self, notice: Arc<Notice>) -> Arc<Notice> {
        if let Some(first) = &self.notice {
            return Arc::clone(first);
        }
        self.notice = Some(Arc::clone(&notice));
        if self.effective.requested.cancel.is_none() {
            self.effective.requested.cancel = Some(Arc::clone(&notice));
            self.poke_children();
        }
        notice
    }

    fn poke_children(&self) {
        // SAFETY: the child is alive, and so is the runtime that it belongs to.
        self.visit_children(&mut |child| unsafe { Runnable::poke(child) });
    }

    fn visit_children(&self, visit: &mut dyn FnMut(NonNull<Runnable>)) {
        let mut next = self.first;
        while let Some(branch) = next {
            // SAFETY: linked branches are alive, and the lock keeps them linked (rule 4).
            let branch = unsafe { branch.as_ref() };
            visit(NonNull::from(branch.runnable()));
            // SAFETY: links are guarded by the lock, which the caller holds.
            next = unsafe { (*branch.links.get()).next };
        }
    }
}
