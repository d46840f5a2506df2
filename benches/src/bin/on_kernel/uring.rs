//! One thread on a ring, without a runtime: one-shot receives and sends, all submissions of a turn in one call.
//!
//! Each connection has one operation under way, receive or send, and one buffer, which nobody else touches until
//! the kernel has answered.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};

use conbrio_bench_kit::http::BUF_BYTES;
use io_uring::{IoUring, opcode, squeue, types::Fd};

struct Connection {
    stream: TcpStream,
    buf: Box<[u8; BUF_BYTES]>,
    /// What is under way: a send if it is not zero, of so many bytes; a receive otherwise.
    to_send: usize,
    sent: usize,
}

pub(crate) fn serve() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    let mut ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_cqsize(8192)
        .build(2048)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut next = vec![accept(&listener)];
    let mut completed = Vec::new();
    loop {
        for entry in next.drain(..) {
            push(&mut ring, &entry)?;
        }
        ring.submit_and_wait(1)?;
        completed.extend(ring.completion().map(|entry| (entry.user_data(), entry.result())));
        for (place, result) in completed.drain(..) {
            if place == LISTENER {
                // A client that has given up before it was accepted is no fault of the server.
                if result >= 0 {
                    // SAFETY: the kernel has just made this descriptor for us, and nobody else has it.
                    let stream = unsafe { TcpStream::from_raw_fd(result) };
                    stream.set_nodelay(true)?;
                    let place = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    let buf = Box::new([0; BUF_BYTES]);
                    let mut connection = Connection { stream, buf, to_send: 0, sent: 0 };
                    next.push(connection.receive(place));
                    connections[place] = Some(connection);
                }
                next.push(accept(&listener));
                continue;
            }
            let place = place as usize;
            let Some(connection) = &mut connections[place] else { continue };
            match connection.after(place, result) {
                Some(entry) => next.push(entry),
                None => {
                    connections[place] = None;
                    free.push(place);
                }
            }
        }
    }
}

impl Connection {
    /// The next operation, or none if the connection has ended.
    fn after(&mut self, place: usize, result: i32) -> Option<squeue::Entry> {
        let bytes = usize::try_from(result).ok().filter(|bytes| *bytes > 0)?;
        if self.to_send == 0 {
            (self.to_send, self.sent) = (bytes, 0);
            return Some(self.send(place));
        }
        self.sent += bytes;
        if self.sent < self.to_send {
            return Some(self.send(place));
        }
        self.to_send = 0;
        Some(self.receive(place))
    }

    fn receive(&mut self, place: usize) -> squeue::Entry {
        let fd = Fd(self.stream.as_raw_fd());
        opcode::Recv::new(fd, self.buf.as_mut_ptr(), BUF_BYTES as u32)
            .build()
            .user_data(place as u64)
    }

    fn send(&mut self, place: usize) -> squeue::Entry {
        let rest = &self.buf[self.sent..self.to_send];
        let fd = Fd(self.stream.as_raw_fd());
        opcode::Send::new(fd, rest.as_ptr(), rest.len() as u32).build().user_data(place as u64)
    }
}

fn accept(listener: &TcpListener) -> squeue::Entry {
    let fd = Fd(listener.as_raw_fd());
    let nowhere = (std::ptr::null_mut(), std::ptr::null_mut());
    opcode::Accept::new(fd, nowhere.0, nowhere.1).build().user_data(LISTENER)
}

fn push(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<()> {
    loop {
        // SAFETY: the buffer of the entry belongs to a connection that stays until its operation has completed,
        // and that has no other one.
        if unsafe { ring.submission().push(entry) }.is_ok() {
            return Ok(());
        }
        ring.submit()?;
    }
}

/// No place among the connections.
const LISTENER: u64 = u64::MAX;
