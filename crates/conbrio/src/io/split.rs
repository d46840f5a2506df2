//! The trait of streams whose two directions can be used at once.

use super::{Read, Write};

/// A stream that can be lent out as a half to read from and a half to write to, so that two children can
/// use it at once.
///
/// # Examples
///
/// ```
/// use conbrio::io::{Read, Split, Write};
/// use conbrio::prelude::*;
///
/// /// Sends `data` while it receives as much, so that neither side waits for the other.
/// fn exchange(cx: &mut Cx, stream: &mut impl Split, data: &[u8]) -> std::io::Result<Vec<u8>> {
///     let (mut reader, mut writer) = stream.split();
///     let mut received = vec![0; data.len()];
///     cx.nursery(|cx, n| {
///         n.spawn(move |cx| Ok(writer.write_all(cx, data)?));
///         reader.read_exact(cx, &mut received)?;
///         Ok(())
///     })?;
///     Ok(received)
/// }
/// # conbrio::run(|cx| {
/// #     let (mut left, mut right) = conbrio::testing::streams::lockstep_duplex();
/// #     cx.nursery(|cx, n| -> std::io::Result<()> {
/// #         n.spawn(move |cx| {
/// #             assert_eq!(exchange(cx, &mut right, b"ping")?, b"pong");
/// #             Ok(())
/// #         });
/// #         assert_eq!(exchange(cx, &mut left, b"pong")?, b"ping");
/// #         Ok(())
/// #     })
/// #     .unwrap();
/// # });
/// ```
pub trait Split: Read + Write {
    /// The half to read from.
    type Reader<'a>: Read + Send
    where
        Self: 'a;

    /// The half to write to. Dropping it does not end its direction: the stream is still there.
    type Writer<'a>: Write + Send
    where
        Self: 'a;

    /// Lends out the two halves. The stream is whole again when they are gone.
    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>);
}

impl<S: Split + ?Sized> Split for &mut S {
    type Reader<'a>
        = S::Reader<'a>
    where
        Self: 'a;
    type Writer<'a>
        = S::Writer<'a>
    where
        Self: 'a;

    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
        (**self).split()
    }
}
