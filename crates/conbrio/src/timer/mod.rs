//! The timer store of one worker: deadlines in, expired payloads out.
//!
//! It owns the pending deadlines and nothing else. It does not know tasks, scopes or clocks: the
//! worker tells it the time, and gets back a batch of opaque payloads to resolve one layer up.
//!
//! The store is a hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing
//! Wheels", SOSP 1987, scheme 7). Time is a `u64` of nanoseconds, read as eleven digits of six
//! bits, most significant first; level `l` has one slot for each value of digit `l`:
//!
//! ```text
//! digit      10      9            2        1        0
//!  time   [0000][000000] .. [000011] [000101] [101010]
//!                               |        |        |
//! level 2, slot width 4096 ns  <+        |        |
//! level 1, slot width   64 ns  <---------+        |
//! level 0, slot width    1 ns  <------------------+
//! ```
//!
//! Invariant 1 (place): a timer lives at the level of the highest digit in which
//! `max(deadline, now)` differs from `now`, or at level 0 if none does, in the slot named by that
//! digit. So a level below holds earlier deadlines than a level above, a slot to the left earlier
//! ones than a slot to the right, no slot left of `now` is occupied, and nothing wraps around. The
//! earliest deadline is in the first occupied slot of the first occupied level.
//!
//! Invariant 2 (order): two timers of one deadline are always in the same list, in the order of
//! their insertion. It holds because the place is a function of deadline and `now` alone, because
//! insertion appends, and because a slot that `now` enters is moved down at once, as a whole and in
//! list order, into levels that are empty at that moment. This is why no sequence number is kept.
//! Different deadlines within one slot are in no order and are sorted when the slot expires.
//!
//! Invariant 3 (bound): `slot.earliest` is at or below every deadline of a slot's list. It is exact
//! until the timer that set it is cancelled, and exact again after the slot has moved down.
//!
//! Costs: `insert` and `cancel` are O(1). A pending timer is moved down at most ten times in its
//! life, only when time stops inside its slot, and each time to a lower level. A timer takes 32
//! bytes; the wheel takes 11 KiB per worker, and the sort buffer keeps at most 96 KiB.

#![forbid(unsafe_code)]

mod slab;
#[cfg(test)]
mod tests;

use slab::{Entry, NIL, Slab};

/// Pending deadlines in nanoseconds, each with a payload that means something to the caller only.
#[derive(Debug)]
pub(crate) struct Timers {
    /// The latest time seen. Every place in the wheel is relative to it.
    now: u64,
    /// Bit `l` is set exactly when `occupied[l]` is not zero.
    levels: u32,
    /// Bit `s` of word `l` is set exactly when slot `s` of level `l` has a timer.
    occupied: [u64; LEVELS],
    slots: Box<[Slot; LEVELS * SLOTS]>,
    slab: Slab,
    /// Empty between calls; kept so that sorting does not allocate in the steady state.
    batch: Vec<Expired>,
}

/// Names one inserted timer, also after it is gone: no other timer ever gets the same key.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    index: u32,
    generation: u32,
}

impl Timers {
    /// An empty store whose time starts at `now`.
    pub(crate) fn new(now: u64) -> Timers {
        let slots = vec![Slot::EMPTY; LEVELS * SLOTS].into_boxed_slice();
        Timers {
            now,
            levels: 0,
            occupied: [0; LEVELS],
            slots: slots.try_into().expect("the length is that of the array"),
            slab: Slab::new(),
            batch: Vec::new(),
        }
    }

    /// Adds a timer. One whose deadline has passed already expires at the next [`Timers::expire`].
    ///
    /// Allocates only when more timers are pending than there is room for, 64 at a time.
    #[must_use = "a timer without its key cannot be cancelled"]
    #[inline]
    pub(crate) fn insert(&mut self, deadline: u64, payload: u64) -> TimerKey {
        let (index, generation) = self.slab.insert(deadline, payload);
        self.link(index, deadline);
        TimerKey { index, generation }
    }

    /// Removes a timer and hands back its payload, or `None` if it has expired or been cancelled.
    #[inline]
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<u64> {
        let Entry { payload, next, previous, place, .. } =
            *self.slab.find(key.index, key.generation)?;
        let slot = &mut self.slots[usize::from(place)];
        if previous == NIL {
            slot.head = next;
        } else {
            self.slab.entry_mut(previous).next = next;
        }
        if next == NIL {
            slot.tail = previous;
        } else {
            self.slab.entry_mut(next).previous = previous;
        }
        if previous == NIL && next == NIL {
            self.mark_empty(usize::from(place));
        }
        self.slab.remove(key.index);
        Some(payload)
    }

    /// Moves time to `now` and appends the payload of every timer with `deadline <= now`.
    ///
    /// They come in the order of their deadlines, and of their insertion where deadlines are equal.
    /// Time must not go backwards; in release an earlier `now` counts as the latest one seen.
    pub(crate) fn expire(&mut self, now: u64, expired: &mut Vec<u64>) {
        debug_assert!(now >= self.now, "time went back from {} ns to {now} ns", self.now);
        let now = now.max(self.now);
        // Each turn empties a slot for good or is the last one, so at most 704 turns.
        while let Some(place) = self.first_place() {
            let (first, last) = self.span(place);
            if first > now {
                break;
            }
            if last <= now {
                self.expire_slot(place, expired);
            } else {
                // Time stops inside this slot. Every slot before it is empty now, and every slot
                // after it lies wholly in the future.
                self.split_slot(place, now, expired);
                break;
            }
        }
        self.now = now;
        // A huge batch pays for its own buffer, so that a peak does not stay in memory.
        if self.batch.capacity() > BATCH_KEPT_MAX {
            self.batch = Vec::new();
        }
    }

    /// A time not after the earliest deadline; `None` if no timer is pending. Looks at one slot.
    ///
    /// It is earlier than the earliest deadline only after a cancellation. Calling
    /// [`Timers::expire`] then expires a timer or makes the bound exact, so a second wait reaches
    /// the earliest deadline unless more is cancelled meanwhile.
    pub(crate) fn wake_no_later_than(&self) -> Option<u64> {
        self.first_place().map(|place| self.slots[place].earliest)
    }

    /// The earliest deadline; `None` if no timer is pending.
    ///
    /// Scans the first occupied slot, but only as far as the first timer that meets the slot's
    /// bound: one step for timers that were inserted in the order of their deadlines.
    pub(crate) fn earliest(&self) -> Option<u64> {
        let slot = &self.slots[self.first_place()?];
        let mut earliest = u64::MAX;
        let mut index = slot.head;
        while index != NIL {
            let entry = self.slab.entry(index);
            earliest = earliest.min(entry.deadline);
            if earliest == slot.earliest {
                break;
            }
            index = entry.next;
        }
        Some(earliest)
    }

    /// The number of pending timers.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether no timer is pending.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends an entry to the list of the slot where its deadline belongs (invariant 1).
    #[inline]
    fn link(&mut self, index: u32, deadline: u64) {
        let (level, digit) = locate(self.now, deadline);
        let place = level * SLOTS + digit;
        let slot = &mut self.slots[place];
        let previous = slot.tail;
        slot.tail = index;
        if previous == NIL {
            slot.head = index;
            slot.earliest = deadline;
            self.occupied[level] |= 1 << digit;
            self.levels |= 1 << level;
        } else {
            slot.earliest = slot.earliest.min(deadline);
            self.slab.entry_mut(previous).next = index;
        }
        let entry = self.slab.entry_mut(index);
        entry.next = NIL;
        entry.previous = previous;
        entry.place = place as u16;
    }

    /// Expires a slot that lies wholly in the past.
    fn expire_slot(&mut self, place: usize, expired: &mut Vec<u64>) {
        let head = self.take_slot(place);
        let mut index = head;
        while index != NIL {
            let Entry { deadline, payload, next, .. } = *self.slab.entry(index);
            self.slab.remove(index);
            if index == head && next == NIL {
                // Alone in its slot, as most timers are in the wide middle of the wheel.
                expired.push(payload);
                return;
            }
            self.batch.push(Expired { deadline, position: self.batch.len() as u32, payload });
            index = next;
        }
        self.flush_batch(expired);
    }

    /// Moves time to `now`, which lies in this slot, and with it the slot's timers: what is due
    /// expires, what is not moves down, in list order (invariant 2).
    fn split_slot(&mut self, place: usize, now: u64, expired: &mut Vec<u64>) {
        self.now = now;
        let mut index = self.take_slot(place);
        while index != NIL {
            let Entry { deadline, payload, next, .. } = *self.slab.entry(index);
            if deadline <= now {
                self.slab.remove(index);
                self.batch.push(Expired { deadline, position: self.batch.len() as u32, payload });
            } else {
                self.link(index, deadline);
                debug_assert!(
                    usize::from(self.slab.entry(index).place) < place / SLOTS * SLOTS,
                    "a slot that time enters moves to lower levels"
                );
            }
            index = next;
        }
        self.flush_batch(expired);
    }

    /// Appends the payloads of the batch in the order of their deadlines, and empties it.
    ///
    /// The position breaks ties, so the sort may be the unstable one, which does not allocate. Its
    /// cost is linear for a batch in order, as timers with a common timeout are.
    fn flush_batch(&mut self, expired: &mut Vec<u64>) {
        self.batch.sort_unstable_by_key(|timer| (timer.deadline, timer.position));
        expired.extend(self.batch.drain(..).map(|timer| timer.payload));
    }

    /// Detaches the list of a slot and returns its head.
    fn take_slot(&mut self, place: usize) -> u32 {
        let head = self.slots[place].head;
        self.slots[place] = Slot::EMPTY;
        self.mark_empty(place);
        head
    }

    /// Takes a slot out of the bitmaps.
    #[inline]
    fn mark_empty(&mut self, place: usize) {
        let (level, digit) = (place / SLOTS, place % SLOTS);
        self.occupied[level] &= !(1 << digit);
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// The place of the slot that holds the earliest deadline.
    #[inline]
    fn first_place(&self) -> Option<usize> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        let digit = self.occupied[level].trailing_zeros() as usize;
        Some(level * SLOTS + digit)
    }

    /// The first and the last nanosecond of an occupied slot.
    ///
    /// The slot of `now` itself, at level 0, also holds what was late when it was inserted.
    fn span(&self, place: usize) -> (u64, u64) {
        let shift = (place / SLOTS) as u32 * DIGIT_BITS;
        let digit = (place % SLOTS) as u64;
        let below = (1 << shift) - 1;
        // Digits above this level are those of `now` (invariant 1); the top level has none.
        let above = self.now & !below & !((SLOTS as u64 - 1) << shift);
        let first = above | (digit << shift);
        (first, first | below)
    }
}

/// The level and the digit where a deadline belongs at time `now` (invariant 1).
#[inline]
fn locate(now: u64, deadline: u64) -> (usize, usize) {
    let late_or_future = deadline.max(now);
    let differing = (late_or_future ^ now) | (SLOTS as u64 - 1);
    let level = (u64::BITS - 1 - differing.leading_zeros()) / DIGIT_BITS;
    let digit = (late_or_future >> (level * DIGIT_BITS)) % SLOTS as u64;
    (level as usize, digit as usize)
}

/// A list of timers whose deadlines share this digit and all digits above it.
#[derive(Copy, Clone, Debug)]
struct Slot {
    /// Invariant 3. Meaningless while the list is empty.
    earliest: u64,
    /// `NIL` exactly when `tail` is.
    head: u32,
    tail: u32,
}

impl Slot {
    const EMPTY: Slot = Slot { earliest: u64::MAX, head: NIL, tail: NIL };
}

/// A timer on its way out.
#[derive(Copy, Clone, Debug)]
struct Expired {
    deadline: u64,
    payload: u64,
    /// Its place in the slot's list, which is the order of insertion among equal deadlines.
    position: u32,
}

const DIGIT_BITS: u32 = 6;
/// Slots per level: one for each value of a digit, and one bit each in a word.
const SLOTS: usize = 1 << DIGIT_BITS;
/// Enough digits for 64 bits; the top one has four bits, so 48 of its slots stay unused.
const LEVELS: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;
/// The sort buffer that is kept between calls, in timers of 24 bytes.
const BATCH_KEPT_MAX: usize = 4096;
