//! Copying from a reader to a writer.

use super::steps::{checked, is_interrupted};
use super::{Incomplete, Read, Write};
use crate::cancel::OrCancelled;
use crate::task::Cx;

/// Copies all that `reader` yields to `writer`, to the reader's end, and says how many bytes that were.
///
/// Does not [`flush`](Write::flush) the writer. Allocates a buffer of 64 KiB.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes of the reader have been
/// written, and those that were read after them are the error's [`leftover`](Incomplete::leftover): none
/// is lost.
///
/// # Errors
///
/// [`Incomplete`], likewise. Its message says which side failed.
///
/// # Examples
///
/// ```
/// use conbrio::io;
///
/// conbrio::run(|cx| {
///     let mut copied = Vec::new();
///     let count = io::copy(cx, &mut &b"some bytes"[..], &mut copied).unwrap();
///     assert_eq!((count, &copied[..]), (10, &b"some bytes"[..]));
/// });
/// ```
pub fn copy<R, W>(cx: &mut Cx, reader: &mut R, writer: &mut W) -> Result<u64, Incomplete>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    let mut buf = vec![0; BUF_BYTES];
    let mut done = 0;
    loop {
        let count = match reader.read(cx, &mut buf) {
            Ok(0) => return Ok(done),
            Ok(count) => checked(count, buf.len(), "read"),
            Err(error) if is_interrupted(&error) => continue,
            Err(error) => return Err(Incomplete::new("copy: reading", done, error)),
        };
        if let Err(error) = writer.write_all(cx, &buf[..count]) {
            let written = usize::try_from(error.done()).map_or(count, |written| written.min(count));
            done += written as u64;
            let cause: OrCancelled<_> = error.into_cause();
            let leftover = buf[written..count].to_vec();
            return Err(Incomplete::new("copy: writing", done, cause).with_leftover(leftover));
        }
        done += count as u64;
    }
}

/// Large, because it is not on the stack, and what a TCP socket takes at once.
const BUF_BYTES: usize = 64 * 1024;
