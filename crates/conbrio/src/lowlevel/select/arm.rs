//! What a select can wait for.

use std::time::Instant;

use crate::task::Cx;

use super::claim::Claim;

/// One thing that may happen in a [select](Cx::select).
///
/// Implement it for sources of your own, in safe code. There are two kinds of sources:
///
/// * One that *becomes ready* and stays so (an event, a value that changes) keeps the [`Claim`] and calls
///   [`Claim::wake`] when it has become ready. The select calls [`poll`](Arm::poll) again then.
/// * One that *hands over* what one party alone can get (an item, a permit) calls [`Claim::claim`] under its
///   own lock. If that succeeds, this select and no other arm of it has been chosen: the source completes
///   the operation under the same lock, and the `poll` that follows returns the result. If it fails, the
///   select takes another course: the source forgets the claim and chooses somebody else.
///
/// The order of calls is `poll`, and if no arm completes, `register`, then `unregister`, then `poll` again.
/// Each takes effect at once: no function of an arm waits.
///
/// # Examples
///
/// A flag that threads raise and tasks wait for among other things:
///
/// ```
/// use conbrio::channel::{OneOf2, after};
/// use conbrio::lowlevel::{Arm, Claim, Registered};
/// use conbrio::prelude::*;
/// use std::sync::Mutex;
/// use std::time::Duration;
///
/// #[derive(Default)]
/// struct Flag(Mutex<(bool, Vec<Claim>)>);
///
/// impl Flag {
///     fn raise(&self) {
///         let waiting = {
///             let mut state = self.0.lock().unwrap();
///             state.0 = true;
///             std::mem::take(&mut state.1)
///         };
///         waiting.into_iter().for_each(Claim::wake);
///     }
/// }
///
/// /// The arm: the flag, and the claim that it holds for us.
/// struct Raised<'a>(&'a Flag, Option<Claim>);
///
/// impl Arm for Raised<'_> {
///     type Output = ();
///
///     fn poll(&mut self, _: &Cx) -> Option<()> {
///         self.0.0.lock().unwrap().0.then_some(())
///     }
///
///     fn register(&mut self, claim: Claim) -> Registered {
///         let mut state = self.0.0.lock().unwrap();
///         if state.0 {
///             return Registered::Ready;
///         }
///         state.1.push(claim.clone());
///         self.1 = Some(claim);
///         Registered::Waiting
///     }
///
///     fn unregister(&mut self) {
///         if let Some(own) = self.1.take() {
///             self.0.0.lock().unwrap().1.retain(|claim| *claim != own);
///         }
///     }
/// }
///
/// let flag = Flag::default();
/// conbrio::run(|cx| {
///     std::thread::scope(|s| {
///         s.spawn(|| flag.raise());
///         let arms = (Raised(&flag, None), after(Duration::from_secs(3600)));
///         assert!(matches!(cx.select(arms), Ok(OneOf2::First(()))));
///     });
/// });
/// ```
pub trait Arm {
    /// What a select gets if this is what happens.
    type Output;

    /// Completes the operation if it can be completed at once, or has been by the source since it was
    /// registered.
    fn poll(&mut self, cx: &Cx) -> Option<Self::Output>;

    /// Leaves the claim with the source, unless the operation could be completed by now.
    ///
    /// To look and to leave the claim is one step: under the lock under which the source becomes ready.
    fn register(&mut self, claim: Claim) -> Registered;

    /// Takes the claim back, if it is still there. Always called after `register`, whatever that returned.
    ///
    /// A panic in it aborts the process.
    fn unregister(&mut self);

    /// When to ask again at the latest, even if the source does not stir.
    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// The answer of [`Arm::register`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The source has the claim.
    Waiting,
    /// The operation can be completed: ask again. The source has no claim.
    Ready,
}

impl<A: Arm + ?Sized> Arm for &mut A {
    type Output = A::Output;

    fn poll(&mut self, cx: &Cx) -> Option<A::Output> {
        (**self).poll(cx)
    }

    fn register(&mut self, claim: Claim) -> Registered {
        (**self).register(claim)
    }

    fn unregister(&mut self) {
        (**self).unregister();
    }

    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }
}

impl<A: Arm + ?Sized> Arm for Box<A> {
    type Output = A::Output;

    fn poll(&mut self, cx: &Cx) -> Option<A::Output> {
        (**self).poll(cx)
    }

    fn register(&mut self, claim: Claim) -> Registered {
        (**self).register(claim)
    }

    fn unregister(&mut self) {
        (**self).unregister();
    }

    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }
}

/// An arm that is there or not: `None` never happens.
impl<A: Arm> Arm for Option<A> {
    type Output = A::Output;

    fn poll(&mut self, cx: &Cx) -> Option<A::Output> {
        self.as_mut()?.poll(cx)
    }

    fn register(&mut self, claim: Claim) -> Registered {
        self.as_mut().map_or(Registered::Waiting, |arm| arm.register(claim))
    }

    fn unregister(&mut self) {
        if let Some(arm) = self {
            arm.unregister();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.as_ref()?.deadline()
    }
}
