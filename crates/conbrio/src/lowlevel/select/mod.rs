//! Waiting for one of several things: exactly one happens, the others are left as they were.
//!
//! An *arm* is one thing that may happen, and knows its source: a channel, an event, a child, a clock. A
//! select asks each arm whether it can complete at once. If none can, it registers a [`Claim`] with each,
//! and stops. A source that completes an arm by itself (a channel that hands an item over) first wins the
//! claim, which one source alone can; one that only becomes ready (an event) wakes the select, which then
//! asks again. Before the select returns it takes its claims back from all sources.
//!
//! Rules:
//! 1. `winner` of a party changes once, from undecided: to an arm, by its source, under the source's lock;
//!    or to closed, by the select.
//! 2. Whoever wins an arm completes the operation under the same lock. `unregister` takes that lock, so
//!    that what was handed over is visible after it.
//! 3. No arm is left registered when `wait` returns, also by unwinding: an arm may know the wait by more
//!    than its claim, and that is good only as long as the wait.

mod arm;
mod arms;
mod claim;
#[cfg(all(test, loom))]
mod loom_tests;
mod timer;

pub use arm::{Arm, Registered};
pub use arms::{Arms, OneOf2, OneOf3, OneOf4, OneOf5, OneOf6};
pub(crate) use claim::Party;
pub use claim::{Claim, Claimed};
pub use timer::{Timer, after, at};

use std::sync::Arc;

use crate::cancel::Cancelled;
use crate::clock::NEVER;
use crate::sched::{Interrupt, Parked};
use crate::task::Cx;
use crate::util::abort::AbortGuard;

impl Cx {
    /// Waits until one of several things happens, and does exactly that one: the others are untouched.
    ///
    /// `arms` is a tuple of up to six arms, whose result is a [`OneOf2`] to [`OneOf6`], or an array, a
    /// vector or a `&mut` slice of arms of one type, whose result is the index and what the arm gave. Arms
    /// are made by the objects: `receiver.receiving()`, `sender.sending(item)`, `child.joining()`,
    /// `event.waiting()`; time by [`after`](crate::channel::after) and [`at`](crate::channel::at). An arm
    /// may be passed as `&mut arm`, to be used again, and as an `Option`, of which `None` never happens.
    ///
    /// If several can happen at once, one of them is picked, each in its turn, so that none starves in a
    /// loop; [`select_in_order`](Cx::select_in_order) prefers the first. A wait allocates once, and once more
    /// for each arm of a channel.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing has happened: no item was taken or sent. An arm that completes
    /// at the same moment counts.
    ///
    /// # Panics
    ///
    /// If an empty array, vector or slice is passed: nothing could ever happen.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::channel::{self, OneOf3, after};
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// conbrio::run(|cx| {
    ///     let (numbers, number) = channel::bounded(8);
    ///     let (_letters, letter) = channel::bounded::<char>(8);
    ///     numbers.send(cx, 7).unwrap();
    ///     let arms = (number.receiving(), letter.receiving(), after(Duration::from_secs(60)));
    ///     match cx.select(arms).unwrap() {
    ///         OneOf3::First(number) => assert_eq!(number.unwrap(), 7),
    ///         OneOf3::Second(letter) => panic!("nobody has sent the letter {letter:?}"),
    ///         OneOf3::Third(()) => panic!("there was a number"),
    ///     }
    /// });
    /// ```
    #[track_caller]
    pub fn select<A: Arms>(&mut self, mut arms: A) -> Result<A::Output, Cancelled> {
        let start = self.any_number() % arms.check_count();
        select_from(self, &mut arms, start)
    }

    /// As [`select`](Cx::select), but if several can happen at once, the first one does.
    ///
    /// In a loop an arm starves as long as those before it are always ready.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing has happened.
    ///
    /// # Panics
    ///
    /// If an empty array, vector or slice is passed.
    #[track_caller]
    pub fn select_in_order<A: Arms>(&mut self, mut arms: A) -> Result<A::Output, Cancelled> {
        arms.check_count();
        select_from(self, &mut arms, 0)
    }

    /// A number that varies from call to call, and is the same whenever a run takes the same course.
    fn any_number(&self) -> usize {
        // Every wait has another name. Their multiples of the golden ratio spread evenly, in whatever
        // steps a loop goes through them (Knuth, "The Art of Computer Programming", 6.4).
        (self.begin_wait().sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize
    }
}

fn select_from<A: Arms>(cx: &mut Cx, arms: &mut A, start: usize) -> Result<A::Output, Cancelled> {
    cx.checkpoint()?;
    let count = arms.count();
    loop {
        for offset in 0..count {
            let index = (start + offset) % count;
            if let Some(output) = arms.poll(index, cx) {
                return Ok(output);
            }
        }
        if let Some(winner) = wait(cx, arms)? {
            let output = arms.poll(winner, cx);
            return Ok(output.expect("an arm whose claim its source has won completes"));
        }
        // Something became ready, or looked so: the sources know. One that always looks so keeps no other
        // task from running.
        cx.checkpoint()?;
    }
}

/// Registers all arms and waits. Returns which one its source has completed; or nothing if they are to be
/// asked again.
fn wait<A: Arms>(cx: &mut Cx, arms: &mut A) -> Result<Option<usize>, Cancelled> {
    let deadline = (0..arms.count())
        .filter_map(|index| arms.deadline(index))
        .map(|deadline| cx.anchor().worker().shared().timeline().ticks(deadline))
        .min()
        .unwrap_or(NEVER);
    let unparker = cx.begin_shared_wait();
    let waiter = unparker.waiter();
    let party = Party::of_task(unparker);
    let mut registered = Registration { arms, party: &party, count: 0 };
    let mut parked = Parked::Woken;
    if registered.register_all() {
        parked = cx.park_until(Interrupt::OnCancel, deadline, waiter, "one of several (select)");
    }
    let winner = party.close();
    // Rule 3.
    drop(registered);
    match (winner, parked) {
        (Some(winner), _) => Ok(Some(winner)),
        (None, Parked::Woken) => Ok(None),
        (None, Parked::Interrupted) => Err(cx.why_interrupted()),
    }
}

/// Arms that are registered, the first `count` of them.
struct Registration<'a, A: Arms> {
    arms: &'a mut A,
    party: &'a Arc<Party>,
    count: usize,
}

impl<A: Arms> Registration<'_, A> {
    /// `false` if one of them is ready by now.
    fn register_all(&mut self) -> bool {
        for index in 0..self.arms.count() {
            // Counted first: it may have registered something before it panics.
            self.count = index + 1;
            if self.arms.register(index, Claim::new(self.party, index)) == Registered::Ready {
                return false;
            }
        }
        true
    }
}

impl<A: Arms> Drop for Registration<'_, A> {
    fn drop(&mut self) {
        self.party.close();
        let guard = AbortGuard::new("`Arm::unregister` panicked");
        for index in 0..self.count {
            self.arms.unregister(index);
        }
        guard.disarm();
        self.party.release();
    }
}
