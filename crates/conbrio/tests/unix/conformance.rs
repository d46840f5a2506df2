//! Unix streams and their halves pass the checks for streams.

use conbrio::net::UnixStream;
use conbrio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use conbrio::prelude::*;
use conbrio::testing::{
    check_clogged_stream, check_half_closeable_stream, check_one_way_stream, check_two_way_stream,
    streams,
};

use crate::support::{Folder, connection, on_workers};

fn pair(_: &mut Cx) -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// One direction, as halves; the other direction is closed.
fn halves(_: &mut Cx) -> (OwnedWriteHalf, OwnedReadHalf) {
    let (left, right) = UnixStream::pair().unwrap();
    (left.into_split().1, right.into_split().0)
}

// spec: test_highlevel_open_unix_stream.open_unix_socket
#[test]
fn a_connection_is_a_two_way_stream() {
    on_workers(|cx| {
        check_two_way_stream(cx, |cx| {
            let folder = Folder::new();
            let (_, left, right) = connection(cx, &folder.file("socket"));
            (left, right)
        })
        .unwrap();
    });
}

#[test]
fn a_pair_closes_by_halves() {
    on_workers(|cx| check_half_closeable_stream(cx, pair).unwrap());
}

#[test]
fn owned_halves_are_a_one_way_stream() {
    on_workers(|cx| check_one_way_stream(cx, halves).unwrap());
}

#[test]
fn a_pair_can_be_clogged() {
    on_workers(|cx| {
        check_clogged_stream(cx, |cx| {
            let (mut writer, reader) = halves(cx);
            assert!(streams::clog(cx, &mut writer).unwrap() > 0);
            (writer, reader)
        })
        .unwrap();
    });
}
