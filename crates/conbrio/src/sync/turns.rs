//! Whose turn it is: the queue of a mutex, without the value.
//!
//! Invariant: while there is no holder nobody waits. While somebody waits, the holder is watched (see
//! `holder.rs`), unless it belongs to no task. A holder that has ended stays the holder for ever: nobody
//! can know whether it uses the value.

use std::panic::Location;

use crate::cancel::OrCancelled;
use crate::lowlevel::{Breaker, LotGuard, ParkingLot};
use crate::task::Cx;

use super::error::{LockError, Poisoned, TryLockError};
use super::holder::Holder;

pub(super) struct Turns {
    lot: ParkingLot<State, Request>,
}

pub(super) struct State {
    holder: Option<Holder>,
    poisoned: Option<Poisoned>,
}

/// What a waiting task brings, to a mutex or to a condition.
pub(super) struct Request {
    task: Breaker,
    at: &'static Location<'static>,
    /// Whether it takes the lock although it is poisoned.
    anyway: bool,
    /// Whether a condition has let it go on.
    pub(super) notified: bool,
    answer: Answer,
}

enum Answer {
    None,
    /// It holds the lock, which may be poisoned if it takes it anyway.
    Granted(Option<Poisoned>),
    Poisoned(Poisoned),
}

/// What a mutex is doing, and who holds it.
pub(super) struct Snapshot {
    pub(super) locked: bool,
    pub(super) owner: Option<String>,
    pub(super) tasks_waiting: usize,
}

impl Turns {
    pub(super) fn new() -> Turns {
        let state = State { holder: None, poisoned: None };
        Turns { lot: ParkingLot::with_state(state).named("a mutex") }
    }

    /// Takes the turn, and waits for it. Returns the poison if it was taken although it is poisoned.
    ///
    /// A checkpoint always.
    #[inline]
    #[track_caller]
    pub(super) fn acquire(
        &self,
        cx: &mut Cx,
        anyway: bool,
    ) -> Result<Option<Poisoned>, OrCancelled<LockError>> {
        self.acquire_at(cx, anyway, Location::caller())
    }

    /// As `acquire`, in the name of another line.
    #[inline]
    #[track_caller]
    pub(super) fn acquire_at(
        &self,
        cx: &mut Cx,
        anyway: bool,
        at: &'static Location<'static>,
    ) -> Result<Option<Poisoned>, OrCancelled<LockError>> {
        cx.checkpoint()?;
        let task = cx.breaker();
        let mut state = self.lot.lock();
        if state.holder.is_none() && state.poisoned.is_none() {
            state.holder = Some(Holder::new(Some(task), at));
            return Ok(None);
        }
        self.acquire_slow(cx, state, Request::new(task, at, anyway))
    }

    #[cold]
    #[track_caller]
    fn acquire_slow(
        &self,
        cx: &mut Cx,
        mut state: LotGuard<'_, State, Request>,
        mut request: Request,
    ) -> Result<Option<Poisoned>, OrCancelled<LockError>> {
        let Some(holder) = &mut state.holder else {
            state.serve(&mut request);
            drop(state);
            return Ok(request.answer()?);
        };
        if holder.is(&request.task) {
            let since = holder.at();
            drop(state);
            panic!(
                "task '{}' locks a mutex that it holds already, since {since}: it would wait for itself; \
                 drop the guard first, or pass it on",
                request.task.name()
            );
        }
        holder.watch(&self.lot).map_err(LockError::Broken)?;
        state.park(cx, &mut request).map_err(|error| match error {
            OrCancelled::Cancelled(cancelled) => OrCancelled::Cancelled(cancelled),
            OrCancelled::Failed(broken) => OrCancelled::Failed(LockError::Broken(broken)),
        })?;
        Ok(request.answer()?)
    }

    /// Takes the turn if it is free.
    pub(super) fn try_acquire(&self, at: &'static Location<'static>) -> Result<(), TryLockError> {
        let task = Breaker::of_running_task();
        let mut state = self.lot.lock();
        match &mut state.holder {
            None => {
                state.grant(task, at, false)?;
                Ok(())
            }
            Some(holder) => {
                holder.watch(&self.lot).map_err(LockError::Broken)?;
                Err(TryLockError::WouldBlock)
            }
        }
    }

    /// Gives the turn to whoever waits longest. `panicked` says that the holder is unwinding from a panic
    /// that came while it had it.
    #[inline]
    pub(super) fn release(&self, panicked: bool) {
        let mut state = self.lot.lock();
        if state.has_waiters() || panicked || state.holder.as_ref().is_some_and(Holder::is_watched)
        {
            return self.release_slow(state, panicked);
        }
        // It is dropped after the lock has been released.
        let _holder = state.holder.take();
        drop(state);
    }

    #[cold]
    fn release_slow(&self, mut state: LotGuard<'_, State, Request>, panicked: bool) {
        let Some(holder) = &mut state.holder else { return };
        if holder.unwatch(&self.lot).is_err() {
            // The lot is broken. It stays held, so that everybody hears of it.
            return;
        }
        if panicked {
            let poison = holder.poison();
            state.poisoned.get_or_insert(poison);
        }
        state.holder = None;
        while state.holder.is_none() && state.unpark_with(State::serve).is_some() {}
        self.watch_if_waited_for(&mut state);
    }

    fn watch_if_waited_for(&self, state: &mut LotGuard<'_, State, Request>) {
        if state.has_waiters()
            && let Some(holder) = &mut state.holder
        {
            // If it has ended, its end is noticed when it is released, or by the next who comes.
            let _ = holder.watch(&self.lot);
        }
    }

    /// Moves the `count` longest waiting tasks of a condition here, behind those who wait already. The
    /// caller has the turn. Returns how many there were.
    pub(super) fn take_over<S>(&self, from: &ParkingLot<S, Request>, count: usize) -> usize {
        let mut state = self.lot.lock();
        if let Some(holder) = &mut state.holder {
            let _ = holder.watch(&self.lot);
        }
        drop(state);
        from.repark_with(&self.lot, count, |request| request.notified = true)
    }

    /// A request that takes the lock also if it is poisoned.
    pub(super) fn request(cx: &Cx, at: &'static Location<'static>) -> Request {
        Request::new(cx.breaker(), at, true)
    }

    pub(super) fn poisoned(&self) -> Option<Poisoned> {
        self.lot.lock().poisoned.clone()
    }

    pub(super) fn clear_poison(&self) {
        let poisoned = self.lot.lock().poisoned.take();
        drop(poisoned);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.lot.lock();
        Snapshot {
            locked: state.holder.is_some(),
            owner: state.holder.as_ref().and_then(Holder::name).map(str::to_owned),
            tasks_waiting: state.waiting(),
        }
    }
}

impl State {
    /// It is free: makes somebody its holder.
    fn grant(
        &mut self,
        task: Option<Breaker>,
        at: &'static Location<'static>,
        anyway: bool,
    ) -> Result<Option<Poisoned>, LockError> {
        if !anyway && let Some(poisoned) = &self.poisoned {
            return Err(LockError::Poisoned(poisoned.clone()));
        }
        self.holder = Some(Holder::new(task, at));
        Ok(self.poisoned.clone())
    }

    /// It is free: answers the request of whoever waits longest.
    fn serve(&mut self, request: &mut Request) {
        request.answer = match self.grant(Some(request.task.clone()), request.at, request.anyway) {
            Ok(poisoned) => Answer::Granted(poisoned),
            Err(LockError::Poisoned(poisoned)) => Answer::Poisoned(poisoned),
            Err(LockError::Broken(_)) => unreachable!("what is free is not broken"),
        };
    }
}

impl Request {
    fn new(task: Breaker, at: &'static Location<'static>, anyway: bool) -> Request {
        Request { task, at, anyway, notified: false, answer: Answer::None }
    }

    /// After it was unparked.
    pub(super) fn answer(self) -> Result<Option<Poisoned>, LockError> {
        match self.answer {
            Answer::Granted(poisoned) => Ok(poisoned),
            Answer::Poisoned(poisoned) => Err(LockError::Poisoned(poisoned)),
            Answer::None => unreachable!("whoever unparks has answered"),
        }
    }
}
