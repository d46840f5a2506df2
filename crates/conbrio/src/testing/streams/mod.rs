//! Streams that exist in memory only, with the test in the place of the network.
//!
//! | For | Trio's name |
//! |---|---|
//! | [`pipe`] | `memory_stream_one_way_pair` |
//! | [`duplex`] | `memory_stream_pair` |
//! | [`lockstep_pipe`] | `lockstep_stream_one_way_pair` |
//! | [`lockstep_duplex`] | `lockstep_stream_pair` |
//! | [`PipeWriter`], [`PipeWriter::on_write`] | `MemorySendStream`, `send_all_hook` |
//! | [`PipeReader`], [`PipeReader::on_read`] | `MemoryReceiveStream`, `receive_some_hook` |
//! | [`ByteQueue::put`], [`ByteQueue::take`], [`ByteQueue::pump`] | `put_data`, `get_data`, `memory_stream_pump` |
//!
//! Both ends may be on different workers. What is written can be read at once: nothing is lost, split or
//! delayed unless a hook or [`pump`](ByteQueue::pump) does it. To check a stream of your own, see
//! [`check_one_way_stream`](super::check_one_way_stream).
//!
//! # Examples
//!
//! ```
//! use conbrio::io::{Read, Write};
//! use conbrio::testing::streams::duplex;
//!
//! conbrio::run(|cx| {
//!     let (mut client, mut server) = duplex();
//!     cx.nursery(|cx, n| -> std::io::Result<()> {
//!         n.spawn(move |cx| {
//!             let mut question = [0; 4];
//!             server.read_exact(cx, &mut question)?;
//!             assert_eq!(&question, b"ping");
//!             Ok(server.write_all(cx, b"pong")?)
//!         });
//!         client.write_all(cx, b"ping")?;
//!         let mut answer = Vec::new();
//!         client.read_to_end(cx, &mut answer)?;
//!         assert_eq!(answer, b"pong");
//!         Ok(())
//!     })
//!     .unwrap();
//! });
//! ```

mod clog;
mod duplex;
mod queue;
mod reader;
mod writer;

pub use clog::clog;
pub use duplex::Duplex;
pub use queue::ByteQueue;
pub use reader::PipeReader;
pub use writer::PipeWriter;

use crate::io::Error;
use crate::task::Cx;

type Hook = Box<dyn FnMut(&mut Cx) -> Result<(), Error> + Send>;
type CloseHook = Box<dyn FnOnce() + Send>;

/// A stream in one direction. Writes never wait: there is no limit to what may be on its way.
#[must_use]
pub fn pipe() -> (PipeWriter, PipeReader) {
    let queue = ByteQueue::new();
    (PipeWriter::of(queue.clone()), PipeReader::of(queue))
}

/// As [`pipe`], but each write waits until all that it wrote was read. A cancelled write takes back what
/// was not.
///
/// It shows who relies on a buffer in between: two sides that both write first wait for ever.
#[must_use]
pub fn lockstep_pipe() -> (PipeWriter, PipeReader) {
    let (writer, reader) = pipe();
    (writer.lockstep(true), reader)
}

/// The two ends of a stream in both directions. Writes never wait.
#[must_use]
pub fn duplex() -> (Duplex, Duplex) {
    crossed(pipe(), pipe())
}

/// As [`duplex`], but each write waits until all that it wrote was read.
#[must_use]
pub fn lockstep_duplex() -> (Duplex, Duplex) {
    crossed(lockstep_pipe(), lockstep_pipe())
}

fn crossed(there: (PipeWriter, PipeReader), back: (PipeWriter, PipeReader)) -> (Duplex, Duplex) {
    (Duplex::new(back.1, there.0), Duplex::new(there.1, back.0))
}
