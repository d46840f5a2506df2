//! Who may come in: the queue of a lock for reading and writing, without the value.
//!
//! Invariant: at no time are there a writer and readers, or two writers. The task that waits longest is one
//! that may not come in; so a reader waits only while there is a writer, or behind one that waits. While
//! somebody waits, all holders are watched (see `holder.rs`). A holder that has ended stays one for ever.

use std::panic::Location;

use crate::cancel::OrCancelled;
use crate::lowlevel::{Breaker, Broken, LotGuard, ParkingLot};
use crate::task::Cx;

use super::error::{LockError, Poisoned, TryLockError};
use super::holder::Holder;
use super::rwlock::RwLockStatistics;

pub(super) struct Queue {
    lot: ParkingLot<State, Request>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// The place of a reader among the readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(usize);

impl Key {
    /// A writer needs none.
    pub(super) const WRITER: Key = Key(usize::MAX);
}

struct State {
    writer: Option<Holder>,
    readers: Readers,
    poisoned: Option<Poisoned>,
    /// Whether all holders are watched.
    watched: bool,
}

/// The readers, each at a place that it knows.
struct Readers {
    places: Vec<Option<Holder>>,
    vacant: Vec<usize>,
}

struct Request {
    kind: Kind,
    task: Breaker,
    at: &'static Location<'static>,
    anyway: bool,
    answer: Option<Result<Key, Poisoned>>,
}

impl Queue {
    pub(super) fn new() -> Queue {
        let readers = Readers { places: Vec::new(), vacant: Vec::new() };
        let state = State { writer: None, readers, poisoned: None, watched: false };
        Queue { lot: ParkingLot::with_state(state).named("a lock for reading and writing") }
    }

    /// Comes in, and waits for that. A checkpoint always.
    #[inline]
    #[track_caller]
    pub(super) fn acquire(
        &self,
        cx: &mut Cx,
        kind: Kind,
        anyway: bool,
    ) -> Result<Key, OrCancelled<LockError>> {
        let at = Location::caller();
        cx.checkpoint()?;
        let task = cx.breaker();
        let mut state = self.lot.lock();
        if !state.has_waiters() && state.admits(kind) && state.poisoned.is_none() {
            return Ok(state.let_in(kind, Some(task), at));
        }
        self.acquire_slow(cx, state, Request { kind, task, at, anyway, answer: None })
    }

    #[cold]
    #[track_caller]
    fn acquire_slow(
        &self,
        cx: &mut Cx,
        mut state: LotGuard<'_, State, Request>,
        mut request: Request,
    ) -> Result<Key, OrCancelled<LockError>> {
        if !state.has_waiters() && state.answer(&mut request) {
            drop(state);
            return Ok(request.answer()?);
        }
        if let Some(since) = state.held_by(&request.task) {
            drop(state);
            let verb = if request.kind == Kind::Read { "read" } else { "write" };
            panic!(
                "task '{}' comes to {verb} what it has locked already, since {since}: it would wait for \
                 itself; drop the guard first, or pass it on",
                request.task.name()
            );
        }
        self.watch(&mut state).map_err(LockError::Broken)?;
        match state.park(cx, &mut request) {
            Ok(()) => Ok(request.answer()?),
            Err(OrCancelled::Failed(broken)) => Err(LockError::Broken(broken).into()),
            Err(OrCancelled::Cancelled(cancelled)) => {
                // Perhaps it was in the way of others.
                self.serve(&mut self.lot.lock());
                Err(cancelled.into())
            }
        }
    }

    /// Comes in if that needs no waiting.
    pub(super) fn try_acquire(
        &self,
        kind: Kind,
        at: &'static Location<'static>,
    ) -> Result<Key, TryLockError> {
        let task = Breaker::of_running_task();
        let mut state = self.lot.lock();
        if !state.has_waiters() && state.admits(kind) {
            state.check_poison(false)?;
            return Ok(state.let_in(kind, task, at));
        }
        self.watch(&mut state).map_err(LockError::Broken)?;
        Err(TryLockError::WouldBlock)
    }

    #[inline]
    pub(super) fn release(&self, kind: Kind, key: Key, panicked: bool) {
        let mut state = self.lot.lock();
        let is_watched = state.holder(kind, key).is_some_and(|holder| holder.is_watched());
        if state.has_waiters() || is_watched || panicked {
            return self.release_slow(state, kind, key, panicked);
        }
        // Dropped after the lock has been released.
        let holder = state.remove(kind, key);
        drop(state);
        drop(holder);
    }

    #[cold]
    fn release_slow(
        &self,
        mut state: LotGuard<'_, State, Request>,
        kind: Kind,
        key: Key,
        panicked: bool,
    ) {
        let Some(holder) = state.holder(kind, key) else { return };
        if holder.unwatch(&self.lot).is_err() {
            // The lot is broken. It stays a holder, so that everybody hears of it.
            return;
        }
        if panicked && kind == Kind::Write {
            let poison = holder.poison();
            state.poisoned.get_or_insert(poison);
        }
        let _holder = state.remove(kind, key);
        self.serve(&mut state);
        drop(state);
    }

    /// The writer goes on as a reader.
    pub(super) fn downgrade(&self) -> Key {
        let mut state = self.lot.lock();
        let writer = state.writer.take().expect("a guard for writing has the lock");
        let key = state.readers.insert(writer);
        self.serve(&mut state);
        key
    }

    /// Answers those who wait longest, as long as they may come in.
    fn serve(&self, state: &mut LotGuard<'_, State, Request>) {
        state.unpark_while(State::answer);
        if state.has_waiters() {
            // A holder that has ended is noticed by the next who comes.
            let _ = self.watch(state);
        } else {
            // Those who come in now are not watched.
            state.watched = false;
        }
    }

    /// Somebody is going to wait.
    fn watch(&self, state: &mut State) -> Result<(), Broken> {
        if !state.watched {
            for holder in state.holders_mut() {
                holder.watch(&self.lot)?;
            }
            state.watched = true;
        }
        Ok(())
    }

    pub(super) fn poisoned(&self) -> Option<Poisoned> {
        self.lot.lock().poisoned.clone()
    }

    pub(super) fn clear_poison(&self) {
        let poisoned = self.lot.lock().poisoned.take();
        drop(poisoned);
    }

    pub(super) fn statistics(&self) -> RwLockStatistics {
        let state = self.lot.lock();
        RwLockStatistics {
            readers: state.readers.len(),
            write_locked: state.writer.is_some(),
            writer: state.writer.as_ref().and_then(Holder::name).map(str::to_owned),
            tasks_waiting: state.waiting(),
        }
    }
}

impl State {
    /// Whether those who are in let such a one come in, too.
    fn admits(&self, kind: Kind) -> bool {
        self.writer.is_none() && (kind == Kind::Read || self.readers.len() == 0)
    }

    fn check_poison(&self, anyway: bool) -> Result<(), LockError> {
        match &self.poisoned {
            Some(poisoned) if !anyway => Err(LockError::Poisoned(poisoned.clone())),
            _ => Ok(()),
        }
    }

    fn let_in(&mut self, kind: Kind, task: Option<Breaker>, at: &'static Location<'static>) -> Key {
        let holder = Holder::new(task, at);
        self.watched = false;
        match kind {
            Kind::Read => self.readers.insert(holder),
            Kind::Write => {
                self.writer = Some(holder);
                Key::WRITER
            }
        }
    }

    /// Answers a request, the one of whoever waits longest, if it may come in.
    fn answer(&mut self, request: &mut Request) -> bool {
        let admitted = self.admits(request.kind);
        if admitted {
            request.answer = Some(match &self.poisoned {
                Some(poisoned) if !request.anyway => Err(poisoned.clone()),
                _ => Ok(self.let_in(request.kind, Some(request.task.clone()), request.at)),
            });
        }
        admitted
    }

    fn holder(&mut self, kind: Kind, key: Key) -> Option<&mut Holder> {
        match kind {
            Kind::Write => self.writer.as_mut(),
            Kind::Read => self.readers.places.get_mut(key.0)?.as_mut(),
        }
    }

    fn remove(&mut self, kind: Kind, key: Key) -> Option<Holder> {
        match kind {
            Kind::Write => self.writer.take(),
            Kind::Read => self.readers.remove(key),
        }
    }

    fn holders_mut(&mut self) -> impl Iterator<Item = &mut Holder> {
        self.writer.iter_mut().chain(self.readers.places.iter_mut().flatten())
    }

    /// Where the task has locked it, if it has.
    fn held_by(&self, task: &Breaker) -> Option<&'static Location<'static>> {
        let mut holders = self.writer.iter().chain(self.readers.places.iter().flatten());
        holders.find(|holder| holder.is(task)).map(Holder::at)
    }
}

impl Readers {
    fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    fn insert(&mut self, holder: Holder) -> Key {
        match self.vacant.pop() {
            Some(place) => {
                self.places[place] = Some(holder);
                Key(place)
            }
            None => {
                self.places.push(Some(holder));
                Key(self.places.len() - 1)
            }
        }
    }

    fn remove(&mut self, key: Key) -> Option<Holder> {
        let holder = self.places.get_mut(key.0)?.take();
        self.vacant.push(key.0);
        holder
    }
}

impl Request {
    /// After it was answered.
    fn answer(self) -> Result<Key, LockError> {
        self.answer.expect("whoever unparks has answered").map_err(LockError::Poisoned)
    }
}
