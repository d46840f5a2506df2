//! A slab: one mapping, cut into slots of one size, each with its guard at the low end.
//!
//! Owns the mapping, the guards and the registrations with the overflow handler and valgrind.
//! Does not know which slots are in use; unmapping is therefore an `unsafe` call of the pool's.
//!
//! Invariant: slots `0..carved` have their guard and never lose it; the others were never handed
//! out.

use std::io;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::OnceLock;

use corosensei::stack::valgrind::ValgrindStackRegistration;

use super::Footer;
use super::error::{AddressSpaceLimit, StackError};
use super::guard::{self, GuardKind};
use super::registry::{Registration, SlabLayout};

/// How the slots of one size class look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// A power of two and a multiple of the page size.
    pub(super) stack_bytes: usize,
    /// A multiple of the page size, one page at least.
    pub(super) guard_bytes: usize,
}

impl Geometry {
    pub(super) fn stride_bytes(&self) -> usize {
        self.stack_bytes + self.guard_bytes
    }
}

/// One mapping full of slots.
#[derive(Debug)]
pub(super) struct Slab {
    layout: SlabLayout,
    geometry: Geometry,
    /// 0 <= carved <= layout.slots
    carved: usize,
    /// Guards among the carved slots that count against the process's budget.
    mapped_guards: usize,
    registration: Registration,
    /// One per carved slot, so that valgrind takes a switch between two for a switch.
    valgrind: Vec<ValgrindStackRegistration>,
}

impl Slab {
    /// Reserves address space for as many slots as fit into `slab_bytes`, one at least, and for
    /// fewer where there is not room for that many.
    pub(super) fn map(geometry: Geometry, slab_bytes: usize) -> Result<Slab, StackError> {
        let stride_bytes = geometry.stride_bytes();
        let mut slots = (slab_bytes / stride_bytes).max(1);
        let start = loop {
            match map_below_thread_stack(slots * stride_bytes) {
                Ok(start) => break start,
                // Ends at one slot. EAGAIN is how mmap reports RLIMIT_MEMLOCK under mlockall.
                Err(error) if slots > 1 && is_shortage(&error) => slots /= 2,
                Err(source) => return Err(explain_shortage(stride_bytes, source)),
            }
        };
        let guard_bytes = geometry.guard_bytes;
        let layout = SlabLayout { start, slots, stride_bytes, guard_bytes };
        Ok(Slab {
            layout,
            geometry,
            carved: 0,
            mapped_guards: 0,
            registration: Registration::new(layout),
            valgrind: Vec::new(),
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.layout.slots * self.layout.stride_bytes
    }

    pub(super) fn is_full(&self) -> bool {
        self.carved == self.layout.slots
    }

    /// Guards up to `slots_wanted` more slots and appends their bases to `bases`, the lowest
    /// address last. On success there is one more at least.
    ///
    /// Changes `kind` for good when the kernel does not know the better one.
    pub(super) fn carve(
        &mut self,
        slots_wanted: usize,
        kind: &mut GuardKind,
        mapped_guards_max: usize,
        bases: &mut Vec<usize>,
    ) -> Result<usize, StackError> {
        debug_assert!(slots_wanted > 0 && !self.is_full());
        let slots = slots_wanted.min(self.layout.slots - self.carved).min(CARVE_SLOTS_MAX);
        let slots = match kind {
            GuardKind::Madvise if self.guard_by_madvise(slots)? => slots,
            _ => {
                *kind = GuardKind::Mprotect;
                self.guard_by_mprotect(mapped_guards_max)?;
                1
            }
        };
        for index in (self.carved..self.carved + slots).rev() {
            bases.push(self.slot_start(index) + self.layout.stride_bytes - base_offset(index));
        }
        for index in self.carved..self.carved + slots {
            let stack_start = self.slot_start(index) + self.layout.guard_bytes;
            self.valgrind.push(ValgrindStackRegistration::new(
                ptr::with_exposed_provenance_mut(stack_start),
                self.geometry.stack_bytes,
            ));
        }
        self.carved += slots;
        Ok(slots)
    }

    /// Unmaps the slab.
    ///
    /// # Safety
    ///
    /// No slot is in use, and no [`Stack`](super::Stack) for one exists.
    pub(super) unsafe fn unmap(self) {
        // Before the memory goes, so that neither the handler nor valgrind takes what is mapped
        // there next for a stack.
        drop(self.registration);
        drop(self.valgrind);
        let bytes = self.layout.slots * self.layout.stride_bytes;
        // SAFETY: `map` has mapped exactly this range, and by the caller's promise nothing uses it.
        let result =
            unsafe { libc::munmap(ptr::with_exposed_provenance_mut(self.layout.start), bytes) };
        // Fails only where the kernel has no mapping left to split a larger one. The slab then
        // stays, unused, and so do its guards.
        if result == 0 {
            guard::release_mapped(self.mapped_guards);
        }
    }

    /// Leaves the slab mapped for ever, and known to the overflow handler and valgrind.
    pub(super) fn leak(self) {
        mem::forget(self.registration);
        // One by one, so that the list of them is freed.
        self.valgrind.into_iter().for_each(mem::forget);
    }

    fn slot_start(&self, index: usize) -> usize {
        self.layout.start + index * self.layout.stride_bytes
    }

    fn guard_range(&self, index: usize) -> libc::iovec {
        libc::iovec {
            iov_base: ptr::with_exposed_provenance_mut(self.slot_start(index)),
            iov_len: self.layout.guard_bytes,
        }
    }

    fn guard_by_madvise(&self, slots: usize) -> Result<bool, StackError> {
        let mut ranges = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; CARVE_SLOTS_MAX];
        for (offset, range) in ranges[..slots].iter_mut().enumerate() {
            *range = self.guard_range(self.carved + offset);
        }
        guard::try_madvise(&ranges[..slots])
            .map_err(|source| StackError::Os { action: "guard a stack with madvise", source })
    }

    fn guard_by_mprotect(&mut self, guards_max: usize) -> Result<(), StackError> {
        guard::reserve_mapped(guards_max)?;
        guard::mprotect(self.guard_range(self.carved)).map_err(|source| {
            guard::release_mapped(1);
            match source.raw_os_error() {
                Some(libc::ENOMEM) => guard::kernel_refused_mapped(),
                _ => StackError::Os { action: "guard a stack with mprotect", source },
            }
        })?;
        self.mapped_guards += 1;
        Ok(())
    }
}

/// Where the slot of a stack with this base ends: see the drawing in `stack/mod.rs`.
#[inline]
pub(super) fn slot_end(base: usize) -> usize {
    // The smallest page there is; larger pages are aligned to it as well.
    (base | (COLOUR_PAGE_BYTES - 1)) + 1
}

/// How far below its slot's end the base of stack `index` lies.
///
/// Slots are whole pages apart, so without this all first frames would share a few sets of the
/// first-level cache. Steps of two lines, because lines are fetched in pairs.
fn base_offset(index: usize) -> usize {
    size_of::<Footer>() + index % COLOURS * COLOUR_STEP_BYTES
}

/// Bytes per page, asked once.
pub(crate) fn page_bytes() -> usize {
    static PAGE_BYTES: OnceLock<usize> = OnceLock::new();
    *PAGE_BYTES.get_or_init(|| {
        // SAFETY: sysconf(3) only reads a constant.
        let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let bytes = usize::try_from(bytes).expect("the system has a page size");
        assert!(bytes.is_power_of_two() && bytes >= COLOUR_PAGE_BYTES);
        bytes
    })
}

/// Maps `bytes`, below the stack of the calling thread where that is possible.
///
/// Code that compares the stack pointer with the thread's stack bounds (the `stacker` crate, for
/// one) then sees no room left and takes its slow, safe path; above, it would see room that is
/// not there.
fn map_below_thread_stack(bytes: usize) -> io::Result<usize> {
    let start = map(0, bytes)?;
    let marker = 0u8;
    let here = ptr::from_ref(&marker).addr();
    if start < here {
        return Ok(start);
    }
    let Some(stack_start) = thread_stack_start() else {
        return Ok(start);
    };
    // Twice as far each time: below the thread's stack lies what was mapped just after it.
    for distance in (0..PLACES_TRIED).map(|attempt| (bytes + GAP_BYTES) << attempt) {
        let Some(place) = stack_start.checked_sub(distance) else {
            break;
        };
        let Ok(second) = map(place & !(page_bytes() - 1), bytes) else {
            continue;
        };
        // Kernels before 4.17 take the place for a hint and may answer with another.
        let is_below = second < here;
        let unwanted = if is_below { start } else { second };
        // SAFETY: mapped above with this size, and nobody has seen it yet.
        unsafe { libc::munmap(ptr::with_exposed_provenance_mut(unwanted), bytes) };
        if is_below {
            return Ok(second);
        }
    }
    // A slab above the stack works as well for everything else.
    Ok(start)
}

/// The lowest address that the calling thread's stack may grow to.
fn thread_stack_start() -> Option<usize> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut start, mut bytes) = (ptr::null_mut(), 0);
    // SAFETY: pthread_getattr_np(3) initialises the attributes of a living thread, this one, and
    // only then are they read and destroyed, once.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let result = libc::pthread_attr_getstack(attributes.as_ptr(), &mut start, &mut bytes);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        (result == 0).then(|| start.addr())
    }
}

/// Reserves `bytes` of zeroed memory, at `place` unless that is 0, with huge pages off.
fn map(place: usize, bytes: usize) -> io::Result<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let place_flags = if place == 0 { 0 } else { libc::MAP_FIXED_NOREPLACE };
    // SAFETY: a new private mapping that replaces none disturbs no other memory.
    let start = unsafe {
        libc::mmap(
            ptr::without_provenance_mut(place),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            flags | place_flags,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // A huge page would make one touched stack cost 2 MiB. The error is ignored because kernels
    // without huge pages do not know the advice, and have none either.
    // SAFETY: the range was mapped above; the advice changes no content.
    unsafe { libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE) };
    Ok(start.expose_provenance())
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EAGAIN))
}

/// Finds out which limit was probably in the way. Only called when mapping has failed.
fn explain_shortage(bytes: usize, source: io::Error) -> StackError {
    let max_map_count = guard::max_map_count();
    let maps = guard::count_maps();
    let limit = match (source.raw_os_error(), address_space_limit()) {
        (Some(libc::EAGAIN), _) => AddressSpaceLimit::LockedMemory,
        (_, Some(bytes)) => AddressSpaceLimit::ResourceLimit { bytes },
        _ if maps + 16 > max_map_count => AddressSpaceLimit::MapCount { maps, max_map_count },
        _ if is_overcommit_strict() => AddressSpaceLimit::Overcommit,
        _ => AddressSpaceLimit::Unknown,
    };
    StackError::AddressSpace { bytes, limit, source }
}

/// The soft limit on address space, if it is finite.
fn address_space_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable and of the type getrlimit(2) fills in.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) };
    (result == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

fn is_overcommit_strict() -> bool {
    std::fs::read("/proc/sys/vm/overcommit_memory").is_ok_and(|text| text.starts_with(b"2"))
}

/// Slots guarded by one system call at most.
const CARVE_SLOTS_MAX: usize = 32;

const COLOURS: usize = 16;
const COLOUR_STEP_BYTES: usize = 128;
const COLOUR_PAGE_BYTES: usize = 4096;

/// Left free below a thread's stack, for its guard.
const GAP_BYTES: usize = 1 << 20;
const PLACES_TRIED: usize = 8;

const _: () = assert!(
    size_of::<Footer>() + (COLOURS - 1) * COLOUR_STEP_BYTES < COLOUR_PAGE_BYTES,
    "the base must stay inside the topmost page of its slot"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_slot_is_found_from_every_base() {
        let end = 0x7f00_0000_2000;
        for index in 0..3 * COLOURS {
            let base = end - base_offset(index);
            assert_eq!(slot_end(base), end);
            assert_eq!(base % 64, 0);
            assert!(base + size_of::<Footer>() <= end);
        }
    }

    #[test]
    fn neighbours_have_different_colours() {
        assert!((1..COLOURS).all(|index| base_offset(index) != base_offset(0)));
    }
}
