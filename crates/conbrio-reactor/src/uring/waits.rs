//! The waits of one ring: which are in flight, under which names, and who waits where.
//!
//! Owns the slots; makes no system call. A wait's name for the kernel (`user_data`) is its slot and the
//! slot's generation, so that a completion or a queued cancellation never meets a later wait (rule R4).
//! The invariant: a slot is free, or the kernel (or the queue to it) has exactly one entry with its
//! name.

use std::os::fd::RawFd;

use crate::driver::{Spot, Ticket};
use crate::{Direction, Outcome, Token};

/// A wait that has begun and not ended.
#[derive(Copy, Clone, Debug)]
pub(super) struct Wait {
    pub(super) token: Token,
    pub(super) fd: RawFd,
    pub(super) direction: Direction,
    pub(super) kind: Kind,
    pub(super) phase: Phase,
    /// Somebody wants it to end.
    pub(super) is_cancelled: bool,
}

/// What the entry of a wait does.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Phase {
    /// The operation itself.
    Perform,
    /// The operation itself, into a buffer of the ring.
    Lend,
    /// Waits for readiness, and the caller performs the operation.
    Poll,
    /// The same for an operation that is nothing but this.
    Ask(Events),
    /// As `Poll` or `Ask`, for a socket of which the kernel reports what nobody asked for: each change
    /// is reported until it is the right one.
    Watch(Events, IsAsked),
    /// Has been ready with these events, and is being ended.
    Unwatch(Outcome),
}

/// `POLL*` events.
pub(super) type Events = i16;
/// Whether the events are what the operation yields.
pub(super) type IsAsked = bool;

/// What a wait is, as far as it concerns anybody after its end.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Kind {
    /// An operation on a file, of which any number may be in flight.
    File,
    /// An operation on a file that may not be done twice ([`FileRequest::may_repeat`]).
    ///
    /// [`FileRequest::may_repeat`]: crate::op::file::FileRequest::may_repeat
    FileOnce,
    /// Data from a TCP socket: the completion says whether there is more.
    TcpReceive,
    /// Everything else; one for each direction of a source.
    Other,
}

impl Kind {
    pub(super) fn is_file(self) -> bool {
        matches!(self, Kind::File | Kind::FileOnce)
    }
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    wait: Option<Wait>,
}

/// All waits of one ring.
#[derive(Debug, Default)]
pub(super) struct Waits {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// By fd number, which are small. A wait borrows its source, so that the number is the same
    /// source's from its beginning to its end.
    fds: Vec<Sides>,
}

/// What is known of the two directions of one fd.
#[derive(Copy, Clone, Debug, Default)]
struct Sides {
    read: Side,
    write: Side,
}

#[derive(Copy, Clone, Debug, Default)]
struct Side {
    /// Somebody waits.
    is_taken: bool,
    /// The last look found nothing more. It may be wrong, also because the number belongs to another
    /// source by now: that costs a way through the ring instead of a system call, and no wake-up,
    /// because the kernel looks again.
    is_dry: bool,
    /// What is submitted next is to be tried by the kernel, rather than to wait first.
    is_eager: bool,
}

impl Waits {
    /// Begins a wait. `None` if somebody waits for this direction already.
    pub(super) fn begin(&mut self, wait: Wait) -> Option<Spot> {
        if !wait.kind.is_file() {
            let side = self.side(wait.fd, wait.direction);
            if side.is_taken {
                return None;
            }
            side.is_taken = true;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            let index = u32::try_from(self.slots.len()).unwrap_or(RESERVED);
            assert!(index < RESERVED, "more than 2^31 - 1 waits on one reactor");
            self.slots.push(Slot { generation: 0, wait: None });
            index
        });
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.wait.is_none(), "a free slot had a wait");
        slot.wait = Some(wait);
        Some(Spot { index, generation: slot.generation })
    }

    /// The wait at `spot`, unless it has ended.
    pub(super) fn find(&mut self, spot: Spot) -> Option<&mut Wait> {
        let slot = self.slots.get_mut(spot.index as usize)?;
        if slot.generation != spot.generation {
            return None;
        }
        slot.wait.as_mut()
    }

    /// Ends the wait at `spot`, after its last completion. Its name is never used again.
    pub(super) fn end(&mut self, spot: Spot, is_dry: bool) {
        let slot = &mut self.slots[spot.index as usize];
        let wait = slot.wait.take().expect("a wait ends once");
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(spot.index);
        if !wait.kind.is_file() {
            *self.side(wait.fd, wait.direction) = Side { is_taken: false, is_dry, is_eager: false };
        }
    }

    /// Whether the last look at this direction found nothing more. Says so once.
    pub(super) fn take_dry(&mut self, fd: RawFd, direction: Direction) -> bool {
        std::mem::take(&mut self.side(fd, direction).is_dry)
    }

    pub(super) fn set_dry(&mut self, fd: RawFd, direction: Direction) {
        self.side(fd, direction).is_dry = true;
    }

    /// Leaves word for the next submission in this direction.
    pub(super) fn set_eager(&mut self, fd: RawFd, direction: Direction) {
        self.side(fd, direction).is_eager = true;
    }

    /// Whether the last look at this direction has left it to the kernel. Says so once.
    pub(super) fn take_eager(&mut self, fd: RawFd, direction: Direction) -> bool {
        std::mem::take(&mut self.side(fd, direction).is_eager)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn side(&mut self, fd: RawFd, direction: Direction) -> &mut Side {
        let number = usize::try_from(fd).expect("an open fd is not negative");
        if number >= self.fds.len() {
            self.fds.resize(number + 1, Sides::default());
        }
        match direction {
            Direction::Read => &mut self.fds[number].read,
            Direction::Write => &mut self.fds[number].write,
        }
    }
}

/// The name of a wait for the kernel.
pub(super) fn name(spot: Spot) -> u64 {
    u64::from(spot.index) << 32 | u64::from(spot.generation)
}

/// The wait that the kernel means.
pub(super) fn spot(name: u64) -> Spot {
    Spot { index: (name >> 32) as u32, generation: name as u32 }
}

/// The ticket of a wait.
pub(super) fn ticket(spot: Spot, direction: Direction) -> Ticket {
    Ticket { spot, sequence: 0, direction }
}

/// No slot has this index or a higher one: names with it belong to the ring itself. The highest bit is
/// free, for what is sent after a wait.
pub(super) const RESERVED: u32 = u32::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(fd: RawFd, direction: Direction, kind: Kind) -> Wait {
        let phase = Phase::Perform;
        Wait { token: Token(1), fd, direction, kind, phase, is_cancelled: false }
    }

    #[test]
    fn a_name_survives_the_kernel() {
        for at in
            [Spot { index: 0, generation: u32::MAX }, Spot { index: RESERVED - 1, generation: 7 }]
        {
            assert_eq!(spot(name(at)), at);
        }
    }

    #[test]
    fn a_slot_used_again_has_another_name() {
        let mut waits = Waits::default();
        let first = waits.begin(wait(5, Direction::Read, Kind::Other)).unwrap();
        waits.end(first, false);
        let second = waits.begin(wait(5, Direction::Read, Kind::Other)).unwrap();
        assert_eq!(first.index, second.index);
        assert_ne!(name(first), name(second));
        assert!(waits.find(first).is_none() && waits.find(second).is_some());
    }

    #[test]
    fn a_direction_has_one_waiter_and_a_file_any_number() {
        let mut waits = Waits::default();
        let read = wait(3, Direction::Read, Kind::TcpReceive);
        let first = waits.begin(read).unwrap();
        assert!(waits.begin(read).is_none());
        assert!(waits.begin(wait(3, Direction::Write, Kind::Other)).is_some());
        assert!(waits.begin(wait(4, Direction::Read, Kind::Other)).is_some());
        for _ in 0..3 {
            assert!(waits.begin(wait(3, Direction::Read, Kind::File)).is_some());
        }
        assert_eq!(waits.in_flight(), 6);
        waits.end(first, true);
        assert!(waits.take_dry(3, Direction::Read) && !waits.take_dry(3, Direction::Read));
        assert!(waits.begin(read).is_some());
    }
}
