//! The echo servers: conbrio, tokio twice, and an epoll loop without any runtime.
//!
//! Each is what a user of that system would write first. All set TCP_NODELAY, and read into 4 KiB.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use conbrio_benches::child::end_with_parent;
use conbrio_benches::os;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::SERVER_CORE;
use crate::question::System;
use crate::tokio_side::runtime;

/// In a server's process: prints its address, and serves until the process is ended.
pub(crate) fn serve(server: &str) -> io::Result<()> {
    end_with_parent();
    os::pin(SERVER_CORE)?;
    match server {
        "conbrio" => on_conbrio(),
        "epoll" => on_epoll(),
        "tokio-current" => runtime(System::TokioCurrent, 1).block_on(on_tokio()),
        "tokio-multi" => runtime(System::TokioMulti, 1).block_on(async {
            // On the worker, as all the handlers are.
            tokio::spawn(on_tokio()).await.expect("no panic")
        }),
        _ => Err(io::Error::other(format!("serve {server}: not known"))),
    }
}

fn on_conbrio() -> io::Result<()> {
    use conbrio::Cx;
    use conbrio::net::{TcpListener, TcpStream};

    fn echo(cx: &mut Cx, stream: &mut TcpStream) -> io::Result<()> {
        let mut buf = [0; BUF_BYTES];
        loop {
            let bytes = stream.read(cx, &mut buf)?;
            if bytes == 0 {
                return Ok(());
            }
            stream.write_all(cx, &buf[..bytes])?;
        }
    }

    let run = conbrio::Builder::new().workers(1).run(|cx| {
        let mut listener = TcpListener::bind(cx, ANY_PORT)?;
        println!("{}", listener.local_addr()?);
        cx.nursery(|cx, n| {
            loop {
                let (mut stream, _) = listener.accept(cx)?;
                stream.set_nodelay(true)?;
                n.spawn(move |cx| echo(cx, &mut stream));
            }
        })
        .map_err(io::Error::from)
    });
    run.map_err(io::Error::other)?
}

async fn on_tokio() -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = tokio::net::TcpListener::bind(ANY_PORT).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut buf = [0; BUF_BYTES];
            loop {
                let bytes = stream.read(&mut buf).await?;
                if bytes == 0 {
                    return io::Result::Ok(());
                }
                stream.write_all(&buf[..bytes]).await?;
            }
        });
    }
}

/// Level-triggered, one thread, no task: what the kernel alone allows.
fn on_epoll() -> io::Result<()> {
    let listener = TcpListener::bind(ANY_PORT)?;
    println!("{}", listener.local_addr()?);
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut events = Vec::with_capacity(EVENTS);
    let mut buf = vec![0; BUF_BYTES];
    loop {
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let data = event.data;
            if data.u64() == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                epoll::add(
                    &epoll,
                    &stream,
                    EventData::new_u64(streams.len() as u64),
                    EventFlags::IN,
                )?;
                streams.push(Some(stream));
                continue;
            }
            let place = &mut streams[data.u64() as usize];
            let Some(stream) = place else { continue };
            let bytes = stream.read(&mut buf)?;
            if bytes == 0 {
                *place = None;
            } else {
                stream.write_all(&buf[..bytes])?;
            }
        }
    }
}

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
const BUF_BYTES: usize = 4096;
const EVENTS: usize = 256;
/// No place among the streams.
const LISTENER: u64 = u64::MAX;
