//! What one epoll reactor knows about each of its sources.
//!
//! Owns the slots and their readiness bits; makes no system call. Only the reactor's thread comes
//! here. The invariant that everything rests on, for each direction of each slot in use:
//!
//! > If it is watched and neither ready nor sticky, then since the last look at the fd that found
//! > nothing, every change to ready has an event that this reactor has not fetched yet.
//!
//! `README.md` argues why it holds.

use std::os::fd::RawFd;

use crate::driver::Spot;
use crate::{Direction, Token};

/// One direction of one source.
#[derive(Debug)]
pub(crate) struct Side {
    /// The kernel has been asked to report this direction. If not, `ready` is true: always try.
    pub(crate) watched: bool,
    /// The next attempt may find something. False: it would find nothing.
    pub(crate) ready: bool,
    /// Something happened that no later edge announces again (end of stream, reset, urgent data):
    /// attempts always make the system call from now on.
    pub(crate) sticky: bool,
    /// Events in a row that were useless for this direction and met no attempt in it.
    pub(crate) strikes: u8,
    /// Counts the waits of this direction over all generations of the slot, so that a ticket fits
    /// one of them (rule D4).
    pub(crate) sequence: u32,
    pub(crate) waiter: Option<Token>,
}

/// One source.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) fd: RawFd,
    read: Side,
    write: Side,
}

/// All slots of one reactor.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Side {
    fn new() -> Side {
        Side { watched: false, ready: true, sticky: false, strikes: 0, sequence: 0, waiter: None }
    }

    /// Whether a system call would find nothing.
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        !self.ready && !self.sticky
    }

    /// Back to a source nobody has seen; the sequence goes on.
    fn reset(&mut self) {
        *self = Side { sequence: self.sequence, ..Side::new() };
    }
}

impl Slot {
    #[inline]
    pub(crate) fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    #[inline]
    pub(crate) fn is_watched(&self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.read.watched,
            Direction::Write => self.write.watched,
        }
    }
}

impl Slots {
    /// Takes a slot for a source; it is watched in no direction yet.
    pub(crate) fn take(&mut self, fd: RawFd) -> Spot {
        let index = self.free.pop().unwrap_or_else(|| {
            let index = u32::try_from(self.slots.len()).unwrap_or(RESERVED);
            // More slots than the limit on open files allows, by a factor of four.
            assert!(index != RESERVED, "more than 2^32 - 1 sources on one reactor");
            self.slots.push(Slot { generation: 0, fd: -1, read: Side::new(), write: Side::new() });
            index
        });
        let slot = &mut self.slots[index as usize];
        slot.fd = fd;
        Spot { index, generation: slot.generation }
    }

    /// Gives a slot back. Returns how many waits were lost with it: none, unless a contract broke.
    pub(crate) fn free(&mut self, index: u32) -> usize {
        let slot = &mut self.slots[index as usize];
        let lost =
            usize::from(slot.read.waiter.is_some()) + usize::from(slot.write.waiter.is_some());
        slot.generation = slot.generation.wrapping_add(1);
        slot.fd = -1;
        slot.read.reset();
        slot.write.reset();
        self.free.push(index);
        lost
    }

    /// The slot at an index that a live registration holds.
    #[inline]
    pub(crate) fn at(&mut self, index: u32) -> &mut Slot {
        &mut self.slots[index as usize]
    }

    /// The slot at `spot`, unless its source has gone since.
    #[inline]
    pub(crate) fn find(&mut self, spot: Spot) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(spot.index as usize)?;
        (slot.generation == spot.generation && slot.fd >= 0).then_some(slot)
    }

    /// How many slots are in use.
    pub(crate) fn used(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

/// No slot has this index; the notifier's events carry it.
pub(crate) const RESERVED: u32 = u32::MAX;
