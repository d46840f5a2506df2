//! The guard below a stack: how it is installed, and how many the kernel has room for.
//!
//! `MADV_GUARD_INSTALL` (Linux 6.13, madvise(2)) marks pages in the page table and splits no
//! mapping, so there may be millions. Where it is refused, a guard is a mapping of its own: each
//! costs two entries of `vm.max_map_count`, and a process that has used them up cannot start a
//! thread or grow its heap. So these guards stop at three quarters of what was free, for the whole
//! process, and a stack without a guard is never handed out.

use std::fs::File;
use std::io::{self, Read};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::error::StackError;

/// What makes the guard below a stack fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardKind {
    /// Page-table markers by `MADV_GUARD_INSTALL`: any number of them.
    Madvise,
    /// A mapping without access by `mprotect`: a limited number per process.
    Mprotect,
}

/// Installs page-table guards on all `ranges`. `Ok(false)` when the kernel does not do that here.
pub(super) fn try_madvise(ranges: &[libc::iovec]) -> io::Result<bool> {
    // One call for all of them costs about 60 % of a call each. Where it is not known (the handle
    // needs Linux 6.14), the loop below decides, and it is not tried again: tools that watch
    // system calls complain about each one.
    if ranges.len() > 1 && IS_TOGETHER_KNOWN.load(Ordering::Relaxed) {
        if madvise_together(ranges) {
            return Ok(true);
        }
        IS_TOGETHER_KNOWN.store(false, Ordering::Relaxed);
    }
    for range in ranges {
        // SAFETY: the range belongs to a slab of the caller and no stack on it is in use, so
        // nothing is lost when its pages are discarded.
        let result = unsafe { libc::madvise(range.iov_base, range.iov_len, MADV_GUARD_INSTALL) };
        if result != 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                // EINVAL: an older kernel, or locked memory (mlockall). The others come from
                // sandboxes that do not know the advice.
                Some(libc::EINVAL | libc::ENOSYS | libc::EPERM) => Ok(false),
                _ => Err(error),
            };
        }
    }
    Ok(true)
}

/// Whether one `process_madvise` on this process has installed all guards.
fn madvise_together(ranges: &[libc::iovec]) -> bool {
    let total: usize = ranges.iter().map(|range| range.iov_len).sum();
    // SAFETY: as in `try_madvise`; the array is readable for its length, and the handle names the
    // calling process whatever its threads do.
    let advised = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            PIDFD_SELF_THREAD_GROUP,
            ranges.as_ptr(),
            ranges.len(),
            MADV_GUARD_INSTALL,
            0,
        )
    };
    usize::try_from(advised) == Ok(total)
}

/// Makes `range` inaccessible with a mapping of its own. The caller has reserved it.
pub(super) fn mprotect(range: libc::iovec) -> io::Result<()> {
    // SAFETY: the range belongs to a slab of the caller and nothing on it is in use.
    match unsafe { libc::mprotect(range.iov_base, range.iov_len, libc::PROT_NONE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes one mapped guard out of the process's budget, or says that it is spent.
pub(super) fn reserve_mapped(guards_max: usize) -> Result<(), StackError> {
    let budget = mapped_budget().min(guards_max);
    let result = MAPPED_GUARDS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |guards| {
        (guards < budget).then_some(guards + 1)
    });
    result.map(drop).map_err(budget_spent)
}

/// Gives `guards` back to the budget.
pub(super) fn release_mapped(guards: usize) {
    MAPPED_GUARDS.fetch_sub(guards, Ordering::Relaxed);
}

/// The error of a spent budget, when `stacks` guards are mapped.
pub(super) fn budget_spent(stacks: usize) -> StackError {
    StackError::GuardBudget { max_map_count: max_map_count(), stacks }
}

/// The same for a kernel that ran out before the budget did.
pub(super) fn kernel_refused_mapped() -> StackError {
    budget_spent(MAPPED_GUARDS.load(Ordering::Relaxed))
}

/// How many guards this process may map. The mappings are counted once, because reading 65,000
/// lines takes milliseconds and this is asked again on every failure.
fn mapped_budget() -> usize {
    static MAPS_AT_START: OnceLock<usize> = OnceLock::new();
    let maps = *MAPS_AT_START.get_or_init(count_maps);
    guards_for(max_map_count(), maps)
}

/// Three quarters of the free mappings, two for each guard.
fn guards_for(max_map_count: usize, maps: usize) -> usize {
    max_map_count.saturating_sub(maps) / 8 * 3
}

/// The sysctl, or the kernel's default where it cannot be read.
pub(super) fn max_map_count() -> usize {
    let mut buf = [0; 32];
    let read = File::open("/proc/sys/vm/max_map_count").and_then(|mut file| file.read(&mut buf));
    let text = read.ok().and_then(|len| std::str::from_utf8(&buf[..len]).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(65_530)
}

/// Mappings of this process. Reads into a fixed buffer: address space may just have run out.
pub(super) fn count_maps() -> usize {
    // Assumed where /proc is not mounted: more than a program with many libraries has.
    const MAPS_UNKNOWN: usize = 2_000;
    let Ok(mut file) = File::open("/proc/self/maps") else {
        return MAPS_UNKNOWN;
    };
    let mut lines = 0;
    let mut buf = [0; 4096];
    loop {
        // Ends: the kernel lists each address once, in order.
        match file.read(&mut buf) {
            Ok(0) => return lines,
            Ok(len) => lines += buf[..len].iter().filter(|&&byte| byte == b'\n').count(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return lines.max(MAPS_UNKNOWN),
        }
    }
}

/// Guards of kind `Mprotect` in this process. The limit is the process's, and so is the count.
/// Nothing else is published with it, hence `Relaxed`.
static MAPPED_GUARDS: AtomicUsize = AtomicUsize::new(0);

/// Whether `madvise_together` has not failed yet: what the kernel knows is the same for everyone.
static IS_TOGETHER_KNOWN: AtomicBool = AtomicBool::new(true);

/// include/uapi/asm-generic/mman-common.h, not yet in the libc crate for every target.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// include/uapi/linux/pidfd.h: "this process" without opening a pidfd.
const PIDFD_SELF_THREAD_GROUP: libc::c_int = -10001;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_free_mappings_is_left_alone() {
        assert_eq!(guards_for(65_530, 130), 24_525);
        assert_eq!(guards_for(100, 200), 0);
    }

    #[test]
    fn the_mappings_of_this_process_can_be_counted() {
        assert!(count_maps() > 5);
        assert!(max_map_count() > 1_000);
    }
}
