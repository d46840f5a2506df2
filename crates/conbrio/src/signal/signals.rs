//! Waiting for signals.
//!
//! Owns a pipe, and for each signal a flag and two actions of the handler, in this order: set the flag,
//! write to the pipe. The invariant: whoever reads a byte from the pipe and then looks at the flags sees
//! the flag of the signal that wrote the byte. So looking first and reading then loses none.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use conbrio_reactor::{Source, op, os};
use signal_hook::SigId;
use signal_hook::low_level::{pipe, unregister};

use super::Signal;
use crate::io::Error;
use crate::lowlevel::perform;
use crate::task::Cx;

/// Catches signals from the time it is made until it is dropped.
///
/// Several may catch the same signal; each gets it. What becomes of a signal that nobody catches any more
/// is told in the [module's documentation](super).
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
#[derive(Debug)]
pub struct Signals {
    pipe: Source,
    /// The other end, of which the handler's actions have copies. While it is open, no read finds the end.
    write: OwnedFd,
    caught: Vec<Caught>,
    /// Where the next look begins, so that a signal that keeps coming does not hide the others.
    next: usize,
}

#[derive(Debug)]
struct Caught {
    signal: Signal,
    /// Set by the handler, which holds the other reference.
    flag: Arc<AtomicBool>,
    /// The handler's actions, taken away on drop.
    actions: Vec<SigId>,
}

impl Signals {
    /// Begins to catch these signals. What came before is not seen.
    ///
    /// Takes two descriptors, and one more for each signal.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a number that is no signal, or one that cannot be caught (`SIGKILL`, `SIGSTOP`)
    /// or must not (`SIGSEGV`, `SIGFPE`, `SIGILL`); what pipe(2) and sigaction(2) say.
    pub fn new(signals: &[Signal]) -> io::Result<Signals> {
        let (pipe, write) = os::pipe()?;
        // From the start, so that what was registered before an error is taken away again.
        let mut this = Signals { pipe, write: write.into_fd(), caught: Vec::new(), next: 0 };
        for signal in signals {
            this.catch(*signal)?;
        }
        Ok(this)
    }

    fn catch(&mut self, signal: Signal) -> io::Result<()> {
        if signal_hook::consts::FORBIDDEN.contains(&signal.as_raw()) {
            let message = format!("catch {signal}: it must not be caught");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("catch {signal}: {error}"));
        let write = self.write.try_clone()?;
        let flag = Arc::new(AtomicBool::new(false));
        let at = self.caught.len();
        self.caught.push(Caught { signal, flag: Arc::clone(&flag), actions: Vec::new() });
        // Actions run in the order in which they were registered.
        let sets = signal_hook::flag::register(signal.as_raw(), flag).map_err(named)?;
        self.caught[at].actions.push(sets);
        let writes = pipe::register(signal.as_raw(), write).map_err(named)?;
        self.caught[at].actions.push(writes);
        Ok(())
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
    /// What read(2) says, which for a pipe of our own is nothing.
    pub fn wait(&mut self, cx: &mut Cx) -> Result<Signal, Error> {
        cx.checkpoint()?;
        loop {
            if let Some(signal) = self.take() {
                return Ok(signal);
            }
            perform(cx, &mut op::Read::new(&self.pipe, &mut [0; 64]))?;
        }
    }

    /// The next signal that has come already. Never waits.
    pub fn try_wait(&mut self) -> Option<Signal> {
        self.take()
    }

    fn take(&mut self) -> Option<Signal> {
        let count = self.caught.len();
        let at = (0..count)
            .map(|step| (self.next + step) % count)
            // Acquire: what the handler's thread did before the signal is seen by whoever is told of it.
            .find(|at| self.caught[*at].flag.swap(false, Ordering::Acquire))?;
        self.next = at + 1;
        Some(self.caught[at].signal)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for action in self.caught.iter_mut().flat_map(|caught| caught.actions.drain(..)) {
            unregister(action);
        }
    }
}
