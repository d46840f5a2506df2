//! What client and server say to each other: a kind and a length, four bytes each, and so many bytes.

use std::io;

use conbrio::Cx;

use crate::connection::Connection;

/// What a request asks for.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Kind {
    /// The same bytes back.
    Echo,
    /// Put them on the disk, and say whether there was room: [`STORED`] or [`FULL`].
    Store,
    /// Tell how many bytes of the heap are in use: eight bytes.
    Heap,
}

pub(crate) const STORED: &[u8; 4] = b"kept";
pub(crate) const FULL: &[u8; 4] = b"full";

/// The largest request that anybody makes.
pub(crate) const BYTES_MAX: usize = 1 << 20;
pub(crate) const HEADER_BYTES: usize = 8;

pub(crate) fn header(kind: Kind, length: usize) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&(kind as u32).to_le_bytes());
    header[4..].copy_from_slice(&(length as u32).to_le_bytes());
    header
}

/// The first request in `bytes`, with its payload, or none if it is not whole yet.
pub(crate) fn first(bytes: &[u8]) -> io::Result<Option<(Kind, &[u8])>> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Ok(None);
    };
    let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let kind = match word(0) {
        0 => Kind::Echo,
        1 => Kind::Store,
        2 => Kind::Heap,
        other => return Err(io::Error::other(format!("a request of kind {other}"))),
    };
    let length = word(4) as usize;
    if length > BYTES_MAX {
        return Err(io::Error::other(format!("a request of {length} bytes")));
    }
    Ok(rest.get(..length).map(|payload| (kind, payload)))
}

/// Sends a request.
pub(crate) fn ask(
    cx: &mut Cx,
    stream: &mut Connection,
    kind: Kind,
    payload: &[u8],
) -> io::Result<()> {
    let mut request = Vec::with_capacity(HEADER_BYTES + payload.len());
    request.extend(header(kind, payload.len()));
    request.extend(payload);
    stream.write_all(cx, &request)
}
