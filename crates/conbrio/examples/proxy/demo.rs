//! Servers and clients for the proxy: one server echoes, one takes connections and never answers to their
//! end, one refuses. The clients check what comes back.

use std::io;

use conbrio::io::{HalfClose, Read, copy};
use conbrio::net::{listen, serve};
use conbrio::prelude::*;
use rustix::process::{Signal, getpid, kill_process};

use super::Proxy;

const CLIENTS: usize = 20;

pub(crate) fn run(cx: &mut Cx, mut proxy: Proxy) -> io::Result<String> {
    let echo = listen(cx, "127.0.0.1:0")?;
    let refuses = TcpListener::bind(cx, "127.0.0.1:0")?.local_addr()?; // closed at once
    // 192.0.2.0/24 is for documentation: nobody is there (RFC 5737).
    proxy.servers =
        vec![echo[0].local_addr()?.to_string(), "192.0.2.1:80".to_owned(), refuses.to_string()];
    let listeners = listen(cx, &proxy.listen)?;
    let address = listeners[0].local_addr()?;
    let said = cx.nursery(|cx, n| -> io::Result<String> {
        n.spawn(|cx| {
            Ok(serve(cx, echo, |cx, mut incoming| -> io::Result<()> {
                let (mut reader, mut writer) = incoming.stream.split();
                copy(cx, &mut reader, &mut writer)?;
                Ok(writer.end_write(cx)?)
            })?)
        });
        n.spawn(move |cx| {
            let clients = (0..CLIENTS).map(|number| {
                move |cx: &mut Cx| {
                    let question = format!("client {number}").repeat(10_000);
                    let mut stream = TcpStream::connect(cx, address)?;
                    let mut answer = String::new();
                    let (mut reader, mut writer) = stream.split();
                    cx.nursery(|cx, n| -> io::Result<()> {
                        n.spawn(|cx| {
                            writer.write_all(cx, question.as_bytes())?;
                            Ok(writer.end_write(cx)?)
                        });
                        reader.read_to_string(cx, &mut answer)?;
                        Ok(())
                    })?;
                    assert!(answer == question, "client {number} got something else back");
                    Ok::<(), io::Error>(())
                }
            });
            cx.join_all(clients)?;
            Ok(kill_process(getpid(), Signal::INT)?)
        });
        let said = proxy.serve(cx, listeners)?;
        n.cancel();
        Ok(said)
    });
    Ok(said?)
}
