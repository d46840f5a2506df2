//! From a request to a response: finds the file, weighs the conditions, picks the range.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode as Status, header};
use httpdate::HttpDate;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::message::{Request, Response, list};

/// The folder that is served.
pub(crate) struct Folder {
    fd: std::os::fd::OwnedFd,
    resolve: ResolveFlags,
}

impl Folder {
    /// Opens the folder that the arguments name, which is the current one if there are none.
    pub(crate) fn open(follow_symlinks: bool, arguments: &[OsString]) -> io::Result<Folder> {
        let path = match arguments {
            [] => Path::new("."),
            [path] => Path::new(path),
            [..] => return Err(io::Error::other("not one folder and options that --help lists")),
        };
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
        let mut answer = self.find(request).unwrap_or_else(|error| {
            Response::of_status(match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Status::NOT_FOUND,
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Status::SERVICE_UNAVAILABLE,
                Some(Errno::IO) | None => Status::INTERNAL_SERVER_ERROR,
                // No permission, a way out of the folder (`XDEV`), a socket (`NXIO`), and so on.
                Some(_) => Status::FORBIDDEN,
            })
        });
        if request.method() == Method::HEAD {
            (answer.piece, answer.rest) = (Vec::new(), 0..0);
        }
        answer
    }

    fn find(&self, request: &Request) -> io::Result<Response> {
        let path = request.body();
        let names_folder = request.uri().path().ends_with('/') || path.as_os_str().is_empty();
        let found = self.open_at(path)?;
        match (found.metadata()?.is_dir(), names_folder) {
            (false, false) => of_file(found, path, request),
            (false, true) => Err(Errno::NOTDIR.into()),
            (true, false) => {
                let query = request.uri().query().map_or_else(String::new, |it| format!("?{it}"));
                let location = format!("/{}/{query}", encode(path.as_os_str().as_bytes()));
                Ok(Response::of_status(Status::MOVED_PERMANENTLY).with("Location", location))
            }
            (true, true) => match self.open_at(&path.join("index.html")) {
                Ok(file) => of_file(file, Path::new("index.html"), request),
                Err(error) if error.kind() == io::ErrorKind::NotFound => listing(&found, path),
                Err(error) => Err(error),
            },
        }
    }

    fn open_at(&self, path: &Path) -> io::Result<File> {
        // `NONBLOCK`, because the open of a named pipe would wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let path = Path::new(".").join(path);
        Ok(rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), self.resolve)?.into())
    }
}

/// The file, a part of it, or word that the client has it already (RFC 9110, section 13.2.2).
fn of_file(file: File, path: &Path, request: &Request) -> io::Result<Response> {
    let (metadata, headers) = (file.metadata()?, request.headers());
    if !metadata.is_file() {
        return Err(Errno::ACCESS.into());
    }
    let length = metadata.len();
    let tag = format!("\"{:x}.{:x}-{length:x}\"", metadata.mtime(), metadata.mtime_nsec());
    // HTTP knows whole seconds, and no times before 1970 or in the future.
    let modified = HttpDate::from(metadata.modified()?.min(SystemTime::now()).max(UNIX_EPOCH));
    let date = modified.to_string();
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_same = |known: &str| known == "*" || known.trim_start_matches("W/") == tag;
    let is_since = |since: &str| since.parse().is_ok_and(|since| modified <= since);
    let is_known = match headers.contains_key(header::IF_NONE_MATCH) {
        true => list(headers, header::IF_NONE_MATCH).any(is_same),
        false => header(header::IF_MODIFIED_SINCE).is_some_and(is_since),
    };
    let if_range = headers.get(header::IF_RANGE);
    let wants_part = if_range.is_none_or(|known| *known == tag || *known == date);
    let range = header(header::RANGE).filter(|_| wants_part && request.method() == Method::GET);
    let part = range.and_then(|range| part_of(range, length));
    let (mut response, rest) = match part {
        _ if is_known => (Response::new(Status::NOT_MODIFIED), 0..0),
        None => (Response::new(Status::OK), 0..length),
        Some(part) if part.is_empty() => {
            let refused = Response::of_status(Status::RANGE_NOT_SATISFIABLE);
            return Ok(refused.with("Content-Range", format!("bytes */{length}")));
        }
        Some(part) => {
            let range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            (Response::new(Status::PARTIAL_CONTENT).with("Content-Range", range), part)
        }
    };
    if !is_known {
        let kind = mime_guess::from_path(path).first_or_octet_stream();
        let charset = if kind.type_() == "text" { "; charset=utf-8" } else { "" };
        let length = rest.end - rest.start;
        response = response
            .with("Content-Type", format!("{kind}{charset}"))
            .with("Content-Length", length);
    }
    let mut response =
        response.with("ETag", tag).with("Last-Modified", date).with("Accept-Ranges", "bytes");
    (response.file, response.rest) = (Some(file), rest);
    response.read_on()?;
    Ok(response)
}

/// The bytes that a Range header asks for; an empty range if there are none of them. `None` for what may
/// be ignored: several ranges, another unit, nonsense.
fn part_of(range: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = range.strip_prefix("bytes=")?.trim().split_once('-')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // No number at all is the highest one, like one with too many digits.
    let number = |text: &str| is_number(text).then(|| text.parse().unwrap_or(u64::MAX));
    match (first, number(first)?, number(last)?) {
        ("", ..) if last.is_empty() => None,
        ("", _, count) => Some(length.saturating_sub(count)..length),
        (_, first, last) => (first <= last).then(|| first..last.saturating_add(1).min(length)),
    }
}

fn listing(folder: &File, path: &Path) -> io::Result<Response> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let slash: &[u8] = if entry.file_type() == FileType::Directory { b"/" } else { b"" };
        names.push([entry.file_name().to_bytes(), slash].concat());
    }
    names.retain(|name| name != b"./" && (name != b"../" || !path.as_os_str().is_empty()));
    names.sort();
    let title = escape(&path.to_string_lossy());
    let mut page = format!("<!doctype html>\n<title>/{title}</title>\n<h1>/{title}</h1>\n<ul>\n");
    for name in names {
        let (link, text) = (encode(&name), escape(&String::from_utf8_lossy(&name)));
        page += &format!("<li><a href=\"{link}\">{text}</a>\n");
    }
    Ok(Response::new(Status::OK).with_text("text/html", page + "</ul>\n"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn encode(path: &[u8]) -> String {
    const KEPT: AsciiSet =
        NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encode(path, &KEPT).to_string()
}
