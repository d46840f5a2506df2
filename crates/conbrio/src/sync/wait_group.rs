//! All of a changing number are done.

use std::fmt;

use crate::cancel::Cancelled;
use crate::lowlevel::ParkingLot;
use crate::task::Cx;

use super::unbroken;

/// A number of members that are under way; tasks wait until there are none.
///
/// For things that are no children of the one who waits, such as requests that a server has in hand while
/// it goes on. Children of a nursery need none of this.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::sync::WaitGroup;
///
/// let requests = WaitGroup::new();
/// conbrio::run(|cx| {
///     cx.nursery(|cx, n| -> Result<(), Cancelled> {
///         for _ in 0..3 {
///             let request = requests.enter();
///             n.spawn(move |cx| {
///                 let _request = request;
///                 cx.yield_now()
///             });
///         }
///         requests.wait(cx)?;
///         assert_eq!(requests.statistics().members, 0);
///         Ok(())
///     })
///     .unwrap();
/// });
/// ```
pub struct WaitGroup {
    /// How many members there are. While there are none nobody waits.
    lot: ParkingLot<usize>,
}

/// What a wait group is doing. Returned by [`WaitGroup::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitGroupStatistics {
    /// How many members there are.
    pub members: usize,
    /// Tasks that wait until there are none.
    pub tasks_waiting: usize,
}

impl WaitGroup {
    /// A group without members. Allocates.
    pub fn new() -> WaitGroup {
        WaitGroup { lot: ParkingLot::with_state(0).named("a wait group") }
    }

    /// Adds a member, which leaves when it is dropped.
    pub fn enter(&self) -> WaitGroupMember<'_> {
        *self.lot.lock() += 1;
        WaitGroupMember { group: self }
    }

    /// Waits until there are no members.
    ///
    /// Whoever waits goes on when the last member leaves, also if new ones come before it runs.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, also if there are none. Nothing is changed by a wait.
    pub fn wait(&self, cx: &mut Cx) -> Result<(), Cancelled> {
        cx.checkpoint()?;
        let members = self.lot.lock();
        if *members == 0 {
            return Ok(());
        }
        unbroken(members.park(cx, &mut ()))
    }

    /// A snapshot of what the group is doing.
    pub fn statistics(&self) -> WaitGroupStatistics {
        let members = self.lot.lock();
        WaitGroupStatistics { members: *members, tasks_waiting: members.waiting() }
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup").field("members", &*self.lot.lock()).finish_non_exhaustive()
    }
}

/// A member of a [`WaitGroup`]. It leaves when it is dropped, on any thread; a clone is one more member.
#[must_use = "it leaves the group at once if it is not kept"]
pub struct WaitGroupMember<'a> {
    group: &'a WaitGroup,
}

impl Clone for WaitGroupMember<'_> {
    fn clone(&self) -> Self {
        self.group.enter()
    }
}

impl Drop for WaitGroupMember<'_> {
    fn drop(&mut self) {
        let mut members = self.group.lot.lock();
        *members -= 1;
        if *members == 0 {
            members.unpark_all();
        }
    }
}

impl fmt::Debug for WaitGroupMember<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroupMember").finish_non_exhaustive()
    }
}
