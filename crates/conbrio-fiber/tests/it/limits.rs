//! What happens when the system has no more to give. Limits belong to a process, hence children.

use conbrio_fiber::{
    AddressSpaceLimit, Fiber, GuardKind, PoolOptions, Resumed, Stack, StackError, StackPool,
};

use crate::child;

fn use_and_release(pool: &mut StackPool, stack: Stack) {
    let mut fiber = Fiber::new(stack, |suspender| suspender.suspend());
    assert_eq!(fiber.resume(), Resumed::Suspended);
    assert_eq!(fiber.resume(), Resumed::Finished);
    pool.release(fiber.into_stack());
}

#[test]
fn a_spent_guard_budget_is_an_error_that_names_the_sysctl() {
    child::run("limits::a_spent_guard_budget_is_an_error_that_names_the_sysctl", || {
        let options = PoolOptions::default().guard_kind(GuardKind::Mprotect).mapped_guards_max(50);
        let mut pool = StackPool::new(options).unwrap();
        let mut stacks: Vec<Stack> = (0..50).map(|_| pool.acquire(0).unwrap()).collect();
        let error = pool.acquire(0).unwrap_err();
        assert!(matches!(error, StackError::GuardBudget { stacks: 50, .. }), "{error:?}");
        let max = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
        let message = error.to_string();
        assert!(message.contains(&format!("vm.max_map_count={}", max.trim())), "{message}");
        assert!(message.contains("50 guarded stacks exist"), "{message}");
        // Another size has to wait as well, and a stack that comes back is handed out again.
        assert!(pool.acquire(1 << 20).is_err());
        pool.release(stacks.pop().unwrap());
        stacks.push(pool.acquire(0).unwrap());
        // The budget is the process's, and comes back when the pool goes.
        let options = PoolOptions::default().guard_kind(GuardKind::Mprotect).mapped_guards_max(51);
        let mut other = StackPool::new(options).unwrap();
        let one = other.acquire(0).unwrap();
        assert!(other.acquire(0).is_err());
        stacks.into_iter().for_each(|stack| pool.release(stack));
        drop(pool);
        let two = other.acquire(0).unwrap();
        use_and_release(&mut other, one);
        use_and_release(&mut other, two);
    })
    .assert_survived();
}

#[test]
fn mapped_guards_leave_the_process_room_for_other_mappings() {
    if std::env::var_os("CONBRIO_SLOW_TESTS").is_none() {
        eprintln!("SKIPPED: set CONBRIO_SLOW_TESTS=1 to make as many mapped guards as are allowed");
        return;
    }
    child::run("limits::mapped_guards_leave_the_process_room_for_other_mappings", || {
        let options = PoolOptions::default().guard_kind(GuardKind::Mprotect).guard_bytes(1);
        let mut pool = StackPool::new(options).unwrap();
        let mut stacks = Vec::new();
        let error = loop {
            match pool.acquire(0) {
                Ok(stack) => stacks.push(stack),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StackError::GuardBudget { .. }), "{error:?}");
        assert!(stacks.len() > 1_000, "{}", stacks.len());
        // This is what fails when the budget is not kept.
        std::thread::spawn(|| {}).join().unwrap();
        stacks.into_iter().for_each(|stack| pool.release(stack));
    })
    .assert_survived();
}

#[test]
fn locked_memory_falls_back_to_mapped_guards() {
    child::run("limits::locked_memory_falls_back_to_mapped_guards", || {
        const MCL_ONFAULT: libc::c_int = 4;
        let flags = libc::MCL_FUTURE | MCL_ONFAULT;
        // SAFETY: locks mappings made from now on, as they are touched. By number, because
        // AddressSanitizer replaces mlockall(3) with nothing.
        let locked = unsafe { libc::syscall(libc::SYS_mlockall, flags) };
        assert_eq!(locked, 0, "mlockall: {}", std::io::Error::last_os_error());
        // Within the usual limit of 8 MiB, so that the test needs no privilege.
        let options = PoolOptions::default().slab_bytes(1 << 20);
        let mut pool = StackPool::new(options).unwrap();
        assert_eq!(pool.statistics().guard_kind, GuardKind::Madvise);
        let stacks: Vec<Stack> = (0..5).map(|_| pool.acquire(0).unwrap()).collect();
        assert_eq!(pool.statistics().guard_kind, GuardKind::Mprotect);
        stacks.into_iter().for_each(|stack| use_and_release(&mut pool, stack));
        // Locked pages stay, and that is no error.
        assert_eq!(pool.trim(), 0);
    })
    .assert_survived();
}

#[test]
fn exhausted_address_space_is_an_error_that_names_the_limit() {
    child::run("limits::exhausted_address_space_is_an_error_that_names_the_limit", || {
        let mut pool = StackPool::new(PoolOptions::default()).unwrap();
        // Room for about ten stacks of 1 MiB, though not for one slab of the usual size.
        let bytes = current_address_space_bytes() + (12 << 20);
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: limits this process.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        let mut stacks = Vec::with_capacity(100);
        let error = loop {
            match pool.acquire(1 << 20) {
                Ok(stack) => stacks.push(stack),
                Err(error) => break error,
            }
            assert!(stacks.len() < 100);
        };
        // A smaller slab was made where the usual one did not fit.
        assert!(stacks.len() >= 4, "{}", stacks.len());
        let expected = AddressSpaceLimit::ResourceLimit { bytes };
        assert!(
            matches!(error, StackError::AddressSpace { limit, .. } if limit == expected),
            "{error:?}"
        );
        assert!(error.to_string().contains("RLIMIT_AS"), "{error}");
        // What is there can still be used.
        stacks.into_iter().for_each(|stack| use_and_release(&mut pool, stack));
    })
    .assert_survived();
}

fn current_address_space_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    // SAFETY: only reads a constant.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64
}
