//! Waiting allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use conbrio::prelude::*;
use conbrio::sync::{Barrier, Condition, Event, Mutex, RwLock, Semaphore};

use crate::support::Fault;

struct Counting;

thread_local! {
    /// Of this thread, so that the other tests do not disturb.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 100;

/// How many allocations the rounds of one of two tasks make, after as many to warm up. In each round one of
/// them waits for the other.
fn count(round: impl Fn(&mut Cx) -> Result<(), Fault> + Sync) -> usize {
    let rounds = |cx: &mut Cx| -> Result<usize, Fault> {
        for _ in 0..ROUNDS {
            round(cx)?;
        }
        let before = ALLOCATIONS.get();
        for _ in 0..ROUNDS {
            round(cx)?;
        }
        Ok(ALLOCATIONS.get() - before)
    };
    let outcome = conbrio::Builder::new().workers(1).run(|cx| {
        cx.nursery(|cx, n| -> Result<usize, Fault> {
            let mut first = n.spawn_local(cx, rounds);
            let mut second = n.spawn_local(cx, rounds);
            Ok(first.join(cx)?.max(second.join(cx)?))
        })
    });
    outcome.unwrap().unwrap()
}

// spec: S57
#[test]
fn waiting_allocates_nothing() {
    let (mutex, semaphore, lock) = (Mutex::new(()), Semaphore::new(1), RwLock::new(()));
    let counted = count(|cx| {
        let _guard = mutex.lock(cx)?;
        Ok(cx.yield_now()?)
    });
    assert_eq!(counted, 0, "a mutex");
    let counted = count(|cx| {
        let _permit = semaphore.acquire(cx)?;
        Ok(cx.yield_now()?)
    });
    assert_eq!(counted, 0, "a semaphore");
    let counted = count(|cx| {
        let _guard = lock.write(cx)?;
        Ok(cx.yield_now()?)
    });
    assert_eq!(counted, 0, "a lock for writing");
    let barrier = Barrier::new(2);
    assert_eq!(count(|cx| Ok(barrier.wait(cx).map(drop)?)), 0, "a barrier");
}

// spec: S57
#[test]
fn waiting_for_a_condition_allocates_nothing() {
    let (turn, condition) = (Mutex::new(0), Condition::new());
    let counted = count(|cx| {
        let mut turn = turn.lock(cx)?;
        *turn += 1;
        let own = *turn;
        condition.notify_all(&turn);
        if own < 4 * ROUNDS {
            condition.wait_while(cx, &mut turn, |turn| *turn == own)?;
        }
        Ok(())
    });
    assert_eq!(counted, 0);
}

// spec: S57
#[test]
fn waiting_for_an_event_allocates_nothing() {
    let outcome = conbrio::Builder::new().workers(1).run(|cx| {
        let events: Vec<Event> = (0..2 * ROUNDS).map(|_| Event::new()).collect();
        cx.nursery(|cx, n| -> Result<(), Fault> {
            let mut counts = n.spawn_local(cx, |cx| {
                let mut before = 0;
                for (round, event) in events.iter().enumerate() {
                    if round == ROUNDS {
                        before = ALLOCATIONS.get();
                    }
                    event.wait(cx)?;
                }
                Ok(ALLOCATIONS.get() - before)
            });
            n.spawn_local(cx, |cx| {
                for event in &events {
                    while event.statistics().tasks_waiting == 0 {
                        cx.yield_now()?;
                    }
                    event.set();
                }
                Ok(())
            });
            // A queue of the worker may still grow.
            let counted = counts.join(cx)?;
            assert!(counted <= 2, "{counted} in {ROUNDS} waits");
            Ok(())
        })
        .unwrap();
    });
    outcome.unwrap();
}
