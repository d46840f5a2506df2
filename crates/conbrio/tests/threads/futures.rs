//! Tasks as futures of other runtimes: whatever happens to the future, the task runs to its end.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use conbrio::sync::Event;
use conbrio::threads::{Portal, TaskFuture};

use crate::support::{message_of, on_all_workers, wait_until};

/// Wakes a thread, and counts.
struct Unparks(std::thread::Thread, AtomicUsize);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, SeqCst);
        self.0.unpark();
    }
}

fn unparks() -> (Arc<Unparks>, Waker) {
    let unparks = Arc::new(Unparks(std::thread::current(), AtomicUsize::new(0)));
    (Arc::clone(&unparks), Waker::from(unparks))
}

/// A foreign executor, in all its beauty.
#[expect(clippy::disallowed_methods, reason = "a thread that runs no task")]
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let (_, waker) = unparks();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// A task that waits for `go` and then says that it has reached its end.
fn start_slow(portal: &Portal, go: &Arc<Event>, ended: &Arc<AtomicBool>) -> TaskFuture<u32> {
    let (go, ended) = (Arc::clone(go), Arc::clone(ended));
    portal.start(move |cx| {
        let went = go.wait(cx).is_ok();
        // Behind the wait, where a future that is dropped never comes.
        ended.store(true, SeqCst);
        u32::from(went)
    })
}

/// Runs `test` on a thread of another runtime, while tasks of this one run.
fn from_outside(test: impl Fn(&Portal, &Arc<Event>, &Arc<AtomicBool>) + Send + Sync) {
    on_all_workers(|cx| {
        let (go, ended) = (Arc::new(Event::new()), Arc::new(AtomicBool::new(false)));
        cx.portal(|cx, portal| {
            std::thread::scope(|s| {
                let thread = s.spawn(|| test(portal, &go, &ended));
                cx.blocking(|| thread.join().unwrap()).unwrap();
            });
            go.set();
            // Before the portal closes, which would cancel it.
            wait_until(cx, |_| ended.load(SeqCst));
        });
    });
}

// spec: N15, S61, S70
#[test]
fn an_async_program_awaits_tasks() {
    from_outside(|portal, go, ended| {
        let slow = start_slow(portal, go, ended);
        let sum = block_on(async {
            let first = portal.start(|cx| cx.yield_now().map(|()| 3));
            let second = portal.start(|_| 4);
            first.await.unwrap().unwrap() + second.await.unwrap()
        });
        assert_eq!(sum, 7);
        assert!(!slow.is_finished());
        go.set();
        assert_eq!(block_on(slow), Ok(1));
        assert!(ended.load(SeqCst));
    });
}

// spec: N15, S77
#[test]
fn a_future_that_is_dropped_leaves_the_task_running() {
    // Before it was ever polled.
    from_outside(|portal, go, ended| drop(start_slow(portal, go, ended)));
    // As the loser of a race, after it was polled.
    from_outside(|portal, go, ended| {
        let mut slow = start_slow(portal, go, ended);
        let (wakes, waker) = unparks();
        assert!(poll_once(&mut slow, &waker).is_pending());
        drop(slow);
        go.set();
        while !ended.load(SeqCst) {
            std::thread::yield_now();
        }
        assert_eq!(wakes.1.load(SeqCst), 0, "a waker is not kept longer than its future");
        assert_eq!(Arc::strong_count(&wakes), 2);
    });
}

// spec: N15
#[test]
fn a_future_that_is_leaked_leaves_the_task_running() {
    from_outside(|portal, go, ended| {
        let mut slow = start_slow(portal, go, ended);
        let (_, waker) = unparks();
        assert!(poll_once(&mut slow, &waker).is_pending());
        std::mem::forget(slow);
    });
}

// spec: N15
#[test]
fn a_future_may_be_polled_anywhere_and_the_last_waker_counts() {
    from_outside(|portal, go, ended| {
        let mut slow = start_slow(portal, go, ended);
        let (early, waker) = unparks();
        assert!(poll_once(&mut slow, &waker).is_pending());
        let value = std::thread::scope(|s| {
            let elsewhere = s.spawn(|| {
                let (_, waker) = unparks();
                assert!(poll_once(&mut slow, &waker).is_pending());
                go.set();
                block_on(slow)
            });
            elsewhere.join().unwrap()
        });
        assert_eq!(value, Ok(1));
        assert_eq!(early.1.load(SeqCst), 0);
    });
}

// spec: N15
#[test]
fn an_executor_that_shuts_down_leaves_the_task_running() {
    from_outside(|portal, go, ended| {
        // An executor is a thread with a future; when it shuts down it drops the one and ends the other.
        let slow = start_slow(portal, go, ended);
        let (stop, stopped) = mpsc::channel::<()>();
        let executor = std::thread::spawn(move || {
            let mut program = Box::pin(async move { slow.await.unwrap() });
            let (_, waker) = unparks();
            assert!(program.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            stopped.recv().unwrap();
        });
        stop.send(()).unwrap();
        executor.join().unwrap();
        assert!(!ended.load(SeqCst));
    });
}

#[test]
fn a_task_can_be_cancelled_and_still_runs_to_its_end() {
    from_outside(|portal, go, ended| {
        let slow = start_slow(portal, go, ended);
        slow.cancel();
        assert_eq!(block_on(slow), Ok(0), "its wait was cancelled, and it has returned");
        assert!(ended.load(SeqCst));
        // Only itself.
        assert_eq!(block_on(portal.start(|cx| cx.checkpoint().is_ok())), Ok(true));
        let done = portal.start(|_| 7);
        while !done.is_finished() {
            std::thread::yield_now();
        }
        done.cancel();
        assert_eq!(block_on(done), Ok(7));
    });
}

#[test]
fn a_panic_goes_to_whoever_polls() {
    from_outside(|portal, _, ended| {
        let message = message_of(|| block_on(portal.start(|_| -> () { panic!("in a task") })));
        assert_eq!(message, "in a task");
        assert_eq!(block_on(portal.start(|_| 7)), Ok(7), "the portal is unharmed");
        ended.store(true, SeqCst);
    });
}

#[test]
fn a_panic_that_nobody_polls_for_is_the_portals() {
    on_all_workers(|cx| {
        let message = message_of(|| {
            cx.portal(|cx, portal| {
                drop(portal.start(|_| -> () { panic!("nobody listens") }));
                let _ = cx.sleep_forever().unwrap_err();
            });
        });
        assert_eq!(message, "nobody listens");
    });
}

#[test]
fn a_closed_portal_completes_the_future_at_once() {
    on_all_workers(|cx| {
        let kept = cx.portal(|_, portal| portal.clone());
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let refused = kept.start(move |_| drop(inside));
        assert!(refused.is_finished());
        assert_eq!(Arc::strong_count(&held), 1, "the closure was dropped");
        let outcome = cx.wait(refused).unwrap();
        assert!(outcome.unwrap_err().to_string().contains("closed"));
    });
}

#[test]
fn a_future_is_used_up_when_it_has_completed() {
    on_all_workers(|cx| {
        cx.portal(|cx, portal| {
            let mut seven = portal.start(|_| 7);
            wait_until(cx, |_| seven.is_finished());
            let (_, waker) = unparks();
            assert_eq!(poll_once(&mut seven, &waker), Poll::Ready(Ok(7)));
            assert!(seven.is_finished());
            seven.cancel();
            assert!(catch_unwind(AssertUnwindSafe(|| poll_once(&mut seven, &waker))).is_err());
        });
    });
}
