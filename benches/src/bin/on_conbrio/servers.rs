//! An echo and a plain-text web server, each as a user would write it first, on both reactors.

use std::io;
use std::net::Ipv4Addr;

use conbrio::net::{Incoming, TcpListener, TcpStream, serve as serve_connections};
use conbrio::{Builder, Cx, NurseryError, Reactor};
use conbrio_bench_kit::http;

pub(crate) fn serve(what: &str) -> Option<io::Result<()>> {
    let (what, reactor) = what.rsplit_once('-')?;
    let reactor = match reactor {
        "epoll" => Reactor::Epoll,
        "uring" => Reactor::Uring,
        _ => return None,
    };
    match what {
        "echo" => Some(serve_with(reactor, echo)),
        "http" => Some(serve_with(reactor, plain_text)),
        #[cfg(feature = "tls")]
        "tls" => Some(crate::encrypted::serve(reactor)),
        _ => None,
    }
}

pub(crate) fn serve_with(
    reactor: Reactor,
    handler: impl Fn(&mut Cx, TcpStream) -> io::Result<()> + Send + Sync,
) -> io::Result<()> {
    let run = Builder::new().workers(1).reactor(reactor).run(|cx| accept(cx, handler));
    run.map_err(io::Error::other).and_then(|served| served)
}

fn accept(
    cx: &mut Cx,
    handler: impl Fn(&mut Cx, TcpStream) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let listener = TcpListener::bind(cx, (Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    let served = serve_connections(cx, [listener], |cx, incoming: Incoming| {
        let stream = incoming.stream;
        // What goes wrong with one connection concerns no other.
        let _ = stream.set_nodelay(true).and_then(|()| handler(cx, stream));
        Ok::<(), io::Error>(())
    });
    served.map_err(NurseryError::into)
}

fn echo(cx: &mut Cx, mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; http::BUF_BYTES];
    loop {
        let bytes = stream.read(cx, &mut buf)?;
        if bytes == 0 {
            return Ok(());
        }
        stream.write_all(cx, &buf[..bytes])?;
    }
}

fn plain_text(cx: &mut Cx, mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; http::BUF_BYTES];
    let mut filled = 0;
    loop {
        let bytes = stream.read(cx, &mut buf[filled..])?;
        if bytes == 0 {
            return Ok(());
        }
        filled += bytes;
        while let Some(request_bytes) = request(&buf[..filled])? {
            stream.write_all(cx, http::ANSWER)?;
            buf.copy_within(request_bytes..filled, 0);
            filled -= request_bytes;
        }
    }
}

/// The length of the request at the front, if all of it is there.
fn request(bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    match httparse::Request::new(&mut headers).parse(bytes) {
        Ok(httparse::Status::Complete(request_bytes)) => Ok(Some(request_bytes)),
        Ok(httparse::Status::Partial) if bytes.len() < http::BUF_BYTES => Ok(None),
        Ok(httparse::Status::Partial) => Err(io::Error::other("the request is too long")),
        Err(error) => Err(io::Error::other(error)),
    }
}
