//! Threads for calls that block: made on demand up to a limit, reused newest first, joined at the end.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a thread of the pool runs. It does not unwind.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// See the module's documentation.
pub(crate) struct ThreadPool {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    work: Condvar,
    threads_max: usize,
    idle: Duration,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads that wait for a job.
    idle: usize,
    /// Threads that have not said goodbye.
    live: usize,
    handles: Vec<JoinHandle<()>>,
    closing: bool,
    serial: usize,
}

/// What a pool is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolStatistics {
    pub(crate) threads: usize,
    pub(crate) idle: usize,
    pub(crate) waiting: usize,
}

impl ThreadPool {
    pub(crate) fn new(threads_max: usize, idle: Duration) -> ThreadPool {
        ThreadPool {
            inner: Arc::new(Inner {
                state: Mutex::default(),
                work: Condvar::new(),
                threads_max,
                idle,
            }),
        }
    }

    /// Runs `job` on a thread of the pool, when one is free. The job does not unwind.
    ///
    /// Hands the job back if there is no thread and none can be made.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Job> {
        let mut state = self.inner.lock();
        if state.idle > state.jobs.len() {
            state.jobs.push_back(job);
            drop(state);
            self.inner.work.notify_one();
            return Ok(());
        }
        if state.live < self.inner.threads_max {
            state.serial += 1;
            let inner = Arc::clone(&self.inner);
            let spawned = std::thread::Builder::new()
                .name(format!("conbrio-blk-{}", state.serial))
                .spawn(move || inner.serve());
            match spawned {
                Ok(handle) => {
                    // Threads that have ended need not be joined one by one at the end.
                    state.handles.retain(|handle| !handle.is_finished());
                    state.handles.push(handle);
                    state.live += 1;
                }
                Err(_) if state.live == 0 => return Err(job),
                // Another thread will come to it.
                Err(_) => {}
            }
        }
        state.jobs.push_back(job);
        drop(state);
        self.inner.work.notify_one();
        Ok(())
    }

    /// Waits until all jobs are done and all threads have ended.
    pub(crate) fn join(&self) {
        let handles = {
            let mut state = self.inner.lock();
            state.closing = true;
            std::mem::take(&mut state.handles)
        };
        self.inner.work.notify_all();
        for handle in handles {
            let _ = handle.join();
        }
    }

    pub(crate) fn statistics(&self) -> PoolStatistics {
        let state = self.inner.lock();
        PoolStatistics { threads: state.live, idle: state.idle, waiting: state.jobs.len() }
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

    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = self.lock();
                continue;
            }
            if state.closing {
                break;
            }
            state.idle += 1;
            let (guard, waited) =
                self.work.wait_timeout(state, self.idle).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                break;
            }
        }
        state.live -= 1;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_job_runs_and_the_limit_holds() {
        let pool = ThreadPool::new(3, Duration::from_secs(10));
        let (now, peak, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let counters = Arc::new((now, peak, done));
        for _ in 0..100 {
            let counters = Arc::clone(&counters);
            let job: Job = Box::new(move || {
                let (now, peak, done) = &*counters;
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
            });
            assert!(pool.submit(job).is_ok());
        }
        pool.join();
        assert_eq!(counters.2.load(Ordering::SeqCst), 100);
        assert!(counters.1.load(Ordering::SeqCst) <= 3);
        assert_eq!(pool.statistics(), PoolStatistics { threads: 0, idle: 0, waiting: 0 });
    }

    #[test]
    fn an_idle_thread_ends() {
        let pool = ThreadPool::new(1, Duration::from_millis(1));
        assert!(pool.submit(Box::new(|| {})).is_ok());
        while pool.statistics().threads > 0 {
            std::thread::yield_now();
        }
        // A job that comes later finds a new thread.
        let (sender, receiver) = std::sync::mpsc::channel();
        assert!(pool.submit(Box::new(move || sender.send(1).unwrap())).is_ok());
        assert_eq!(receiver.recv(), Ok(1));
    }
}
