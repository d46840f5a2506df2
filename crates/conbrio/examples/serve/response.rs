//! From a request to a response: finds the file, weighs the conditions, picks the range.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use headers::{HeaderMapExt as _, IfModifiedSince, IfNoneMatch};
use http::{Method, StatusCode as Status, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::{Server, request::Request};

pub(crate) struct Response {
    pub(crate) status: Status,
    /// Whole lines of the head, without those that only the connection knows.
    pub(crate) headers: String,
    /// What of the body is sent with the head.
    pub(crate) piece: Vec<u8>,
    /// What of a file follows it.
    pub(crate) rest: Option<(File, Range<u64>)>,
}

impl Response {
    fn of_text(status: Status, kind: &str, text: String) -> Response {
        let kind = format!("Content-Type: text/{kind}; charset=utf-8\r\n");
        let headers = format!("{kind}Content-Length: {}\r\n", text.len());
        Response { status, headers, piece: text.into_bytes(), rest: None }
    }

    /// What is left of it if the request asks for the head alone.
    fn without_body(mut self, request: &Request) -> Response {
        if request.method() == Method::HEAD {
            (self.piece, self.rest) = (Vec::new(), None);
        }
        self
    }
}

/// An answer that says no more than its status.
impl From<Status> for Response {
    fn from(status: Status) -> Response {
        let mut response = Response::of_text(status, "plain", format!("{status}\n"));
        response.headers += match status {
            Status::METHOD_NOT_ALLOWED => "Allow: GET, HEAD\r\n",
            Status::SERVICE_UNAVAILABLE => "Retry-After: 1\r\n",
            _ => "",
        };
        response
    }
}

impl Server {
    /// The response, if it is a file that can be opened without waiting for a disk: most of the time.
    pub(crate) fn answer_at_once(&self, request: &Request) -> Option<Response> {
        // Neither does the rest wait: what is asked about an open file is in memory.
        let file = self.open(request.body(), ResolveFlags::CACHED).ok()?;
        of_file(file, request.body(), request).ok().map(|response| response.without_body(request))
    }

    /// The response to a request, whatever goes wrong.
    pub(crate) fn answer(&self, request: &Request) -> Response {
        let response = self.find(request).unwrap_or_else(|error| {
            Response::from(match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Status::NOT_FOUND,
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Status::SERVICE_UNAVAILABLE,
                // A kernel before 5.6, or a sandbox, has no openat2.
                Some(Errno::IO | Errno::NOSYS) | None => Status::INTERNAL_SERVER_ERROR,
                // No permission, a way out of the folder (`XDEV`), a socket (`NXIO`), and so on.
                Some(_) => Status::FORBIDDEN,
            })
        });
        response.without_body(request)
    }

    fn find(&self, request: &Request) -> io::Result<Response> {
        let (uri, path) = (request.uri(), request.body());
        let found = self.open(path, ResolveFlags::empty())?;
        if !found.metadata()?.is_dir() {
            return of_file(found, path, request);
        }
        // Links in a folder start from its slash.
        if !["/", "/."].iter().any(|end| path.to_string_lossy().ends_with(end)) {
            let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
            let mut moved = Response::from(Status::MOVED_PERMANENTLY);
            let to = uri.path().trim_start_matches('/');
            moved.headers += &format!("Location: /{to}/{query}\r\n");
            return Ok(moved);
        }
        let index = path.join("index.html");
        match self.open(&index, ResolveFlags::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => listing(&found, path),
            file => of_file(file?, &index, request),
        }
    }

    fn open(&self, path: &Path, also: ResolveFlags) -> io::Result<File> {
        // `NONBLOCK`, because the open of a named pipe would wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // With `BENEATH` the kernel refuses, link by link, whatever leads out: openat2(2). A check of
        // the path before it is opened could be outrun by somebody who moves folders meanwhile.
        let mut resolve = ResolveFlags::NO_MAGICLINKS | also;
        resolve.set(ResolveFlags::BENEATH, !self.follow_symlinks);
        Ok(openat2(&self.folder, path, flags, Mode::empty(), resolve)?.into())
    }
}

/// The file, a part of it, or word that the client has it already (RFC 9110, section 13.2.2).
fn of_file(file: File, path: &Path, request: &Request) -> io::Result<Response> {
    let (metadata, asked) = (file.metadata()?, request.headers());
    if !metadata.is_file() {
        return Err(Errno::ACCESS.into());
    }
    let length = metadata.len();
    let tag = format!("\"{:x}.{:x}-{length:x}\"", metadata.mtime(), metadata.mtime_nsec());
    // HTTP knows no times before 1970 or in the future.
    let modified = metadata.modified()?.min(SystemTime::now()).max(UNIX_EPOCH);
    let date = httpdate::fmt_http_date(modified);
    let mut headers = format!("ETag: {tag}\r\nLast-Modified: {date}\r\nAccept-Ranges: bytes\r\n");
    let is_known = match asked.typed_get::<IfNoneMatch>() {
        Some(tags) => !tags.precondition_passes(&tag.parse().map_err(io::Error::other)?),
        None => asked.typed_get().is_some_and(|it: IfModifiedSince| !it.is_modified(modified)),
    };
    let is_same = asked.get(header::IF_RANGE).is_none_or(|known| *known == tag || *known == date);
    let range = asked.get(header::RANGE).filter(|_| is_same && request.method() == Method::GET);
    let range = range.and_then(|it| http_range_header::parse_range_header(it.to_str().ok()?).ok());
    let (status, part) = match range.map(|range| range.validate(length)) {
        _ if is_known => (Status::NOT_MODIFIED, 0..0),
        Some(Ok(parts)) if parts.len() == 1 => {
            let (first, last) = parts[0].clone().into_inner();
            headers += &format!("Content-Range: bytes {first}-{last}/{length}\r\n");
            (Status::PARTIAL_CONTENT, first..last + 1)
        }
        Some(Err(_)) => {
            headers += &format!("Content-Range: bytes */{length}\r\n");
            (Status::RANGE_NOT_SATISFIABLE, 0..0)
        }
        // Several ranges, another unit and nonsense may be ignored.
        Some(Ok(_)) | None => (Status::OK, 0..length),
    };
    let length = part.end - part.start;
    if status != Status::NOT_MODIFIED {
        let kind = mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream");
        let charset = if kind.starts_with("text/") { "; charset=utf-8" } else { "" };
        headers += &format!("Content-Type: {kind}{charset}\r\nContent-Length: {length}\r\n");
    }
    let mut response = Response { status, headers, piece: Vec::new(), rest: None };
    if length > WITH_THE_HEAD {
        response.rest = Some((file, part));
    } else {
        response.piece.resize(length as usize, 0);
        // A file that has shrunk cannot keep what Content-Length has promised: this fails then.
        file.read_exact_at(&mut response.piece, part.start)?;
    }
    Ok(response)
}

/// Up to here a file is cheaper to read, and to send together with the head.
const WITH_THE_HEAD: u64 = 64 * 1024;

fn listing(folder: &File, path: &Path) -> io::Result<Response> {
    let mut lines = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || (name == c".." && path == Path::new(".")) {
            continue;
        }
        let slash = if entry.file_type() == FileType::Directory { "/" } else { "" };
        let (link, text) = (percent_encode(name.to_bytes(), &LINK), name.to_string_lossy());
        lines.push(format!("<li><a href=\"{link}{slash}\">{}{slash}</a>\n", escape(&text)));
    }
    lines.sort();
    let title = escape(path.to_string_lossy().trim_start_matches('.'));
    let top = format!("<!doctype html><title>{title}</title><h1>{title}</h1>\n");
    let page = format!("{top}<ul>\n{}</ul>\n", lines.concat());
    Ok(Response::of_text(Status::OK, "html", page))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const LINK: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
