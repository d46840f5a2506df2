//! Switching, panics, backtraces and the end of fibers.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;

use conbrio_fiber::{Fiber, PoolOptions, Resumed, StackPool, Suspender};

use crate::child;

fn pool() -> StackPool {
    StackPool::new(PoolOptions::default()).unwrap()
}

fn finish(fiber: &mut Fiber) {
    while fiber.resume() == Resumed::Suspended {}
}

#[test]
fn fibers_interleave_in_the_order_they_are_resumed() {
    let mut pool = pool();
    let log = Rc::new(RefCell::new(Vec::new()));
    let mut fibers: Vec<Fiber> = (0..3)
        .map(|number| {
            let log = Rc::clone(&log);
            Fiber::new(pool.acquire(0).unwrap(), move |suspender| {
                for step in 0..2 {
                    log.borrow_mut().push((number, step));
                    suspender.suspend();
                }
            })
        })
        .collect();
    for _ in 0..2 {
        for fiber in &mut fibers {
            assert_eq!(fiber.resume(), Resumed::Suspended);
        }
    }
    assert_eq!(*log.borrow(), [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]);
    for mut fiber in fibers {
        assert_eq!(fiber.resume(), Resumed::Finished);
        assert!(fiber.is_finished());
        pool.release(fiber.into_stack());
    }
    assert_eq!(pool.statistics().in_use, 0);
}

#[test]
fn deep_recursion_fits_a_big_stack() {
    fn depth_reached(depth: usize) -> usize {
        let frame = std::hint::black_box([depth as u8; 256]);
        if depth == 0 { 0 } else { depth_reached(depth - 1) + usize::from(frame[0] == depth as u8) }
    }
    let mut pool = pool();
    let reached = Rc::new(Cell::new(0));
    let seen = Rc::clone(&reached);
    let mut fiber = Fiber::new(pool.acquire(64 << 20).unwrap(), move |_| {
        seen.set(depth_reached(30_000));
    });
    finish(&mut fiber);
    assert_eq!(reached.get(), 30_000);
    pool.release(fiber.into_stack());
}

#[test]
fn a_finished_fiber_gives_its_stack_back_where_it_is() {
    let mut pool = pool();
    let mut fiber = Fiber::new(pool.acquire(0).unwrap(), |suspender| suspender.suspend());
    for resumed in [Resumed::Suspended, Resumed::Finished] {
        // The refusal touches nothing: the fiber goes on.
        assert!(panic::catch_unwind(AssertUnwindSafe(|| fiber.take_stack())).is_err());
        assert_eq!(fiber.resume(), resumed);
    }
    pool.release(fiber.take_stack());
    assert!(panic::catch_unwind(AssertUnwindSafe(|| fiber.take_stack())).is_err());
    drop(fiber);
    assert_eq!((pool.statistics().in_use, pool.statistics().idle), (0, 1));
}

#[test]
fn a_fiber_may_resume_another() {
    let mut pool = pool();
    let inner_stack = pool.acquire(0).unwrap();
    let log = Rc::new(RefCell::new(Vec::new()));
    let outer_log = Rc::clone(&log);
    let back = Rc::new(RefCell::new(None));
    let give_back = Rc::clone(&back);
    let mut outer = Fiber::new(pool.acquire(0).unwrap(), move |suspender| {
        let log = Rc::clone(&outer_log);
        let mut inner = Fiber::new(inner_stack, move |suspender| {
            log.borrow_mut().push("inner 1");
            suspender.suspend();
            log.borrow_mut().push("inner 2");
        });
        assert_eq!(inner.resume(), Resumed::Suspended);
        outer_log.borrow_mut().push("outer");
        suspender.suspend();
        assert_eq!(inner.resume(), Resumed::Finished);
        *give_back.borrow_mut() = Some(inner.into_stack());
    });
    finish(&mut outer);
    assert_eq!(*log.borrow(), ["inner 1", "outer", "inner 2"]);
    pool.release(outer.into_stack());
    pool.release(back.take().unwrap());
}

#[test]
fn large_and_overaligned_entries_arrive_whole() {
    #[repr(align(128))]
    struct Aligned([u8; 128]);
    let mut pool = pool();
    let sum = Rc::new(Cell::new(0));
    let (large, aligned) = ([7u8; 5000], Aligned([1; 128]));
    let seen = Rc::clone(&sum);
    // Code that is not optimised copies an entry into the frame of each function on its way.
    let mut fiber = Fiber::new(pool.acquire(256 << 10).unwrap(), move |_| {
        let large: usize = large.iter().map(|&byte| usize::from(byte)).sum();
        seen.set(seen.get() + large);
    });
    finish(&mut fiber);
    let seen = Rc::clone(&sum);
    let mut fiber = Fiber::new(fiber.into_stack(), move |_| {
        let aligned = &aligned;
        assert_eq!((&raw const *aligned).addr() % 128, 0);
        seen.set(seen.get() + usize::from(aligned.0[127]));
    });
    finish(&mut fiber);
    assert_eq!(sum.get(), 35_001);
    pool.release(fiber.into_stack());
}

#[test]
fn the_suspender_keeps_its_address() {
    let mut pool = pool();
    let address = Rc::new(Cell::new(std::ptr::null::<Suspender>()));
    let seen = Rc::clone(&address);
    let mut fiber = Fiber::new(pool.acquire(0).unwrap(), move |suspender| {
        seen.set(suspender);
        suspender.suspend();
        assert_eq!(seen.get(), &raw const *suspender);
    });
    finish(&mut fiber);
    pool.release(fiber.into_stack());
}

#[test]
fn an_entry_that_never_ran_is_dropped_with_its_fiber() {
    let mut pool = pool();
    let count = Rc::new(());
    for round in 0..2 {
        let held = Rc::clone(&count);
        let fiber = Fiber::new(pool.acquire(0).unwrap(), move |_| drop(held));
        assert!(!fiber.is_started());
        assert_eq!(Rc::strong_count(&count), 2);
        if round == 0 {
            pool.release(fiber.into_stack());
            assert_eq!(pool.statistics().in_use, 0);
        } else {
            drop(fiber);
        }
        assert_eq!(Rc::strong_count(&count), 1);
    }
}

#[test]
fn resuming_a_finished_fiber_panics() {
    let mut pool = pool();
    let mut fiber = Fiber::new(pool.acquire(0).unwrap(), |_| {});
    finish(&mut fiber);
    let payload = panic::catch_unwind(AssertUnwindSafe(|| fiber.resume())).unwrap_err();
    assert!(payload.downcast_ref::<&str>().unwrap().contains("has finished"));
    pool.release(fiber.into_stack());
}

#[test]
fn taking_the_stack_of_a_suspended_fiber_panics_and_leaks_it() {
    let mut pool = pool();
    let mut fiber = Fiber::new(pool.acquire(0).unwrap(), |suspender| suspender.suspend());
    assert_eq!(fiber.resume(), Resumed::Suspended);
    let payload = panic::catch_unwind(AssertUnwindSafe(|| fiber.into_stack())).unwrap_err();
    assert!(payload.downcast_ref::<&str>().unwrap().contains("is suspended"));
    assert_eq!(pool.statistics().in_use, 1);
}

#[test]
fn on_thread_stack_leaves_the_fibers_stack_and_comes_back() {
    let mut pool = pool();
    let stack = pool.acquire(0).unwrap();
    let (limit, base) = (stack.limit(), stack.base());
    let is_on_fiber = move || {
        let marker = 0u8;
        (limit..base).contains(&(&raw const marker).addr())
    };
    let mut fiber = Fiber::new(stack, move |suspender| {
        assert!(is_on_fiber());
        let mut borrowed = 1;
        let value = suspender.on_thread_stack(|| {
            assert!(!is_on_fiber());
            let frame = std::hint::black_box([1u8; 256 << 10]);
            // Within itself it is a plain call.
            suspender.on_thread_stack(|| borrowed += usize::from(frame[9]));
            "value"
        });
        assert_eq!((value, borrowed), ("value", 2));
        assert!(is_on_fiber());
        suspender.suspend();
        assert!(!suspender.on_thread_stack(is_on_fiber));
    });
    finish(&mut fiber);
    pool.release(fiber.into_stack());
}

#[test]
fn a_panic_on_the_thread_stack_reaches_the_caller_with_its_payload() {
    struct Payload(u32);
    let mut pool = pool();
    let mut fiber = Fiber::new(pool.acquire(0).unwrap(), |suspender| {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            suspender.on_thread_stack(|| panic::panic_any(Payload(17)));
        }));
        assert_eq!(outcome.unwrap_err().downcast_ref::<Payload>().unwrap().0, 17);
        // And the fiber is as good as before.
        suspender.suspend();
        assert_eq!(suspender.on_thread_stack(|| 18), 18);
    });
    assert_eq!(fiber.resume(), Resumed::Suspended);
    assert_eq!(fiber.resume(), Resumed::Finished);
    pool.release(fiber.into_stack());
}

#[test]
fn suspending_on_the_thread_stack_panics() {
    let mut pool = pool();
    let mut fiber = Fiber::new(pool.acquire(0).unwrap(), |suspender| {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            suspender.on_thread_stack(|| suspender.suspend());
        }));
        let payload = outcome.unwrap_err();
        assert!(payload.downcast_ref::<&str>().unwrap().contains("inside on_thread_stack"));
    });
    assert_eq!(fiber.resume(), Resumed::Finished);
    pool.release(fiber.into_stack());
}

#[test]
fn panics_caught_in_interleaved_fibers_keep_their_payloads() {
    let mut pool = pool();
    let mut fibers: Vec<Fiber> = (0..8u32)
        .map(|number| {
            Fiber::new(pool.acquire(0).unwrap(), move |suspender| {
                for round in 0..4 {
                    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
                        suspender.suspend();
                        panic::resume_unwind(Box::new((number, round)));
                    }));
                    let payload = outcome.unwrap_err();
                    suspender.suspend();
                    assert_eq!(payload.downcast_ref(), Some(&(number, round)));
                }
            })
        })
        .collect();
    for _ in 0..8 {
        for fiber in &mut fibers {
            assert_eq!(fiber.resume(), Resumed::Suspended);
        }
    }
    for mut fiber in fibers {
        assert_eq!(fiber.resume(), Resumed::Finished);
        pool.release(fiber.into_stack());
    }
}

#[test]
fn a_backtrace_in_a_fiber_goes_on_with_the_resumer() {
    #[inline(never)]
    fn distinctive_inside() -> String {
        std::hint::black_box(Backtrace::force_capture().to_string())
    }
    #[inline(never)]
    fn distinctive_resumer(fiber: &mut Fiber) -> bool {
        std::hint::black_box(fiber.resume()) == Resumed::Finished
    }
    let mut pool = pool();
    let text = Rc::new(RefCell::new(String::new()));
    let seen = Rc::clone(&text);
    let mut fiber = Fiber::new(pool.acquire(1 << 20).unwrap(), move |_| {
        *seen.borrow_mut() = distinctive_inside();
    });
    assert!(distinctive_resumer(&mut fiber));
    let text = text.borrow();
    let inside = text.find("distinctive_inside").expect(&text);
    let resumer = text.find("distinctive_resumer").expect(&text);
    assert!(inside < resumer, "{text}");
    pool.release(fiber.into_stack());
}

#[test]
fn dropping_a_suspended_fiber_aborts() {
    child::run("fiber::dropping_a_suspended_fiber_aborts", || {
        let mut pool = pool();
        let mut fiber = Fiber::new(pool.acquire(0).unwrap(), |suspender| suspender.suspend());
        assert_eq!(fiber.resume(), Resumed::Suspended);
        drop(fiber);
    })
    .assert_signal(libc::SIGABRT)
    .assert_says("conbrio: a suspended fiber was dropped");
}

#[test]
fn a_panic_that_leaves_the_entry_aborts() {
    child::run("fiber::a_panic_that_leaves_the_entry_aborts", || {
        let mut pool = pool();
        let mut fiber = Fiber::new(pool.acquire(0).unwrap(), |_| panic!("let out"));
        // Without the abort it would end here, and the child would survive.
        drop(panic::catch_unwind(AssertUnwindSafe(|| fiber.resume())));
    })
    .assert_signal(libc::SIGABRT)
    .assert_says("let out")
    .assert_says("conbrio: a panic left the entry of a fiber");
}
