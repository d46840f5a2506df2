//! Room in a channel that was reserved.

use std::fmt;

use super::error::TrySendError;
use super::sender::Sender;
use super::state::Trade;

/// Room for one item in a channel. Given back when it is dropped. Made by [`Sender::reserve`].
///
/// As long as it lives, the channel does not end, even if its sender is closed.
#[must_use = "the room is given back when the permit is dropped"]
pub struct Permit<'a, T> {
    sender: &'a Sender<T>,
}

impl<'a, T> Permit<'a, T> {
    pub(super) fn new(sender: &'a Sender<T>) -> Permit<'a, T> {
        Permit { sender }
    }

    /// Sends `item` into the room that was reserved, without waiting.
    ///
    /// # Errors
    ///
    /// The item comes back if the channel has been broken meanwhile. (Never as
    /// [`Full`](TrySendError::Full).)
    pub fn send(self, item: T) -> Result<(), TrySendError<T>> {
        let sender = self.sender;
        let mut guard = sender.channel().lock();
        if let Some(why) = guard.refuses() {
            drop(guard);
            return Err(TrySendError::not_taken(item, why));
        }
        guard.push_reserved(item);
        // The room is used up. Forgotten first: the guard wakes receivers, and a waker may panic.
        std::mem::forget(self);
        drop(guard);
        Ok(())
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        self.sender.channel().lock().release_reserved();
    }
}

impl<T> fmt::Debug for Permit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
