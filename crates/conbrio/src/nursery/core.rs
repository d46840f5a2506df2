//! What a nursery consists of, without the lifetimes that its users see.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cancel::{CancelSource, Cancelled, Group, MaybeCancelled, ScopeNode};
use crate::clock::NEVER;
use crate::sched::{Interrupt, Shared};
use crate::scope::CancelHandle;
use crate::task::{Cx, ITS_CHILDREN, Locals, Task, TaskOptions};

use super::error::{Errors, NurseryError, NurseryPanic, Stopped};
use super::failure_notice;

/// Lives in the frame of the task that opened the nursery, and does not move while it is entered.
pub(crate) struct NurseryCore<E> {
    /// Home fields of the owner.
    pub(crate) node: ScopeNode,
    pub(crate) group: Group,
    failures: Mutex<Failures<E>>,
    shared: NonNull<Shared>,
    /// The values that its children see. They were bound around the nursery, or around the one that
    /// the child of `start` goes to.
    pub(crate) locals: Locals,
}

// SAFETY: children on other workers use `group` and `failures`, which lock; `node` is used by the owner
// only, and `shared` and `locals` are only read; what `locals` leads to is `Sync` (rule 4 there). `E` is
// sent to the owner.
unsafe impl<E: Send> Sync for NurseryCore<E> {}

/// What has gone wrong, in order of time.
struct Failures<E> {
    errors: Vec<E>,
    panics: Vec<Box<dyn Any + Send>>,
}

impl<E> NurseryCore<E> {
    /// A nursery of the running task, whose node is entered next.
    pub(crate) fn new(task: &Task) -> NurseryCore<E> {
        NurseryCore {
            node: ScopeNode::new(false, NEVER),
            group: Group::new(task.branch()),
            failures: Mutex::new(Failures { errors: Vec::new(), panics: Vec::new() }),
            shared: NonNull::from(&**task.worker().shared()),
            locals: task.locals().get(),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        // SAFETY: a runtime outlives its nurseries: it ends after its main task.
        unsafe { self.shared.as_ref() }
    }

    pub(crate) fn default_options<F>(&self) -> TaskOptions {
        TaskOptions {
            name: std::any::type_name::<F>().into(),
            stack_bytes: self.shared().options().stack_bytes,
        }
    }

    pub(crate) fn handle(&self) -> CancelHandle {
        CancelHandle::new(self.group.share(), self.shared().timeline())
    }

    fn record(&self, add: impl FnOnce(&mut Failures<E>)) {
        add(&mut self.failures.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Keeps a panic and cancels the nursery.
    pub(crate) fn panicked(&self, payload: Box<dyn Any + Send>, task: &str, what: &str) {
        self.record(|failures| failures.panics.push(payload));
        let notice = || failure_notice(CancelSource::ChildPanicked, what, "panicked", task);
        self.group.cancel_if_first(notice);
    }

    /// Waits until no child is left, whatever is cancelled meanwhile.
    pub(crate) fn wait_for_children(&self, cx: &mut Cx) {
        loop {
            let waiter = cx.begin_wait();
            if self.group.is_done_or_wait(waiter) {
                return;
            }
            cx.park(Interrupt::Never, ITS_CHILDREN);
        }
    }
}

impl<E: MaybeCancelled + Send + 'static> NurseryCore<E> {
    /// Keeps an error, of whatever sort, and cancels the nursery.
    pub(crate) fn fail(&self, error: E, task: &str, what: &str) {
        // Which cancellations are the nursery's own is decided by its owner, at the end.
        self.record(|failures| failures.errors.push(error));
        let notice = || failure_notice(CancelSource::ChildFailed, what, "failed", task);
        self.group.cancel_if_first(notice);
    }

    /// After the node was left: sorts the failures.
    pub(crate) fn sort(&mut self) -> Sorted<E> {
        let failures = self.failures.get_mut().unwrap_or_else(PoisonError::into_inner);
        let panics = std::mem::take(&mut failures.panics);
        let errors = std::mem::take(&mut failures.errors);
        let mut sorted = Sorted { panics, errors: Vec::new(), cancelled: None };
        for error in errors {
            match error.cancelled() {
                Some(cancelled) if self.node.owns(cancelled) || self.group.owns(cancelled) => {}
                Some(cancelled) => {
                    let outer = Cancelled(Arc::clone(&cancelled.0));
                    sorted.cancelled.get_or_insert(outer);
                }
                None => sorted.errors.push(error),
            }
        }
        sorted
    }

    /// The nursery's outcome; `value` is `None` if the body failed.
    pub(crate) fn result<R>(&mut self, value: Option<R>) -> Result<R, NurseryError<E>> {
        let failures = self.failures.get_mut().unwrap_or_else(PoisonError::into_inner);
        if failures.errors.is_empty() && failures.panics.is_empty() {
            // A body without a value has left an error.
            return value.ok_or(NurseryError::Stopped(Stopped(())));
        }
        let mut sorted = self.sort();
        sorted.resume_panic();
        if let Some(errors) = Errors::new(sorted.errors) {
            return Err(NurseryError::Failed(errors));
        }
        match (sorted.cancelled, value) {
            (Some(cancelled), _) => Err(NurseryError::Cancelled(cancelled)),
            (None, Some(value)) => Ok(value),
            (None, None) => Err(NurseryError::Stopped(Stopped(()))),
        }
    }
}

/// The failures of a nursery, by what is to be done with them.
pub(crate) struct Sorted<E> {
    pub(crate) panics: Vec<Box<dyn Any + Send>>,
    pub(crate) errors: Vec<E>,
    /// A cancellation of a scope outside.
    pub(crate) cancelled: Option<Cancelled>,
}

impl<E: Send + 'static> Sorted<E> {
    /// Goes on with the panic, if there was one; nothing that failed beside it is lost.
    pub(crate) fn resume_panic(&mut self) {
        let errors = Errors::new(std::mem::take(&mut self.errors));
        let payload = match (self.panics.len(), errors) {
            (0, errors) => {
                self.errors = errors.map(Errors::into_vec).unwrap_or_default();
                return;
            }
            (1, None) => self.panics.remove(0),
            (_, errors) => {
                let panics = std::mem::take(&mut self.panics);
                Box::new(NurseryPanic::new(panics, errors.map(|e| Box::new(e) as _)))
            }
        };
        std::panic::resume_unwind(payload)
    }
}
