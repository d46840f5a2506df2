//! The head of a request: what it asks for, or the status of what is wrong with it.
//!
//! A request that is refused here ends its connection, so that where the next one begins is never in
//! doubt: there are no bodies to skip, and nothing to smuggle a request in (RFC 9112, section 11.2).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use http::StatusCode;
use percent_encoding::percent_decode_str;

/// A request that can be answered: GET or HEAD, without a body.
pub(crate) struct Request {
    /// The first line, for the log.
    pub(crate) line: String,
    pub(crate) is_head: bool,
    pub(crate) keep_alive: bool,
    /// Decoded and relative to the folder: without `..`, empty parts, and slashes at its ends.
    pub(crate) path: PathBuf,
    /// Whether the path ended in a slash: it names a folder.
    pub(crate) ends_in_slash: bool,
    pub(crate) query: String,
    pub(crate) if_none_match: Option<String>,
    pub(crate) if_modified_since: Option<String>,
    pub(crate) if_range: Option<String>,
    pub(crate) range: Option<String>,
}

/// A request and its length, if `bytes` begin with a whole one.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, StatusCode> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_MAX => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => return Ok(None),
        Ok(_) if parsed.path.is_none_or(|path| path.len() > HEAD_MAX / 2) => {
            return Err(StatusCode::URI_TOO_LONG);
        }
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        Err(httparse::Error::Version) => return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
        Err(_) => return Err(StatusCode::BAD_REQUEST),
    };
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(StatusCode::BAD_REQUEST);
    };
    let all = |name: &str| {
        let named = parsed
            .headers
            .iter()
            .filter(|h| h.name.eq_ignore_ascii_case(name));
        named
            .map(|h| String::from_utf8_lossy(h.value).into_owned())
            .collect::<Vec<_>>()
    };
    let header = |name| all(name).into_iter().next();
    let hosts = all("host").len();
    if hosts > 1 || (hosts == 0 && version == 1) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let has_body = has_body(&all("content-length"), &all("transfer-encoding"))?;
    match method {
        "GET" | "HEAD" if has_body => return Err(StatusCode::PAYLOAD_TOO_LARGE),
        "GET" | "HEAD" => {}
        "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "TRACE" | "CONNECT" => {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        _ => return Err(StatusCode::NOT_IMPLEMENTED),
    }
    let (path, query) = split_target(target).ok_or(StatusCode::BAD_REQUEST)?;
    let connection = all("connection").join(",").to_ascii_lowercase();
    let says = |token| connection.split(',').any(|part| part.trim() == token);
    let relative = decode(path)?;
    let request = Request {
        line: format!("{method} {target} HTTP/1.{version}"),
        is_head: method == "HEAD",
        keep_alive: !says("close") && (version == 1 || says("keep-alive")),
        ends_in_slash: path.ends_with('/') || relative.as_os_str().is_empty(),
        path: relative,
        query: query.to_owned(),
        if_none_match: Some(all("if-none-match").join(",")).filter(|tags| !tags.is_empty()),
        if_modified_since: header("if-modified-since"),
        if_range: header("if-range"),
        range: header("range"),
    };
    Ok(Some((request, length)))
}

/// Whether a body follows; an error if that is in doubt.
fn has_body(lengths: &[String], encodings: &[String]) -> Result<bool, StatusCode> {
    let is_number = |text: &String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match (lengths, encodings) {
        ([], []) => Ok(false),
        ([], _) => Err(StatusCode::NOT_IMPLEMENTED),
        ([first, others @ ..], []) if is_number(first) && others.iter().all(|o| o == first) => {
            Ok(first.bytes().any(|digit| digit != b'0'))
        }
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

/// The path and the query, with its mark, of `/path?query` or `http://host/path?query`.
fn split_target(target: &str) -> Option<(&str, &str)> {
    let target = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    };
    target
        .starts_with('/')
        .then(|| target.split_at(target.find('?').unwrap_or(target.len())))
}

/// Decodes before it looks at the parts, so that no encoding hides a `..` or a slash.
fn decode(path: &str) -> Result<PathBuf, StatusCode> {
    let mut codes = path
        .split('%')
        .skip(1)
        .map(|rest| rest.as_bytes().first_chunk::<2>());
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    if !codes.all(|code| code.is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit)))
        || decoded.contains(&0)
    {
        return Err(StatusCode::BAD_REQUEST);
    }
    let parts = decoded
        .split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."));
    let parts: Vec<&[u8]> = parts.collect();
    if parts.contains(&&b".."[..]) {
        return Err(StatusCode::FORBIDDEN);
    }
    Ok(OsString::from_vec(parts.join(&b'/')).into())
}

const HEAD_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 100;
