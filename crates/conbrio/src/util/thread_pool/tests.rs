//! The pool by itself: limits, order of reuse, idle expiry, abandoned jobs.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread::ThreadId;

use super::*;

const LONG: Duration = Duration::from_secs(3600);

/// A job of two closures.
struct Two<W, D>(W, D);

impl<W: FnMut() + Send, D: FnOnce() + Send> Work for Two<W, D> {
    fn work(&mut self) {
        (self.0)();
    }

    fn deliver(self: Box<Self>) {
        (self.1)();
    }
}

fn job(work: impl FnMut() + Send + 'static) -> Job {
    Box::new(Two(work, || ()))
}

/// Submits a job that sends the thread it runs on from its delivery.
fn submit_who(pool: &ThreadPool, to: &mpsc::Sender<ThreadId>) {
    let to = to.clone();
    let job = Two(|| (), move || to.send(std::thread::current().id()).unwrap());
    assert!(pool.submit(Box::new(job)).is_ok());
}

fn wait_until(done: impl Fn() -> bool) {
    while !done() {
        std::thread::yield_now();
    }
}

#[test]
fn every_job_runs_and_the_limit_holds() {
    let pool = ThreadPool::new(3, Duration::from_secs(10));
    let (now, peak, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let counters = Arc::new((now, peak, done));
    for _ in 0..100 {
        let counters = Arc::clone(&counters);
        let submitted = pool.submit(job(move || {
            let (now, peak, done) = &*counters;
            peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            std::thread::yield_now();
            now.fetch_sub(1, SeqCst);
            done.fetch_add(1, SeqCst);
        }));
        assert!(submitted.is_ok());
    }
    pool.join();
    assert_eq!(counters.2.load(SeqCst), 100);
    assert!(counters.1.load(SeqCst) <= 3);
    let nothing = PoolStatistics { threads: 0, idle: 0, waiting: 0, abandoned: 0 };
    assert_eq!(pool.statistics(), nothing);
}

// spec: test_thread_cache.idle_threads_exit
#[test]
fn an_idle_thread_ends() {
    let pool = ThreadPool::new(1, Duration::from_millis(1));
    assert!(pool.submit(job(|| ())).is_ok());
    wait_until(|| pool.statistics().threads == 0);
    // A job that comes later finds a new thread.
    let (sender, receiver) = mpsc::channel();
    assert!(pool.submit(job(move || sender.send(1).unwrap())).is_ok());
    assert_eq!(receiver.recv(), Ok(1));
}

// spec: test_thread_cache.race_between_idle_exit_and_job_assignment
#[test]
fn no_job_is_lost_to_a_thread_that_is_about_to_end() {
    let pool = ThreadPool::new(4, Duration::ZERO);
    let (sender, receiver) = mpsc::channel();
    for number in 0..2_000 {
        let sender = sender.clone();
        assert!(pool.submit(job(move || sender.send(number).unwrap())).is_ok());
        assert_eq!(receiver.recv(), Ok(number));
    }
}

// spec: test_thread_cache.spawning_new_thread_from_deliver_reuses_starting_thread
#[test]
fn a_thread_is_free_before_it_delivers() {
    let pool = Arc::new(ThreadPool::new(8, LONG));
    let (sender, receiver) = mpsc::channel();
    // Several idle threads, so that the right one is not the only one.
    let gate = Arc::new(std::sync::Barrier::new(5));
    for _ in 0..4 {
        let gate = Arc::clone(&gate);
        assert!(
            pool.submit(job(move || {
                gate.wait();
            }))
            .is_ok()
        );
    }
    gate.wait();
    wait_until(|| pool.statistics().idle == 4);
    let (inner, to) = (Arc::clone(&pool), sender.clone());
    let deliver = move || {
        to.send(std::thread::current().id()).unwrap();
        submit_who(&inner, &to);
    };
    assert!(pool.submit(Box::new(Two(|| (), deliver))).is_ok());
    let (first, second) = (receiver.recv().unwrap(), receiver.recv().unwrap());
    assert_eq!(first, second);
    assert_eq!(pool.statistics().threads, 4);
    // The one that was used last is used next, and the others grow idle.
    wait_until(|| pool.statistics().idle == 4);
    submit_who(&pool, &sender);
    assert_eq!(receiver.recv(), Ok(first));
    pool.join();
}

// spec: test_thread_cache.raise_in_deliver
#[test]
fn a_panic_in_a_delivery_does_not_end_the_thread() {
    let pool = ThreadPool::new(1, LONG);
    let (sender, receiver) = mpsc::channel();
    submit_who(&pool, &sender);
    let before = receiver.recv();
    let panics = Two(|| (), || std::panic::resume_unwind(Box::new("nobody takes it")));
    assert!(pool.submit(Box::new(panics)).is_ok());
    submit_who(&pool, &sender);
    assert_eq!(receiver.recv(), before);
}

// spec: test_thread_cache.thread_cache_deref, test_threads.worker_thread_context_not_leaked
#[test]
fn an_idle_thread_keeps_nothing_of_its_last_job() {
    let pool = ThreadPool::new(1, LONG);
    let value = Arc::new(());
    let weak: Weak<()> = Arc::downgrade(&value);
    let (sender, receiver) = mpsc::channel();
    let deliver = {
        let weak = weak.clone();
        move || {
            drop(value);
            sender.send(weak.upgrade().is_some()).unwrap();
        }
    };
    assert!(pool.submit(Box::new(Two(|| (), deliver))).is_ok());
    assert_eq!(receiver.recv(), Ok(false));
    assert_eq!(pool.statistics().threads, 1);
}

#[test]
fn nobody_waits_for_an_abandoned_job() {
    let pool = ThreadPool::new(1, LONG);
    let (gate, opened) = mpsc::channel::<()>();
    let (sender, receiver) = mpsc::channel();
    let first = pool.submit(job(move || {
        sender.send(()).unwrap();
        let _ = opened.recv();
    }));
    receiver.recv().unwrap();
    let ran = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ran);
    let second = pool.submit(job(move || flag.store(true, SeqCst)));
    assert!(pool.abandon(second.unwrap_or_else(|_| unreachable!())), "it had not begun");
    assert!(!pool.abandon(first.unwrap_or_else(|_| unreachable!())), "it had begun");
    let at_work = PoolStatistics { threads: 1, idle: 0, waiting: 0, abandoned: 1 };
    assert_eq!(pool.statistics(), at_work);
    let (quiet, quiet_came) = mpsc::channel();
    assert!(pool.when_quiet(Box::new(move || quiet.send(()).unwrap())).is_some());
    // It returns although the job has not ended.
    pool.join();
    drop(gate);
    quiet_came.recv().unwrap();
    assert_eq!(pool.statistics().abandoned, 0);
    assert!(!ran.load(SeqCst));
}

#[test]
fn who_waits_for_quiet_can_give_up() {
    let pool = ThreadPool::new(1, LONG);
    let (gate, opened) = mpsc::channel::<()>();
    assert!(
        pool.submit(job(move || {
            let _ = opened.recv();
        }))
        .is_ok()
    );
    let number = pool.when_quiet(Box::new(|| panic!("it was taken back"))).unwrap();
    assert!(pool.stop_waiting(number));
    assert!(!pool.stop_waiting(number));
    drop(gate);
    pool.join();
    let called = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&called);
    assert_eq!(pool.when_quiet(Box::new(move || flag.store(true, SeqCst))), None);
    assert!(called.load(SeqCst), "it is quiet already");
}

// spec: test_threads.run_in_worker_thread_fail_to_spawn
#[test]
fn a_job_for_which_there_is_no_thread_comes_back() {
    let mut pool = ThreadPool::new(1, LONG);
    // No address space has room for such a stack.
    Arc::get_mut(&mut pool.inner).unwrap().stack_bytes = Some(1 << 60);
    let permit = Arc::new(());
    let held = Arc::clone(&permit);
    let refused = pool.submit(job(move || drop(Arc::clone(&held))));
    assert!(refused.is_err());
    drop(refused);
    assert_eq!(Arc::strong_count(&permit), 1);
    assert_eq!(pool.statistics().threads, 0);
}
