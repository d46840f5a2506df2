//! So many at a time, and who they are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};
use crate::lowlevel::{Breaker, LotGuard, ParkingLot};
use crate::task::Cx;

use super::unbroken;

/// A number of tokens, each lent to one borrower by name.
///
/// Unlike a [`Semaphore`](super::Semaphore) it knows who holds what: nobody borrows twice, and statistics
/// name the borrowers. The number of tokens can be changed at any time, also to 0, which stops all who come
/// from then on, and to "no limit".
///
/// A borrower is the calling task, or whatever a caller acts for: a client, a request, a connection.
///
/// # Order
///
/// First come, first served.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::sync::CapacityLimiter;
///
/// let limiter = CapacityLimiter::new(1);
/// conbrio::run(|cx| -> Result<(), Cancelled> {
///     let token = limiter.acquire(cx)?;
///     // A client that has a request under way is refused a second one.
///     limiter.set_total(2);
///     let request = limiter.try_acquire_on_behalf_of("client 7").unwrap();
///     let error = limiter.try_acquire_on_behalf_of("client 7").unwrap_err();
///     assert_eq!(error.to_string(), "'client 7' has a token of the limiter already, or waits for one");
///     drop((token, request));
///     assert_eq!(limiter.statistics().borrowed, 0);
///     Ok(())
/// })
/// .unwrap();
/// ```
pub struct CapacityLimiter {
    lot: ParkingLot<State, Borrower>,
}

struct State {
    /// `usize::MAX` is no limit.
    total: usize,
    /// How many tokens are lent. It may be more than `total` after that was lowered.
    borrowed: usize,
    /// Who has a token, and who waits for one.
    borrowers: HashMap<Borrower, Claim>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    Waits,
    Has,
}

/// On whose behalf a token is borrowed: a task, a number, or a name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Borrower(Who);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Who {
    Task(Breaker),
    Number(u64),
    Name(Arc<str>),
}

/// What a limiter is doing. Returned by [`CapacityLimiter::statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CapacityLimiterStatistics {
    /// How many tokens there are; `None` if there is no limit.
    pub total: Option<usize>,
    /// How many are lent; more than `total` after that was lowered, until enough have come back.
    pub borrowed: usize,
    /// Who has one, in no order.
    pub borrowers: Vec<Borrower>,
    /// Tasks that wait for one.
    pub tasks_waiting: usize,
}

impl CapacityLimiter {
    /// A limiter with this many tokens, which may be none. Allocates.
    pub fn new(total: usize) -> CapacityLimiter {
        let state = State { total, borrowed: 0, borrowers: HashMap::new() };
        CapacityLimiter { lot: ParkingLot::with_state(state).named("a capacity limiter") }
    }

    /// A limiter that lends to everybody, and keeps the list.
    pub fn unlimited() -> CapacityLimiter {
        CapacityLimiter::new(usize::MAX)
    }

    /// Borrows a token for the calling task, and waits for it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, also if a token is there. On cancel it has borrowed none, and the task is in no
    /// list.
    ///
    /// # Panics
    ///
    /// If the task has a token of this limiter already: with several tasks doing so, each could wait for the
    /// others for ever.
    #[track_caller]
    pub fn acquire(&self, cx: &mut Cx) -> Result<Token<'_>, Cancelled> {
        let borrower = Borrower::task(cx);
        match self.borrow(cx, borrower) {
            Ok(token) => Ok(token),
            Err(OrCancelled::Cancelled(cancelled)) => Err(cancelled),
            Err(OrCancelled::Failed(error)) => {
                panic!(
                    "{error}; drop the first token, or use `acquire_on_behalf_of` with another borrower"
                )
            }
        }
    }

    /// Borrows a token on behalf of somebody, and waits for it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint, also if a token is there. On cancel it has borrowed none, and the borrower is in
    /// no list.
    ///
    /// # Errors
    ///
    /// [`AlreadyBorrowed`] if the borrower has a token of this limiter, or another task waits for one on its
    /// behalf.
    pub fn acquire_on_behalf_of(
        &self,
        cx: &mut Cx,
        borrower: impl Into<Borrower>,
    ) -> Result<Token<'_>, OrCancelled<AlreadyBorrowed>> {
        self.borrow(cx, borrower.into())
    }

    /// Borrows a token on behalf of somebody, if one is there and nobody waits. Never waits itself.
    ///
    /// # Errors
    ///
    /// [`NoToken::WouldBlock`] if it would have to wait; [`NoToken::AlreadyBorrowed`] if the borrower has one.
    ///
    /// # Examples
    ///
    /// For the calling task:
    ///
    /// ```
    /// use conbrio::sync::{Borrower, CapacityLimiter, NoToken};
    ///
    /// let limiter = CapacityLimiter::new(0);
    /// conbrio::run(|cx| {
    ///     let refused = limiter.try_acquire_on_behalf_of(Borrower::task(cx));
    ///     assert!(matches!(refused, Err(NoToken::WouldBlock)));
    /// });
    /// ```
    pub fn try_acquire_on_behalf_of(
        &self,
        borrower: impl Into<Borrower>,
    ) -> Result<Token<'_>, NoToken> {
        let borrower = borrower.into();
        let mut state = self.lot.lock();
        if state.borrowers.contains_key(&borrower) {
            drop(state);
            return Err(NoToken::AlreadyBorrowed(AlreadyBorrowed(borrower)));
        }
        if state.has_waiters() || !state.lend(&borrower) {
            return Err(NoToken::WouldBlock);
        }
        drop(state);
        Ok(Token { limiter: self, borrower })
    }

    /// How many tokens there are; `None` if there is no limit.
    #[must_use]
    pub fn total(&self) -> Option<usize> {
        self.lot.lock().limit()
    }

    /// Changes how many tokens there are.
    ///
    /// If there are more than before, they go to those who wait longest. If fewer than are lent, nothing is
    /// taken from anybody: none is lent before enough have come back. With 0 none is lent at all.
    pub fn set_total(&self, total: usize) {
        let mut state = self.lot.lock();
        state.total = total;
        serve(&mut state);
    }

    /// Lends to everybody from now on.
    pub fn set_unlimited(&self) {
        self.set_total(usize::MAX);
    }

    /// A snapshot of what the limiter is doing.
    pub fn statistics(&self) -> CapacityLimiterStatistics {
        let state = self.lot.lock();
        let have = state.borrowers.iter().filter(|(_, claim)| **claim == Claim::Has);
        CapacityLimiterStatistics {
            total: state.limit(),
            borrowed: state.borrowed,
            borrowers: have.map(|(borrower, _)| borrower.clone()).collect(),
            tasks_waiting: state.waiting(),
        }
    }

    fn borrow(
        &self,
        cx: &mut Cx,
        borrower: Borrower,
    ) -> Result<Token<'_>, OrCancelled<AlreadyBorrowed>> {
        cx.checkpoint()?;
        let mut state = self.lot.lock();
        let is_left = state.borrowed < state.total && !state.has_waiters();
        let Entry::Vacant(entry) = state.borrowers.entry(borrower.clone()) else {
            drop(state);
            return Err(OrCancelled::Failed(AlreadyBorrowed(borrower)));
        };
        if is_left {
            entry.insert(Claim::Has);
            state.borrowed += 1;
            self.note_holder(cx, state.borrowed);
            drop(state);
            return Ok(Token { limiter: self, borrower });
        }
        entry.insert(Claim::Waits);
        let mut parcel = borrower.clone();
        if let Err(cancelled) = unbroken(state.park(cx, &mut parcel)) {
            let entry = self.lot.lock().borrowers.remove_entry(&borrower);
            drop(entry);
            return Err(cancelled.into());
        }
        self.note_holder(cx, self.lot.lock().borrowed);
        Ok(Token { limiter: self, borrower })
    }

    /// For reports: who has the token, if it is only one.
    fn note_holder(&self, cx: &Cx, borrowed: usize) {
        if borrowed == 1 {
            self.lot.set_holder(cx);
        } else {
            self.lot.clear_holder();
        }
    }
}

impl State {
    fn limit(&self) -> Option<usize> {
        (self.total < usize::MAX).then_some(self.total)
    }

    /// Lends a token if one is left.
    fn lend(&mut self, borrower: &Borrower) -> bool {
        let is_left = self.borrowed < self.total;
        if is_left {
            self.borrowed += 1;
            self.borrowers.insert(borrower.clone(), Claim::Has);
        }
        is_left
    }
}

/// Lends to those who wait longest, as far as it goes.
fn serve(state: &mut LotGuard<'_, State, Borrower>) {
    state.unpark_while(|state, borrower| state.lend(borrower));
}

impl fmt::Debug for CapacityLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statistics = self.statistics();
        f.debug_struct("CapacityLimiter")
            .field("total", &statistics.total)
            .field("borrowed", &statistics.borrowed)
            .finish_non_exhaustive()
    }
}

/// A token of a [`CapacityLimiter`], which goes back when it is dropped, by any task on any thread.
#[must_use = "the token goes back at once if it is not kept"]
pub struct Token<'a> {
    limiter: &'a CapacityLimiter,
    borrower: Borrower,
}

impl Token<'_> {
    /// Who has borrowed it.
    #[must_use]
    pub fn borrower(&self) -> &Borrower {
        &self.borrower
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.lot.lock();
        let entry = state.borrowers.remove_entry(&self.borrower);
        state.borrowed -= 1;
        serve(&mut state);
        drop(state);
        drop(entry);
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("borrower", &self.borrower).finish_non_exhaustive()
    }
}

impl Borrower {
    /// The calling task.
    #[must_use]
    pub fn task(cx: &Cx) -> Borrower {
        Borrower(Who::Task(cx.breaker()))
    }
}

impl From<u64> for Borrower {
    fn from(number: u64) -> Borrower {
        Borrower(Who::Number(number))
    }
}

impl From<&str> for Borrower {
    fn from(name: &str) -> Borrower {
        Borrower(Who::Name(name.into()))
    }
}

impl From<String> for Borrower {
    fn from(name: String) -> Borrower {
        Borrower(Who::Name(name.into()))
    }
}

impl fmt::Display for Borrower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Who::Task(task) => write!(f, "task '{}'", task.name()),
            Who::Number(number) => write!(f, "borrower {number}"),
            Who::Name(name) => write!(f, "'{name}'"),
        }
    }
}

impl fmt::Debug for Borrower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Borrower({self})")
    }
}

/// A borrower has a token of the limiter already, or another task waits for one on its behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlreadyBorrowed(Borrower);

impl AlreadyBorrowed {
    /// Who that is.
    #[must_use]
    pub fn borrower(&self) -> &Borrower {
        &self.0
    }
}

impl fmt::Display for AlreadyBorrowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has a token of the limiter already, or waits for one", self.0)
    }
}

impl std::error::Error for AlreadyBorrowed {}

impl MaybeCancelled for AlreadyBorrowed {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}

/// Why a token could not be had at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoToken {
    /// None is left, or others wait for one.
    WouldBlock,
    /// The borrower has one, or another task waits for one on its behalf.
    AlreadyBorrowed(AlreadyBorrowed),
}

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoToken::WouldBlock => {
                f.write_str("no token of the limiter is left, or others wait for one")
            }
            NoToken::AlreadyBorrowed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NoToken {}

impl MaybeCancelled for NoToken {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}
