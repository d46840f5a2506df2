//! The end of a memory stream that is written to.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::queue::ByteQueue;
use super::{CloseHook, Hook};
use crate::cancel::OrCancelled;
use crate::io::{Error, HalfClose, Write};
use crate::task::Cx;

/// The writing end of a memory stream. Made by [`pipe`](super::pipe) together with the reading end, or by
/// [`new`](PipeWriter::new) for a test that takes the bytes out itself.
///
/// Dropping it ends the stream: the reader gets what was written, and then the end.
///
/// # Examples
///
/// Two tasks cannot write at once, because writing takes `&mut`:
///
/// ```compile_fail,E0499
/// use conbrio::io::Write;
/// use conbrio::testing::streams::PipeWriter;
///
/// conbrio::run(|cx| {
///     let mut out = PipeWriter::new();
///     cx.nursery(|cx, n| -> std::io::Result<()> {
///         n.spawn(|cx| Ok(out.write_all(cx, b"one")?));
///         n.spawn(|cx| Ok(out.write_all(cx, b"two")?));
///         Ok(())
///     })
/// });
/// ```
///
/// And what was closed cannot be used, because closing takes it away:
///
/// ```compile_fail,E0382
/// use conbrio::io::Write;
/// use conbrio::testing::streams::PipeWriter;
///
/// conbrio::run(|cx| {
///     let mut out = PipeWriter::new();
///     drop(out);
///     out.write_all(cx, b"one")
/// });
/// ```
pub struct PipeWriter {
    queue: ByteQueue,
    waits_until_read: bool,
    /// What a hook failed with after the write that called it had succeeded in part: the next call
    /// reports it.
    failure: Option<io::Error>,
    // Only for `&mut`: the locks make the type `Sync`, so that it can be shared like a socket.
    on_write: Option<Mutex<Hook>>,
    on_close: Option<Mutex<CloseHook>>,
}

impl PipeWriter {
    /// A writer without a reader. The test takes out what was written: [`queue`](PipeWriter::queue).
    #[must_use]
    pub fn new() -> PipeWriter {
        PipeWriter::of(ByteQueue::new())
    }

    pub(super) fn of(queue: ByteQueue) -> PipeWriter {
        let waits_until_read = false;
        PipeWriter { queue, waits_until_read, failure: None, on_write: None, on_close: None }
    }

    /// Makes each write wait until all that it wrote was read, or ends that.
    #[must_use]
    pub fn lockstep(mut self, lockstep: bool) -> PipeWriter {
        self.waits_until_read = lockstep;
        self
    }

    /// Calls `hook` in each write, when the bytes are there to be read. It may wait.
    ///
    /// If it fails or is cancelled, the bytes that nobody has read are taken back: the write fails if
    /// those are all, and otherwise counts the others; then the next call reports the failure.
    #[must_use]
    pub fn on_write(
        mut self,
        hook: impl FnMut(&mut Cx) -> Result<(), Error> + Send + 'static,
    ) -> PipeWriter {
        self.on_write = Some(Mutex::new(Box::new(hook)));
        self
    }

    /// Calls `hook` when the writer is dropped, after the reader was told of the end.
    #[must_use]
    pub fn on_close(mut self, hook: impl FnOnce() + Send + 'static) -> PipeWriter {
        self.on_close = Some(Mutex::new(Box::new(hook)));
        self
    }

    /// What was written and not read yet.
    #[must_use]
    pub fn queue(&self) -> ByteQueue {
        self.queue.clone()
    }

    /// A checkpoint, and what an earlier call has left to be reported.
    fn begin(&mut self, cx: &mut Cx) -> Result<(), Error> {
        cx.checkpoint()?;
        self.failure.take().map_or(Ok(()), |error| Err(error.into()))
    }

    /// What a write does when its bytes are there, up to `end`.
    fn after_write(&mut self, cx: &mut Cx, end: u64) -> Result<(), Error> {
        if let Some(hook) = &mut self.on_write {
            hook.get_mut().unwrap_or_else(PoisonError::into_inner)(cx)?;
        }
        if self.waits_until_read { self.queue.wait_taken(cx, end) } else { Ok(()) }
    }
}

impl Write for PipeWriter {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, Error> {
        self.begin(cx)?;
        let end = self.queue.append(data)?;
        let Err(error) = self.after_write(cx, end) else {
            return Ok(data.len());
        };
        let written = data.len() - self.queue.withdraw(end, data.len());
        if written == 0 {
            return Err(error);
        }
        // A cancellation shows at the next checkpoint by itself.
        if let OrCancelled::Failed(error) = error {
            self.failure = Some(error);
        }
        Ok(written)
    }

    /// Nothing is held back. A checkpoint all the same.
    fn flush(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.begin(cx)
    }
}

/// Never waits, also in lockstep. A checkpoint all the same.
impl HalfClose for PipeWriter {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.begin(cx)?;
        self.queue.put_end();
        Ok(())
    }
}

impl Default for PipeWriter {
    fn default() -> PipeWriter {
        PipeWriter::new()
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.queue.put_end();
        if let Some(hook) = self.on_close.take() {
            hook.into_inner().unwrap_or_else(PoisonError::into_inner)();
        }
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeWriter")
            .field("queue", &self.queue)
            .field("lockstep", &self.waits_until_read)
            .finish_non_exhaustive()
    }
}
