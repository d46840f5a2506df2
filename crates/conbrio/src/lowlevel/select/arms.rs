//! Several arms as one argument: tuples of different arms, and lists of arms of one type.

use std::time::Instant;

use crate::task::Cx;

use super::arm::{Arm, Registered};
use super::claim::Claim;

/// The arms of a [select](Cx::select): a tuple of up to six, or an array, vector or `&mut` slice.
///
/// Sealed: write an [`Arm`] to add a kind of thing to wait for.
pub trait Arms: sealed::Arms {}

impl<A: sealed::Arms> Arms for A {}

pub(super) mod sealed {
    use super::{Arm, Claim, Cx, Instant, Registered};

    /// Arms by their index, which is less than `count`.
    pub trait Arms {
        type Output;

        fn count(&self) -> usize;
        fn poll(&mut self, index: usize, cx: &Cx) -> Option<Self::Output>;
        fn register(&mut self, index: usize, claim: Claim) -> Registered;
        fn unregister(&mut self, index: usize);
        fn deadline(&self, index: usize) -> Option<Instant>;

        #[track_caller]
        fn check_count(&self) -> usize {
            let count = self.count();
            assert!(count > 0, "a select without arms waits for nothing: pass one arm at least");
            count
        }
    }

    impl<A: Arm> Arms for &mut [A] {
        type Output = (usize, A::Output);

        fn count(&self) -> usize {
            self.len()
        }

        fn poll(&mut self, index: usize, cx: &Cx) -> Option<Self::Output> {
            Some((index, self[index].poll(cx)?))
        }

        fn register(&mut self, index: usize, claim: Claim) -> Registered {
            self[index].register(claim)
        }

        fn unregister(&mut self, index: usize) {
            self[index].unregister();
        }

        fn deadline(&self, index: usize) -> Option<Instant> {
            self[index].deadline()
        }
    }

    impl<A: Arm, const N: usize> Arms for [A; N] {
        type Output = (usize, A::Output);

        fn count(&self) -> usize {
            self.len()
        }

        fn poll(&mut self, index: usize, cx: &Cx) -> Option<Self::Output> {
            self.as_mut_slice().poll(index, cx)
        }

        fn register(&mut self, index: usize, claim: Claim) -> Registered {
            self[index].register(claim)
        }

        fn unregister(&mut self, index: usize) {
            self[index].unregister();
        }

        fn deadline(&self, index: usize) -> Option<Instant> {
            self[index].deadline()
        }
    }

    impl<A: Arm> Arms for Vec<A> {
        type Output = (usize, A::Output);

        fn count(&self) -> usize {
            self.len()
        }

        fn poll(&mut self, index: usize, cx: &Cx) -> Option<Self::Output> {
            self.as_mut_slice().poll(index, cx)
        }

        fn register(&mut self, index: usize, claim: Claim) -> Registered {
            self[index].register(claim)
        }

        fn unregister(&mut self, index: usize) {
            self[index].unregister();
        }

        fn deadline(&self, index: usize) -> Option<Instant> {
            self[index].deadline()
        }
    }
}

/// The arms of a tuple and what comes of them. A function cannot do this: each arm has a type of its own.
macro_rules! tuple {
    ($name:ident, $text:literal, $(($index:tt, $arm:ident, $variant:ident, $doc:literal)),+) => {
        #[doc = $text]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name<$($arm),+> {
            $(#[doc = $doc] $variant($arm),)+
        }

        impl<$($arm: Arm),+> sealed::Arms for ($($arm,)+) {
            type Output = $name<$($arm::Output),+>;

            fn count(&self) -> usize {
                [$($index),+].len()
            }

            fn poll(&mut self, index: usize, cx: &Cx) -> Option<Self::Output> {
                match index {
                    $($index => self.$index.poll(cx).map($name::$variant),)+
                    _ => None,
                }
            }

            fn register(&mut self, index: usize, claim: Claim) -> Registered {
                match index {
                    $($index => self.$index.register(claim),)+
                    _ => Registered::Waiting,
                }
            }

            fn unregister(&mut self, index: usize) {
                match index {
                    $($index => self.$index.unregister(),)+
                    _ => {}
                }
            }

            fn deadline(&self, index: usize) -> Option<Instant> {
                match index {
                    $($index => self.$index.deadline(),)+
                    _ => None,
                }
            }
        }
    };
}

tuple!(
    OneOf2,
    "Which of two arms happened, and what it gave. Returned by [`Cx::select`].",
    (0, A, First, "The first arm was the one."),
    (1, B, Second, "The second arm was the one.")
);
tuple!(
    OneOf3,
    "Which of three arms happened, and what it gave. Returned by [`Cx::select`].",
    (0, A, First, "The first arm was the one."),
    (1, B, Second, "The second arm was the one."),
    (2, C, Third, "The third arm was the one.")
);
tuple!(
    OneOf4,
    "Which of four arms happened, and what it gave. Returned by [`Cx::select`].",
    (0, A, First, "The first arm was the one."),
    (1, B, Second, "The second arm was the one."),
    (2, C, Third, "The third arm was the one."),
    (3, D, Fourth, "The fourth arm was the one.")
);
tuple!(
    OneOf5,
    "Which of five arms happened, and what it gave. Returned by [`Cx::select`].",
    (0, A, First, "The first arm was the one."),
    (1, B, Second, "The second arm was the one."),
    (2, C, Third, "The third arm was the one."),
    (3, D, Fourth, "The fourth arm was the one."),
    (4, E, Fifth, "The fifth arm was the one.")
);
tuple!(
    OneOf6,
    "Which of six arms happened, and what it gave. Returned by [`Cx::select`].",
    (0, A, First, "The first arm was the one."),
    (1, B, Second, "The second arm was the one."),
    (2, C, Third, "The third arm was the one."),
    (3, D, Fourth, "The fourth arm was the one."),
    (4, E, Fifth, "The fifth arm was the one."),
    (5, F, Sixth, "The sixth arm was the one.")
);
