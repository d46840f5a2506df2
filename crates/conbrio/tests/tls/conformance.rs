//! TLS streams pass the checks that all streams have to pass.
//!
//! In these checks a stream is closed by dropping it, which says nothing to the peer; so both sides are
//! `https_compatible`, but where the check knows how to end a direction first.

use conbrio::io::Split;
use conbrio::prelude::*;
use conbrio::testing::streams;
use conbrio::testing::{check_clogged_stream, check_half_closeable_stream, check_two_way_stream};
use conbrio::tls::TlsStream;

use crate::support::{attach_https, on_workers, shake, tcp, with_network};

fn made<S: Split + Send>(cx: &mut Cx, transport: (S, S)) -> (TlsStream<S>, TlsStream<S>) {
    shake(cx, attach_https(transport))
}

fn swapped<T>((first, second): (T, T)) -> (T, T) {
    (second, first)
}

// spec: test_ssl.SSLStream_generic
#[test]
fn over_memory() {
    on_workers(|cx| {
        check_half_closeable_stream(cx, |cx| made(cx, streams::duplex())).unwrap();
        check_half_closeable_stream(cx, |cx| swapped(made(cx, streams::duplex()))).unwrap();
    });
}

// spec: test_ssl.SSLStream_generic
#[test]
fn over_lockstep_memory() {
    on_workers(|cx| {
        check_two_way_stream(cx, |cx| made(cx, streams::lockstep_duplex())).unwrap();
    });
}

// spec: test_ssl.SSLStream_generic, test_ssl.wait_writable_calls_underlying_wait_writable
#[test]
fn clogged() {
    on_workers(|cx| {
        check_clogged_stream(cx, |cx| made(cx, streams::lockstep_duplex())).unwrap();
        check_clogged_stream(cx, |cx| swapped(made(cx, streams::lockstep_duplex()))).unwrap();
    });
}

// spec: test_ssl.SSLStream_generic
#[test]
fn over_connections() {
    with_network(|cx| {
        check_half_closeable_stream(cx, |cx| {
            let transport = tcp(cx);
            made(cx, transport)
        })
        .unwrap();
    });
}

// spec: test_ssl.SSLStream_generic
#[test]
fn over_clogged_connections() {
    with_network(|cx| {
        check_clogged_stream(cx, |cx| {
            let transport = tcp(cx);
            let (mut client, server) = made(cx, transport);
            streams::clog(cx, &mut client).unwrap();
            (client, server)
        })
        .unwrap();
    });
}
