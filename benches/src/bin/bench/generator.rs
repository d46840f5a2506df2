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

pub(crate) struct Generator {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    request: &'static [u8],
    answer_bytes: usize,
    answer: Vec<u8>,
    events: Vec<Event>,
}

struct Connection {
    stream: TcpStream,
    asked: Instant,
    /// Bytes of the answer that have come.
    filled: usize,
}

/// What one visit has seen.
#[derive(Debug, Default)]
pub(crate) struct Visit {
    /// Answers before the slice was over.
    pub(crate) in_time: usize,
    /// With those that were still under way then.
    pub(crate) in_all: usize,
    pub(crate) elapsed: Duration,
    /// From a request to its answer, in nanoseconds, of all answers in time.
    pub(crate) latencies: Vec<u32>,
}

impl Generator {
    pub(crate) fn connect(
        address: SocketAddr,
        connections: usize,
        request: &'static [u8],
    ) -> io::Result<Generator> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut list = Vec::with_capacity(connections);
        let mut answer_bytes = 0;
        for index in 0..connections {
            let mut stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            // The first exchange says how long an answer is, and that the connection is served.
            answer_bytes = exchange(&mut stream, request)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN)?;
            list.push(Connection { stream, asked: Instant::now(), filled: 0 });
        }
        Ok(Generator {
            epoll,
            connections: list,
            request,
            answer_bytes,
            answer: vec![0; answer_bytes],
            events: Vec::with_capacity(connections),
        })
    }

    /// Asks for the length of `slice`, then collects what is under way.
    pub(crate) fn visit(&mut self, slice: Duration) -> io::Result<Visit> {
        let begun = Instant::now();
        for index in 0..self.connections.len() {
            self.ask(index)?;
        }
        let mut under_way = self.connections.len();
        let mut visit = Visit::default();
        while under_way > 0 {
            let elapsed = begun.elapsed();
            let is_over = elapsed >= slice;
            if is_over && visit.elapsed.is_zero() {
                visit.elapsed = elapsed;
                visit.in_time = visit.in_all;
            }
            if elapsed > slice + PATIENCE {
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
                    let waited = self.connections[index].asked.elapsed().as_nanos();
                    visit.latencies.push(u32::try_from(waited).unwrap_or(u32::MAX));
                    self.ask(index)?;
                }
            }
        }
        Ok(visit)
    }

    fn poll(&mut self) -> io::Result<()> {
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        epoll::wait(&self.epoll, spare, Some(&AT_ONCE))?;
        Ok(())
    }

    fn ask(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.asked = Instant::now();
        connection.filled = 0;
        // Not blocking: a buffer of the kernel that holds not even one request is an error here.
        connection.stream.write_all(self.request)
    }

    /// Whether the answer is there as a whole.
    fn take_answer(&mut self, index: usize) -> io::Result<bool> {
        let connection = &mut self.connections[index];
        match connection.stream.read(&mut self.answer[connection.filled..]) {
            Ok(0) => Err(io::Error::other("the server closed a connection")),
            Ok(bytes) => {
                connection.filled += bytes;
                Ok(connection.filled == self.answer_bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// One request and its answer on a blocking stream: the length of the answer.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<usize> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut buf = [0; 4096];
    loop {
        let bytes = stream.read(&mut buf)?;
        if bytes == 0 {
            return Err(io::Error::other("the server closed a connection at the first request"));
        }
        answer.extend_from_slice(&buf[..bytes]);
        if whole_bytes(&answer, request).is_some_and(|whole| answer.len() >= whole) {
            return Ok(answer.len());
        }
    }
}

/// How long the answer will be, as soon as that is known: as long as the request, or what HTTP's header says.
fn whole_bytes(answer: &[u8], request: &[u8]) -> Option<usize> {
    if !answer.starts_with(b"HTTP/") {
        return Some(request.len());
    }
    let head = &answer[..answer.len().min(HEAD_BYTES_MAX)];
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let head_bytes = text.find("\r\n\r\n")? + 4;
    let (_, length) = text[..head_bytes].split_once("content-length:")?;
    Some(head_bytes + length.lines().next()?.trim().parse::<usize>().ok()?)
}

/// Another order in each round, the same in each run.
pub(crate) fn shuffle(order: &mut [usize], round: usize) {
    let mut state = (round as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for last in (1..order.len()).rev() {
        // Xorshift: George Marsaglia, "Xorshift RNGs", 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(last, (state % (last as u64 + 1)) as usize);
    }
}

pub(crate) const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const PATIENCE: Duration = Duration::from_secs(10);
/// The body of an answer may be long.
const HEAD_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::whole_bytes;

    #[test]
    fn the_length_of_an_answer_is_in_its_header() {
        assert_eq!(whole_bytes(b"xxxx", b"yyyy"), Some(4));
        assert_eq!(whole_bytes(b"HTTP/1.1 200 OK\r\nContent-Le", b""), None);
        assert_eq!(
            whole_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello", b""),
            Some(52)
        );
    }
}
