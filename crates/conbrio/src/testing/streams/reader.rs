//! The end of a memory stream that is read from.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::queue::ByteQueue;
use super::{CloseHook, Hook};
use crate::io::{Error, Read};
use crate::task::Cx;

/// The reading end of a memory stream. Made by [`pipe`](super::pipe) together with the writing end, or by
/// [`new`](PipeReader::new) for a test that puts the bytes in itself.
///
/// Dropping it makes writes fail with `BrokenPipe`, and throws away what was not read.
///
/// # Examples
///
/// ```
/// use conbrio::io::Read;
/// use conbrio::testing::streams::PipeReader;
///
/// conbrio::run(|cx| {
///     let mut input = PipeReader::new();
///     input.queue().put(b"hello").unwrap();
///     input.queue().put_end();
///     let mut text = String::new();
///     input.read_to_string(cx, &mut text).unwrap();
///     assert_eq!(text, "hello");
/// });
/// ```
///
/// Two tasks cannot read at once, because reading takes `&mut`:
///
/// ```compile_fail,E0499
/// use conbrio::io::Read;
/// use conbrio::testing::streams::PipeReader;
///
/// conbrio::run(|cx| {
///     let mut input = PipeReader::new();
///     cx.nursery(|cx, n| -> std::io::Result<()> {
///         n.spawn(|cx| Ok(input.read_exact(cx, &mut [0])?));
///         n.spawn(|cx| Ok(input.read_exact(cx, &mut [0])?));
///         Ok(())
///     })
/// });
/// ```
pub struct PipeReader {
    queue: ByteQueue,
    // Only for `&mut`: the locks make the type `Sync`, so that it can be shared like a socket.
    on_read: Option<Mutex<Hook>>,
    on_close: Option<Mutex<CloseHook>>,
}

impl PipeReader {
    /// A reader without a writer. The test puts in what shall be read: [`queue`](PipeReader::queue).
    #[must_use]
    pub fn new() -> PipeReader {
        PipeReader::of(ByteQueue::new())
    }

    pub(super) fn of(queue: ByteQueue) -> PipeReader {
        PipeReader { queue, on_read: None, on_close: None }
    }

    /// Calls `hook` in each read, before it looks for bytes. It may wait, and may put bytes in. If it
    /// fails or is cancelled, the read does, and nothing was read.
    #[must_use]
    pub fn on_read(
        mut self,
        hook: impl FnMut(&mut Cx) -> Result<(), Error> + Send + 'static,
    ) -> PipeReader {
        self.on_read = Some(Mutex::new(Box::new(hook)));
        self
    }

    /// Calls `hook` when the reader is dropped, after the writer was told of it.
    #[must_use]
    pub fn on_close(mut self, hook: impl FnOnce() + Send + 'static) -> PipeReader {
        self.on_close = Some(Mutex::new(Box::new(hook)));
        self
    }

    /// What is there to be read.
    #[must_use]
    pub fn queue(&self) -> ByteQueue {
        self.queue.clone()
    }
}

impl Read for PipeReader {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, Error> {
        cx.checkpoint()?;
        if let Some(hook) = &mut self.on_read {
            hook.get_mut().unwrap_or_else(PoisonError::into_inner)(cx)?;
        }
        if buf.is_empty() { Ok(0) } else { self.queue.read(cx, buf) }
    }
}

impl Default for PipeReader {
    fn default() -> PipeReader {
        PipeReader::new()
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(hook) = self.on_close.take() {
            hook.into_inner().unwrap_or_else(PoisonError::into_inner)();
        }
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeReader").field("queue", &self.queue).finish_non_exhaustive()
    }
}
