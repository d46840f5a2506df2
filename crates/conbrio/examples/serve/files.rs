//! From a request to a response: finds the file, weighs the conditions, picks the range.
//!
//! Nothing here knows of tasks. It may block, so it runs in `cx.blocking`.

use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use httpdate::{fmt_http_date, parse_http_date};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::request::Request;

/// A status, a head, and a body that is in memory up to its first piece.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    /// Whole lines, without the empty one at the end.
    pub(crate) head: String,
    pub(crate) bytes: Vec<u8>,
    /// What follows `bytes`.
    pub(crate) rest: Option<Rest>,
}

/// A part of a file that is still to be sent.
pub(crate) struct Rest {
    file: File,
    range: Range<u64>,
}

impl Rest {
    /// Reads the next piece into `bytes`, in place of what was there. `None` if it was the last.
    pub(crate) fn read(mut self, bytes: &mut Vec<u8>) -> io::Result<Option<Rest>> {
        let left = self.range.end - self.range.start;
        bytes.resize(left.min(PIECE_BYTES) as usize, 0);
        // A file that has shrunk cannot keep what Content-Length has promised: this fails then.
        self.file.read_exact_at(bytes, self.range.start)?;
        self.range.start += bytes.len() as u64;
        Ok(Some(self).filter(|rest| !rest.range.is_empty()))
    }
}

impl Response {
    fn new(status: StatusCode) -> Response {
        let head = format!("HTTP/1.1 {status}\r\n");
        let response = Response {
            status,
            head,
            bytes: Vec::new(),
            rest: None,
        };
        response.with("Date", fmt_http_date(SystemTime::now()))
    }

    fn with(mut self, name: &str, value: impl Display) -> Response {
        write!(self.head, "{name}: {value}\r\n").expect("a string takes all");
        self
    }

    fn with_text(self, kind: &str, text: String) -> Response {
        let mut response = self.with("Content-Type", format_args!("{kind}; charset=utf-8"));
        response.bytes = text.into_bytes();
        let length = response.bytes.len();
        response.with("Content-Length", length)
    }

    /// An answer that says no more than its status.
    pub(crate) fn of_status(status: StatusCode) -> Response {
        let response = Response::new(status).with_text("text/plain", format!("{status}\n"));
        match status {
            StatusCode::METHOD_NOT_ALLOWED => response.with("Allow", "GET, HEAD"),
            StatusCode::SERVICE_UNAVAILABLE => response.with("Retry-After", 1),
            _ => response,
        }
    }
}

/// The folder that is served.
pub(crate) struct Folder {
    fd: OwnedFd,
    resolve: ResolveFlags,
}

impl Folder {
    pub(crate) fn open(path: &Path, follow_symlinks: bool) -> io::Result<Folder> {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| io::Error::other(format!("open {}: {error}", path.display())))?;
        // With `BENEATH` the kernel refuses, link by link, whatever leads out: openat2(2). A check of
        // the path before it is opened could be outrun by somebody who moves folders meanwhile.
        let mut resolve = ResolveFlags::NO_MAGICLINKS;
        resolve.set(ResolveFlags::BENEATH, !follow_symlinks);
        Ok(Folder { fd, resolve })
    }

    /// The response to a request, whatever goes wrong.
    pub(crate) fn answer(&self, request: &Request) -> Response {
        let answer = self.find(request);
        let mut answer = answer.unwrap_or_else(|error| Response::of_status(status_of(&error)));
        if request.is_head {
            answer.bytes.clear();
        }
        answer
    }

    fn find(&self, request: &Request) -> io::Result<Response> {
        let found = self.open_at(&request.path)?;
        match (found.metadata()?.is_dir(), request.ends_in_slash) {
            (false, false) => of_file(found, &request.path, request),
            (false, true) => Ok(Response::of_status(StatusCode::NOT_FOUND)),
            (true, false) => {
                let path = encode(request.path.as_os_str().as_bytes());
                let location = format!("/{path}/{}", request.query);
                Ok(Response::of_status(StatusCode::MOVED_PERMANENTLY).with("Location", location))
            }
            (true, true) => {
                let index = request.path.join("index.html");
                match self.open_at(&index) {
                    Ok(file) => of_file(file, &index, request),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        listing(&found, request)
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    fn open_at(&self, path: &Path) -> io::Result<File> {
        let path = Path::new(".").join(path);
        // `NONBLOCK`, because the open of a named pipe would wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), self.resolve)?.into())
    }
}

/// The file, a part of it, or word that the client has it already (RFC 9110, section 13.2.2).
fn of_file(file: File, path: &Path, request: &Request) -> io::Result<Response> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Response::of_status(StatusCode::FORBIDDEN));
    }
    let length = metadata.len();
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    let tag = format!("\"{seconds:x}.{nanoseconds:x}-{length:x}\"");
    // HTTP knows whole seconds, and no times before 1970 or in the future.
    let since_1970 = Duration::from_secs(seconds.try_into().unwrap_or(0));
    let modified = (UNIX_EPOCH + since_1970).min(SystemTime::now());
    let date = fmt_http_date(modified);
    let is_same = |known: &str| known.trim().trim_start_matches("W/") == tag || known.trim() == "*";
    let is_known = match (&request.if_none_match, &request.if_modified_since) {
        (Some(tags), _) => tags.split(',').any(is_same),
        (None, Some(since)) => parse_http_date(since).is_ok_and(|since| modified <= since),
        (None, None) => false,
    };
    let applies = |known: &String| *known == tag || *known == date;
    let may_be_part = !request.is_head && request.if_range.as_ref().is_none_or(applies);
    let range = request.range.as_ref().filter(|_| may_be_part);
    let (response, range) = match range.and_then(|range| part_of(range, length)) {
        _ if is_known => (Response::new(StatusCode::NOT_MODIFIED), 0..0),
        Some(part) if part.is_empty() => {
            let refused = Response::of_status(StatusCode::RANGE_NOT_SATISFIABLE);
            return Ok(refused.with("Content-Range", format_args!("bytes */{length}")));
        }
        Some(part) => {
            let described = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            let response = Response::new(StatusCode::PARTIAL_CONTENT);
            (response.with("Content-Range", described), part)
        }
        None => (Response::new(StatusCode::OK), 0..length),
    };
    let mut response = response.with("ETag", tag).with("Last-Modified", date);
    if !is_known {
        let kind = mime_guess::from_path(path).first_or_octet_stream();
        let is_text = kind.type_() == "text";
        response = response
            .with(
                "Content-Type",
                format_args!("{kind}{}", if is_text { "; charset=utf-8" } else { "" }),
            )
            .with("Content-Length", range.end - range.start)
            .with("Accept-Ranges", "bytes");
    }
    if !request.is_head {
        response.rest = Rest { file, range }.read(&mut response.bytes)?;
    }
    Ok(response)
}

/// The bytes that a Range header asks for; an empty range if there are none of them. `None` for what may
/// be ignored: several ranges, another unit, nonsense.
fn part_of(range: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = range.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Some(text.parse().unwrap_or(u64::MAX)),
        false => None,
    };
    match (first, last) {
        ("", "") => None,
        ("", last) => Some(length.saturating_sub(number(last)?)..length),
        // No last one is the highest number, like one with too many digits.
        (first, last) => (number(first)? <= number(last)?)
            .then_some(number(first)?..number(last)?.saturating_add(1).min(length)),
    }
}

fn listing(folder: &File, request: &Request) -> io::Result<Response> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)?.take(LISTED_MAX) {
        let entry = entry?;
        let mut name = entry.file_name().to_bytes().to_vec();
        if entry.file_type() == FileType::Directory {
            name.push(b'/');
        }
        names.push(name);
    }
    names.retain(|name| name != b"./" && (name != b"../" || !request.path.as_os_str().is_empty()));
    names.sort();
    let title = escape(&format!("/{}", request.path.display()));
    let mut page = format!("<!doctype html>\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n");
    for name in names {
        let (link, text) = (encode(&name), escape(&String::from_utf8_lossy(&name)));
        page += &format!("<li><a href=\"{link}\">{text}</a>\n");
    }
    Ok(Response::new(StatusCode::OK).with_text("text/html", page + "</ul>\n"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn encode(path: &[u8]) -> String {
    percent_encode(path, &ENCODED).to_string()
}

fn status_of(error: &io::Error) -> StatusCode {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => StatusCode::NOT_FOUND,
        // `XDEV` is the answer to a way out of the folder.
        Some(Errno::ACCESS | Errno::PERM | Errno::XDEV | Errno::LOOP | Errno::NXIO) => {
            StatusCode::FORBIDDEN
        }
        Some(Errno::MFILE | Errno::NFILE | Errno::AGAIN) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A connection holds no more of a file than this in memory.
const PIECE_BYTES: u64 = 128 * 1024;
const LISTED_MAX: usize = 10_000;
const ENCODED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
