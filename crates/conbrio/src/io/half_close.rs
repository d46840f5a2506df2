//! The trait of streams whose writing direction can end while the reading direction goes on.
//!
//! Closing as a whole is no operation: a stream closes when it is dropped, also when the task is cancelled
//! or unwinds, and so it never waits. What has to wait before that is what this trait and
//! [`Write::flush`] are for.

use super::steps::is_interrupted;
use super::{BufWriter, Error, Read, Write};
use crate::task::Cx;

/// A writer whose direction can be ended while the other direction, if there is one, goes on.
///
/// A stream is closed by dropping it. Ending its writing direction first tells the peer that all has been
/// said, and the answer can still be read. It can be made into an object: `Box<dyn HalfClose>`.
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

    /// Ends the writing direction, and then reads until the peer has ended its own. What it still sends is
    /// thrown away.
    ///
    /// For the end of a connection that the peer may not expect. A TCP stream that is dropped while bytes
    /// of the peer are unread, or before they arrive, resets the connection, and the reset may overtake
    /// what was written last. The peer may take its time, so put a limit around this, as in
    /// `cx.move_on_after(limit, |cx| stream.finish(cx))`.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the writing direction may have ended. It may be called again.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](crate::Cancelled), or what the stream has met.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::io::{HalfClose, Read, Write};
    /// use conbrio::prelude::*;
    /// use std::time::Duration;
    ///
    /// fn refuse(cx: &mut Cx, mut peer: impl Read + HalfClose) -> std::io::Result<()> {
    ///     peer.write_all(cx, b"no more than ten, please\n")?;
    ///     cx.move_on_after(Duration::from_secs(1), |cx| peer.finish(cx))?;
    ///     Ok(())
    /// }
    /// # conbrio::run(|cx| {
    /// #     let (mut left, right) = conbrio::testing::streams::duplex();
    /// #     cx.nursery(|cx, n| -> std::io::Result<()> {
    /// #         n.spawn(move |cx| refuse(cx, right));
    /// #         left.write_all(cx, b"eleven eggs")?;
    /// #         let mut answer = String::new();
    /// #         left.read_to_string(cx, &mut answer)?;
    /// #         assert_eq!(answer, "no more than ten, please\n");
    /// #         Ok(left.end_write(cx)?)
    /// #     })
    /// #     .unwrap();
    /// # });
    /// ```
    fn finish(&mut self, cx: &mut Cx) -> Result<(), Error>
    where
        Self: Read + Sized,
    {
        self.end_write(cx)?;
        let mut buf = [0; FINISH_BYTES];
        loop {
            match self.read(cx, &mut buf) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if is_interrupted(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Small, because it is on the stack of a task.
const FINISH_BYTES: usize = 4 * 1024;

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
