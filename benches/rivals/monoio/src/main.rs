//! The echo server, in monoio, on io_uring.

use std::io;
use std::process::ExitCode;

use conbrio_bench_kit::http::BUF_BYTES;
use conbrio_bench_kit::program::{self, Abilities};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

fn main() -> ExitCode {
    program::main(Abilities { sample: |_| None, park: None, serve })
}

fn serve(what: &str) -> Option<io::Result<()>> {
    (what == "echo").then(|| {
        let mut runtime =
            monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(4096).build()?;
        runtime.block_on(accept())
    })
}

async fn accept() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        monoio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buf: Vec<u8> = Vec::with_capacity(BUF_BYTES);
    loop {
        let (read, mut filled) = stream.read(buf).await;
        if read? == 0 {
            return Ok(());
        }
        let written;
        (written, filled) = stream.write_all(filled).await;
        written?;
        filled.clear();
        buf = filled;
    }
}
