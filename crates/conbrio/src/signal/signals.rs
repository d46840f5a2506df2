//! Waiting for signals.
//!
//! Owns what users see of a [`Listener`], whose invariant is all there is: whoever has heard its bell and then
//! looks for signals sees the signal that rang. So looking first and waiting then loses none.

use std::fmt;
use std::io;

use super::Signal;
use crate::io::Error;
use crate::lowlevel::Listener;
use crate::task::Cx;

/// Catches signals from the time it is made until it is dropped.
///
/// Several may catch the same signal; each gets it. What becomes of a signal that nobody catches any more
/// is told in the [module's documentation](super).
///
/// One task waits at a time, which `&mut` sees to. Make another for another task.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::signal::{Signal, Signals};
///
/// fn reload_on_hangup(cx: &mut Cx, mut reload: impl FnMut()) -> std::io::Result<()> {
///     let mut signals = Signals::new(&[Signal::HANGUP])?;
///     loop {
///         signals.wait(cx)?;
///         reload();
///     }
/// }
/// # conbrio::run(|cx| {
/// #     let limit = std::time::Duration::from_millis(1);
/// #     let ended: Option<()> = cx.move_on_after(limit, |cx| reload_on_hangup(cx, || ())).unwrap();
/// #     assert!(ended.is_none());
/// # });
/// ```
///
/// There is one signal at least:
///
/// ```compile_fail,E0080
/// conbrio::signal::Signals::new(&[]).unwrap();
/// ```
pub struct Signals {
    signals: Vec<Signal>,
    listener: Listener,
}

impl Signals {
    /// Begins to catch these signals, instead of what was done with them before. What came before is not
    /// seen. One that is named twice counts once.
    ///
    /// Takes a descriptor.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a number that is no signal, or one that cannot be caught (`SIGKILL`, `SIGSTOP`)
    /// or must not (`SIGSEGV`, `SIGBUS`, `SIGFPE`, `SIGILL`); what eventfd(2) and sigaction(2) say. Nothing
    /// has changed then.
    pub fn new<const N: usize>(signals: &[Signal; N]) -> io::Result<Signals> {
        const { assert!(N > 0, "name one signal at least: nothing would ever come") };
        Signals::from_slice(signals)
    }

    /// As [`new`](Signals::new), with signals whose number is not known beforehand.
    ///
    /// # Errors
    ///
    /// As [`new`](Signals::new), and `InvalidInput` if there is none.
    pub fn from_slice(signals: &[Signal]) -> io::Result<Signals> {
        let invalid = |message| io::Error::new(io::ErrorKind::InvalidInput, message);
        if signals.is_empty() {
            return Err(invalid("catch no signal: name one at least".to_owned()));
        }
        let refused = |signal: &&Signal| FORBIDDEN.contains(&signal.as_raw());
        if let Some(signal) = signals.iter().find(refused) {
            return Err(invalid(format!("catch {signal}: it must not be caught")));
        }
        let numbers: Vec<i32> = signals.iter().map(|signal| signal.as_raw()).collect();
        match Listener::new(&numbers) {
            Ok(listener) => Ok(Signals { signals: signals.to_vec(), listener }),
            Err((number, error)) => {
                let what = number.map_or("signals".to_owned(), |n| Signal::from_raw(n).to_string());
                Err(io::Error::new(error.kind(), format!("catch {what}: {error}")))
            }
        }
    }

    /// Waits for the next signal, and says which.
    ///
    /// Signals of one kind that come before this looks at them are reported once.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no signal was taken: the next call reports it.
    ///
    /// # Errors
    ///
    /// `Unsupported` if they are of another run, and one of the two is simulated. Besides, what read(2) says,
    /// which for a descriptor of our own is nothing.
    pub fn wait(&mut self, cx: &mut Cx) -> Result<Signal, Error> {
        cx.checkpoint()?;
        loop {
            if let Some(signal) = self.try_wait() {
                return Ok(signal);
            }
            self.listener.wait(cx)?;
        }
    }

    /// The next signal that has come already. Never waits.
    pub fn try_wait(&mut self) -> Option<Signal> {
        self.listener.take().map(Signal::from_raw)
    }

    /// How many kinds of signals have come and were not taken yet.
    pub fn pending(&self) -> usize {
        self.listener.pending()
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signals = &self.signals;
        f.debug_struct("Signals")
            .field("signals", signals)
            .field("pending", &self.pending())
            .finish()
    }
}

/// Those that cannot be caught, and those after which the interrupted code cannot go on.
const FORBIDDEN: [i32; 6] =
    [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
