//! The talk with name servers: over UDP, and over TCP where that is too short.
//!
//! The invariant: every question has a socket of its own, with a port that the system draws, and the socket
//! is closed when the question has been answered, given up or cancelled.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;

use hickory_proto::rr::{Name, RecordType};

use super::DnsResolver;
use super::message::{Answer, PAYLOAD_BYTES, Question, Verdict};
use crate::cancel::{OrCancelled, OrTimedOut};
use crate::io::Error;
use crate::net::addrs::context;
use crate::net::{TcpStream, UdpSocket};
use crate::task::Cx;

impl DnsResolver {
    /// Asks one server after the other, as often as it is set, until one answers.
    pub(super) fn ask(&self, cx: &mut Cx, name: &Name, kind: RecordType) -> Result<Answer, Error> {
        let turn = if self.rotates { self.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let mut last = None;
        for _ in 0..self.attempts {
            for offset in 0..self.servers.len() {
                let server = self.servers[turn.wrapping_add(offset) % self.servers.len()];
                let asked =
                    cx.fail_after(self.timeout, |cx| self.ask_server(cx, server, name, kind));
                let error = match asked {
                    Ok(answer) => return Ok(answer),
                    Err(OrTimedOut::Failed(OrCancelled::Failed(error))) => error,
                    Err(OrTimedOut::Failed(cancelled)) => return Err(cancelled),
                    Err(OrTimedOut::TimedOut(_)) => {
                        let message = format!("no answer within {:?}", self.timeout);
                        io::Error::new(io::ErrorKind::TimedOut, message)
                    }
                };
                last = Some(context(format!("name server {server}"), error));
            }
        }
        Err(last.expect("there is a server, and an attempt").into())
    }

    fn ask_server(
        &self,
        cx: &mut Cx,
        server: SocketAddr,
        name: &Name,
        kind: RecordType,
    ) -> Result<Answer, Error> {
        let mut only_tcp = self.only_tcp;
        let mut with_extensions = true;
        // Ends: each round takes something away, and there are two things.
        loop {
            let question = Question::new(name, kind, with_extensions);
            let verdict = match only_tcp {
                true => over_tcp(cx, server, &question)?,
                false => over_udp(cx, server, &question)?,
            };
            match verdict {
                Verdict::Answer(answer) => return Ok(answer),
                Verdict::Truncated if !only_tcp => only_tcp = true,
                Verdict::NoExtensions if with_extensions => with_extensions = false,
                Verdict::Refused(code) => return Err(io::Error::other(code.to_str()).into()),
                Verdict::Truncated | Verdict::NoExtensions | Verdict::Foreign => {
                    let message = "its answer makes no sense";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message).into());
                }
            }
        }
    }
}

/// Waits on if a message comes that is no answer: whoever knows the port can send one.
fn over_udp(cx: &mut Cx, server: SocketAddr, question: &Question) -> Result<Verdict, Error> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let mut socket = UdpSocket::bind(cx, any)?;
    // From now on the system passes on what comes from the server only, and its errors.
    socket.connect(cx, server)?;
    socket.send(cx, &question.bytes()?)?;
    let mut buf = vec![0; usize::from(PAYLOAD_BYTES)];
    loop {
        let count = socket.recv(cx, &mut buf)?;
        match question.judge(&buf[..count]) {
            Verdict::Foreign => {}
            verdict => return Ok(verdict),
        }
    }
}

/// RFC 1035, section 4.2.2: each message with its length before it.
fn over_tcp(cx: &mut Cx, server: SocketAddr, question: &Question) -> Result<Verdict, Error> {
    let mut stream = TcpStream::connect(cx, server)?;
    let bytes = question.bytes()?;
    let length = u16::try_from(bytes.len()).expect("a question is short").to_be_bytes();
    stream.write_all(cx, &[&length[..], &bytes].concat()).map_err(whole)?;
    let mut length = [0; 2];
    stream.read_exact(cx, &mut length).map_err(whole)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(cx, &mut answer).map_err(whole)?;
    Ok(question.judge(&answer))
}

/// How far it got does not matter, since the connection is of no more use.
fn whole(error: crate::io::Incomplete) -> Error {
    error.into_cause()
}
