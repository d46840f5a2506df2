//! The protocol of Redis over streams of this crate, with a real server.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use conbrio::io::{BufRead, BufReader};
use conbrio::net::TcpStream;
use conbrio::prelude::*;
use conbrio::process::{Command, Stdio};
use redis::{Parser, Value, cmd};

use crate::support::*;

/// One connection. Answers come in the order of the questions.
struct Client {
    stream: TcpStream,
    parser: Parser,
}

impl Client {
    fn connect(cx: &mut Cx, address: SocketAddr) -> Io<Client> {
        Ok(Client { stream: TcpStream::connect(cx, address)?, parser: Parser::new() })
    }

    fn answer(&mut self, cx: &mut Cx) -> Io<Value> {
        // The parser reads no further than to the end of an answer that has come, or waits.
        self.parser.parse_value(self.stream.with(cx)).or_else(|error| {
            // The library keeps the error of the stream where nobody gets at it: ask again.
            cx.checkpoint()?;
            Err(std::io::Error::other(error))
        })
    }

    fn ask(&mut self, cx: &mut Cx, words: &[&str]) -> Io<Value> {
        let mut question = cmd(words[0]);
        for word in &words[1..] {
            question.arg(word);
        }
        self.stream.write_all(cx, &question.get_packed_command())?;
        self.answer(cx)
    }
}

/// Runs `test` with a server of its own, at a port that was free a moment ago.
fn with_server(test: impl Fn(&mut Cx, SocketAddr) -> Io + Send + Sync) {
    on_workers(|cx| {
        for _ in 0..5 {
            let address = TcpListener::bind(cx, "127.0.0.1:0")?.local_addr()?;
            let port = address.port().to_string();
            let mut command = Command::new("redis-server");
            command
                .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
                .args(["--dir", "/", "--daemonize", "no"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped());
            let mut server = match command.spawn(cx) {
                Ok(server) => server,
                Err(error) => {
                    let error = error.into_failed().unwrap();
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                    println!("SKIPPED: there is no redis-server here: {error}");
                    return Ok(());
                }
            };
            let mut said = BufReader::new(server.stdout.take().unwrap());
            let mut line = String::new();
            let is_ready = loop {
                line.clear();
                if said.read_line(cx, &mut line)? == 0 {
                    // Somebody else has taken the port.
                    break false;
                }
                if line.contains("Ready to accept connections") {
                    break true;
                }
            };
            if is_ready {
                let outcome = test(cx, address);
                server.process().kill()?;
                server.wait(cx)?;
                return outcome;
            }
        }
        panic!("no port was free five times")
    });
}

fn bulk(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

#[test]
fn a_server_is_talked_to_by_many() {
    with_server(|cx, address| {
        let mut client = Client::connect(cx, address)?;
        assert_eq!(client.ask(cx, &["SET", "name", "conbrio"])?, Value::Okay);
        assert_eq!(client.ask(cx, &["GET", "name"])?, bulk("conbrio"));
        let big = "x".repeat(2_000_000);
        assert_eq!(client.ask(cx, &["SET", "big", &big])?, Value::Okay);
        assert!(client.ask(cx, &["GET", "big"])? == bulk(&big));
        cx.nursery(|_, n| -> Io {
            for _ in 0..20 {
                n.spawn(|cx| {
                    let mut client = Client::connect(cx, address)?;
                    for _ in 0..10 {
                        client.ask(cx, &["INCR", "count"])?;
                    }
                    Ok(())
                });
            }
            Ok(())
        })?;
        assert_eq!(client.ask(cx, &["GET", "count"])?, bulk("200"));
        Ok(())
    });
}

#[test]
fn an_answer_that_takes_too_long_is_left() {
    with_server(|cx, address| {
        let mut waiting = Client::connect(cx, address)?;
        let asked = cx.move_on_after(Duration::from_millis(5), |cx| {
            waiting.ask(cx, &["BLPOP", "queue", "0"])
        });
        assert!(matches!(asked, Ok(None)), "{asked:?}");
        // Nothing was lost: the answer comes over the same connection when there is one.
        let mut other = Client::connect(cx, address)?;
        assert_eq!(other.ask(cx, &["RPUSH", "queue", "item"])?, Value::Int(1));
        assert_eq!(waiting.answer(cx)?, Value::Array(vec![bulk("queue"), bulk("item")]));
        Ok(())
    });
}

#[test]
fn what_is_published_is_heard() {
    with_server(|cx, address| {
        let mut listener = Client::connect(cx, address)?;
        listener.ask(cx, &["SUBSCRIBE", "news"])?;
        let mut speaker = Client::connect(cx, address)?;
        for number in 0..10 {
            let text = format!("number {number}");
            assert_eq!(speaker.ask(cx, &["PUBLISH", "news", &text])?, Value::Int(1));
            let heard = listener.answer(cx)?;
            assert_eq!(heard, Value::Array(vec![bulk("message"), bulk("news"), bulk(&text)]));
        }
        Ok(())
    });
}
