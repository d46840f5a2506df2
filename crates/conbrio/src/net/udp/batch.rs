//! Many datagrams with one system call.

use std::io;
use std::net::SocketAddr;

use conbrio_reactor::op::{self, batch};

use super::UdpSocket;
use crate::io::Error;
use crate::lowlevel::perform;
use crate::task::Cx;

impl UdpSocket {
    /// Receives the datagrams that are there, as many as `batch` has room for and at most 32, and waits only
    /// if there is none. Says how many; what was in `batch` before is gone.
    ///
    /// Costs one system call if there is something. In a simulated run it receives one at a time.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel no datagram was taken, and `batch` is empty.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    ///
    /// # Examples
    ///
    /// ```
    /// use conbrio::net::{DatagramBatch, UdpSocket};
    ///
    /// conbrio::run(|cx| -> std::io::Result<()> {
    ///     let mut server = UdpSocket::bind(cx, "127.0.0.1:0")?;
    ///     let mut client = UdpSocket::bind(cx, "127.0.0.1:0")?;
    ///     let to = server.local_addr()?;
    ///     let sent = client.send_batch(cx, &[("one", to), ("two", to), ("three", to)])?;
    ///     assert_eq!(sent, 3);
    ///
    ///     let mut batch = DatagramBatch::new(32, 1500);
    ///     let mut words = Vec::new();
    ///     while words.len() < sent {
    ///         server.recv_batch(cx, &mut batch)?;
    ///         words.extend(batch.iter().map(|datagram| datagram.data.to_vec()));
    ///     }
    ///     assert_eq!(words, [&b"one"[..], b"two", b"three"]);
    ///     Ok(())
    /// })
    /// .unwrap();
    /// ```
    pub fn recv_batch(&mut self, cx: &mut Cx, batch: &mut DatagramBatch) -> Result<usize, Error> {
        batch.received.clear();
        let DatagramBatch { bytes, each, received } = batch;
        if self.source.is_simulated() {
            let buffer = &mut bytes[..*each];
            let (count, from) = perform(cx, &mut op::RecvFrom::new(&self.source, buffer))?;
            received.push(batch::Received { count, from, is_cut: false });
        } else {
            let step = |source| batch::receive(source, bytes, *each, received);
            perform(cx, &mut op::Step::receive(&self.source, step))?;
        }
        Ok(batch.len())
    }

    /// Sends datagrams, in order, as long as the system has room, and says how many of them: at least one,
    /// and at most 32. Waits only if there is no room for the first. Without datagrams it is only a
    /// checkpoint.
    ///
    /// A shorter count than that of `datagrams` means: call it again with the rest. Costs one system call if
    /// there is room. In a simulated run it sends one at a time.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel nothing was sent.
    ///
    /// # Errors
    ///
    /// What is wrong with the first datagram, as for [`send_to`](UdpSocket::send_to): nothing was sent then.
    /// What is wrong with a later one ends the batch before it, and comes out when that one is the first.
    pub fn send_batch<D: AsRef<[u8]>>(
        &mut self,
        cx: &mut Cx,
        datagrams: &[(D, SocketAddr)],
    ) -> Result<usize, Error> {
        let Some((first, to)) = datagrams.first() else {
            return Ok(cx.checkpoint().map(|()| 0)?);
        };
        if self.source.is_simulated() {
            perform(cx, &mut op::SendTo::new(&self.source, first.as_ref(), *to))?;
            return Ok(1);
        }
        let each = || datagrams.iter().map(|(data, to)| (data.as_ref(), Some(*to)));
        let step = |source| batch::send(source, each());
        perform(cx, &mut op::Step::send(&self.source, step))
    }

    /// Sends the first datagrams of `segment` bytes out of `data`, as many as one system call takes, and says
    /// how many bytes that were.
    pub(super) fn send_pieces(
        &mut self,
        cx: &mut Cx,
        data: &[u8],
        segment: usize,
        to: Option<SocketAddr>,
    ) -> Result<usize, Error> {
        let Some(first) = data.chunks(segment).next() else {
            return Ok(cx.checkpoint().map(|()| 0)?);
        };
        if self.source.is_simulated() {
            return match to {
                Some(to) => perform(cx, &mut op::SendTo::new(&self.source, first, to)),
                None => perform(cx, &mut op::Send::new(&self.source, first)),
            };
        }
        let step = |source| -> io::Result<usize> {
            batch::send(source, data.chunks(segment).map(|piece| (piece, to)))
        };
        let sent = perform(cx, &mut op::Step::send(&self.source, step))?;
        Ok(data.len().min(sent * segment))
    }
}

/// Room for datagrams that are received together, and what they are.
///
/// See [`UdpSocket::recv_batch`].
#[derive(Debug)]
pub struct DatagramBatch {
    bytes: Box<[u8]>,
    /// How many bytes each datagram has room for; it is not zero.
    each: usize,
    /// Of the first datagrams in `bytes`.
    received: Vec<batch::Received>,
}

impl DatagramBatch {
    /// Room for some datagrams, with some bytes for each. What is longer is cut.
    ///
    /// One system call receives at most 32. Allocates all of it: 32 datagrams of 1500 bytes are 48 KiB.
    ///
    /// # Panics
    ///
    /// If either is zero.
    #[track_caller]
    #[must_use]
    pub fn new(datagrams: usize, bytes_each: usize) -> DatagramBatch {
        assert!(
            datagrams > 0 && bytes_each > 0,
            "a batch of {datagrams} datagrams of {bytes_each} bytes: allow at least one of both"
        );
        let datagrams = datagrams.min(batch::AT_ONCE);
        DatagramBatch {
            bytes: vec![0; datagrams * bytes_each].into(),
            each: bytes_each,
            received: Vec::with_capacity(datagrams),
        }
    }

    /// How many datagrams it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Whether it has none, as before the first [`UdpSocket::recv_batch`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// The datagrams, in the order in which they came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Datagram<'_>> {
        let rooms = self.bytes.chunks(self.each);
        self.received.iter().zip(rooms).map(|(received, room)| Datagram {
            data: &room[..received.count],
            from: received.from,
            is_cut: received.is_cut,
        })
    }
}

/// A datagram that was received with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Datagram<'a> {
    /// What it says.
    pub data: &'a [u8],
    /// Who has sent it.
    pub from: SocketAddr,
    /// Whether it was longer than its room; the rest is lost. Always false in a simulated run.
    pub is_cut: bool,
}
