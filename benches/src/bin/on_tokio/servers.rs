//! The echo server, as a user would write it first. Web servers on tokio are among the rivals.

use std::io;
use std::net::Ipv4Addr;

use conbrio_bench_kit::http::BUF_BYTES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) fn serve(what: &str) -> Option<io::Result<()>> {
    match what {
        "echo" => Some(serve_with(accept())),
        #[cfg(feature = "tls")]
        "tls" => Some(serve_with(crate::encrypted::accept())),
        _ => None,
    }
}

fn serve_with(accept: impl Future<Output = io::Result<()>> + Send + 'static) -> io::Result<()> {
    crate::runtime(1).block_on(async {
        // On a worker, as all the handlers are.
        tokio::spawn(accept).await.expect(crate::NO_PANIC)
    })
}

async fn accept() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; BUF_BYTES];
    loop {
        let bytes = stream.read(&mut buf).await?;
        if bytes == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..bytes]).await?;
    }
}
