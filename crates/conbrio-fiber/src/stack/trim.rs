//! Giving back the memory of idle stacks, many neighbours with one system call.
//!
//! Guards survive it: `MADV_DONTNEED` leaves both page-table guards and protected mappings as they
//! are. It is chosen over `MADV_FREE` because that one hides the effect from whoever watches the
//! process's memory.

use std::ptr;

use super::pool::Class;
use super::slab::{Geometry, page_bytes, slot_end};

/// Gives back the memory of the first `surplus` idle stacks, which have been idle for longest. Returns how many
/// bytes went back to the system.
pub(super) fn drop_surplus(class: &mut Class, geometry: Geometry, surplus: usize) -> usize {
    if class.clean >= surplus {
        return 0;
    }
    let dirty = &mut class.idle[class.clean..surplus];
    // Among stacks without memory the order makes no difference to whoever gets them, and in order of
    // addresses neighbours share a call.
    dirty.sort_unstable();
    let mut bytes = 0;
    for run in
        dirty.chunk_by(|low, high| slot_end(*low) + geometry.stride_bytes() == slot_end(*high))
    {
        let start = slot_end(run[0]) - geometry.stack_bytes;
        bytes += discard(start, slot_end(run[run.len() - 1]));
    }
    class.clean = surplus;
    bytes
}

/// Gives back what one deep call may have left of a whole stack, of all idle ones. Returns how many bytes went
/// back to the system.
pub(super) fn shorten(class: &Class, geometry: Geometry) -> usize {
    let deep_bytes = geometry.stack_bytes.saturating_sub(KEPT_BYTES);
    let starts =
        class.idle[class.clean..].iter().map(|base| slot_end(*base) - geometry.stack_bytes);
    starts.map(|start| discard(start, start + deep_bytes)).sum()
}

/// Discards the pages in `start..end` and returns how many bytes of memory they held.
fn discard(start: usize, end: usize) -> usize {
    let bytes = resident_bytes(start, end);
    if bytes == 0 {
        return 0;
    }
    // SAFETY: the range lies inside slots of one pool that are idle, so nobody needs what is in
    // them; gaps between the slots are guards and hold nothing.
    let result = unsafe {
        libc::madvise(ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_DONTNEED)
    };
    // Refused for locked memory (mlockall), whose owner wants it to stay.
    if result == 0 { bytes } else { 0 }
}

/// How many bytes of `start..end` are in memory.
fn resident_bytes(start: usize, end: usize) -> usize {
    let mut pages = 0;
    let mut states = [0u8; PAGES_PER_CALL];
    for start in (start..end).step_by(PAGES_PER_CALL * page_bytes()) {
        let bytes = (end - start).min(PAGES_PER_CALL * page_bytes());
        // SAFETY: `states` has a byte for each page of the range, which is mapped.
        let result = unsafe {
            libc::mincore(ptr::with_exposed_provenance_mut(start), bytes, states.as_mut_ptr())
        };
        if result == 0 {
            let states = &states[..bytes / page_bytes()];
            pages += states.iter().filter(|&&state| state & 1 == 1).count();
        }
    }
    pages * page_bytes()
}

/// What an idle stack that is kept warm keeps at its base; enough for most tasks' frames.
const KEPT_BYTES: usize = 16 << 10;

/// Small enough for a thread's stack, large enough that the calls do not count.
const PAGES_PER_CALL: usize = 4096;
