//! Level-triggered, one thread, no task: what the kernel alone allows.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use conbrio_bench_kit::http::BUF_BYTES;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// Answers each read with `answer`, or with what was read.
pub(crate) fn serve(answer: Option<&'static [u8]>) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut streams = Places::default();
    let mut events = Vec::with_capacity(EVENTS);
    let mut buf = vec![0; BUF_BYTES];
    loop {
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let data = event.data;
            if data.u64() == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                let place = streams.reserve();
                epoll::add(&epoll, &stream, EventData::new_u64(place as u64), EventFlags::IN)?;
                streams.list[place] = Some(stream);
                continue;
            }
            let place = data.u64() as usize;
            let Some(stream) = &mut streams.list[place] else { continue };
            // A client that resets the connection has gone as well.
            match stream.read(&mut buf) {
                Ok(bytes) if bytes > 0 => stream.write_all(answer.unwrap_or(&buf[..bytes]))?,
                _ => streams.give_back(place),
            }
        }
    }
}

/// Streams by number; numbers are used again.
#[derive(Default)]
struct Places {
    list: Vec<Option<TcpStream>>,
    free: Vec<usize>,
}

impl Places {
    fn reserve(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.list.push(None);
            self.list.len() - 1
        })
    }

    fn give_back(&mut self, place: usize) {
        self.list[place] = None;
        self.free.push(place);
    }
}

const EVENTS: usize = 256;
/// No place among the streams.
const LISTENER: u64 = u64::MAX;
