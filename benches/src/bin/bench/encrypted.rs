//! A client with TLS that never sleeps: connections that stay, or connections of one request each.
//!
//! As the other generators it is written once, on epoll and rustls themselves. Every connection of the second
//! kind does a whole handshake: nothing of an earlier one is used again.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use conbrio_bench_kit::tls::{ANSWER_BYTES_MAX, CERTIFICATE, HOST, KEY, REQUEST_BYTES, request};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::net::sockopt::set_socket_linger;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::generator::{AT_ONCE, Visit};

/// The certificate of all servers.
pub(crate) struct Identity {
    certificate: String,
    key: String,
}

impl Identity {
    pub(crate) fn new() -> io::Result<Identity> {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]);
        let made = made.map_err(io::Error::other)?;
        Ok(Identity { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
    }

    /// What the servers are told.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 2] {
        [(CERTIFICATE, &self.certificate), (KEY, &self.key)]
    }

    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

pub(crate) struct Encrypted {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    epoll: OwnedFd,
    request: [u8; REQUEST_BYTES],
    answer_bytes: usize,
    guests: Vec<Option<Guest>>,
    /// Whether connections stay after an answer.
    is_kept: bool,
    buf: Vec<u8>,
}

struct Guest {
    stream: TcpStream,
    tls: ClientConnection,
    asked: Instant,
    /// Bytes of the answer that have come.
    filled: usize,
}

impl Encrypted {
    /// So many connections that stay, and ask for so many bytes each time.
    pub(crate) fn kept(
        address: SocketAddr,
        identity: &Identity,
        connections: usize,
        answer_bytes: usize,
    ) -> io::Result<Encrypted> {
        let mut client = Encrypted::new(address, identity, connections, answer_bytes)?;
        client.is_kept = true;
        // The first exchange, so that all handshakes are over.
        client.visit(Duration::ZERO)?;
        Ok(client)
    }

    /// A storm of handshakes, with one small request each, so many at a time.
    pub(crate) fn storm(
        address: SocketAddr,
        identity: &Identity,
        connections: usize,
    ) -> io::Result<Encrypted> {
        Encrypted::new(address, identity, connections, REQUEST_BYTES)
    }

    fn new(
        address: SocketAddr,
        identity: &Identity,
        connections: usize,
        answer_bytes: usize,
    ) -> io::Result<Encrypted> {
        Ok(Encrypted {
            address,
            config: identity.config()?,
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            request: request(answer_bytes),
            answer_bytes,
            guests: (0..connections).map(|_| None).collect(),
            is_kept: false,
            buf: vec![0; ANSWER_BYTES_MAX],
        })
    }

    /// Asks for the length of `slice`, then collects what is under way.
    pub(crate) fn visit(&mut self, slice: Duration) -> io::Result<Visit> {
        let begun = Instant::now();
        for place in 0..self.guests.len() {
            self.ask(place)?;
        }
        let mut under_way = self.guests.len();
        let mut visit = Visit::default();
        let mut events: Vec<Event> = Vec::with_capacity(under_way);
        while under_way > 0 {
            let elapsed = begun.elapsed();
            let is_over = elapsed >= slice;
            if is_over && visit.elapsed.is_zero() {
                visit.elapsed = elapsed;
                visit.in_time = visit.in_all;
            }
            if elapsed > slice + PATIENCE {
                let message = format!("{under_way} requests have no answer: server stuck");
                return Err(io::Error::other(message));
            }
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            epoll::wait(&self.epoll, spare, Some(&AT_ONCE))?;
            for event in &events {
                let place = event.data.u64() as usize;
                let Some(guest) = &mut self.guests[place] else { continue };
                if !guest.goes_on(&mut self.buf, self.answer_bytes)? {
                    continue;
                }
                visit.in_all += 1;
                let waited = guest.asked.elapsed().as_nanos();
                if !self.is_kept {
                    self.guests[place] = None;
                }
                if is_over {
                    under_way -= 1;
                } else {
                    visit.latencies.push(u32::try_from(waited).unwrap_or(u32::MAX));
                    self.ask(place)?;
                }
            }
        }
        Ok(visit)
    }

    /// On the connection at `place`, or on a new one if there is none.
    fn ask(&mut self, place: usize) -> io::Result<()> {
        let guest = match &mut self.guests[place] {
            Some(guest) => guest,
            empty => empty.insert(Guest::come(self.address, &self.config, &self.epoll, place)?),
        };
        guest.asked = Instant::now();
        guest.filled = 0;
        // It leaves as soon as the handshake is over.
        guest.tls.writer().write_all(&self.request)?;
        guest.send()
    }
}

impl Guest {
    fn come(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        epoll: &OwnedFd,
        place: usize,
    ) -> io::Result<Guest> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        // Closed by a reset: a port that lingers is not free, and there are 28,000 of them.
        set_socket_linger(&stream, Some(Duration::ZERO))?;
        epoll::add(epoll, &stream, EventData::new_u64(place as u64), EventFlags::IN)?;
        let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
        let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Guest { stream, tls, asked: Instant::now(), filled: 0 })
    }

    fn send(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            // Not blocking: a buffer of the kernel that holds not even one request is an error here.
            self.tls.write_tls(&mut self.stream)?;
        }
        Ok(())
    }

    /// Whether the answer is there as a whole.
    fn goes_on(&mut self, buf: &mut [u8], answer_bytes: usize) -> io::Result<bool> {
        match self.tls.read_tls(&mut self.stream) {
            Ok(0) => return Err(io::Error::other("the server closed a connection")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        let mut ready =
            self.tls.process_new_packets().map_err(io::Error::other)?.plaintext_bytes_to_read();
        self.send()?;
        while ready > 0 {
            let bytes = self.tls.reader().read(buf)?;
            self.filled += bytes;
            ready -= bytes;
        }
        Ok(self.filled == answer_bytes)
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
