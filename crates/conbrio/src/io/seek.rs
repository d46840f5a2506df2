//! The trait of what has a position that can be moved.

use std::io::SeekFrom;

use super::Error;
use crate::task::Cx;

/// Something whose position can be moved: [`std::io::Seek`] for tasks.
///
/// # Examples
///
/// ```
/// use conbrio::fs::File;
/// use conbrio::io::{Read, Seek, SeekFrom};
///
/// conbrio::run(|cx| -> std::io::Result<()> {
///     let mut file = File::open(cx, "Cargo.toml")?;
///     let size = file.seek(cx, SeekFrom::End(0))?;
///     file.rewind(cx)?;
///     let mut text = String::new();
///     assert_eq!(file.read_to_string(cx, &mut text)? as u64, size);
///     Ok(())
/// })
/// .unwrap();
/// ```
pub trait Seek {
    /// Moves the position, and says where it is then, counted from the start.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the position is as before.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled), or why there is no such position. It is as before then.
    fn seek(&mut self, cx: &mut Cx, to: SeekFrom) -> Result<u64, Error>;

    /// Moves the position to the start.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the position is as before.
    ///
    /// # Errors
    ///
    /// As [`seek`](Seek::seek).
    fn rewind(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.seek(cx, SeekFrom::Start(0)).map(drop)
    }

    /// Where the position is, counted from the start.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint.
    ///
    /// # Errors
    ///
    /// As [`seek`](Seek::seek).
    fn stream_position(&mut self, cx: &mut Cx) -> Result<u64, Error> {
        self.seek(cx, SeekFrom::Current(0))
    }
}

impl<S: Seek + ?Sized> Seek for &mut S {
    fn seek(&mut self, cx: &mut Cx, to: SeekFrom) -> Result<u64, Error> {
        (**self).seek(cx, to)
    }
}

impl<S: Seek + ?Sized> Seek for Box<S> {
    fn seek(&mut self, cx: &mut Cx, to: SeekFrom) -> Result<u64, Error> {
        (**self).seek(cx, to)
    }
}
