//! Checks for streams that are not made here: one function for each kind of stream, which panics and names
//! the rule that is broken.
//!
//! Owns the rules. What Rust's types see to is not among them: two tasks cannot read at once or write at
//! once, because that takes `&mut`, and what was closed cannot be used, because closing is dropping.
//!
//! Two tasks do not read at once; with writers it is the same:
//!
//! ```compile_fail,E0499
//! # use conbrio::{prelude::*, testing::streams};
//! # conbrio::run(|cx| {
//! let (_writer, mut reader) = streams::pipe();
//! cx.nursery(|_, n| -> std::io::Result<()> {
//!     n.spawn(|cx| Ok(reader.read(cx, &mut [0]).map(drop)?));
//!     n.spawn(|cx| Ok(reader.read(cx, &mut [0]).map(drop)?));
//!     Ok(())
//! })
//! # });
//! ```
//!
//! Nobody uses a stream, or closes it, that was closed:
//!
//! ```compile_fail,E0382
//! # use conbrio::{prelude::*, testing::streams};
//! # conbrio::run(|cx| {
//! let (mut writer, _reader) = streams::pipe();
//! drop(writer);
//! writer.write_all(cx, b"x")
//! # });
//! ```
//!
//! And nobody closes a stream that another task uses:
//!
//! ```compile_fail,E0505
//! # use conbrio::{prelude::*, testing::streams};
//! # conbrio::run(|cx| {
//! let (_writer, mut reader) = streams::pipe();
//! cx.nursery(|_, n| -> std::io::Result<()> {
//!     n.spawn(|cx| Ok(reader.read(cx, &mut [0]).map(drop)?));
//!     drop(reader);
//!     Ok(())
//! })
//! # });
//! ```

// spec: check_streams.one_way_double_receive, check_streams.one_way_close_repeatable
// spec: check_streams.one_way_closed_for_own_side, check_streams.one_way_close_wakes_receive
// spec: check_streams.one_way_clogged_busy, check_streams.one_way_own_close_wakes_send
// spec: check_streams.half_close_busy

mod cancelling;
mod clogged;
mod closing;
mod half_closeable;
mod one_way;
mod rule;
mod steps;
mod two_way;

use crate::cancel::Cancelled;
use crate::io::{HalfClose, Read, Split, Write};
use crate::task::Cx;

/// Checks a kind of stream that has one direction: that bytes arrive whole and in order, that each call is
/// a checkpoint and has no effect if it is cancelled, at whatever moment, that dropping one side tells the
/// other, and more. The rule that is broken is in the message of the panic.
///
/// `make` connects a new pair, for each rule its own. Bytes that were written and flushed must reach the
/// reader without anything else being done. A writer may keep bytes back until
/// [`flush`](Write::flush), and may wait until they were read.
///
/// Takes a few milliseconds for streams in memory. A stream that does not wake whom it should breaks a
/// rule after a minute by the clock of the runtime: with a [`MockClock`](super::MockClock) that jumps
/// that takes no time. (Do not let it jump at once when there is real I/O, which takes real time.)
///
/// # Cancellation
///
/// Always a checkpoint. On cancel the rest was not checked.
///
/// # Panics
///
/// If a rule is broken, and if the stream or `make` panics.
///
/// # Examples
///
/// A stream that counts what passes:
///
/// ```
/// use conbrio::io::{self, Write};
/// use conbrio::prelude::*;
/// use conbrio::testing::{check_one_way_stream, streams};
///
/// struct Counting<W> {
///     writer: W,
///     count: u64,
/// }
///
/// impl<W: Write> Write for Counting<W> {
///     fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, io::Error> {
///         let written = self.writer.write(cx, data)?;
///         self.count += written as u64;
///         Ok(written)
///     }
///
///     fn flush(&mut self, cx: &mut Cx) -> Result<(), io::Error> {
///         self.writer.flush(cx)
///     }
/// }
///
/// conbrio::run(|cx| {
///     check_one_way_stream(cx, |_| {
///         let (writer, reader) = streams::pipe();
///         (Counting { writer, count: 0 }, reader)
///     })
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn check_one_way_stream<W, R>(
    cx: &mut Cx,
    mut make: impl FnMut(&mut Cx) -> (W, R),
) -> Result<(), Cancelled>
where
    W: Write + Send,
    R: Read + Send,
{
    let checked = one_way::check(cx, &mut make);
    rule::verdict("check_one_way_stream", checked)
}

/// Checks a kind of stream that has two directions: each as
/// [`check_one_way_stream`], and both together.
///
/// `make` connects a new pair, for each rule its own.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel the rest was not checked.
///
/// # Panics
///
/// If a rule is broken, and if the stream or `make` panics.
///
/// # Examples
///
/// ```
/// use conbrio::testing::{check_two_way_stream, streams};
///
/// conbrio::run(|cx| check_two_way_stream(cx, |_| streams::duplex())).unwrap();
/// ```
#[track_caller]
pub fn check_two_way_stream<S>(
    cx: &mut Cx,
    mut make: impl FnMut(&mut Cx) -> (S, S),
) -> Result<(), Cancelled>
where
    S: Split + Send,
{
    let checked = two_way::check(cx, &mut make);
    rule::verdict("check_two_way_stream", checked)
}

/// Checks a kind of stream whose writing direction can end before it is closed: all of
/// [`check_two_way_stream`], and [`HalfClose`].
///
/// `make` connects a new pair, for each rule its own.
///
/// # Cancellation
///
/// Always a checkpoint. On cancel the rest was not checked.
///
/// # Panics
///
/// If a rule is broken, and if the stream or `make` panics.
///
/// # Examples
///
/// ```
/// use conbrio::prelude::*;
/// use conbrio::testing::check_half_closeable_stream;
///
/// conbrio::run(|cx| {
///     check_half_closeable_stream(cx, |cx| {
///         let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
///         let address = listener.local_addr().unwrap();
///         let client = TcpStream::connect(cx, address).unwrap();
///         (client, listener.accept(cx).unwrap().0)
///     })
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn check_half_closeable_stream<S>(
    cx: &mut Cx,
    mut make: impl FnMut(&mut Cx) -> (S, S),
) -> Result<(), Cancelled>
where
    S: Split + HalfClose + Send,
{
    let checked = half_closeable::check(cx, &mut make);
    rule::verdict("check_half_closeable_stream", checked)
}

/// Checks what a writer does that has to wait: that reading lets it go on, that a cancelled write had no
/// effect or says which, that it learns when the reader is dropped.
///
/// `make` connects a new pair, for each rule its own, whose next write (or flush) has to wait until the
/// other side reads: see [`streams::clog`](super::streams::clog).
///
/// # Cancellation
///
/// Always a checkpoint. On cancel the rest was not checked.
///
/// # Panics
///
/// If a rule is broken, and if the stream or `make` panics.
///
/// # Examples
///
/// ```
/// use conbrio::testing::{check_clogged_stream, streams};
///
/// conbrio::run(|cx| check_clogged_stream(cx, |_| streams::lockstep_pipe())).unwrap();
/// ```
#[track_caller]
pub fn check_clogged_stream<W, R>(
    cx: &mut Cx,
    mut make: impl FnMut(&mut Cx) -> (W, R),
) -> Result<(), Cancelled>
where
    W: Write + Send,
    R: Read + Send,
{
    let checked = clogged::check(cx, &mut make);
    rule::verdict("check_clogged_stream", checked)
}
