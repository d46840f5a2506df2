//! The life of a connection: read a head, answer, and again, each within its time.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use conbrio::net::TcpStream;
use conbrio::prelude::*;
use http::StatusCode;

use crate::Server;
use crate::files::Response;
use crate::request::{self, Request};

/// One connection, from its first byte to its last. It borrows the server from the stack of `run`.
pub(crate) struct Connection<'a> {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) server: &'a Server,
    /// What has been received and not been answered. A client may send requests in advance.
    pub(crate) received: Vec<u8>,
}

impl Connection<'_> {
    /// Serves to the end, or says that the server is full.
    pub(crate) fn run(mut self, cx: &mut Cx, is_full: bool) -> io::Result<()> {
        let statistics = &self.server.statistics;
        statistics.connections.fetch_add(1, Relaxed);
        let outcome = if is_full {
            self.refuse(cx)
        } else {
            self.converse(cx)
        };
        let Err(error) = outcome else { return Ok(()) };
        if error.cancelled().is_some() || error.kind() == io::ErrorKind::TimedOut {
            statistics.cut_off.fetch_add(1, Relaxed);
        }
        self.server.log(format_args!("{} {error}", self.peer));
        match error.cancelled() {
            Some(_) => Err(error),
            // As the task's error it would cancel all the others.
            None => Ok(()),
        }
    }

    fn converse(&mut self, cx: &mut Cx) -> io::Result<()> {
        while let Some(request) = self.next_request(cx)? {
            let began = Instant::now();
            let response = match &request {
                Ok(request) => cx.blocking(|| self.server.folder.answer(request))?,
                Err(status) => Response::of_status(*status),
            };
            let keep_alive = request.as_ref().is_ok_and(|request| request.keep_alive);
            let goes_on = keep_alive && !cx.shutdown_requested();
            let status = response.status;
            let bytes = self.send(cx, response, goes_on)?;
            self.server.statistics.requests.fetch_add(1, Relaxed);
            let line = request.as_ref().map_or("-", |request| &request.line);
            let (peer, time) = (self.peer, began.elapsed());
            self.server.log(format_args!(
                "{peer} {line:?} {} {bytes} {time:.1?}",
                status.as_u16()
            ));
            if !goes_on {
                self.say_goodbye(cx)?;
                return match status {
                    StatusCode::REQUEST_TIMEOUT => Err(io::ErrorKind::TimedOut.into()),
                    _ => Ok(()),
                };
            }
        }
        Ok(())
    }

    fn refuse(&mut self, cx: &mut Cx) -> io::Result<()> {
        self.send(
            cx,
            Response::of_status(StatusCode::SERVICE_UNAVAILABLE),
            false,
        )?;
        self.say_goodbye(cx)
    }

    /// The next request, or the status to refuse it with; `None` if no more will come.
    fn next_request(&mut self, cx: &mut Cx) -> io::Result<Option<Result<Request, StatusCode>>> {
        let limits = &self.server.options;
        if self.received.is_empty() {
            // An idle connection ends quietly: after a while, or when the server drains.
            let first = until_shutdown(cx, |cx| {
                cx.move_on_after(limits.idle, |cx| self.receive(cx))
            })?;
            if first.flatten().is_none_or(|count| count == 0) {
                return Ok(None);
            }
        }
        let whole = cx.move_on_after(limits.head, |cx| -> io::Result<_> {
            loop {
                match request::parse(&self.received) {
                    Ok(None) if self.receive(cx)? == 0 => return Ok(None),
                    Ok(None) => {}
                    Ok(Some((request, length))) => {
                        self.received.drain(..length);
                        return Ok(Some(Ok(request)));
                    }
                    Err(status) => return Ok(Some(Err(status))),
                }
            }
        });
        Ok(whole?.unwrap_or(Some(Err(StatusCode::REQUEST_TIMEOUT))))
    }

    /// Receives some bytes; none at the end of the stream.
    fn receive(&mut self, cx: &mut Cx) -> io::Result<usize> {
        let mut bytes = [0; 4096];
        let count = self.stream.read(cx, &mut bytes)?;
        self.received.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Sends a response piece by piece, and says how many bytes of body that were.
    fn send(&mut self, cx: &mut Cx, response: Response, keep_alive: bool) -> io::Result<u64> {
        let limit = self.server.options.write;
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let head = format!("{}Connection: {connection}\r\n\r\n", response.head);
        let head_bytes = head.len() as u64;
        let mut piece = [head.as_bytes(), &response.bytes].concat();
        let (mut rest, mut sent) = (response.rest, 0);
        loop {
            // For each piece the time begins anew: a large file may take long, but not stand still.
            cx.fail_after(limit, |cx| self.stream.write_all(cx, &piece))?;
            sent += piece.len() as u64;
            self.server
                .statistics
                .bytes
                .fetch_add(piece.len() as u64, Relaxed);
            rest = match rest {
                Some(rest) => cx.blocking(|| rest.read(&mut piece))??,
                None => return Ok(sent - head_bytes),
            };
        }
    }

    /// Closes in such a way that the last response arrives: closing while the peer's bytes are unread
    /// would reset the connection, and the peer could lose what was sent (RFC 9112, section 9.6).
    fn say_goodbye(&mut self, cx: &mut Cx) -> io::Result<()> {
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return Ok(()); // The peer has gone first.
        }
        let farewell = cx.move_on_after(GOODBYE, |cx| -> io::Result<()> {
            while self.receive(cx)? > 0 {
                self.received.clear();
            }
            Ok(())
        });
        farewell.map(drop)
    }
}

/// Runs `f`, and cancels it when a shutdown is requested: then the result is `None`.
fn until_shutdown<R>(
    cx: &mut Cx,
    f: impl FnOnce(&mut Cx) -> io::Result<R>,
) -> io::Result<Option<R>> {
    let outcome = cx.nursery(|cx, n| {
        n.spawn_local(cx, |cx| {
            cx.wait_shutdown()?;
            n.cancel();
            Ok(())
        });
        let result = f(cx);
        n.cancel();
        result
    });
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(NurseryError::Stopped(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

const GOODBYE: Duration = Duration::from_secs(1);
