//! What can go wrong at a channel. Whatever was not sent is handed back.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::cancel::{Cancelled, MaybeCancelled, OrCancelled};

/// Why a channel was broken by a sender. Says so to every receiver.
#[derive(Clone)]
pub struct Cause(Kind);

#[derive(Clone)]
enum Kind {
    Panicked,
    Failed(Arc<dyn Error + Send + Sync>),
}

impl Cause {
    pub(super) fn panicked() -> Cause {
        Cause(Kind::Panicked)
    }

    pub(super) fn failed(error: Box<dyn Error + Send + Sync>) -> Cause {
        Cause(Kind::Failed(error.into()))
    }

    /// Whether a sender was dropped by a panic.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Kind::Panicked)
    }

    /// The error that was given to `close_with_error`.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match &self.0 {
            Kind::Panicked => None,
            Kind::Failed(error) => Some(&**error),
        }
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Panicked => f.write_str("Panicked"),
            Kind::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Panicked => f.write_str("a sender was dropped by a panic"),
            Kind::Failed(error) => error.fmt(f),
        }
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Kind::Panicked => None,
            Kind::Failed(error) => Some(&**error),
        }
    }
}

/// Nothing more can be received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// All senders are closed, and everything that they have sent was received.
    Ended,
    /// This receiver was closed.
    Closed,
    /// A sender broke off, and everything that was sent before was received.
    Broken(Cause),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Ended => f.write_str("the channel has ended: all senders are closed"),
            RecvError::Closed => f.write_str("this receiver was closed"),
            RecvError::Broken(cause) => write!(f, "the channel is broken: {cause}"),
        }
    }
}

impl Error for RecvError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RecvError::Broken(cause) => Some(cause),
            RecvError::Ended | RecvError::Closed => None,
        }
    }
}

/// Nothing was received, without waiting.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TryRecvError {
    /// There is nothing now; it may come.
    Empty,
    /// Nothing will come.
    Gone(RecvError),
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => f.write_str("the channel is empty"),
            TryRecvError::Gone(error) => error.fmt(f),
        }
    }
}

impl Error for TryRecvError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TryRecvError::Empty => None,
            TryRecvError::Gone(error) => error.source(),
        }
    }
}

/// Why a channel takes no more items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotTaken {
    /// This sender was closed.
    Closed,
    /// All receivers are gone, or a sender has broken the channel.
    Broken,
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotTaken::Closed => "this sender was closed",
            NotTaken::Broken => {
                "the channel is broken: all receivers are gone, or a sender broke off"
            }
        })
    }
}

impl Error for NotTaken {}

/// An item was not sent; here it is.
///
/// `?` turns it into [`OrCancelled<NotTaken>`], [`io::Error`] or a boxed error.
#[must_use = "the item that was not sent is inside, and maybe a cancellation"]
pub struct SendError<T> {
    /// What was not sent.
    pub item: T,
    /// Why not.
    pub why: OrCancelled<NotTaken>,
}

impl<T> SendError<T> {
    pub(super) fn new(item: T, why: impl Into<OrCancelled<NotTaken>>) -> SendError<T> {
        SendError { item, why: why.into() }
    }

    /// Whether the channel is broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self.why, OrCancelled::Failed(NotTaken::Broken))
    }

    /// Whether this sender was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.why, OrCancelled::Failed(NotTaken::Closed))
    }
}

impl From<NotTaken> for OrCancelled<NotTaken> {
    fn from(why: NotTaken) -> OrCancelled<NotTaken> {
        OrCancelled::Failed(why)
    }
}

impl From<RecvError> for OrCancelled<RecvError> {
    fn from(why: RecvError) -> OrCancelled<RecvError> {
        OrCancelled::Failed(why)
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "send to a channel: {}", self.why)
    }
}

impl<T> Error for SendError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match &self.why {
            OrCancelled::Cancelled(cancelled) => cancelled,
            OrCancelled::Failed(why) => why,
        })
    }
}

impl<T> MaybeCancelled for SendError<T> {
    fn cancelled(&self) -> Option<&Cancelled> {
        match &self.why {
            OrCancelled::Cancelled(cancelled) => Some(cancelled),
            OrCancelled::Failed(_) => None,
        }
    }
}

impl<T> From<SendError<T>> for OrCancelled<NotTaken> {
    fn from(error: SendError<T>) -> OrCancelled<NotTaken> {
        error.why
    }
}

impl<T> From<SendError<T>> for io::Error {
    fn from(error: SendError<T>) -> io::Error {
        error.why.into()
    }
}

/// An item was not sent without waiting; here it is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// There is no room now.
    Full(T),
    /// This sender was closed.
    Closed(T),
    /// All receivers are gone, or a sender has broken the channel.
    Broken(T),
}

impl<T> TrySendError<T> {
    pub(super) fn not_taken(item: T, why: NotTaken) -> TrySendError<T> {
        match why {
            NotTaken::Closed => TrySendError::Closed(item),
            NotTaken::Broken => TrySendError::Broken(item),
        }
    }

    /// What was not sent.
    pub fn into_item(self) -> T {
        match self {
            TrySendError::Full(item) | TrySendError::Closed(item) | TrySendError::Broken(item) => {
                item
            }
        }
    }

    /// Whether there is no room now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, TrySendError::Full(_))
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Closed(_) => "Closed(..)",
            TrySendError::Broken(_) => "Broken(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrySendError::Full(_) => f.write_str("the channel is full"),
            TrySendError::Closed(_) => NotTaken::Closed.fmt(f),
            TrySendError::Broken(_) => NotTaken::Broken.fmt(f),
        }
    }
}

impl<T> Error for TrySendError<T> {}

/// A place in a channel was not reserved without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryReserveError {
    /// There is no room now.
    Full,
    /// The channel takes no more items.
    NotTaken(NotTaken),
}

impl fmt::Display for TryReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryReserveError::Full => f.write_str("the channel is full"),
            TryReserveError::NotTaken(why) => why.fmt(f),
        }
    }
}

impl Error for TryReserveError {}

impl MaybeCancelled for RecvError {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}

impl MaybeCancelled for NotTaken {
    fn cancelled(&self) -> Option<&Cancelled> {
        None
    }
}

impl From<NotTaken> for io::Error {
    fn from(why: NotTaken) -> io::Error {
        io::Error::new(io::ErrorKind::BrokenPipe, why)
    }
}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> io::Error {
        let kind = match error {
            RecvError::Ended => io::ErrorKind::UnexpectedEof,
            RecvError::Closed | RecvError::Broken(_) => io::ErrorKind::BrokenPipe,
        };
        io::Error::new(kind, error)
    }
}

impl From<OrCancelled<NotTaken>> for io::Error {
    fn from(error: OrCancelled<NotTaken>) -> io::Error {
        match error {
            OrCancelled::Cancelled(cancelled) => cancelled.into(),
            OrCancelled::Failed(why) => why.into(),
        }
    }
}

impl From<OrCancelled<RecvError>> for io::Error {
    fn from(error: OrCancelled<RecvError>) -> io::Error {
        match error {
            OrCancelled::Cancelled(cancelled) => cancelled.into(),
            OrCancelled::Failed(error) => error.into(),
        }
    }
}
