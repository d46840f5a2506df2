//! The loops that turn single steps into whole transfers.
//!
//! They own the accounting: after an error, exactly `done` bytes have been moved, because a step that
//! fails has moved nothing. A step that reports `Interrupted` is repeated; that ends, because every step
//! is a checkpoint.

use std::io;

use super::{Error, Incomplete};
use crate::cancel::OrCancelled;
use crate::task::Cx;

/// Fills `buf` by repeated reads.
pub(crate) fn read_exact(
    cx: &mut Cx,
    buf: &mut [u8],
    mut read: impl FnMut(&mut Cx, &mut [u8]) -> Result<usize, Error>,
) -> Result<(), Incomplete> {
    const NAME: &str = "read_exact";
    let wanted = buf.len();
    let mut done = 0;
    // At least one step, so that an empty buffer is a checkpoint too.
    loop {
        match read(cx, &mut buf[done..]) {
            Ok(0) if done < wanted => {
                let message =
                    format!("the stream ended, and {} more bytes were wanted", wanted - done);
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, message);
                return Err(Incomplete::new(NAME, done as u64, error));
            }
            Ok(count) => done += checked(count, wanted - done, "read"),
            Err(error) if is_interrupted(&error) => continue,
            Err(error) => return Err(Incomplete::new(NAME, done as u64, error)),
        }
        if done == wanted {
            return Ok(());
        }
    }
}

/// Writes all of `data` by repeated writes.
pub(crate) fn write_all(
    cx: &mut Cx,
    data: &[u8],
    mut write: impl FnMut(&mut Cx, &[u8]) -> Result<usize, Error>,
) -> Result<(), Incomplete> {
    const NAME: &str = "write_all";
    let mut done = 0;
    loop {
        match write(cx, &data[done..]) {
            Ok(0) if done < data.len() => {
                let error =
                    io::Error::new(io::ErrorKind::WriteZero, "the writer takes no more bytes");
                return Err(Incomplete::new(NAME, done as u64, error));
            }
            Ok(count) => done += checked(count, data.len() - done, "write"),
            Err(error) if is_interrupted(&error) => continue,
            Err(error) => return Err(Incomplete::new(NAME, done as u64, error)),
        }
        if done == data.len() {
            return Ok(());
        }
    }
}

/// Whether an error of a step says "try again". The operations of this crate never report that.
pub(super) fn is_interrupted(error: &Error) -> bool {
    matches!(error, OrCancelled::Failed(error) if error.kind() == io::ErrorKind::Interrupted)
}

/// A count that an implementation of a trait has reported, which may be wrong.
///
/// # Panics
///
/// If it moved more than there was room for.
#[track_caller]
pub(super) fn checked(count: usize, max: usize, what: &str) -> usize {
    assert!(
        count <= max,
        "a `{what}` of {max} bytes reported {count}: mend the implementation of the trait"
    );
    count
}
