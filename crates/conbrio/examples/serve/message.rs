//! HTTP/1.1 on the wire: requests from bytes, and responses to be sent.
//!
//! A request that is refused here ends its connection, so that where the next one begins is never in
//! doubt: there are no bodies to skip, and nothing to smuggle a request in (RFC 9112, section 11.2).

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::{ffi::OsStringExt as _, fs::FileExt as _};
use std::path::PathBuf;
use std::time::SystemTime;

use http::header::{self, HeaderMap, HeaderName};
use http::{StatusCode as Status, Version};
use httparse::{Error, Status::Complete, Status::Partial};
use percent_encoding::percent_decode_str;

/// GET or HEAD. In place of a body, which they do not have, it holds the path in the folder, decoded.
pub(crate) type Request = http::Request<PathBuf>;

/// A request and its length, if `bytes` begin with a whole one, or the status of what is wrong.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Status> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(Complete(length)) if length <= HEAD_MAX => length,
        Ok(Partial) if bytes.len() < HEAD_MAX => return Ok(None),
        Ok(_) if parsed.path.is_none_or(|path| path.len() > HEAD_MAX / 2) => {
            Err(Status::URI_TOO_LONG)?
        }
        Ok(_) | Err(Error::TooManyHeaders) => Err(Status::REQUEST_HEADER_FIELDS_TOO_LARGE)?,
        Err(Error::Version) => Err(Status::HTTP_VERSION_NOT_SUPPORTED)?,
        Err(_) => Err(Status::BAD_REQUEST)?,
    };
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let (method, uri) = (parsed.method.unwrap_or(""), parsed.path.unwrap_or(""));
    let mut request = http::Request::builder().version(version).method(method).uri(uri);
    for line in parsed.headers {
        request = request.header(line.name, line.value);
    }
    let request = request.body(()).map_err(|_| Status::BAD_REQUEST)?;
    let count = |name| request.headers().get_all(name).iter().count();
    let hosts = count(header::HOST);
    let length_said = request.headers().get(header::CONTENT_LENGTH).map(|said| said.as_bytes());
    match (method, length_said, count(header::CONTENT_LENGTH), count(header::TRANSFER_ENCODING)) {
        _ if hosts > 1 || (hosts == 0 && version == Version::HTTP_11) => Err(Status::BAD_REQUEST)?,
        ("GET" | "HEAD", None | Some(b"0"), 0 | 1, 0) => {}
        ("GET" | "HEAD", Some([b'1'..=b'9', ..]), 1, 0) => Err(Status::PAYLOAD_TOO_LARGE)?,
        ("GET" | "HEAD", Some(_), ..) => Err(Status::BAD_REQUEST)?,
        ("POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "TRACE" | "CONNECT", ..) => {
            Err(Status::METHOD_NOT_ALLOWED)?
        }
        _ => Err(Status::NOT_IMPLEMENTED)?,
    }
    let path = decode(request.uri().path())?;
    Ok(Some((request.map(|()| path), length)))
}

/// Decodes before it looks at the parts, so that no encoding hides a `..` or a slash.
fn decode(path: &str) -> Result<PathBuf, Status> {
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    // What is no code stays as it is, while each of the others becomes shorter by two.
    let is_valid = decoded.len() + 2 * path.matches('%').count() == path.len();
    if !is_valid || !path.starts_with('/') || decoded.contains(&0) {
        return Err(Status::BAD_REQUEST);
    }
    let parts = decoded.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let parts: Vec<&[u8]> = parts.collect();
    let path = OsString::from_vec(parts.join(&b'/')).into();
    if parts.contains(&&b".."[..]) { Err(Status::FORBIDDEN) } else { Ok(path) }
}

/// The members of a header that is a list. It may come in several lines (RFC 9110, section 5.3).
pub(crate) fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

pub(crate) fn keeps_alive(request: &Request) -> bool {
    let said =
        |word| list(request.headers(), header::CONNECTION).any(|it| it.eq_ignore_ascii_case(word));
    !said("close") && (request.version() == Version::HTTP_11 || said("keep-alive"))
}

/// A status, a head without the empty line at its end, and a body.
pub(crate) struct Response {
    pub(crate) status: Status,
    pub(crate) head: String,
    /// The first part of the body. What follows it is the `rest` of `file`.
    pub(crate) piece: Vec<u8>,
    pub(crate) rest: Range<u64>,
    pub(crate) file: Option<File>,
}

impl Response {
    pub(crate) fn new(status: Status) -> Response {
        let head = format!("HTTP/1.1 {status}\r\n");
        Response { status, head, piece: Vec::new(), rest: 0..0, file: None }
            .with("Date", httpdate::fmt_http_date(SystemTime::now()))
    }

    pub(crate) fn with(mut self, name: &str, value: impl Display) -> Response {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    pub(crate) fn with_text(mut self, kind: &str, text: String) -> Response {
        self.piece = text.into_bytes();
        let length = self.piece.len();
        self.with("Content-Type", format!("{kind}; charset=utf-8")).with("Content-Length", length)
    }

    /// An answer that says no more than its status.
    pub(crate) fn of_status(status: Status) -> Response {
        let response = Response::new(status).with_text("text/plain", format!("{status}\n"));
        match status {
            Status::METHOD_NOT_ALLOWED => response.with("Allow", "GET, HEAD"),
            Status::SERVICE_UNAVAILABLE => response.with("Retry-After", 1),
            _ => response,
        }
    }

    /// Reads the next piece of the file, in place of the last.
    pub(crate) fn read_on(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let left = self.rest.end - self.rest.start;
        self.piece.resize(left.min(PIECE_BYTES) as usize, 0);
        // A file that has shrunk cannot keep what Content-Length has promised: this fails then.
        file.read_exact_at(&mut self.piece, self.rest.start)?;
        self.rest.start += self.piece.len() as u64;
        Ok(())
    }
}

const HEAD_MAX: usize = 16 * 1024;
/// A connection holds no more of a file than this in memory.
const PIECE_BYTES: u64 = 128 * 1024;
