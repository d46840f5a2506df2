//! Which addresses are stacks: a list of all slabs of the process that a signal handler may read.
//!
//! Owns the list, not the slabs. Signal handlers are process-wide, hence so is this; nothing but
//! the overflow handler reads it.
//!
//! Rules:
//!
//! 1. Records are added to the list and never taken off or freed, so it can be walked at any time.
//!    A record of an unmapped slab is used again, which bounds the list by the largest number of
//!    slabs that existed at once.
//! 2. `version` is odd while a record is free or being written. A reader takes the fields only if
//!    it saw the same even version before and after (a sequence lock that never spins).

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

/// What the handler must know about a slab to tell its guards from its stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlabLayout {
    /// Address of the first slot.
    pub(crate) start: usize,
    /// Slots in the slab, carved or not.
    pub(crate) slots: usize,
    /// Bytes from one slot to the next; the guard comes first.
    pub(crate) stride_bytes: usize,
    /// 0 < guard_bytes < stride_bytes.
    pub(crate) guard_bytes: usize,
}

/// A slot that contains a given address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) guard_bytes: usize,
}

/// A slab's place in the list; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Registration(&'static Record);

impl Registration {
    /// Makes the slab known to the handler. Allocates only when no record is free.
    pub(super) fn new(layout: SlabLayout) -> Registration {
        let record = claim_free().unwrap_or_else(push_new);
        record.start.store(layout.start, Ordering::Relaxed);
        record.slots.store(layout.slots, Ordering::Relaxed);
        record.stride_bytes.store(layout.stride_bytes, Ordering::Relaxed);
        record.guard_bytes.store(layout.guard_bytes, Ordering::Relaxed);
        // Read by the Acquire load of `version` in `Record::layout`.
        record.version.fetch_add(CLAIMED_TO_LIVE, Ordering::Release);
        Registration(record)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Read by the Acquire loads in `Record::layout` (odd: skip it) and in `claim_free`.
        self.0.version.fetch_add(LIVE_TO_FREE, Ordering::Release);
    }
}

/// The slot that contains `address`, if it is in a slab of this process. Async-signal-safe.
pub(crate) fn find_slot(address: usize) -> Option<Slot> {
    records().filter_map(Record::layout).find_map(|layout| layout.slot_at(address))
}

impl SlabLayout {
    fn slot_at(&self, address: usize) -> Option<Slot> {
        let offset = address.checked_sub(self.start)?;
        let index = offset / self.stride_bytes;
        (index < self.slots).then(|| {
            let start = self.start + index * self.stride_bytes;
            Slot { start, end: start + self.stride_bytes, guard_bytes: self.guard_bytes }
        })
    }
}

#[derive(Debug)]
struct Record {
    /// Modulo 4: 1 free, 3 claimed and being written, 2 live (rule 2).
    version: AtomicUsize,
    start: AtomicUsize,
    slots: AtomicUsize,
    stride_bytes: AtomicUsize,
    guard_bytes: AtomicUsize,
    /// Set before the record is published, and never again.
    next: AtomicPtr<Record>,
}

impl Record {
    fn layout(&self) -> Option<SlabLayout> {
        // Pairs with the Release in `Registration::new`.
        let before = self.version.load(Ordering::Acquire);
        if before % 4 != LIVE {
            return None;
        }
        let layout = SlabLayout {
            start: self.start.load(Ordering::Relaxed),
            slots: self.slots.load(Ordering::Relaxed),
            stride_bytes: self.stride_bytes.load(Ordering::Relaxed),
            guard_bytes: self.guard_bytes.load(Ordering::Relaxed),
        };
        // Pairs with the fence in `claim_free`: had a load above seen a later owner's store, the
        // load below would see that owner's claim.
        fence(Ordering::Acquire);
        (self.version.load(Ordering::Relaxed) == before).then_some(layout)
    }
}

fn records() -> impl Iterator<Item = &'static Record> {
    let mut next = RECORDS.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: rule 1: records are leaked boxes, published with Release once they are complete.
        let record = unsafe { next.as_ref() }?;
        next = record.next.load(Ordering::Relaxed);
        Some(record)
    })
}

fn claim_free() -> Option<&'static Record> {
    let record = records().find(|record| {
        let version = record.version.load(Ordering::Relaxed);
        version % 4 == FREE
            && record
                .version
                // Acquire pairs with the Release in `Registration::drop`.
                .compare_exchange(
                    version,
                    version + FREE_TO_CLAIMED,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_ok()
    })?;
    // Keeps the stores of the new fields behind the claim, for the fence in `Record::layout`.
    fence(Ordering::Release);
    Some(record)
}

fn push_new() -> &'static Record {
    let record: &'static mut Record = Box::leak(Box::new(Record {
        version: AtomicUsize::new(CLAIMED),
        start: AtomicUsize::new(0),
        slots: AtomicUsize::new(0),
        stride_bytes: AtomicUsize::new(1),
        guard_bytes: AtomicUsize::new(0),
        next: AtomicPtr::new(ptr::null_mut()),
    }));
    let record = ptr::from_mut(record);
    let mut head = RECORDS.load(Ordering::Relaxed);
    loop {
        // SAFETY: leaked above and not yet published, or published and only read.
        let shared = unsafe { &*record };
        shared.next.store(head, Ordering::Relaxed);
        // Release pairs with the Acquire in `records`. Ends: each failure is another's success.
        match RECORDS.compare_exchange_weak(head, record, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return shared,
            Err(current) => head = current,
        }
    }
}

static RECORDS: AtomicPtr<Record> = AtomicPtr::new(ptr::null_mut());

const FREE: usize = 1;
const LIVE: usize = 2;
const CLAIMED: usize = 3;
// Each step is an addition, so that the version of a record used again never repeats.
const FREE_TO_CLAIMED: usize = 2;
const CLAIMED_TO_LIVE: usize = 3;
const LIVE_TO_FREE: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(start: usize) -> SlabLayout {
        SlabLayout { start, slots: 3, stride_bytes: 0x1_1000, guard_bytes: 0x1000 }
    }

    #[test]
    fn an_address_is_found_in_its_slot_and_only_there() {
        let start = 0x1000_0000_0000;
        let registration = Registration::new(layout(start));
        let second = start + 0x1_1000;
        let slot = Slot { start: second, end: second + 0x1_1000, guard_bytes: 0x1000 };
        assert_eq!(find_slot(second), Some(slot));
        assert_eq!(find_slot(second + 0x1_0fff), Some(slot));
        assert_eq!(find_slot(start - 1), None);
        assert_eq!(find_slot(start + 3 * 0x1_1000), None);
        drop(registration);
        assert_eq!(find_slot(second), None);
    }

    #[test]
    fn records_of_dropped_slabs_are_used_again() {
        let count = || records().count();
        let start = 0x2000_0000_0000;
        drop((Registration::new(layout(start)), Registration::new(layout(start + 0x100_0000))));
        let before = count();
        for round in 0..1_000 {
            let registration = Registration::new(layout(start + round * 0x10_0000));
            assert!(find_slot(start + round * 0x10_0000).is_some());
            drop(registration);
        }
        // The other tests of this binary may add a few at the same time.
        assert!(count() < before + 100, "{} records after {before}", count());
    }

    #[test]
    fn readers_never_see_a_mixture_of_two_owners() {
        // Each owner's layout can be told from its start alone; a mixture would show.
        let slots_of = |start: usize| (start >> 24) % 7 + 1;
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..2)
                .map(|writer| {
                    scope.spawn(move || {
                        for round in 0..20_000usize {
                            let start = 0x3000_0000_0000 + (round * 2 + writer) * (1 << 24);
                            let slots = slots_of(start);
                            drop(Registration::new(SlabLayout { slots, ..layout(start) }));
                        }
                    })
                })
                .collect();
            while writers.iter().any(|writer| !writer.is_finished()) {
                for layout in records().filter_map(Record::layout) {
                    if layout.start >= 0x3000_0000_0000 && layout.start < 0x4000_0000_0000 {
                        assert_eq!(layout.slots, slots_of(layout.start));
                    }
                }
            }
        });
    }
}
