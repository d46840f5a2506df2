//! The plain-text servers on tokio's current-thread runtime: hyper, and axum on top of it.

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;

use conbrio_bench_kit::http::TEXT;
use conbrio_bench_kit::program::{self, Abilities};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

fn main() -> ExitCode {
    program::main(Abilities { sample: |_| None, park: None, serve })
}

fn serve(what: &str) -> Option<io::Result<()>> {
    let accept = match what {
        "hyper" => 0,
        "axum" => 1,
        _ => return None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Some(runtime.and_then(|runtime| {
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("{}", listener.local_addr()?);
            if accept == 0 { on_hyper(listener).await } else { on_axum(listener).await }
        })
    }))
}

async fn on_hyper(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream));
    }
}

async fn connection(stream: TcpStream) {
    // What goes wrong with one connection concerns no other.
    let _ =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(plain_text)).await;
}

async fn plain_text(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(TEXT.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn on_axum(listener: TcpListener) -> io::Result<()> {
    use axum::serve::ListenerExt;
    let listener = listener.tap_io(|stream| {
        // A client that has gone already is told nothing.
        let _ = stream.set_nodelay(true);
    });
    let app = axum::Router::new().route("/plaintext", axum::routing::get(|| async { TEXT }));
    axum::serve(listener, app).await
}
