//! The operations, one per file, each with both of its ways in view: the system call that does not
//! wait, and the request for a back end that performs it.
//!
//! An operation borrows its source and its buffers, so that neither can go away during a wait.

mod accept;
pub mod batch;
mod connect;
mod datagram;
pub mod file;
mod readiness;
mod recv;
mod recv_lent;
mod recv_vectored;
pub mod segments;
mod send;
mod send_vectored;
mod step;

pub use accept::{Accept, AcceptFd};
pub use connect::Connect;
pub use datagram::{RecvFrom, SendTo};
pub use readiness::Readiness;
pub use recv::{Read, Recv};
pub use recv_lent::RecvLent;
pub use recv_vectored::RecvVectored;
pub use send::{Send, Write};
pub use send_vectored::SendVectored;
pub use step::Step;

/// Whether a transfer of `moved` out of `asked` bytes was short. Zero is the end of the stream, or
/// an empty buffer, and says nothing about what comes next.
fn is_short(moved: usize, asked: usize) -> bool {
    0 < moved && moved < asked
}

/// How many buffers one system call takes (`UIO_MAXIOV`, readv(2)); the rest waits for the next.
const BUFFERS_MAX: usize = 1024;
