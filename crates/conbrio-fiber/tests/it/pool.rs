//! Size classes, reuse, trimming, and very many stacks.

use std::panic::{self, AssertUnwindSafe};
use std::ptr;

use conbrio_fiber::{Fiber, GuardKind, PoolOptions, Resumed, Stack, StackError, StackPool};

use crate::child;

fn pool() -> StackPool {
    StackPool::new(PoolOptions::default()).unwrap()
}

/// Writes to `bytes` of a stack, from its base downward, as deep frames would.
fn touch(stack: &Stack, bytes: usize) {
    for offset in (1..bytes).step_by(4096) {
        // SAFETY: inside a stack that nothing runs on, above its limit.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(stack.base() - offset).write(1) };
    }
}

/// A figure of /proc/self/status, in KiB.
fn status_kib(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn maps() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn sizes_are_rounded_up_to_powers_of_two() {
    let mut pool = pool();
    for (asked, given) in [
        (0, 32 << 10),
        (1, 32 << 10),
        (32 << 10, 32 << 10),
        ((32 << 10) + 1, 64 << 10),
        (64 << 10, 64 << 10),
        (100_000, 128 << 10),
        (3 << 20, 4 << 20),
        (100 << 20, 128 << 20),
    ] {
        let stack = pool.acquire(asked).unwrap();
        assert_eq!(stack.stack_bytes(), given, "asked for {asked}");
        assert!(stack.base() - stack.limit() <= given);
        assert!(stack.base() - stack.limit() > given - 2200);
        assert_eq!(stack.base() % 64, 0);
        assert!(stack.guard_bytes() >= 64 << 10);
        // All of it can be used, down to the last byte.
        touch(&stack, 1 << 14);
        // SAFETY: the lowest byte of a stack that nothing runs on.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(stack.limit()).write(1) };
        pool.release(stack);
    }
}

#[test]
fn a_size_beyond_the_largest_class_is_an_error() {
    let mut pool = pool();
    for bytes in [(1 << 36) + 1, usize::MAX] {
        let error = pool.acquire(bytes).unwrap_err();
        assert!(matches!(error, StackError::TooLarge { requested, .. } if requested == bytes));
        assert!(error.to_string().contains(&bytes.to_string()), "{error}");
    }
    assert_eq!(pool.statistics().slabs, 0);
}

#[test]
fn the_stack_released_last_comes_back_first() {
    let mut pool = pool();
    let stacks: Vec<Stack> = (0..10).map(|_| pool.acquire(0).unwrap()).collect();
    let large = pool.acquire(1 << 20).unwrap();
    let bases: Vec<usize> = stacks.iter().map(Stack::base).collect();
    for stack in stacks {
        pool.release(stack);
    }
    let large_base = large.base();
    pool.release(large);
    let again: Vec<Stack> = (0..10).map(|_| pool.acquire(0).unwrap()).collect();
    assert!(again.iter().map(Stack::base).eq(bases.into_iter().rev()));
    let large = pool.acquire(1 << 20).unwrap();
    assert_eq!(large.base(), large_base);
    again.into_iter().chain([large]).for_each(|stack| pool.release(stack));
}

#[test]
fn stacks_in_use_never_overlap() {
    let mut pool = pool();
    let size = |round| (32usize << 10) << (round % 4);
    let mut stacks: Vec<Stack> = (0..3_000).map(|n| pool.acquire(size(n)).unwrap()).collect();
    stacks.sort_unstable_by_key(Stack::base);
    for pair in stacks.windows(2) {
        assert!(pair[0].base() < pair[1].limit() - pair[1].guard_bytes());
    }
    assert_eq!(pool.statistics().in_use, 3_000);
    stacks.into_iter().for_each(|stack| pool.release(stack));
}

#[test]
fn statistics_count_what_is_there() {
    let mut pool = pool();
    assert_eq!((pool.statistics().slabs, pool.statistics().reserved_bytes), (0, 0));
    let stacks: Vec<Stack> = (0..100).map(|_| pool.acquire(0).unwrap()).collect();
    let before = pool.statistics();
    assert_eq!((before.slabs, before.in_use), (1, 100));
    assert!(before.reserved_bytes > 60 << 20 && before.reserved_bytes <= 64 << 20);
    let idle = before.idle;
    stacks.into_iter().for_each(|stack| pool.release(stack));
    assert_eq!(pool.statistics().in_use, 0);
    assert_eq!(pool.statistics().idle, idle + 100);
}

#[test]
fn a_stack_of_another_pool_is_refused() {
    let (mut first, mut second) = (pool(), pool());
    let stack = first.acquire(0).unwrap();
    let payload = panic::catch_unwind(AssertUnwindSafe(|| second.release(stack))).unwrap_err();
    assert!(payload.downcast_ref::<&str>().unwrap().contains("another pool"));
}

#[test]
fn trim_gives_the_memory_of_surplus_stacks_back() {
    let mut pool = StackPool::new(PoolOptions::default().idle_stacks_max(10)).unwrap();
    let stacks: Vec<Stack> = (0..500).map(|_| pool.acquire(64 << 10).unwrap()).collect();
    stacks.iter().for_each(|stack| touch(stack, 40 << 10));
    stacks.into_iter().for_each(|stack| pool.release(stack));
    let surplus = 490 * (40 << 10);
    let bytes = pool.trim();
    assert!((surplus..=510 * (48 << 10)).contains(&bytes), "{bytes} bytes");
    // The ten that were kept hold 16 KiB each, so there is nothing left to give.
    assert_eq!(pool.trim(), 0);
    // The surplus is at the bottom and was zeroed; the guard is still there, and so is the stack.
    let stacks: Vec<Stack> = (0..500).map(|_| pool.acquire(64 << 10).unwrap()).collect();
    let value = |stack: &Stack| {
        // SAFETY: inside a stack that nothing runs on.
        unsafe { ptr::with_exposed_provenance::<u8>(stack.base() - 1).read() }
    };
    assert_eq!(stacks.iter().map(|stack| usize::from(value(stack))).sum::<usize>(), 10);
    for stack in stacks {
        let mut fiber = Fiber::new(stack, |_| {});
        assert_eq!(fiber.resume(), Resumed::Finished);
        pool.release(fiber.into_stack());
    }
}

#[test]
fn what_was_not_used_between_two_calls_is_given_back() {
    let mut pool = StackPool::new(PoolOptions::default().idle_stacks_max(10)).unwrap();
    let used_at_once = |pool: &mut StackPool, count| {
        let stacks: Vec<Stack> = (0..count).map(|_| pool.acquire(64 << 10).unwrap()).collect();
        stacks.iter().for_each(|stack| touch(stack, 8 << 10));
        stacks.into_iter().for_each(|stack| pool.release(stack));
    };
    let tidy_up = |pool: &mut StackPool, stacks_max| {
        pool.mark_unused();
        let mut rounds = 1;
        while pool.trim_marked(stacks_max) {
            rounds += 1;
        }
        rounds
    };
    assert!(!pool.has_surplus());
    used_at_once(&mut pool, 500);
    assert_eq!(tidy_up(&mut pool, 150), 1, "all of them were used");
    used_at_once(&mut pool, 100);
    assert_eq!(tidy_up(&mut pool, 150), 3, "four hundred were not");
    assert!(pool.has_surplus(), "the hundred are kept for now");
    assert_eq!(tidy_up(&mut pool, 150), 1);
    assert!(!pool.has_surplus());
    // Ten hold two pages each, and nothing of that is deep.
    assert_eq!(pool.trim(), 0);
    used_at_once(&mut pool, 500);
}

#[test]
fn trim_gives_back_the_deep_end_of_stacks_it_keeps() {
    let mut pool = pool();
    let stack = pool.acquire(4 << 20).unwrap();
    touch(&stack, 3 << 20);
    pool.release(stack);
    let bytes = pool.trim();
    assert!(bytes > (3 << 20) - (32 << 10), "{bytes} bytes");
    assert_eq!(pool.trim(), 0);
}

#[test]
fn a_guard_survives_trimming_and_reuse() {
    for kind in [GuardKind::Madvise, GuardKind::Mprotect] {
        let options = PoolOptions::default().idle_stacks_max(0).guard_kind(kind);
        let mut pool = StackPool::new(options).unwrap();
        let stacks: Vec<Stack> = (0..20).map(|_| pool.acquire(0).unwrap()).collect();
        stacks.iter().for_each(|stack| touch(stack, 8 << 10));
        stacks.into_iter().for_each(|stack| pool.release(stack));
        assert!(pool.trim() >= 20 * (8 << 10));
        for stack in (0..20).map(|_| pool.acquire(0).unwrap()).collect::<Vec<_>>() {
            let start = stack.limit() - stack.guard_bytes();
            for address in (start..stack.limit()).step_by(4096) {
                assert!(!is_writable(address), "{kind:?}");
            }
            assert!(is_writable(stack.limit()));
            pool.release(stack);
        }
    }
}

/// Asks the kernel to write a byte there; it answers with an error where we would get a signal.
fn is_writable(address: usize) -> bool {
    let mut ends = [0; 2];
    // SAFETY: the kernel checks the address it reads to; the byte there belongs to an idle stack.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        assert_eq!(libc::write(ends[1], b"x".as_ptr().cast(), 1), 1);
        let read = libc::read(ends[0], ptr::with_exposed_provenance_mut(address), 1);
        libc::close(ends[0]);
        libc::close(ends[1]);
        read == 1
    }
}

// spec: S63
#[test]
fn a_hundred_thousand_stacks_cost_little_until_they_are_touched() {
    let test = "pool::a_hundred_thousand_stacks_cost_little_until_they_are_touched";
    // In a child, so that the figures are not those of other tests.
    child::run(test, || {
        let mut pool = pool();
        let (maps_before, rss_before) = (maps(), status_kib("VmRSS"));
        let stacks: Vec<Stack> = (0..100_000).map(|_| pool.acquire(64 << 10).unwrap()).collect();
        let statistics = pool.statistics();
        assert_eq!((statistics.in_use, statistics.guard_kind), (100_000, GuardKind::Madvise));
        // Slabs that touch become one mapping.
        let maps = maps() - maps_before;
        assert!(maps < 100, "{maps} maps");
        let rss_kib = status_kib("VmRSS") - rss_before;
        assert!(rss_kib < 16 << 10, "{rss_kib} KiB for 100,000 handles");
        let table_kib = status_kib("VmPTE");
        assert!(table_kib < 64 << 10, "{table_kib} KiB of page table");
        drop(stacks);
    })
    .assert_survived();
}

#[test]
fn a_touched_stack_costs_its_pages_and_a_dropped_pool_nothing() {
    let test = "pool::a_touched_stack_costs_its_pages_and_a_dropped_pool_nothing";
    child::run(test, || {
        let (size_before, rss_before) = (status_kib("VmSize"), status_kib("VmRSS"));
        let mut pool = pool();
        let stacks: Vec<Stack> = (0..5_000).map(|_| pool.acquire(1 << 20).unwrap()).collect();
        stacks.iter().for_each(|stack| touch(stack, 4096));
        // Huge pages would make it gigabytes.
        let rss_kib = status_kib("VmRSS") - rss_before;
        assert!((20_000..40_000).contains(&rss_kib), "{rss_kib} KiB for 5,000 pages");
        assert!(status_kib("VmSize") - size_before > 5 << 20);
        stacks.into_iter().for_each(|stack| pool.release(stack));
        assert!(pool.trim() >= 3_900 * 4096);
        drop(pool);
        assert!(status_kib("VmSize") - size_before < 64 << 10);
    })
    .assert_survived()
    .assert_silent_about("dropped");
}

#[test]
fn a_pool_dropped_with_a_stack_in_use_leaks_and_says_so() {
    child::run("pool::a_pool_dropped_with_a_stack_in_use_leaks_and_says_so", || {
        let mut pool = pool();
        let mut fiber = Fiber::new(pool.acquire(0).unwrap(), |suspender| {
            let on_stack = [7u8; 100];
            suspender.suspend();
            assert_eq!(std::hint::black_box(on_stack), [7; 100]);
        });
        assert_eq!(fiber.resume(), Resumed::Suspended);
        drop(pool);
        // Its stack is still there.
        assert_eq!(fiber.resume(), Resumed::Finished);
    })
    .assert_survived()
    .assert_says("conbrio: a stack pool was dropped while 1 of its stacks were in use");
}

#[test]
fn slabs_lie_below_the_stack_of_their_thread() {
    // In a child: the hole made below would race with mappings of other tests.
    child::run("pool::slabs_lie_below_the_stack_of_their_thread", || {
        // Hundreds of megabytes that are free again when the pool asks, above the thread's stack.
        let hole = map_hole();
        // A stack too large for the gaps that the allocator leaves elsewhere.
        let thread = std::thread::Builder::new().stack_size(256 << 20);
        let thread = thread.spawn(move || {
            let marker = 0u8;
            let here = (&raw const marker).addr();
            assert!(here < hole);
            // SAFETY: the range was reserved by `map_hole` and nobody uses it.
            unsafe { libc::munmap(ptr::with_exposed_provenance_mut(hole), HOLE_BYTES) };
            let mut pool = pool();
            let stack = pool.acquire(0).unwrap();
            assert!(stack.base() < here, "{stack:?} above {here:#x}");
            pool.release(stack);
        });
        thread.unwrap().join().unwrap();
    })
    .assert_survived();
}

const HOLE_BYTES: usize = 512 << 20;

fn map_hole() -> usize {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new private mapping disturbs no other memory.
    let hole = unsafe { libc::mmap(ptr::null_mut(), HOLE_BYTES, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(hole, libc::MAP_FAILED);
    hole.expose_provenance()
}
