//! What handles of a scope hold on to.

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cancel::cancelled::Notice;
use crate::clock::Ticks;
use crate::sched::Runnable;
use crate::util::footprint;

use super::{Requests, settle_here, shutdown_into};

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
    pub(super) fn new(owner: NonNull<Runnable>, notice: Option<Arc<Notice>>) -> ScopeShared {
        let state = SharedState { requests: Requests::default(), owner: Some(owner), notice };
        ScopeShared { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, SharedState> {
        footprint::touch(self);
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_requests(&self) -> Requests {
        let mut state = self.lock();
        let mut requests = std::mem::take(&mut state.requests);
        requests.cancel = state.notice.clone();
        requests
    }

    pub(super) fn record(&self, notice: Arc<Notice>) -> Arc<Notice> {
        Arc::clone(self.lock().notice.get_or_insert(notice))
    }

    /// The scope is being left: requests have no effect from now on. Returns the last ones.
    pub(super) fn close(&self) -> Requests {
        self.lock().owner = None;
        self.take_requests()
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
        self.request(|state| state.requests.set_deadline(deadline));
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
