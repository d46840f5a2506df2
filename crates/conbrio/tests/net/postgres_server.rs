//! The protocol of PostgreSQL over streams of this crate, with a real server.
//!
//! The library knows no I/O: it makes bytes of messages and messages of bytes. So this is also what a driver
//! would look like, and what it can rely on when the task that uses it is cancelled.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use conbrio::fs::TempDir;
use conbrio::io::{BufRead, BufReader};
use conbrio::net::TcpStream;
use conbrio::prelude::*;
use conbrio::process::{Command, Stdio};
use conbrio::signal::Signal;
use fallible_iterator::FallibleIterator;
use postgres_protocol::IsNull;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use crate::support::*;

/// A connection. Answers come in the order of the questions.
struct Client {
    stream: TcpStream,
    /// What has come and is no whole message yet.
    incoming: BytesMut,
    /// By what another connection says whom it means.
    key: (i32, i32),
}

/// What there was until the server was ready for the next query.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    rows: Vec<Vec<String>>,
    /// What was done, as in `SELECT 3`; the code of the error, where there was one.
    outcomes: Vec<String>,
}

impl Client {
    /// Connects and shows that it knows the password.
    fn connect(cx: &mut Cx, address: SocketAddr, password: &str) -> Io<Client> {
        let stream = TcpStream::connect(cx, address)?;
        let mut client = Client { stream, incoming: BytesMut::new(), key: (0, 0) };
        let parameters = [("user", USER), ("database", "postgres"), ("client_encoding", "UTF8")];
        client.send(cx, |buf| frontend::startup_message(parameters, buf))?;
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        loop {
            match client.message(cx)? {
                Message::AuthenticationSasl(_) => {
                    let first = scram.message();
                    client.send(cx, |buf| {
                        frontend::sasl_initial_response(SCRAM_SHA_256, first, buf)
                    })?;
                }
                Message::AuthenticationSaslContinue(body) => {
                    scram.update(body.data())?;
                    let second = scram.message();
                    client.send(cx, |buf| frontend::sasl_response(second, buf))?;
                }
                // The server has to know the password, too.
                Message::AuthenticationSaslFinal(body) => scram.finish(body.data())?,
                Message::BackendKeyData(body) => {
                    client.key = (body.process_id(), body.secret_key());
                }
                Message::ReadyForQuery(_) => return Ok(client),
                Message::ErrorResponse(body) => {
                    let code = code(body.fields())?;
                    return Err(Error::new(ErrorKind::PermissionDenied, code));
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, cx: &mut Cx, message: impl FnOnce(&mut BytesMut) -> Io) -> Io {
        let mut outgoing = BytesMut::new();
        message(&mut outgoing)?;
        Ok(self.stream.write_all(cx, &outgoing)?)
    }

    fn message(&mut self, cx: &mut Cx) -> Io<Message> {
        next_message(&mut self.incoming, |incoming| {
            Ok(self.stream.read_with(cx, |bytes| {
                incoming.extend_from_slice(bytes);
                bytes.len()
            })?)
        })
    }

    /// What comes until the server is ready for the next query, which it says it is outside of transactions.
    fn answer(&mut self, cx: &mut Cx) -> Io<Answer> {
        let mut answer = Answer::default();
        while !answer.add(self.message(cx)?)? {}
        Ok(answer)
    }

    fn query(&mut self, cx: &mut Cx, text: &str) -> Io<Answer> {
        self.send(cx, |buf| frontend::query(text, buf))?;
        self.answer(cx)
    }
}

impl Answer {
    /// Whether this is all.
    fn add(&mut self, message: Message) -> Io<bool> {
        match message {
            Message::DataRow(row) => {
                let text = |range: std::ops::Range<usize>| row.buffer()[range].to_vec();
                let columns = row.ranges().map(|range| Ok(range.map(text).unwrap_or_default()));
                let columns: Vec<Vec<u8>> = columns.collect()?;
                let texts = columns.into_iter().map(String::from_utf8);
                self.rows.push(texts.collect::<Result<_, _>>().map_err(Error::other)?);
            }
            Message::CommandComplete(body) => self.outcomes.push(body.tag()?.to_owned()),
            Message::ErrorResponse(body) => self.outcomes.push(code(body.fields())?),
            Message::ReadyForQuery(body) => {
                assert_eq!(body.status(), b'I');
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn first(&self) -> &str {
        &self.rows[0][0]
    }
}

fn next_message(
    incoming: &mut BytesMut,
    mut read: impl FnMut(&mut BytesMut) -> Io<usize>,
) -> Io<Message> {
    loop {
        if let Some(message) = Message::parse(incoming)? {
            return Ok(message);
        }
        if read(incoming)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

fn code(mut fields: postgres_protocol::message::backend::ErrorFields<'_>) -> Io<String> {
    let field = fields.find(|field| Ok(field.type_() == b'C'))?;
    let value = field.map(|field| field.value_bytes().to_vec()).unwrap_or_default();
    String::from_utf8(value).map_err(Error::other)
}

/// A prepared statement without a name, with parameters as text.
fn extended(buf: &mut BytesMut, text: &str, parameters: &[&str]) -> Io {
    frontend::parse("", text, [], buf)?;
    let put = |parameter: &&str, buf: &mut BytesMut| {
        buf.extend_from_slice(parameter.as_bytes());
        Ok(IsNull::No)
    };
    frontend::bind("", "", [], parameters, put, [], buf).map_err(|_| ErrorKind::InvalidInput)?;
    frontend::execute("", 0, buf)?;
    frontend::sync(buf);
    Ok(())
}

/// Runs `test` with a server of its own, on each reactor, with one worker and with two.
fn with_server(test: impl Fn(&mut Cx, SocketAddr) -> Io + Send + Sync) {
    let Some(programs) = programs() else {
        println!("SKIPPED: there is no PostgreSQL here");
        return;
    };
    let served = conbrio::run(|cx| -> Io {
        let folder = TempDir::new(cx)?;
        let user = unprivileged();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid))?;
        }
        let program = |name: &str| {
            let mut command = Command::new(programs.join(name));
            command.arg("-D").arg(folder.path().join("data")).current_dir(folder.path());
            if let Some((uid, gid)) = user {
                use std::os::unix::process::CommandExt as _;
                command.as_std_mut().uid(uid).gid(gid);
            }
            command
        };
        conbrio::fs::write(cx, folder.path().join("password"), PASSWORD)?;
        let mut make = program("initdb");
        make.args(["--username", USER, "--pwfile", "password", "--auth", "scram-sha-256"]);
        make.args(["--no-sync", "--no-locale", "--encoding", "UTF8"]);
        let made = make.output(cx)?;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for _ in 0..5 {
            if serve_once(cx, program("postgres"), &test)? {
                return Ok(());
            }
        }
        panic!("no port was free five times")
    });
    served.unwrap();
}

/// Starts a server at a port that was free a moment ago. False if somebody else has taken it since.
fn serve_once(
    cx: &mut Cx,
    mut command: Command,
    test: &(impl Fn(&mut Cx, SocketAddr) -> Io + Send + Sync),
) -> Io<bool> {
    let address = TcpListener::bind(cx, "127.0.0.1:0")?.local_addr()?;
    command.args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-k", ""]);
    for option in ["fsync=off", "shared_buffers=2MB", "jit=off", "max_wal_senders=0"] {
        command.args(["-c", option]);
    }
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    // To be killed would leave its own children behind for a while.
    command.on_cancel(|_, process| process.signal(Signal::INTERRUPT));
    let mut server = command.spawn(cx)?;
    let mut said = BufReader::new(server.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("ready to accept connections") {
        line.clear();
        if said.read_line(cx, &mut line)? == 0 {
            return Ok(false);
        }
    }
    cx.nursery(|cx, n| -> Io {
        // Nobody waits for a log that nobody reads.
        n.spawn(move |cx| {
            let mut line = String::new();
            while said.read_line(cx, &mut line)? > 0 {
                line.clear();
            }
            Ok(())
        });
        cx.blocking(|| on_workers(|cx| test(cx, address)))?;
        server.process().signal(Signal::INTERRUPT)?;
        let status = server.wait(cx)?;
        assert!(status.success(), "{status}");
        Ok(())
    })?;
    Ok(true)
}

/// The folder of the server's programs, of the newest version where there are several.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps versions beside each other.
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut kept: Vec<PathBuf> =
        versions.filter_map(|version| Some(version.ok()?.path().join("bin"))).collect();
    kept.sort();
    let mut folders = std::env::split_paths(&path).chain(kept.into_iter().rev());
    folders.find(|folder| ["initdb", "postgres"].iter().all(|name| folder.join(name).exists()))
}

/// Whom to be instead of the superuser, as whom the server does not run.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).unwrap();
    let nobody = users.lines().find(|line| line.starts_with("nobody:")).expect("a user `nobody`");
    let number = |place| nobody.split(':').nth(place).unwrap().parse().unwrap();
    Some((number(2), number(3)))
}

const USER: &str = "conbrio";
const PASSWORD: &str = "a password that is shown to nobody";

#[test]
fn a_server_answers_simple_and_extended_queries() {
    with_server(|cx, address| {
        let denied = Client::connect(cx, address, "another password").err().unwrap();
        assert_eq!(
            (denied.kind(), denied.to_string()),
            (ErrorKind::PermissionDenied, INVALID_PASSWORD.into())
        );
        let mut client = Client::connect(cx, address, PASSWORD)?;
        let several = client.query(cx, "select 6 * 7; select 'a', null; select 1 / 0; select 2")?;
        assert_eq!(several.rows, [vec!["42"], vec!["a", ""]]);
        assert_eq!(several.outcomes, ["SELECT 1", "SELECT 1", DIVISION_BY_ZERO]);
        // Many rows, with parameters, over the same connection.
        let text = "select i, repeat($1, 100) from generate_series(1, $2::int) i";
        client.send(cx, |buf| extended(buf, text, &["ü", &ROWS.to_string()]))?;
        let answer = client.answer(cx)?;
        assert_eq!(answer.outcomes, [format!("SELECT {ROWS}")]);
        for (row, number) in answer.rows.iter().zip(1..) {
            assert_eq!(row, &[number.to_string(), "ü".repeat(100)]);
        }
        // Ten at once, and each its own session.
        cx.nursery(|_, n| -> Io {
            for number in 0..10 {
                n.spawn(move |cx| {
                    let mut client = Client::connect(cx, address, PASSWORD)?;
                    client.query(cx, &format!("set application_name to 'number {number}'"))?;
                    let answer = client.query(cx, "show application_name")?;
                    assert_eq!(answer.first(), format!("number {number}"));
                    Ok(())
                });
            }
            Ok(())
        })?;
        Ok(())
    });
}

#[test]
fn rows_that_stream_when_the_task_is_cancelled_are_neither_lost_nor_doubled() {
    with_server(|cx, address| {
        let mut client = Client::connect(cx, address, PASSWORD)?;
        let text = "select i, repeat('x', 200) from generate_series(1, $1::int) i";
        client.send(cx, |buf| extended(buf, text, &[&ROWS.to_string()]))?;
        let mut answer = Answer::default();
        let mut cancellations = 0;
        for cut in (0..ROWS).step_by(ROWS / 20) {
            let read = cx.cancel_scope(|cx, scope| -> Io {
                loop {
                    if answer.rows.len() >= cut {
                        scope.cancel();
                    }
                    if answer.add(client.message(cx)?)? {
                        return Ok(());
                    }
                }
            })?;
            match read {
                None => cancellations += 1,
                Some(()) => break,
            }
        }
        // Those that had come already may be all.
        assert!(cancellations > 0);
        if answer.outcomes.is_empty() {
            while !answer.add(client.message(cx)?)? {}
        }
        assert_eq!(answer.outcomes, [format!("SELECT {ROWS}")]);
        assert!(answer.rows.iter().map(|row| row[0].clone()).eq((1..=ROWS).map(|i| i.to_string())));
        assert_eq!(client.query(cx, "select 'next'")?.first(), "next");
        Ok(())
    });
}

#[test]
fn a_query_is_called_off_over_another_connection() {
    with_server(|cx, address| {
        let mut client = Client::connect(cx, address, PASSWORD)?;
        client.send(cx, |buf| {
            let text = "do $$ begin raise notice 'begun'; perform pg_sleep(3600); end $$";
            frontend::query(text, buf)
        })?;
        assert!(matches!(client.message(cx)?, Message::NoticeResponse(_)));
        // This side has had enough. The server does not know that yet.
        let asked = cx.move_on_after(millis(2), |cx| client.message(cx));
        assert!(matches!(asked, Ok(None)));
        let (process, secret) = client.key;
        let mut other = TcpStream::connect(cx, address)?;
        let mut request = BytesMut::new();
        frontend::cancel_request(process, secret, &mut request);
        other.write_all(cx, &request)?;
        assert_eq!(other.read(cx, &mut [0])?, 0);
        assert_eq!(client.answer(cx)?.outcomes, [QUERY_CANCELED]);
        assert_eq!(client.query(cx, "select 'next'")?.first(), "next");
        Ok(())
    });
}

/// The server does not read while nobody takes what it writes: who sends on without reading waits for ever,
/// unless there is a limit. What was sent is known then, and the rest can be sent while the rows are read.
#[test]
fn a_question_that_was_sent_in_part_is_finished_later() {
    with_server(|cx, address| {
        let mut client = Client::connect(cx, address, PASSWORD)?;
        let mut questions = BytesMut::new();
        let text = "select repeat('x', 1000000) from generate_series(1, $1::int) i";
        extended(&mut questions, text, &[&(BIG_BYTES / 1_000_000).to_string()])?;
        let big = "y".repeat(BIG_BYTES);
        extended(&mut questions, "select length($1::text)", &[&big])?;
        let mut sent = 0;
        let written = cx.move_on_after(millis(20), |cx| {
            client
                .stream
                .write_all(cx, &questions)
                .inspect_err(|error| sent = error.done() as usize)
        })?;
        assert!(written.is_none() && sent > 0 && sent < questions.len(), "{sent}");
        let (mut reader, mut writer) = client.stream.split();
        let rest = &questions[sent..];
        let mut incoming = client.incoming;
        let (mut first, mut second) = (Answer::default(), Answer::default());
        cx.nursery(|cx, n| -> Io {
            n.spawn(move |cx| Ok(writer.write_all(cx, rest)?));
            for answer in [&mut first, &mut second] {
                while !answer.add(next_message(&mut incoming, |incoming| {
                    Ok(reader.read_with(cx, |bytes| {
                        incoming.extend_from_slice(bytes);
                        bytes.len()
                    })?)
                })?)? {}
            }
            Ok(())
        })?;
        assert_eq!(first.rows.iter().map(|row| row[0].len()).sum::<usize>(), BIG_BYTES);
        assert_eq!(second.first(), BIG_BYTES.to_string());
        Ok(())
    });
}

const ROWS: usize = 5_000;
/// More than the buffers of the sockets on both sides.
const BIG_BYTES: usize = 16_000_000;

// The codes of PostgreSQL: appendix A of its manual.
const INVALID_PASSWORD: &str = "28P01";
const DIVISION_BY_ZERO: &str = "22012";
const QUERY_CANCELED: &str = "57014";
