//! The life of a connection: read a request, answer, and again, each within its time.

use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use conbrio::io::{BufReader, HalfClose as _, Write as _};
use conbrio::net::Incoming;
use conbrio::prelude::*;
use headers::HeaderMapExt as _;
use http::{StatusCode as Status, Version};

use super::{Server, request, request::Request, response::Response, stream::Stream};

/// Serves a connection to its end. Fails only if it is cancelled: any other error is the connection's
/// own, and as the error of its task it would cancel all of them.
pub(crate) fn run(cx: &mut Cx, server: &Server, incoming: Incoming) -> io::Result<()> {
    let Incoming { stream, peer, others, .. } = incoming;
    let is_full = others >= server.max_connections;
    server.statistics.connections.fetch_add(1, Relaxed);
    let begun = cx.fail_after(server.timeout, |cx| server.encryption.begin(cx, stream));
    let ended = begun.map_err(io::Error::from).and_then(|stream| {
        // The buffer holds what was not answered yet, and its size is the limit of a head.
        let stream = BufReader::with_capacity(16 * 1024, stream);
        Connection { server, stream, peer, is_full }.converse(cx)
    });
    let Err(error) = ended else { return Ok(()) };
    server.log(format_args!("{peer} {error}"));
    let is_cancelled = error.cancelled().is_some();
    let is_cut_off = is_cancelled || error.kind() == ErrorKind::TimedOut;
    server.statistics.cut_off.fetch_add(is_cut_off.into(), Relaxed);
    if is_cancelled { Err(error) } else { Ok(()) }
}

struct Connection<'a> {
    server: &'a Server,
    stream: BufReader<Stream>,
    peer: std::net::SocketAddr,
    is_full: bool,
}

impl Connection<'_> {
    fn converse(&mut self, cx: &mut Cx) -> io::Result<()> {
        while let Some(request) = self.next(cx)? {
            let began = cx.now();
            let response = match &request {
                Ok(request) => match self.server.answer_at_once(request) {
                    Some(response) => response,
                    None => cx.blocking(|| self.server.answer(request))?,
                },
                Err(status) => Response::from(*status),
            };
            let goes_on = request.as_ref().is_ok_and(keeps_alive) && !cx.shutdown_requested();
            let status = response.status.as_u16();
            let length = self.send(cx, response, goes_on)?;
            self.server.statistics.requests.fetch_add(1, Relaxed);
            let line = request.map(|it| format!("{} {} {:?}", it.method(), it.uri(), it.version()));
            let (line, time) = (line.unwrap_or_default(), cx.now() - began);
            self.server.log(format_args!("{} {line:?} {status} {length} {time:.1?}", self.peer));
            if !goes_on {
                // Closing at once could lose the response on its way (RFC 9112, section 9.6).
                cx.move_on_after(Duration::from_secs(1), |cx| self.stream.get_mut().finish(cx))?;
                break;
            }
        }
        Ok(())
    }

    /// The next request, or the status to refuse it with; `None` if the connection ends without one.
    fn next(&mut self, cx: &mut Cx) -> io::Result<Option<Result<Request, Status>>> {
        let (server, stream) = (self.server, &mut self.stream);
        if self.is_full {
            return Ok(Some(Err(Status::SERVICE_UNAVAILABLE)));
        }
        if stream.buffer().is_empty() {
            // An idle connection ends quietly: after a while, or when the server drains.
            let idle = |cx: &mut Cx| stream.fill_more(cx);
            let first = cx.move_on_shutdown(|cx| cx.move_on_after(server.idle_timeout, idle))?;
            if first.flatten().unwrap_or(0) == 0 {
                return Ok(None);
            }
        }
        let request = cx.move_on_after(server.timeout, |cx| {
            loop {
                match request::take(stream).transpose() {
                    Some(request) => return Ok(request),
                    None if stream.fill_more(cx)? > 0 => {}
                    None => return Err(io::Error::from(ErrorKind::UnexpectedEof)),
                }
            }
        })?;
        server.statistics.cut_off.fetch_add(request.is_none().into(), Relaxed);
        Ok(request.or(Some(Err(Status::REQUEST_TIMEOUT))))
    }

    /// Sends a response piece by piece, and says how long its body was.
    fn send(&mut self, cx: &mut Cx, mut response: Response, goes_on: bool) -> io::Result<u64> {
        let (date, status) = (httpdate::fmt_http_date(SystemTime::now()), response.status);
        let connection = if goes_on { "keep-alive" } else { "close" };
        let lines = format!("Date: {date}\r\nConnection: {connection}\r\n{}", response.headers);
        let head = format!("HTTP/1.1 {status}\r\n{lines}\r\n");
        response.piece.splice(..0, head.bytes());
        let (stream, timeout, mut sent) = (self.stream.get_mut(), self.server.timeout, 0);
        let mut count = |bytes: u64| {
            sent += bytes;
            self.server.statistics.bytes.fetch_add(bytes, Relaxed);
        };
        cx.fail_after(timeout, |cx| stream.write_all(cx, &response.piece))?;
        count(response.piece.len() as u64);
        if let Some((file, mut rest)) = response.rest {
            while !rest.is_empty() {
                // For each piece the time begins anew: a large file may take long, but not stand still. One
                // that has shrunk cannot keep what Content-Length has promised: this fails then.
                let length = PIECE_BYTES.min(rest.end - rest.start);
                cx.fail_after(timeout, |cx| stream.send_file(cx, &file, rest.start, length))?;
                count(length);
                rest.start += length;
            }
        }
        Ok(sent - head.len() as u64)
    }
}

/// How much of a file has to go within the time for a piece.
const PIECE_BYTES: u64 = 256 * 1024;

fn keeps_alive(request: &Request) -> bool {
    let said = request.headers().typed_get::<headers::Connection>();
    let says = |word| said.as_ref().is_some_and(|said| said.contains(word));
    !says("close") && (request.version() == Version::HTTP_11 || says("keep-alive"))
}
