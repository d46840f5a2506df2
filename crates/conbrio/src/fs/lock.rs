//! Locks of whole files, between programs that ask for them: flock(2).

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::File;
use super::error::with_fd;
use crate::io::Error;
use crate::task::Cx;

impl File {
    /// Waits until this open file has the lock alone, against all others that ask for one.
    ///
    /// The lock belongs to the open file, with all its [duplicates](File::try_clone): tasks that share one do
    /// not keep each other out; [`sync::Mutex`](crate::sync::Mutex) does that. It ends with
    /// [`unlock`](File::unlock), or when the last duplicate is closed. It keeps nobody from reading or writing
    /// who does not ask.
    ///
    /// The system has no way to wait that could be cancelled. So this asks again and again, after a
    /// millisecond at first and every 50 at last, and whoever asks first gets it.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the lock is what it was before.
    ///
    /// # Errors
    ///
    /// What flock(2) says.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::fs::{File, TempFile};
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let first = TempFile::new(cx)?;
    ///     let second = File::open(cx, first.path())?;
    ///     first.lock(cx)?;
    ///     assert!(!second.try_lock_shared()?);
    ///     first.unlock()?;
    ///     assert!(second.try_lock_shared()?);
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn lock(&self, cx: &mut Cx) -> Result<(), Error> {
        self.lock_in_time(cx, FlockOperation::NonBlockingLockExclusive)
    }

    /// Waits until this open file has a lock that others may have as well, but nobody alone.
    ///
    /// # Cancellation
    ///
    /// As [`lock`](File::lock).
    ///
    /// # Errors
    ///
    /// What flock(2) says.
    pub fn lock_shared(&self, cx: &mut Cx) -> Result<(), Error> {
        self.lock_in_time(cx, FlockOperation::NonBlockingLockShared)
    }

    /// Takes the lock alone, unless somebody else has one. Says whether it did.
    ///
    /// # Errors
    ///
    /// What flock(2) says.
    pub fn try_lock(&self) -> io::Result<bool> {
        self.ask(FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes a lock that others may have as well, unless somebody has it alone. Says whether it did.
    ///
    /// # Errors
    ///
    /// What flock(2) says.
    pub fn try_lock_shared(&self) -> io::Result<bool> {
        self.ask(FlockOperation::NonBlockingLockShared)
    }

    /// Gives the lock back. Nothing happens if there is none.
    ///
    /// # Errors
    ///
    /// What flock(2) says.
    pub fn unlock(&self) -> io::Result<()> {
        self.ask(FlockOperation::Unlock).map(drop)
    }

    fn lock_in_time(&self, cx: &mut Cx, operation: FlockOperation) -> Result<(), Error> {
        cx.checkpoint()?;
        let mut pause = PAUSE_MIN;
        // Ends when the others have given it back, or the caller is cancelled.
        while !self.ask(operation)? {
            cx.sleep(pause)?;
            pause = (2 * pause).min(PAUSE_MAX);
        }
        Ok(())
    }

    fn ask(&self, operation: FlockOperation) -> io::Result<bool> {
        match rustix::io::retry_on_intr(|| flock(self, operation)) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(with_fd("lock", self.as_fd(), error.into())),
        }
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);
