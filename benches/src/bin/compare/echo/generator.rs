//! A client that keeps one request under way on each of its connections, and never sleeps.
//!
//! It is written once, on epoll itself, so that no rival's client decides what a server can show.
//! Between two visits nothing is under way: a server that is not being measured has nothing to do.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;

pub(super) struct Generator {
    epoll: OwnedFd,
    streams: Vec<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
    events: Vec<Event>,
}

/// What one visit has seen.
pub(super) struct Visit {
    /// Answers before the slice was over.
    pub(super) in_time: usize,
    /// With those that were still under way then.
    pub(super) in_all: usize,
    pub(super) elapsed: Duration,
}

impl Generator {
    pub(super) fn connect(
        address: SocketAddr,
        connections: usize,
        bytes: usize,
    ) -> io::Result<Generator> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut streams = Vec::with_capacity(connections);
        for index in 0..connections {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN)?;
            streams.push(stream);
        }
        Ok(Generator {
            epoll,
            streams,
            request: vec![b'x'; bytes],
            answer: vec![0; bytes],
            events: Vec::with_capacity(connections),
        })
    }

    /// Asks for the length of `slice`, then collects what is under way.
    pub(super) fn visit(&mut self, slice: Duration) -> io::Result<Visit> {
        let begun = Instant::now();
        for index in 0..self.streams.len() {
            self.ask(index)?;
        }
        let mut under_way = self.streams.len();
        let mut visit = Visit { in_time: 0, in_all: 0, elapsed: Duration::ZERO };
        while under_way > 0 {
            let is_over = begun.elapsed() >= slice;
            if is_over && visit.elapsed.is_zero() {
                visit.elapsed = begun.elapsed();
                visit.in_time = visit.in_all;
            }
            if begun.elapsed() > slice + PATIENCE {
                return Err(io::Error::other(format!(
                    "{under_way} requests have no answer: server stuck"
                )));
            }
            self.poll()?;
            for place in 0..self.events.len() {
                let index = self.events[place].data.u64() as usize;
                if !self.take_answer(index)? {
                    continue;
                }
                visit.in_all += 1;
                if is_over {
                    under_way -= 1;
                } else {
                    self.ask(index)?;
                }
            }
        }
        Ok(visit)
    }

    fn poll(&mut self) -> io::Result<()> {
        self.events.clear();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        epoll::wait(&self.epoll, spare, Some(&at_once))?;
        Ok(())
    }

    fn ask(&mut self, index: usize) -> io::Result<()> {
        // Not blocking: a buffer of the kernel that holds not even one request is an error here.
        (&self.streams[index]).write_all(&self.request)
    }

    /// Whether the answer is there as a whole.
    fn take_answer(&mut self, index: usize) -> io::Result<bool> {
        match (&self.streams[index]).read(&mut self.answer) {
            Ok(bytes) if bytes == self.request.len() => Ok(true),
            Ok(0) => Err(io::Error::other("the server closed a connection")),
            // A server that answers in pieces does other work than the rest.
            Ok(bytes) => {
                Err(io::Error::other(format!("an answer of {bytes} bytes came in pieces")))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Another order in each round, the same in each run.
pub(super) fn shuffle(order: &mut [usize], round: usize) {
    let mut state = (round as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for last in (1..order.len()).rev() {
        // Xorshift: George Marsaglia, "Xorshift RNGs", 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(last, (state % (last as u64 + 1)) as usize);
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
