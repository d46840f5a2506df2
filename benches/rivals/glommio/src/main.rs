//! The echo server, in glommio, on io_uring.

use std::io;
use std::process::ExitCode;

use conbrio_bench_kit::http::BUF_BYTES;
use conbrio_bench_kit::program::{self, Abilities};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

fn main() -> ExitCode {
    program::main(Abilities { sample: |_| None, park: None, serve })
}

fn serve(what: &str) -> Option<io::Result<()>> {
    (what == "echo").then(|| {
        let builder = LocalExecutorBuilder::new(Placement::Unbound);
        builder.make().map_err(io::Error::from)?.run(accept())
    })
}

async fn accept() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(io::Error::from)?;
    println!("{}", listener.local_addr().map_err(io::Error::from)?);
    loop {
        let stream = listener.accept().await.map_err(io::Error::from)?;
        stream.set_nodelay(true).map_err(io::Error::from)?;
        glommio::spawn_local(echo(stream)).detach();
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = vec![0; BUF_BYTES];
    loop {
        let bytes = stream.read(&mut buf).await?;
        if bytes == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..bytes]).await?;
    }
}
