//! The trait of streams whose writing direction can end while the reading direction goes on.
//!
//! Closing as a whole is no operation: a stream closes when it is dropped, also when the task is cancelled
//! or unwinds, and so it never waits. What has to wait before that is what this trait and
//! [`Write::flush`] are for.

use super::{BufWriter, Error, Write};
use crate::task::Cx;

/// A writer whose direction can be ended while the other direction, if there is one, goes on.
///
/// A stream is closed by dropping it. Ending its writing direction first tells the peer that all has been
/// said, and the answer can still be read.
///
/// # Examples
///
/// ```
/// use conbrio::io::{HalfClose, Read, Write};
/// use conbrio::prelude::*;
///
/// /// Says everything, and reads everything that is said in return.
/// fn ask(cx: &mut Cx, peer: &mut (impl Read + HalfClose), question: &[u8]) -> std::io::Result<Vec<u8>> {
///     peer.write_all(cx, question)?;
///     peer.end_write(cx)?;
///     let mut answer = Vec::new();
///     peer.read_to_end(cx, &mut answer)?;
///     Ok(answer)
/// }
/// # conbrio::run(|cx| {
/// #     let (mut left, mut right) = conbrio::testing::streams::duplex();
/// #     cx.nursery(|cx, n| -> std::io::Result<()> {
/// #         n.spawn(move |cx| {
/// #             let mut all = Vec::new();
/// #             right.read_to_end(cx, &mut all)?;
/// #             Ok(right.write_all(cx, &all)?)
/// #         });
/// #         assert_eq!(ask(cx, &mut left, b"echo?")?, b"echo?");
/// #         Ok(())
/// #     })
/// #     .unwrap();
/// # });
/// ```
pub trait HalfClose: Write {
    /// Ends the writing direction: the peer reads what was written, and then the end.
    ///
    /// Writes fail from then on. Ending it again has no effect.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the direction has not ended: call it again.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled), or what the stream has met, as `NotConnected` if the peer has gone.
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error>;
}

impl<W: HalfClose + ?Sized> HalfClose for &mut W {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        (**self).end_write(cx)
    }
}

impl<W: HalfClose + ?Sized> HalfClose for Box<W> {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        (**self).end_write(cx)
    }
}

/// Passes on what is in the buffer first.
impl<W: HalfClose + ?Sized> HalfClose for BufWriter<W> {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), Error> {
        self.flush(cx)?;
        self.get_mut().end_write(cx)
    }
}
