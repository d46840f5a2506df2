//! The overflow message, and the faults that are none of ours.

use std::hint::black_box;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

use conbrio_fiber::{
    AlternateStack, Fiber, GuardKind, Label, PoolOptions, Resumed, Stack, StackPool,
    install_overflow_handler,
};

use crate::child;

/// Uses stack until there is none left.
#[inline(never)]
fn recurse(depth: usize) -> usize {
    let frame = black_box([depth; 64]);
    if depth == usize::MAX { 0 } else { recurse(depth + 1) + black_box(frame)[3] }
}

fn overflow_on(stack: Stack) {
    let mut fiber = Fiber::new(stack, |_| {
        black_box(recurse(0));
    });
    let _ = fiber.resume();
}

fn labelled(pool: &mut StackPool, bytes: usize, name: &'static str) -> Stack {
    let stack = pool.acquire(bytes).unwrap();
    let label = NonNull::from(Box::leak(Box::new(Label::new(name))));
    // SAFETY: both the label and its text live until the process ends.
    unsafe { stack.set_label(Some(label)) };
    stack
}

// spec: S66
#[test]
fn an_overflow_names_the_task_and_its_stack_size() {
    child::run("overflow::an_overflow_names_the_task_and_its_stack_size", || {
        install_overflow_handler().unwrap();
        let mut pool = StackPool::new(PoolOptions::default()).unwrap();
        overflow_on(labelled(&mut pool, 64 << 10, "parse request"));
    })
    .assert_signal(libc::SIGABRT)
    .assert_says("conbrio: task 'parse request' has overflowed its stack of 64 KiB; raise it with");
}

#[test]
fn an_overflow_without_a_label_says_a_task() {
    child::run("overflow::an_overflow_without_a_label_says_a_task", || {
        install_overflow_handler().unwrap();
        let mut pool = StackPool::new(PoolOptions::default()).unwrap();
        let stack = labelled(&mut pool, 1 << 20, "the one before");
        pool.release(stack);
        overflow_on(pool.acquire(1 << 20).unwrap());
    })
    .assert_signal(libc::SIGABRT)
    .assert_says("conbrio: a task has overflowed its stack of 1024 KiB")
    .assert_silent_about("the one before");
}

#[test]
fn an_overflow_into_a_mapped_guard_is_explained_too() {
    child::run("overflow::an_overflow_into_a_mapped_guard_is_explained_too", || {
        install_overflow_handler().unwrap();
        let options = PoolOptions::default().guard_kind(GuardKind::Mprotect);
        let mut pool = StackPool::new(options).unwrap();
        overflow_on(labelled(&mut pool, 32 << 10, "old kernel"));
    })
    .assert_signal(libc::SIGABRT)
    .assert_says("conbrio: task 'old kernel' has overflowed its stack of 32 KiB");
}

#[test]
fn an_overflow_on_a_thread_without_an_alternate_stack_needs_ours() {
    extern "C" fn thread(_: *mut libc::c_void) -> *mut libc::c_void {
        let _alternate = AlternateStack::new().unwrap();
        let mut pool = StackPool::new(PoolOptions::default()).unwrap();
        overflow_on(labelled(&mut pool, 0, "on a C thread"));
        ptr::null_mut()
    }
    child::run("overflow::an_overflow_on_a_thread_without_an_alternate_stack_needs_ours", || {
        install_overflow_handler().unwrap();
        let mut id = 0;
        // SAFETY: the function has the type pthread_create wants, and is joined below.
        unsafe {
            assert_eq!(libc::pthread_create(&mut id, ptr::null(), thread, ptr::null_mut()), 0);
            libc::pthread_join(id, ptr::null_mut());
        }
    })
    .assert_signal(libc::SIGABRT)
    .assert_says("conbrio: task 'on a C thread' has overflowed its stack of 32 KiB");
}

#[test]
fn an_overflow_leaves_the_neighbours_alone() {
    static NEIGHBOURS: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
    const PATTERN: u8 = 0xA5;
    /// Runs on the alternate stack after the message was written, and says what it finds.
    extern "C" fn on_abort(_: libc::c_int) {
        // Slots are carved upward: each is the number of bytes that follow it that are whole.
        for end in &NEIGHBOURS {
            let end = end.load(Ordering::Relaxed);
            if end == 0 {
                continue;
            }
            for address in end - 30_000..end {
                // SAFETY: part of a stack that was acquired and filled before, still mapped.
                let byte = unsafe { ptr::with_exposed_provenance::<u8>(address).read_volatile() };
                if byte != PATTERN {
                    say(b"neighbour damaged\n");
                    return;
                }
            }
        }
        say(b"neighbours whole\n");
    }
    fn say(text: &[u8]) {
        // SAFETY: the text is readable; write(2) is async-signal-safe.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
    }
    child::run("overflow::an_overflow_leaves_the_neighbours_alone", || {
        install_overflow_handler().unwrap();
        let handler = on_abort as extern "C" fn(_) as *const () as usize;
        // SAFETY: the handler keeps to async-signal-safe calls.
        unsafe { libc::signal(libc::SIGABRT, handler) };
        let mut pool = StackPool::new(PoolOptions::default().guard_bytes(1)).unwrap();
        let stacks: Vec<Stack> = (0..5).map(|_| pool.acquire(0).unwrap()).collect();
        let mut stacks = stacks.into_iter();
        let (before, victim) = (stacks.by_ref().take(2).collect::<Vec<_>>(), stacks.next());
        for (stack, end) in before.iter().chain(stacks.as_slice()).zip(&NEIGHBOURS) {
            end.store(stack.base(), Ordering::Relaxed);
            // SAFETY: the stack is ours, and nothing runs on it.
            unsafe {
                let start = ptr::with_exposed_provenance_mut::<u8>(stack.base() - 30_000);
                start.write_bytes(PATTERN, 30_000);
            }
        }
        overflow_on(victim.unwrap());
    })
    .assert_signal(libc::SIGABRT)
    .assert_says("has overflowed its stack")
    .assert_says("neighbours whole");
}

#[test]
fn an_overflow_of_a_thread_keeps_the_message_of_the_standard_library() {
    child::run(
        "overflow::an_overflow_of_a_thread_keeps_the_message_of_the_standard_library",
        || {
            install_overflow_handler().unwrap();
            install_overflow_handler().unwrap();
            let pool = StackPool::new(PoolOptions::default()).unwrap();
            let thread = std::thread::Builder::new().name("ordinary".into());
            let thread = thread.spawn(|| black_box(recurse(0))).unwrap();
            let _ = thread.join();
            drop(pool);
        },
    )
    .assert_signal(libc::SIGABRT)
    .assert_says("thread 'ordinary'")
    .assert_says("has overflowed its stack")
    .assert_silent_about("conbrio");
}

/// Reads an address that is never mapped.
fn fault() {
    // SAFETY: none; the fault is the point, and it happens in a child process.
    black_box(unsafe { ptr::without_provenance::<u8>(black_box(8)).read_volatile() });
}

#[test]
fn another_fault_in_a_fiber_ends_the_process_as_before() {
    child::run("overflow::another_fault_in_a_fiber_ends_the_process_as_before", || {
        install_overflow_handler().unwrap();
        let mut pool = StackPool::new(PoolOptions::default()).unwrap();
        let mut fiber = Fiber::new(pool.acquire(0).unwrap(), |_| fault());
        let _ = fiber.resume();
    })
    .assert_signal(libc::SIGSEGV)
    .assert_silent_about("conbrio");
}

#[test]
fn a_stray_access_to_another_tasks_guard_is_not_called_an_overflow() {
    child::run("overflow::a_stray_access_to_another_tasks_guard_is_not_called_an_overflow", || {
        install_overflow_handler().unwrap();
        let mut pool = StackPool::new(PoolOptions::default()).unwrap();
        let stack = pool.acquire(0).unwrap();
        let guard = ptr::with_exposed_provenance::<u8>(stack.limit() - 1);
        // SAFETY: none; the fault is the point, and it happens in a child process.
        black_box(unsafe { guard.read_volatile() });
    })
    .assert_signal(libc::SIGSEGV)
    .assert_silent_about("conbrio");
}

#[test]
fn a_signal_that_was_sent_has_its_default_effect() {
    child::run("overflow::a_signal_that_was_sent_has_its_default_effect", || {
        // SAFETY: takes the standard library's handler away, which would swallow the first
        // signal that is sent, and then sends one to this process.
        unsafe {
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            install_overflow_handler().unwrap();
            libc::raise(libc::SIGSEGV);
        }
    })
    .assert_signal(libc::SIGSEGV);
}

/// Says that it was called, and ends the process with the signal's number.
extern "C" fn plain_handler(signal: libc::c_int) {
    // SAFETY: both calls are async-signal-safe.
    unsafe {
        libc::write(2, b"plain handler\n".as_ptr().cast(), 14);
        libc::_exit(signal);
    }
}

extern "C" fn info_handler(_: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel's information about a fault, passed on; both calls are
    // async-signal-safe.
    unsafe {
        let ok = (*info).si_addr().addr() == 8 && !context.is_null();
        let text: &[u8] = if ok { b"address is 8\n" } else { b"wrong address\n" };
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::_exit(0);
    }
}

#[test]
fn a_plain_handler_installed_before_is_called() {
    for (signal, send) in [(libc::SIGSEGV, false), (libc::SIGSEGV, true), (libc::SIGBUS, true)] {
        child::run("overflow::a_plain_handler_installed_before_is_called", || {
            let handler = plain_handler as extern "C" fn(_) as *const () as usize;
            // SAFETY: the handler keeps to async-signal-safe calls.
            unsafe { libc::signal(signal, handler) };
            install_overflow_handler().unwrap();
            if send {
                // SAFETY: sends a signal to this process.
                unsafe { libc::raise(signal) };
            } else {
                fault();
            }
        })
        .assert_says("plain handler");
    }
}

#[test]
fn a_handler_with_information_installed_before_is_called_with_it() {
    child::run("overflow::a_handler_with_information_installed_before_is_called_with_it", || {
        // SAFETY: all zeroes is a valid action to start from, and the handler keeps to
        // async-signal-safe calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = info_handler as extern "C" fn(_, _, _) as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGSEGV, &action, ptr::null_mut());
        }
        install_overflow_handler().unwrap();
        let mut pool = StackPool::new(PoolOptions::default()).unwrap();
        let mut fiber = Fiber::new(pool.acquire(0).unwrap(), |_| fault());
        let _ = fiber.resume();
    })
    .assert_says("address is 8");
}

#[test]
fn an_ignored_signal_stays_ignored_when_it_is_sent() {
    child::run("overflow::an_ignored_signal_stays_ignored_when_it_is_sent", || {
        // SAFETY: changes how this process takes a signal, and sends it one.
        unsafe {
            libc::signal(libc::SIGSEGV, libc::SIG_IGN);
            install_overflow_handler().unwrap();
            libc::raise(libc::SIGSEGV);
        }
    })
    .assert_survived();
}

#[test]
fn stacks_of_a_dropped_pool_are_forgotten_by_the_handler() {
    child::run("overflow::stacks_of_a_dropped_pool_are_forgotten_by_the_handler", || {
        install_overflow_handler().unwrap();
        let mut first = StackPool::new(PoolOptions::default()).unwrap();
        let stack = first.acquire(0).unwrap();
        first.release(stack);
        drop(first);
        // A second pool, whose slab may well have the address of the first.
        let mut second = StackPool::new(PoolOptions::default().guard_bytes(1)).unwrap();
        let mut fiber = Fiber::new(labelled(&mut second, 128 << 10, "second"), |suspender| {
            suspender.suspend();
            black_box(recurse(0));
        });
        assert_eq!(fiber.resume(), Resumed::Suspended);
        let _ = fiber.resume();
    })
    .assert_signal(libc::SIGABRT)
    .assert_says("task 'second' has overflowed its stack of 128 KiB");
}

#[test]
fn an_overflow_is_recognised_while_other_threads_make_and_drop_pools() {
    let test = "overflow::an_overflow_is_recognised_while_other_threads_make_and_drop_pools";
    child::run(test, || {
        install_overflow_handler().unwrap();
        let rounds: &AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
        for _ in 0..3 {
            std::thread::spawn(|| {
                loop {
                    let mut pool = StackPool::new(PoolOptions::default()).unwrap();
                    let stack = pool.acquire(0).unwrap();
                    pool.release(stack);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut pool = StackPool::new(PoolOptions::default()).unwrap();
        let stack = labelled(&mut pool, 64 << 10, "in the middle");
        while rounds.load(Ordering::Relaxed) < 1_000 {
            std::thread::yield_now();
        }
        overflow_on(stack);
    })
    .assert_signal(libc::SIGABRT)
    .assert_says("conbrio: task 'in the middle' has overflowed its stack of 64 KiB");
}

/// Says whether its own signal and SIGUSR1 are blocked, and returns to the fault.
extern "C" fn mask_handler(signal: libc::c_int) {
    // SAFETY: all calls are async-signal-safe; a zeroed set is there to be filled in.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &mut mask);
        let itself = libc::sigismember(&mask, signal);
        let other = libc::sigismember(&mask, libc::SIGUSR1);
        let text: &[u8] = if (itself, other) == (0, 1) { b"mask kept\n" } else { b"mask lost\n" };
        libc::write(2, text.as_ptr().cast(), text.len());
    }
}

#[test]
fn the_flags_and_mask_of_the_handler_before_are_respected() {
    child::run("overflow::the_flags_and_mask_of_the_handler_before_are_respected", || {
        // SAFETY: all zeroes is a valid action to start from, and the handler keeps to
        // async-signal-safe calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = mask_handler as extern "C" fn(_) as *const () as usize;
            action.sa_flags = libc::SA_NODEFER | libc::SA_RESETHAND | libc::SA_ONSTACK;
            libc::sigaddset(&mut action.sa_mask, libc::SIGUSR1);
            libc::sigaction(libc::SIGSEGV, &action, ptr::null_mut());
        }
        install_overflow_handler().unwrap();
        fault();
    })
    // Returning to the fault ends the process, because the handler was for one time only.
    .assert_signal(libc::SIGSEGV)
    .assert_says("mask kept");
}
