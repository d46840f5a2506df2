//! Events and permits as arms of a select.
//!
//! Both are of the kind that becomes ready: the source keeps the claims of the selects and wakes them all
//! when there may be something for them; each asks again then.

use std::fmt;

use crate::lowlevel::{Arm, Claim, Registered};
use crate::task::Cx;

use super::event::Event;
use super::semaphore::{Permits, Semaphore};

/// The selects that a source has to wake.
#[derive(Default)]
pub(super) struct Claims(Vec<Claim>);

impl Claims {
    pub(super) fn add(&mut self, claim: Claim) {
        self.0.push(claim);
    }

    /// Takes a claim back. Drop what it returns after the lock of the source has been released.
    pub(super) fn remove(&mut self, claim: &Claim) -> Option<Claim> {
        let place = self.0.iter().position(|other| other == claim)?;
        Some(self.0.swap_remove(place))
    }

    /// All of them, to be woken after the lock of the source has been released.
    #[inline]
    pub(super) fn take(&mut self) -> Claims {
        std::mem::take(self)
    }

    #[inline]
    pub(super) fn wake(self) {
        self.0.into_iter().for_each(Claim::wake);
    }
}

/// An event that happens, as an arm of a [select](Cx::select). Made by [`Event::waiting`].
#[must_use = "an arm does nothing before it is selected"]
pub struct Waiting<'a> {
    event: &'a Event,
    claim: Option<Claim>,
}

impl Event {
    /// Waiting for it, as an arm of a [select](Cx::select).
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::channel::{OneOf2, after};
    /// use conbrio::sync::Event;
    /// use std::time::Duration;
    ///
    /// let stop = Event::new();
    /// conbrio::testing::run(|cx| {
    ///     let limit = Duration::from_secs(5);
    ///     assert_eq!(cx.select((stop.waiting(), after(limit))).unwrap(), OneOf2::Second(()));
    ///     stop.set();
    ///     assert_eq!(cx.select((stop.waiting(), after(limit))).unwrap(), OneOf2::First(()));
    /// });
    /// ```
    pub fn waiting(&self) -> Waiting<'_> {
        Waiting { event: self, claim: None }
    }
}

impl Arm for Waiting<'_> {
    type Output = ();

    fn poll(&mut self, _: &Cx) -> Option<()> {
        self.event.is_set().then_some(())
    }

    fn register(&mut self, claim: Claim) -> Registered {
        self.claim = Some(claim.clone());
        self.event.register(claim)
    }

    fn unregister(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.event.unregister(&claim);
        }
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("event", self.event).finish_non_exhaustive()
    }
}

/// Permits, as an arm of a [select](Cx::select). Made by [`Semaphore::acquiring`] and
/// [`Semaphore::acquiring_many`].
#[must_use = "an arm does nothing before it is selected"]
pub struct Acquiring<'a> {
    semaphore: &'a Semaphore,
    count: usize,
    claim: Option<Claim>,
}

impl Semaphore {
    /// Taking one permit, as an arm of a [select](Cx::select).
    ///
    /// A select has no place in the queue: it gets what is left when no task waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::channel::{OneOf2, after};
    /// use conbrio::sync::Semaphore;
    /// use std::time::Duration;
    ///
    /// let slots = Semaphore::new(1);
    /// conbrio::testing::run(|cx| {
    ///     let limit = Duration::from_secs(5);
    ///     let Ok(OneOf2::First(slot)) = cx.select((slots.acquiring(), after(limit))) else {
    ///         panic!("it was free");
    ///     };
    ///     assert!(matches!(cx.select((slots.acquiring(), after(limit))), Ok(OneOf2::Second(()))));
    ///     drop(slot);
    /// });
    /// ```
    pub fn acquiring(&self) -> Acquiring<'_> {
        self.acquiring_many(1)
    }

    /// Taking this many permits at once, as an arm of a [select](Cx::select).
    ///
    /// # Panics
    ///
    /// If the semaphore is bounded and will never have as many.
    #[track_caller]
    pub fn acquiring_many(&self, count: usize) -> Acquiring<'_> {
        self.check(count);
        Acquiring { semaphore: self, count, claim: None }
    }
}

impl<'a> Arm for Acquiring<'a> {
    type Output = Permits<'a>;

    fn poll(&mut self, _: &Cx) -> Option<Permits<'a>> {
        self.semaphore.try_acquire_many(self.count).ok()
    }

    fn register(&mut self, claim: Claim) -> Registered {
        self.claim = Some(claim.clone());
        self.semaphore.register(self.count, claim)
    }

    fn unregister(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.semaphore.unregister(&claim);
        }
    }
}

impl fmt::Debug for Acquiring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquiring")
            .field("semaphore", self.semaphore)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
