//! One cancel scope.
//!
//! Entering and leaving is a matter of a few stores as long as nothing was requested. What is needed only
//! then (the notices, the half that handles share) hangs off `rare`, which is made when it is needed.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::cancel::cancelled::{CancelSource, Cancelled, Notice};
use crate::clock::{NEVER, Ticks};
use crate::sched::{Alarm, Runnable, Worker};

use super::branch::Branch;
use super::group::Group;
use super::shared::ScopeShared;
use super::{Effective, Requested, Requests, shutdown_into};

/// One cancel scope, in a frame of the task that entered it.
#[repr(C)]
pub(crate) struct ScopeNode {
    /// First, because the timer store points to it.
    alarm: Alarm,
    branch: Cell<Option<NonNull<Branch>>>,
    outer: Cell<Option<NonNull<ScopeNode>>>,
    pub(super) inner: Cell<Option<NonNull<ScopeNode>>>,
    group: Cell<Option<NonNull<Group>>>,
    deadline: Cell<Ticks>,
    /// The deadline in force outside, as of the last refresh.
    deadline_outside: Cell<Ticks>,
    shield: Cell<bool>,
    deadline_source: Cell<CancelSource>,
    rare: Cell<Option<Box<Rare>>>,
}

/// What only scopes have where something was requested, inside or outside, or that have a handle.
#[derive(Default)]
struct Rare {
    /// What was asked of this scope itself.
    own: Requested,
    /// What is in force outside, as of the last refresh.
    outside: Requested,
    /// For scopes without a group; the half of a nursery is with its group.
    shared: Option<Arc<ScopeShared>>,
}

impl ScopeNode {
    #[inline]
    pub(crate) fn new(shield: bool, deadline: Ticks) -> ScopeNode {
        ScopeNode {
            alarm: Alarm::new(ScopeNode::on_deadline),
            branch: Cell::new(None),
            outer: Cell::new(None),
            inner: Cell::new(None),
            group: Cell::new(None),
            deadline: Cell::new(deadline),
            deadline_outside: Cell::new(NEVER),
            shield: Cell::new(shield),
            deadline_source: Cell::new(CancelSource::Deadline),
            rare: Cell::new(None),
        }
    }

    /// A scope whose deadline has passed before it is entered: it is cancelled from the start.
    pub(crate) fn expired(shield: bool, deadline: Ticks) -> ScopeNode {
        let node = ScopeNode::new(shield, deadline);
        node.expire();
        node
    }

    /// Makes this the innermost scope of the running task. A group was begun with the same branch.
    ///
    /// # Safety
    /// Called on the home worker of the branch. Node and group stay in place until `leave`.
    #[inline]
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
        let outside = branch.deadline.get();
        self.deadline_outside.set(outside);
        let deadline = self.deadline.get();
        if deadline != NEVER {
            self.set_timer(worker);
        }
        branch.deadline.set(if self.shield.get() { deadline } else { deadline.min(outside) });
        if branch.is_requested.get() || self.has_rare() {
            self.enter_requested(branch);
        }
    }

    #[cold]
    fn enter_requested(&self, branch: &Branch) {
        let outside =
            Effective { requested: branch.requested(), deadline: self.deadline_outside.get() };
        self.set_outside(&outside);
        let mut inside = outside;
        self.apply(&mut inside);
        branch.set_effective(inside);
    }

    /// Takes the scope, which is the innermost, out of the chain.
    ///
    /// # Safety
    /// Called on the home worker, after `enter`, when no child of the group is left.
    #[inline]
    pub(crate) unsafe fn leave(&self, worker: &Worker) {
        if self.group.get().is_some() || self.has_rare() {
            self.close_shared(worker);
        }
        worker.cancel_alarm(&self.alarm);
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
        branch.deadline.set(self.deadline_outside.get());
        if self.has_rare() {
            self.leave_requested(branch);
        }
    }

    /// Takes leave of the handles, if there are some.
    #[inline(never)]
    fn close_shared(&self, worker: &Worker) {
        if let Some(shared) = self.shared() {
            // A last request that came by a handle still counts, as one made from inside does.
            self.absorb(worker, shared.close());
        }
    }

    #[cold]
    fn leave_requested(&self, branch: &Branch) {
        branch.set_requested(self.with_rare(|rare| std::mem::take(&mut rare.outside)));
    }

    #[inline]
    fn has_rare(&self) -> bool {
        // SAFETY: the reference is gone before anything else can touch the cell.
        unsafe { &*self.rare.as_ptr() }.is_some()
    }

    /// Uses the rare part, which is made if need be.
    fn with_rare<R>(&self, f: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let result = f(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// The children, if this is the node of a nursery.
    pub(super) fn group(&self) -> Option<&Group> {
        // SAFETY: the node of a nursery is left before its group is gone, and nobody looks later.
        self.group.get().map(|group| unsafe { group.as_ref() })
    }

    /// What was asked of this scope, as far as it has been carried over.
    fn own(&self) -> Requested {
        if self.has_rare() { self.with_rare(|rare| rare.own.clone()) } else { Requested::default() }
    }

    /// Records what is in force outside, for `leave`.
    pub(super) fn set_outside(&self, outside: &Effective) {
        self.deadline_outside.set(outside.deadline);
        if !outside.requested.is_nothing() || self.has_rare() {
            self.with_rare(|rare| rare.outside = outside.requested.clone());
        }
    }

    /// What is in force inside, given what is outside.
    pub(super) fn apply(&self, force: &mut Effective) {
        if self.shield.get() {
            *force = Effective::default();
        }
        if self.has_rare() {
            let own = self.own();
            force.requested.cancel = force.requested.cancel.take().or(own.cancel);
            force.requested.shutdown = force.requested.shutdown.take().or(own.shutdown);
        }
        force.deadline = force.deadline.min(self.deadline.get());
    }

    /// *Home.* Whether this scope itself was asked to cancel.
    pub(crate) fn cancel_called(&self) -> bool {
        self.notice().is_some()
    }

    /// *Home.* The scope's own request, including one that a handle or a child has just left.
    fn notice(&self) -> Option<Arc<Notice>> {
        self.own()
            .cancel
            .or_else(|| self.shared().and_then(|shared| shared.notice()))
            .or_else(|| self.group().and_then(Group::notice))
    }

    /// *Home.* Whether `cancelled` reports the request of this very scope.
    pub(crate) fn owns(&self, cancelled: &Cancelled) -> bool {
        // A nursery that was cancelled from two sides at once may have two notices; both are its own.
        let is = |notice: Option<Arc<Notice>>| notice.is_some_and(|notice| cancelled.is(&notice));
        is(self.own().cancel)
            || is(self.shared().and_then(|shared| shared.notice()))
            || is(self.group().and_then(Group::notice))
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
        self.request(worker, |requests| requests.set_deadline(deadline));
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

    /// The half that handles hold, if one was asked for.
    #[inline]
    fn shared(&self) -> Option<Arc<ScopeShared>> {
        match self.group() {
            Some(group) => group.shared_if_any().cloned(),
            None if self.has_rare() => self.with_rare(|rare| rare.shared.clone()),
            None => None,
        }
    }

    /// *Home.* The half that handles of a plain scope hold; made when the first is asked for.
    pub(crate) fn share(&self, owner: NonNull<Runnable>) -> Arc<ScopeShared> {
        self.with_rare(|rare| {
            let notice = rare.own.cancel.clone();
            Arc::clone(rare.shared.get_or_insert_with(|| Arc::new(ScopeShared::new(owner, notice))))
        })
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

    pub(super) fn take_requests(&self, worker: &Worker) {
        if let Some(shared) = self.shared() {
            self.absorb(worker, shared.take_requests());
        }
        if let Some(group) = self.group() {
            self.absorb(worker, group.take_requests());
        }
    }

    fn absorb(&self, worker: &Worker, requests: Requests) {
        if let Some(shield) = requests.shield {
            self.shield.set(shield);
        }
        if let Some(notice) = requests.cancel {
            self.cancel_with(notice);
        }
        if let Some(notice) = requests.shutdown {
            self.with_rare(|rare| {
                rare.own.shutdown.get_or_insert(notice);
            });
        }
        if let Some(deadline) = requests.deadline {
            self.put_deadline(worker, deadline, CancelSource::Deadline);
        }
        if let Some(grace) = requests.grace
            && grace < self.deadline.get()
        {
            self.put_deadline(worker, grace, CancelSource::ShutdownGrace);
        }
    }

    fn put_deadline(&self, worker: &Worker, deadline: Ticks, source: CancelSource) {
        self.deadline.set(deadline);
        self.deadline_source.set(source);
        worker.cancel_alarm(&self.alarm);
        self.arm_deadline(worker);
    }

    /// Records a request, here and where handles and children look for it; the first one wins.
    fn cancel_with(&self, notice: Arc<Notice>) {
        if self.own().cancel.is_some() {
            return;
        }
        let notice = match self.shared() {
            Some(shared) => shared.record(notice),
            None => notice,
        };
        let notice = match self.group() {
            Some(group) => group.record(notice),
            None => notice,
        };
        self.with_rare(|rare| rare.own.cancel = Some(notice));
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
        self.set_timer(worker);
    }

    fn set_timer(&self, worker: &Worker) {
        // SAFETY: the node stays in place until `leave`, which cancels the alarm. The pointer to the
        // whole node is also one to its first field.
        unsafe { worker.set_alarm(self.deadline.get(), NonNull::from(self).cast::<Alarm>()) };
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
        // Usually it has just fired. But an alarm of the same batch may have made the node set it anew,
        // and what was set then must not outlive the node
        // (`tests/attack/deadlines.rs: a_deadline_moved_while_it_fires_leaves_no_alarm_behind`).
        worker.cancel_alarm(&node.alarm);
        // Expires if the deadline has passed; it may have been moved while the alarm was in the batch.
        node.arm_deadline(worker);
        if let Some(branch) = node.branch.get() {
            // SAFETY: the branch is in place while the scope is entered.
            unsafe { branch.as_ref() }.deadline_passed(worker);
        }
    }
}
