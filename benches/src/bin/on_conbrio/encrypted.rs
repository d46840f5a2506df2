//! A server with TLS that answers requests with as many bytes as they ask for.

use std::io;

use conbrio::io::{Read, Write};
use conbrio::net::TcpStream;
use conbrio::tls::Acceptor;
use conbrio::{Cx, Reactor};
use conbrio_bench_kit::tls::{REQUEST_BYTES, answer, identity};

pub(crate) fn serve(reactor: Reactor) -> io::Result<()> {
    let (certificate, key) = identity()?;
    let acceptor =
        Acceptor::builder().certificate_pem(certificate.as_bytes(), key.as_bytes()).build()?;
    crate::servers::serve_with(reactor, move |cx, stream| converse(cx, &acceptor, stream))
}

fn converse(cx: &mut Cx, acceptor: &Acceptor, stream: TcpStream) -> io::Result<()> {
    let mut stream = acceptor.accept(cx, stream)?;
    let mut request = [0; REQUEST_BYTES];
    loop {
        stream.read_exact(cx, &mut request)?;
        stream.write_all(cx, answer(&request))?;
    }
}
