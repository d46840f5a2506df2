//! The options of a TCP stream that can be changed while it is connected.

use std::io;
use std::time::Duration;

use socket2::TcpKeepalive;

use super::TcpStream;

impl TcpStream {
    /// Whether small writes are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket().tcp_nodelay()
    }

    /// Whether small writes are sent at once, which is so from the start, or wait until what was sent
    /// before has been acknowledged.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket().set_tcp_nodelay(nodelay)
    }

    /// How many hops a packet to the peer may make (`IP_TTL`, or `IPV6_UNICAST_HOPS`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn ttl(&self) -> io::Result<u32> {
        if self.local_addr()?.is_ipv6() {
            self.socket().unicast_hops_v6()
        } else {
            self.socket().ttl_v4()
        }
    }

    /// How many hops a packet to the peer may make, 1 to 255.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        if self.local_addr()?.is_ipv6() {
            self.socket().set_unicast_hops_v6(ttl)
        } else {
            self.socket().set_ttl_v4(ttl)
        }
    }

    /// How long closing waits until the peer has what was sent (`SO_LINGER`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket().linger()
    }

    /// What closing does with data that was not sent yet. `None`, as at first: it is sent in the
    /// background. Zero: it is thrown away, and the peer sees a reset.
    ///
    /// With any other duration, in whole seconds, *dropping the stream blocks the worker* for up to that
    /// long, with all its tasks. Better: shut down the write half, and read to the end.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket().set_linger(linger)
    }

    /// Whether the system asks a silent peer if it is still there (`SO_KEEPALIVE`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn keepalive(&self) -> io::Result<bool> {
        self.socket().keepalive()
    }

    /// Makes the system ask a peer that was silent for `idle`, in whole seconds, if it is still there, or
    /// stop asking. If it does not answer, reads and writes fail with `TimedOut`.
    ///
    /// The interval and number of the questions: `socket2::SockRef::from(&stream)`.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says; `InvalidInput` for an idle time of less than a second.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        match idle {
            None => self.socket().set_keepalive(false),
            Some(idle) => self.socket().set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
        }
    }

    /// How often a peer that does not answer is asked, after the idle time of
    /// [`set_keepalive`](TcpStream::set_keepalive), and how often in vain before the connection is given up. Turns the questions on.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says; `InvalidInput` for an interval of less than a second.
    pub fn set_keepalive_probes(&self, interval: Duration, probes: u32) -> io::Result<()> {
        let keepalive = TcpKeepalive::new().with_interval(interval).with_retries(probes);
        self.socket().set_tcp_keepalive(&keepalive)
    }

    /// How long sent data may stay without an answer before the connection is given up
    /// (`TCP_USER_TIMEOUT`); `None` is the system's patience, some 15 minutes.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.socket().tcp_user_timeout()?.filter(|timeout| !timeout.is_zero()))
    }

    /// How long sent data may stay without an answer before the connection is given up, in whole
    /// milliseconds. Reads and writes then fail with `TimedOut`.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket().set_tcp_user_timeout(timeout)
    }

    /// Whether what comes is acknowledged at once (`TCP_QUICKACK`).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn quickack(&self) -> io::Result<bool> {
        self.socket().tcp_quickack()
    }

    /// Whether what comes is acknowledged at once, or with the next data that goes the other way. The system
    /// changes it by itself as it sees fit: set it again where it matters.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.socket().set_tcp_quickack(quickack)
    }

    /// How many bytes that the peer has not acknowledged the system keeps (`SO_SNDBUF`). On Linux that counts
    /// its own bookkeeping as well, is twice what was set, and grows by itself until it is set.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        self.socket().send_buffer_size()
    }

    /// How many bytes that the peer has not acknowledged the system should keep. It takes at most
    /// `net.core.wmem_max`, and no longer adapts it to the connection: rarely worth it.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.socket().set_send_buffer_size(bytes)
    }

    /// How many bytes that nobody has read the system keeps (`SO_RCVBUF`), counted as in
    /// [`send_buffer_size`](TcpStream::send_buffer_size).
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        self.socket().recv_buffer_size()
    }

    /// How many bytes that nobody has read the system should keep. It takes at most `net.core.rmem_max`, and
    /// no longer adapts it to the connection.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.socket().set_recv_buffer_size(bytes)
    }
}
