//! A storm of short connections: connect, one request, its answer, close.
//!
//! So many are under way at the same time, and none of them waits in a blocking call.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use super::generator::{AT_ONCE, Visit};

const UNDER_WAY: usize = 16;

pub(crate) struct Storm {
    address: SocketAddr,
    request: &'static [u8],
    epoll: OwnedFd,
}

struct Guest {
    stream: TcpStream,
    begun: Instant,
    has_asked: bool,
}

impl Storm {
    pub(crate) fn new(address: SocketAddr, request: &'static [u8]) -> io::Result<Storm> {
        Ok(Storm { address, request, epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// For the length of `slice`; then lets those that are under way come to their end.
    pub(crate) fn visit(&mut self, slice: Duration) -> io::Result<Visit> {
        let begun = Instant::now();
        let mut guests = Vec::with_capacity(UNDER_WAY);
        for place in 0..UNDER_WAY {
            guests.push(Some(self.come(place)?));
        }
        let mut visit = Visit::default();
        let mut events: Vec<Event> = Vec::with_capacity(UNDER_WAY);
        let mut buf = [0; 4096];
        while guests.iter().any(Option::is_some) {
            let elapsed = begun.elapsed();
            let is_over = elapsed >= slice;
            if is_over && visit.elapsed.is_zero() {
                visit.elapsed = elapsed;
                visit.in_time = visit.in_all;
            }
            if elapsed > slice + Duration::from_secs(10) {
                return Err(io::Error::other("connections have no answer: server stuck"));
            }
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            epoll::wait(&self.epoll, spare, Some(&AT_ONCE))?;
            for event in &events {
                let place = event.data.u64() as usize;
                let Some(guest) = &mut guests[place] else { continue };
                if !guest.goes_on(self.request, &mut buf, &self.epoll, place)? {
                    continue;
                }
                visit.in_all += 1;
                if is_over {
                    guests[place] = None;
                } else {
                    let waited = guest.begun.elapsed().as_nanos();
                    visit.latencies.push(u32::try_from(waited).unwrap_or(u32::MAX));
                    guests[place] = None;
                    guests[place] = Some(self.come(place)?);
                }
            }
        }
        Ok(visit)
    }

    fn come(&self, place: usize) -> io::Result<Guest> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        // Closed by a reset: a port that lingers is not free, and there are 28,000 of them.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        match connect(&socket, &self.address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let data = EventData::new_u64(place as u64);
        epoll::add(&self.epoll, &socket, data, EventFlags::OUT)?;
        Ok(Guest { stream: TcpStream::from(socket), begun: Instant::now(), has_asked: false })
    }
}

impl Guest {
    /// Whether it has its answer.
    fn goes_on(
        &mut self,
        request: &[u8],
        buf: &mut [u8],
        epoll: &OwnedFd,
        place: usize,
    ) -> io::Result<bool> {
        if !self.has_asked {
            self.stream.write_all(request)?;
            self.has_asked = true;
            epoll::modify(epoll, &self.stream, EventData::new_u64(place as u64), EventFlags::IN)?;
            return Ok(false);
        }
        match self.stream.read(buf) {
            Ok(0) => Err(io::Error::other("the server closed a connection without an answer")),
            // A few bytes: they come as one.
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
