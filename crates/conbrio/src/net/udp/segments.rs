//! Many datagrams of one size to one receiver, or from one sender, as one buffer.

use std::net::SocketAddr;

use conbrio_reactor::op::{self, segments};

use super::UdpSocket;
use crate::cancel::OrCancelled;
use crate::io::{Error, Incomplete};
use crate::lowlevel::perform;
use crate::task::Cx;

impl UdpSocket {
    /// Sends `data` to the peer as datagrams of `segment_bytes` each, of which the last may be shorter.
    ///
    /// Where the kernel can, it cuts the data itself (`UDP_SEGMENT`, Linux 4.18), up to 64 segments with one
    /// system call, which saves most of the work; where it cannot, the datagrams go as a batch.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes have been sent, in whole
    /// datagrams, and the rest has not.
    ///
    /// # Errors
    ///
    /// [`Incomplete`], with the count. What can be wrong is as for [`send`](UdpSocket::send).
    ///
    /// # Panics
    ///
    /// If `segment_bytes` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::net::UdpSocket;
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let mut receiver = UdpSocket::bind(cx, "127.0.0.1:0")?;
    ///     let mut sender = UdpSocket::bind(cx, "127.0.0.1:0")?;
    ///     sender.connect(cx, receiver.local_addr()?)?;
    ///     sender.send_segments(cx, b"onetwothr", 3)?;
    ///
    ///     receiver.set_joining(true)?;
    ///     let (mut buf, mut words) = (vec![0; 65536], Vec::new());
    ///     while words.len() < 3 {
    ///         let segments = receiver.recv_segments(cx, &mut buf)?;
    ///         words.extend(segments.of(&buf).map(|word| word.to_vec()));
    ///     }
    ///     assert_eq!(words, [b"one", b"two", b"thr"]);
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    #[track_caller]
    pub fn send_segments(
        &mut self,
        cx: &mut Cx,
        data: &[u8],
        segment_bytes: usize,
    ) -> Result<(), Incomplete> {
        assert!(segment_bytes > 0, "segments of 0 bytes: make them 1 byte at least");
        self.send_all_segments(cx, data, segment_bytes, None)
    }

    /// As [`send_segments`](UdpSocket::send_segments), to `address`.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel, the first [`done`](Incomplete::done) bytes have been sent, in whole
    /// datagrams, and the rest has not.
    ///
    /// # Errors
    ///
    /// As [`send_segments`](UdpSocket::send_segments).
    ///
    /// # Panics
    ///
    /// If `segment_bytes` is zero.
    #[track_caller]
    pub fn send_segments_to(
        &mut self,
        cx: &mut Cx,
        data: &[u8],
        segment_bytes: usize,
        address: SocketAddr,
    ) -> Result<(), Incomplete> {
        assert!(segment_bytes > 0, "segments of 0 bytes: make them 1 byte at least");
        self.send_all_segments(cx, data, segment_bytes, Some(address))
    }

    fn send_all_segments(
        &mut self,
        cx: &mut Cx,
        data: &[u8],
        segment: usize,
        to: Option<SocketAddr>,
    ) -> Result<(), Incomplete> {
        let mut done = 0;
        let mut cuts = !self.source.is_simulated() && segments::can_send(&self.source);
        // At least one step, so that no data is a checkpoint too.
        loop {
            let rest = &data[done..];
            let sent = match piece_of(rest, segment).filter(|_| cuts) {
                Some((piece, segment)) => match self.send_cut(cx, piece, segment, to) {
                    // A segment that is longer than a packet may be, or a device that cannot: one by one.
                    Err(OrCancelled::Failed(error)) if is_about_cutting(&error) => {
                        cuts = false;
                        continue;
                    }
                    sent => sent,
                },
                None => self.send_pieces(cx, rest, segment, to),
            };
            done += sent.map_err(|error| Incomplete::new("send_segments", done as u64, error))?;
            if done == data.len() {
                return Ok(());
            }
        }
    }

    fn send_cut(
        &mut self,
        cx: &mut Cx,
        piece: &[u8],
        segment: u16,
        to: Option<SocketAddr>,
    ) -> Result<usize, Error> {
        let step = |source| segments::send(source, piece, segment, to);
        perform(cx, &mut op::Step::send(&self.source, step))
    }

    /// Asks the kernel to join datagrams of one size and sender (`UDP_GRO`, Linux 5.0), and says whether it
    /// can; at first it does not.
    ///
    /// From then on receive with [`recv_segments`](UdpSocket::recv_segments) only: nothing else says where
    /// one datagram ends and the next begins.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says, besides that it cannot.
    pub fn set_joining(&self, on: bool) -> std::io::Result<bool> {
        if self.source.is_simulated() {
            return Ok(false);
        }
        match segments::set_joining(&self.source, on) {
            Ok(()) => Ok(on),
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Receives one datagram, or, if [`set_joining`](UdpSocket::set_joining) has asked for it, as many of
    /// one sender as the kernel has joined. What does not fit into `buf` is lost: 64 KiB are enough
    /// for all, and too much for the stack of a task.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no datagram was taken.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn recv_segments(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<Segments, Error> {
        if self.source.is_simulated() {
            let (count, from) = perform(cx, &mut op::RecvFrom::new(&self.source, buf))?;
            return Ok(Segments { count, segment_bytes: count, from });
        }
        let step = |source| segments::receive(source, buf);
        let received = perform(cx, &mut op::Step::receive(&self.source, step))?;
        let segments::Received { count, segment, from } = received;
        Ok(Segments { count, segment_bytes: segment, from })
    }
}

/// The part of `data` that goes with one system call, and the length of its segments. `None` if there would
/// be no more than one of them: that is what other calls are for.
fn piece_of(data: &[u8], segment: usize) -> Option<(&[u8], u16)> {
    let most = (segments::BYTES_MAX / segment).min(segments::SEGMENTS_MAX);
    let piece = &data[..data.len().min(most * segment)];
    let segment = u16::try_from(segment).ok()?;
    (piece.len() > usize::from(segment)).then_some((piece, segment))
}

/// `EIO` comes of a route that computes no checksums, `EINVAL` of a segment that does not fit into a packet.
fn is_about_cutting(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP | libc::ENOPROTOOPT)
    )
}

/// Datagrams of one sender that were received as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segments {
    /// How many bytes of the buffer they fill.
    pub count: usize,
    /// How long each of them is; the last may be shorter.
    pub segment_bytes: usize,
    /// Who has sent them.
    pub from: SocketAddr,
}

impl Segments {
    /// The datagrams in the buffer that they were received into. There is one at least, perhaps empty.
    ///
    /// # Panics
    ///
    /// If `buf` is shorter than what was received.
    #[track_caller]
    pub fn of<'a>(&self, buf: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        assert!(
            self.count <= buf.len(),
            "{} bytes were received, and the buffer has {}: take the one they were received into",
            self.count,
            buf.len()
        );
        let bytes = &buf[..self.count];
        let empty = bytes.is_empty().then_some(bytes);
        empty.into_iter().chain(bytes.chunks(self.segment_bytes.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_as_long_as_one_call_allows() {
        let data = vec![0; 200_000];
        assert_eq!(piece_of(&data[..100], 100), None);
        assert_eq!(piece_of(&data[..101], 100).unwrap().0.len(), 101);
        assert_eq!(piece_of(&data, 100).unwrap().0.len(), 6400);
        assert_eq!(piece_of(&data, 1200).unwrap().0.len(), 54 * 1200);
        assert_eq!(piece_of(&data, 40_000), None);
        assert_eq!(piece_of(&data, 70_000), None);
    }
}
