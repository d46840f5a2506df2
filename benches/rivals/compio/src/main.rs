//! The echo server, in compio, on io_uring.

use std::io;
use std::process::ExitCode;

use compio::buf::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use conbrio_bench_kit::http::BUF_BYTES;
use conbrio_bench_kit::program::{self, Abilities};

fn main() -> ExitCode {
    program::main(Abilities { sample: |_| None, park: None, serve })
}

fn serve(what: &str) -> Option<io::Result<()>> {
    (what == "echo").then(|| compio::runtime::Runtime::new()?.block_on(accept()))
}

async fn accept() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        conbrio_bench_kit::os::set_nodelay(&stream)?;
        compio::runtime::spawn(echo(stream)).detach();
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buf: Vec<u8> = Vec::with_capacity(BUF_BYTES);
    loop {
        let BufResult(read, filled) = stream.read(buf).await;
        if read? == 0 {
            return Ok(());
        }
        let BufResult(written, mut filled) = stream.write_all(filled).await;
        written?;
        filled.clear();
        buf = filled;
    }
}
