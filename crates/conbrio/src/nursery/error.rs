//! What a nursery reports.

use std::any::Any;
use std::fmt;
use std::io;

use crate::cancel::{Cancelled, MaybeCancelled};

/// A nursery or scope was cancelled from inside, and its code stopped for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stopped(pub(super) ());

impl fmt::Debug for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopped")
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped by a cancellation from inside")
    }
}

impl std::error::Error for Stopped {}

/// The errors of a nursery: at least one, the first in time first. No [`Cancelled`] is among them.
pub struct Errors<E> {
    /// Never empty.
    errors: Vec<E>,
}

impl<E> Errors<E> {
    pub(crate) fn new(errors: Vec<E>) -> Option<Errors<E>> {
        (!errors.is_empty()).then_some(Errors { errors })
    }

    /// The error that came first, and made the nursery cancel the rest.
    pub fn first(&self) -> &E {
        &self.errors[0]
    }

    /// How many there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// All of them, in order of time.
    pub fn iter(&self) -> std::slice::Iter<'_, E> {
        self.errors.iter()
    }

    /// The error that came first; the others are dropped.
    pub fn into_first(mut self) -> E {
        self.errors.swap_remove(0)
    }

    /// All of them, in order of time.
    pub fn into_vec(self) -> Vec<E> {
        self.errors
    }

    /// The error if there is only one, or all of them.
    pub fn into_single(mut self) -> Result<E, Errors<E>> {
        match self.errors.len() {
            1 => Ok(self.errors.swap_remove(0)),
            _ => Err(self),
        }
    }
}

impl<E> std::ops::Deref for Errors<E> {
    type Target = E;

    fn deref(&self) -> &E {
        self.first()
    }
}

impl<E> IntoIterator for Errors<E> {
    type Item = E;
    type IntoIter = std::vec::IntoIter<E>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a Errors<E> {
    type Item = &'a E;
    type IntoIter = std::slice::Iter<'a, E>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E: fmt::Debug> fmt::Debug for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.errors).finish()
    }
}

impl<E: fmt::Display> fmt::Display for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first().fmt(f)?;
        match self.errors.len() - 1 {
            0 => Ok(()),
            1 => write!(f, " (and 1 more error: {})", self.errors[1]),
            more => write!(f, " (and {more} more errors, the next of them: {})", self.errors[1]),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Errors<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.first())
    }
}

/// Why a nursery did not return its body's value.
#[derive(Debug)]
#[must_use = "a cancellation must be passed on to the scope that was cancelled"]
pub enum NurseryError<E> {
    /// The body or a child failed. Here are all the errors.
    Failed(Errors<E>),
    /// A scope outside the nursery was cancelled, and the body or a child stopped for it.
    Cancelled(Cancelled),
    /// The nursery was cancelled from inside, and the body stopped for it.
    Stopped(Stopped),
}

impl<E> NurseryError<E> {
    /// The errors, if the nursery failed.
    pub fn errors(&self) -> Option<&Errors<E>> {
        match self {
            NurseryError::Failed(errors) => Some(errors),
            _ => None,
        }
    }

    /// Whether the nursery ended only because it was cancelled from inside.
    pub fn is_stopped(&self) -> bool {
        matches!(self, NurseryError::Stopped(_))
    }
}

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

impl NurseryError<BoxedError> {
    /// The error as a boxed one: a single error comes out as it is, several as one error that shows them all.
    ///
    /// `?` alone cannot do this, because a boxed error is no `Error` itself. Naming this function also
    /// says what the error type of the nursery is.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::prelude::*;
    /// use std::error::Error;
    ///
    /// fn parse(cx: &mut Cx, text: &str) -> Result<u32, Box<dyn Error + Send + Sync>> {
    ///     let number = cx
    ///         .nursery(|cx, n| {
    ///             let mut child = n.spawn(|_| Ok(text.parse::<u32>()?));
    ///             Ok(child.join(cx)?)
    ///         })
    ///         .map_err(NurseryError::into_boxed)?;
    ///     Ok(number)
    /// }
    ///
    /// assert_eq!(conbrio::run(|cx| parse(cx, "7")).unwrap(), 7);
    /// assert!(conbrio::run(|cx| parse(cx, "seven")).is_err());
    /// ```
    pub fn into_boxed(self) -> BoxedError {
        match self {
            NurseryError::Failed(errors) => match errors.into_single() {
                Ok(error) => error,
                Err(errors) => Box::new(BoxedErrors(errors)),
            },
            NurseryError::Cancelled(cancelled) => Box::new(cancelled),
            NurseryError::Stopped(stopped) => Box::new(stopped),
        }
    }
}

/// Several boxed errors as one.
struct BoxedErrors(Errors<BoxedError>);

impl fmt::Debug for BoxedErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for BoxedErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BoxedErrors {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.first().as_ref())
    }
}

impl<E: fmt::Display> fmt::Display for NurseryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NurseryError::Failed(errors) => errors.fmt(f),
            NurseryError::Cancelled(cancelled) => cancelled.fmt(f),
            NurseryError::Stopped(stopped) => stopped.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for NurseryError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            NurseryError::Failed(errors) => errors.first(),
            NurseryError::Cancelled(cancelled) => cancelled,
            NurseryError::Stopped(stopped) => stopped,
        })
    }
}

impl<E> MaybeCancelled for NurseryError<E> {
    fn cancelled(&self) -> Option<&Cancelled> {
        match self {
            NurseryError::Cancelled(cancelled) => Some(cancelled),
            NurseryError::Failed(_) | NurseryError::Stopped(_) => None,
        }
    }
}

impl<E> From<Cancelled> for NurseryError<E> {
    /// For functions that open a nursery and wait outside of it, too.
    fn from(cancelled: Cancelled) -> NurseryError<E> {
        NurseryError::Cancelled(cancelled)
    }
}

// This is the only `From<NurseryError<_>> for io::Error`: with a second one the error type of a
// nursery in a function that returns `io::Result` could no longer be inferred
// (`tests/ui/pass/unannotated.rs`).
impl From<NurseryError<io::Error>> for io::Error {
    /// A single error comes out as it is; several as an [`Errors`] of the first one's kind.
    fn from(error: NurseryError<io::Error>) -> io::Error {
        match error {
            NurseryError::Failed(errors) => match errors.into_single() {
                Ok(error) => error,
                Err(errors) => io::Error::new(errors.first().kind(), errors),
            },
            NurseryError::Cancelled(cancelled) => cancelled.into(),
            NurseryError::Stopped(stopped) => io::Error::other(stopped),
        }
    }
}

/// The payload of the panic that goes on after a nursery in which more failed than one panic.
///
/// If a single panic was all, its own payload goes on instead.
pub struct NurseryPanic {
    panics: Vec<Box<dyn Any + Send>>,
    errors: Option<Box<dyn Any + Send>>,
}

impl NurseryPanic {
    pub(crate) fn new(
        panics: Vec<Box<dyn Any + Send>>,
        errors: Option<Box<dyn Any + Send>>,
    ) -> NurseryPanic {
        NurseryPanic { panics, errors }
    }

    /// The payloads, in order of time; at least one.
    pub fn panics(&self) -> &[Box<dyn Any + Send>] {
        &self.panics
    }

    /// Takes the payloads, in order of time.
    pub fn into_panics(self) -> Vec<Box<dyn Any + Send>> {
        self.panics
    }

    /// The errors of the nursery, if there were any and their type is `E`.
    pub fn errors<E: 'static>(&self) -> Option<&Errors<E>> {
        self.errors.as_ref()?.downcast_ref()
    }
}

impl fmt::Debug for NurseryPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NurseryPanic")
            .field("panics", &self.panics.len())
            .field("errors", &self.errors.is_some())
            .finish()
    }
}
