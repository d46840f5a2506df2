//! The life of a connection: read a request, answer, and again, each within its time.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use conbrio::prelude::*;
use headers::HeaderMapExt as _;
use http::{StatusCode as Status, Version};

use crate::request::{self, Request};
use crate::{Server, response::Response};

/// One connection, from its first byte to its last. It borrows the server from the stack of `run`.
pub(crate) struct Connection<'a> {
    pub(crate) server: &'a Server,
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) is_full: bool,
    /// What has been received and not been answered. A client may send requests in advance.
    pub(crate) received: Vec<u8>,
}

impl Connection<'_> {
    /// Serves to the end, or says that the server is full.
    pub(crate) fn run(mut self, cx: &mut Cx) -> io::Result<()> {
        let statistics = &self.server.statistics;
        statistics.connections.fetch_add(1, Relaxed);
        let Err(error) = self.converse(cx) else { return Ok(()) };
        if error.kind() != io::ErrorKind::ConnectionAborted {
            self.server.log(format_args!("{} {error}", self.peer));
        }
        let is_cancelled = error.cancelled().is_some();
        if is_cancelled || error.kind() == io::ErrorKind::TimedOut {
            statistics.cut_off.fetch_add(1, Relaxed);
        }
        // Any other error is this connection's own. As the task's error it would cancel all of them.
        if is_cancelled { Err(error) } else { Ok(()) }
    }

    fn converse(&mut self, cx: &mut Cx) -> io::Result<()> {
        while let Some(request) = self.next(cx)? {
            let began = Instant::now();
            let response = match &request {
                Ok(request) => cx.blocking(|| self.server.answer(request))?,
                Err(status) => Response::from(*status),
            };
            let goes_on = request.as_ref().is_ok_and(keeps_alive) && !cx.shutdown_requested();
            let status = response.status.as_u16();
            let length = self.send(cx, response, goes_on)?;
            self.server.statistics.requests.fetch_add(1, Relaxed);
            let line = request.map(|it| format!("{} {} {:?}", it.method(), it.uri(), it.version()));
            let (line, time) = (line.unwrap_or_default(), began.elapsed());
            self.server.log(format_args!("{} {line:?} {status} {length} {time:.1?}", self.peer));
            if !goes_on {
                return self.say_goodbye(cx);
            }
        }
        Ok(())
    }

    /// The next request, or the status to refuse it with; `None` if the connection was idle for long.
    fn next(&mut self, cx: &mut Cx) -> io::Result<Option<Result<Request, Status>>> {
        if self.is_full {
            return Ok(Some(Err(Status::SERVICE_UNAVAILABLE)));
        }
        if self.received.is_empty() {
            // An idle connection ends quietly: after a while, or when the server drains.
            let idle = self.server.idle_timeout;
            let first = cx.move_on_shutdown(|cx| cx.move_on_after(idle, |cx| self.receive(cx)))?;
            if first.flatten().is_none() {
                return Ok(None);
            }
        }
        let request = cx.move_on_after(self.server.timeout, |cx| {
            loop {
                match request::take(&mut self.received).transpose() {
                    Some(request) => return io::Result::Ok(request),
                    None => self.receive(cx)?,
                }
            }
        })?;
        if request.is_none() {
            self.server.statistics.cut_off.fetch_add(1, Relaxed);
        }
        Ok(request.or(Some(Err(Status::REQUEST_TIMEOUT))))
    }

    /// Receives some bytes, or fails with `ConnectionAborted` if the client has left.
    fn receive(&mut self, cx: &mut Cx) -> io::Result<()> {
        let mut bytes = [0; 4096];
        let count = self.stream.read(cx, &mut bytes)?;
        self.received.extend_from_slice(&bytes[..count]);
        if count > 0 { Ok(()) } else { Err(io::ErrorKind::ConnectionAborted.into()) }
    }

    /// Sends a response piece by piece, and says how long its body was.
    fn send(&mut self, cx: &mut Cx, mut response: Response, goes_on: bool) -> io::Result<usize> {
        let connection = if goes_on { "keep-alive" } else { "close" };
        let (date, status) = (httpdate::fmt_http_date(SystemTime::now()), response.status);
        let lines = format!("{}Date: {date}\r\nConnection: {connection}\r\n", response.headers);
        let head = format!("HTTP/1.1 {status}\r\n{lines}\r\n");
        response.piece.splice(..0, head.bytes());
        let mut sent = 0;
        loop {
            // For each piece the time begins anew: a large file may take long, but not stand still.
            cx.fail_after(self.server.timeout, |cx| self.stream.write_all(cx, &response.piece))?;
            sent += response.piece.len();
            self.server.statistics.bytes.fetch_add(response.piece.len() as u64, Relaxed);
            if response.rest.is_none() {
                return Ok(sent - head.len());
            }
            cx.blocking(|| response.read_on())??;
        }
    }

    /// Closes in such a way that the last response arrives: closing while the peer's bytes are unread
    /// would reset the connection, and the peer could lose what was sent (RFC 9112, section 9.6).
    fn say_goodbye(&mut self, cx: &mut Cx) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        cx.move_on_after(Duration::from_secs(1), |cx| {
            loop {
                self.received.clear();
                self.receive(cx)?;
            }
        })
        .map(|_: Option<()>| ())
    }
}

fn keeps_alive(request: &Request) -> bool {
    let said = request.headers().typed_get::<headers::Connection>();
    let says = |word| said.as_ref().is_some_and(|said| said.contains(word));
    !says("close") && (request.version() == Version::HTTP_11 || says("keep-alive"))
}
