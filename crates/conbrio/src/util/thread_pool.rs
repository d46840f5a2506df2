//! Threads for calls that block: made on demand up to a limit, reused newest first, joined at the end.
//!
//! A thread that has nothing to do sits on a seat of its own in a stack of seats, and whoever has a job
//! gives it to the one that sat down last: the others grow idle and end. A job has two parts: its work, and
//! the delivery of what came of it. The thread sits down in between, so that whoever gets the delivery and
//! has another job at once finds this thread again.
//!
//! Invariant: a seat is in `State::seats` exactly as long as it is empty and its thread waits there, or is
//! about to. Whoever takes it out fills it, under the lock of the state.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::util::abort::AbortGuard;
use crate::util::swallow::swallow_panics;

/// What a thread of the pool does.
pub(crate) trait Work: Send {
    /// The long part. It does not unwind.
    fn work(&mut self);

    /// Hands over what came of it; short. The thread counts as idle already.
    fn deliver(self: Box<Self>);
}

pub(crate) type Job = Box<dyn Work>;

/// Names a job of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

/// See the module's documentation.
pub(crate) struct ThreadPool {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    threads_max: usize,
    idle: Duration,
    /// The stack size of the threads, if it is not the usual one.
    stack_bytes: Option<usize>,
}

#[derive(Default)]
struct State {
    /// Oldest first. If there is one, no seat is empty and all threads are at work.
    jobs: VecDeque<(Ticket, Job)>,
    /// The one that sat down last is the last.
    seats: Vec<Arc<Seat>>,
    /// Which thread does which job. Those that were abandoned are not here any more.
    at_work: HashMap<Ticket, u64>,
    /// Threads that have not said goodbye.
    live: usize,
    /// Threads whose job nobody waits for any more: they are not joined before they have done it.
    abandoned: HashMap<u64, Option<JoinHandle<()>>>,
    /// Those of all other threads, by the number of the thread.
    handles: HashMap<u64, JoinHandle<()>>,
    closing: bool,
    /// Numbers threads and jobs, and those who wait for quiet.
    serial: u64,
    /// Called when no job is left. Each has a number by which it can be taken back.
    when_quiet: Vec<(u64, Box<dyn FnOnce() + Send>)>,
}

/// Where one thread waits.
struct Seat {
    thread: u64,
    given: Mutex<Given>,
    changed: Condvar,
}

#[derive(Default)]
enum Given {
    #[default]
    Nothing,
    Job(Ticket, Job),
    /// The pool closes.
    Leave,
}

/// What a pool is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolStatistics {
    pub(crate) threads: usize,
    pub(crate) idle: usize,
    pub(crate) waiting: usize,
    pub(crate) abandoned: usize,
}

impl ThreadPool {
    pub(crate) fn new(threads_max: usize, idle: Duration) -> ThreadPool {
        ThreadPool {
            inner: Arc::new(Inner {
                state: Mutex::default(),
                threads_max,
                idle,
                stack_bytes: None,
            }),
        }
    }

    /// Runs `job` on a thread of the pool, when one is free.
    ///
    /// Hands the job back if there is no thread and none can be made.
    pub(crate) fn submit(&self, job: Job) -> Result<Ticket, Job> {
        let mut state = self.inner.lock();
        let ticket = Ticket(state.next_serial());
        if let Some(seat) = state.seats.pop() {
            state.at_work.insert(ticket, seat.thread);
            seat.give(Given::Job(ticket, job));
            return Ok(ticket);
        }
        if state.live < self.inner.threads_max && !self.spawn(&mut state) && state.live == 0 {
            return Err(job);
        }
        // A new thread looks here first; and if there is none, another one will come to it.
        state.jobs.push_back((ticket, job));
        Ok(ticket)
    }

    /// Makes a thread. `false` if the system refuses.
    fn spawn(&self, state: &mut State) -> bool {
        let number = state.next_serial();
        let inner = Arc::clone(&self.inner);
        let mut builder = std::thread::Builder::new().name(format!("conbrio-blk-{number}"));
        if let Some(bytes) = self.inner.stack_bytes {
            builder = builder.stack_size(bytes);
        }
        let Ok(handle) = builder.spawn(move || {
            // Jobs would wait for a thread that is gone, and be counted as its work for ever.
            let guard = AbortGuard::new("a thread for blocking calls panicked outside of a call");
            inner.serve(number);
            guard.disarm();
        }) else {
            return false;
        };
        // Threads that have ended need not be joined one by one at the end.
        state.handles.retain(|_, handle| !handle.is_finished());
        state.handles.insert(number, handle);
        state.live += 1;
        true
    }

    /// Nobody waits for a job any more. If it still waits for a thread, it is dropped, and this says `true`.
    /// If not, [`join`](ThreadPool::join) does not wait for it.
    pub(crate) fn abandon(&self, ticket: Ticket) -> bool {
        let mut state = self.inner.lock();
        if let Some(at) = state.jobs.iter().position(|(queued, _)| *queued == ticket) {
            let job = state.jobs.remove(at);
            drop(state);
            drop(job);
            return true;
        }
        if let Some(thread) = state.at_work.remove(&ticket) {
            let handle = state.handles.remove(&thread);
            state.abandoned.insert(thread, handle);
        }
        false
    }

    /// Calls `then` as soon as no job is left, perhaps at once. Returns what takes it back.
    pub(crate) fn when_quiet(&self, then: Box<dyn FnOnce() + Send>) -> Option<u64> {
        let mut state = self.inner.lock();
        if state.is_quiet() {
            drop(state);
            then();
            return None;
        }
        let number = state.next_serial();
        state.when_quiet.push((number, then));
        Some(number)
    }

    /// Takes back a call of [`when_quiet`](ThreadPool::when_quiet). `false` if it was or will be called.
    pub(crate) fn stop_waiting(&self, number: u64) -> bool {
        let mut state = self.inner.lock();
        let found = state.when_quiet.iter().position(|(other, _)| *other == number);
        found.map(|at| state.when_quiet.remove(at)).is_some()
    }

    /// Waits until all jobs are done and all threads have ended, but for those that were abandoned, and for
    /// the calling thread.
    pub(crate) fn join(&self) {
        let (handles, seats) = {
            let mut state = self.inner.lock();
            state.closing = true;
            (std::mem::take(&mut state.handles), std::mem::take(&mut state.seats))
        };
        for seat in seats {
            seat.give(Given::Leave);
        }
        let own = std::thread::current().id();
        for handle in handles.into_values() {
            // The last who held the pool may be a thread of it, which cannot wait for its own end.
            if handle.thread().id() != own {
                let _ = handle.join();
            }
        }
    }

    pub(crate) fn statistics(&self) -> PoolStatistics {
        let state = self.inner.lock();
        PoolStatistics {
            threads: state.live,
            idle: state.seats.len(),
            waiting: state.jobs.len(),
            abandoned: state.abandoned.len(),
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.join();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of one thread.
    fn serve(&self, thread: u64) {
        let seat = Arc::new(Seat { thread, given: Mutex::default(), changed: Condvar::new() });
        let mut next = self.lock().next_job(&seat);
        loop {
            let (ticket, mut job) = match next {
                Next::Job(ticket, job) => (ticket, job),
                Next::Wait => match self.wait(&seat) {
                    Some(given) => given,
                    None => return,
                },
                Next::Leave => return,
            };
            job.work();
            let mut state = self.lock();
            if state.at_work.remove(&ticket).is_none() {
                // It was abandoned, and is one of the others from now on.
                if let Some(handle) = state.abandoned.remove(&thread).flatten()
                    && !state.closing
                {
                    state.handles.insert(thread, handle);
                }
            }
            next = state.next_job(&seat);
            let quiet =
                if state.is_quiet() { std::mem::take(&mut state.when_quiet) } else { Vec::new() };
            drop(state);
            // A destructor of a value that nobody takes runs here, and may panic.
            swallow_panics(|| job.deliver());
            for (_, then) in quiet {
                swallow_panics(then);
            }
        }
    }

    /// Waits until the seat, which is in its place, is filled. Nothing means that the thread ends.
    fn wait(&self, seat: &Arc<Seat>) -> Option<(Ticket, Job)> {
        let mut given = seat.lock();
        loop {
            match std::mem::take(&mut *given) {
                Given::Job(ticket, job) => return Some((ticket, job)),
                Given::Leave => {
                    drop(given);
                    self.lock().live -= 1;
                    return None;
                }
                Given::Nothing => {}
            }
            let (guard, waited) =
                seat.changed.wait_timeout(given, self.idle).unwrap_or_else(PoisonError::into_inner);
            given = guard;
            if !waited.timed_out() || !matches!(*given, Given::Nothing) {
                continue;
            }
            drop(given);
            let mut state = self.lock();
            if let Some(at) = state.seats.iter().position(|other| Arc::ptr_eq(other, seat)) {
                state.seats.remove(at);
                state.live -= 1;
                return None;
            }
            // Somebody has taken the seat, and filled it before this lock was free: no job is lost.
            drop(state);
            given = seat.lock();
        }
    }
}

/// What a thread does next.
enum Next {
    Job(Ticket, Job),
    /// Its seat is in its place.
    Wait,
    /// It has said goodbye.
    Leave,
}

impl State {
    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A job for the thread of `seat`, or the seat is put where the next job comes to it.
    fn next_job(&mut self, seat: &Arc<Seat>) -> Next {
        if let Some((ticket, job)) = self.jobs.pop_front() {
            self.at_work.insert(ticket, seat.thread);
            return Next::Job(ticket, job);
        }
        if self.closing {
            self.live -= 1;
            return Next::Leave;
        }
        self.seats.push(Arc::clone(seat));
        Next::Wait
    }

    fn is_quiet(&self) -> bool {
        self.jobs.is_empty() && self.at_work.is_empty() && self.abandoned.is_empty()
    }
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, given: Given) {
        *self.lock() = given;
        self.changed.notify_one();
    }
}

#[cfg(all(test, not(loom)))]
#[path = "thread_pool/tests.rs"]
mod tests;
