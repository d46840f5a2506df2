//! Requests from bytes (RFC 9112).
//!
//! A request that is refused here ends its connection, so that where the next one begins is never in
//! doubt: there are no bodies to skip, and nothing to smuggle a request in (section 11.2).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use conbrio::io::{BufRead as _, BufReader, Read};
use http::{StatusCode as Status, Version, header};
use httparse::{Error, Status::Complete, Status::Partial};

/// GET or HEAD. In place of a body, which they do not have, it holds the path in the folder, decoded.
pub(crate) type Request = http::Request<PathBuf>;

/// Takes a request out of the buffer, or says how to refuse it. `None`: more has to come.
pub(crate) fn take(stream: &mut BufReader<impl Read>) -> Result<Option<Request>, Status> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(stream.buffer()) {
        Ok(Complete(length)) => length,
        Ok(Partial) if stream.buffer().len() < stream.capacity() => return Ok(None),
        Ok(Partial) if head.path.is_none() => return Err(Status::URI_TOO_LONG),
        Ok(Partial) | Err(Error::TooManyHeaders) => {
            return Err(Status::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        Err(Error::Version) => return Err(Status::HTTP_VERSION_NOT_SUPPORTED),
        Err(_) => return Err(Status::BAD_REQUEST),
    };
    let version = if head.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let mut request = http::Request::builder().version(version);
    request = request.method(head.method.unwrap_or("")).uri(head.path.unwrap_or(""));
    for line in head.headers {
        request = request.header(line.name, line.value);
    }
    let request = request.body(PathBuf::new()).map_err(|_| Status::BAD_REQUEST)?;
    check(&request)?;
    let path = decode(request.uri().path())?;
    stream.consume(length);
    Ok(Some(request.map(|_| path)))
}

/// Refuses other methods, bodies, and whatever leaves the host or the length in doubt.
fn check(request: &Request) -> Result<(), Status> {
    let all = |name| request.headers().get_all(name).iter().map(|value| value.as_bytes());
    let (hosts, codings) = (all(header::HOST).count(), all(header::TRANSFER_ENCODING).count());
    let lengths: Vec<&[u8]> = all(header::CONTENT_LENGTH).collect();
    match (request.method().as_str(), &lengths[..], codings) {
        _ if hosts > 1 => Err(Status::BAD_REQUEST),
        _ if hosts == 0 && request.version() == Version::HTTP_11 => Err(Status::BAD_REQUEST),
        ("GET" | "HEAD", [] | [b"0"], 0) => Ok(()),
        ("GET" | "HEAD", [[b'1'..=b'9', ..]], 0) => Err(Status::PAYLOAD_TOO_LARGE),
        ("GET" | "HEAD", [_, ..], _) => Err(Status::BAD_REQUEST),
        ("POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS", ..) => Err(Status::METHOD_NOT_ALLOWED),
        _ => Err(Status::NOT_IMPLEMENTED),
    }
}

/// Decodes before it looks at the parts, so that no encoding hides a `..` or a slash.
fn decode(path: &str) -> Result<PathBuf, Status> {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    // What is no code stays as it is, while each of the others becomes shorter by two.
    let is_valid = decoded.len() + 2 * path.matches('%').count() == path.len();
    if !is_valid || !path.starts_with('/') || decoded.contains(&0) {
        return Err(Status::BAD_REQUEST);
    }
    if decoded.split(|byte| *byte == b'/').any(|part| part == b"..") {
        return Err(Status::FORBIDDEN);
    }
    // With the dot it is a path within the folder, where the kernel does the rest.
    Ok(OsString::from_vec([b".", &decoded[..]].concat()).into())
}
