//! One cancel scope.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

use crate::cancel::cancelled::{CancelSource, Cancelled, Notice};
use crate::clock::{NEVER, Ticks};
use crate::sched::{Alarm, Runnable, Worker};
use crate::timer::TimerKey;

use super::branch::Branch;
use super::group::Group;
use super::shared::ScopeShared;
use super::{Effective, Requests, shutdown_into};

/// One cancel scope, in a frame of the task that entered it.
#[repr(C)]
pub(crate) struct ScopeNode {
    /// First, because the timer store points to it.
    alarm: Alarm,
    branch: Cell<Option<NonNull<Branch>>>,
    outer: Cell<Option<NonNull<ScopeNode>>>,
    pub(super) inner: Cell<Option<NonNull<ScopeNode>>>,
    cancel: Cell<Option<Arc<Notice>>>,
    shutdown: Cell<Option<Arc<Notice>>>,
    /// What was in force outside, as of the last refresh.
    pub(super) before: Cell<Effective>,
    shield: Cell<bool>,
    deadline: Cell<Ticks>,
    deadline_source: Cell<CancelSource>,
    timer: Cell<Option<TimerKey>>,
    pub(super) group: Cell<Option<NonNull<Group>>>,
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
    pub(super) fn apply(&self, force: &mut Effective) {
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

    pub(super) fn take_requests(&self, worker: &Worker) {
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

fn clone_of(cell: &Cell<Option<Arc<Notice>>>) -> Option<Arc<Notice>> {
    let value = cell.take();
    let clone = value.clone();
    cell.set(value);
    clone
}

