//! Other programs as peers: those of OpenSSL, and curl.
//!
//! Each test says loudly if its program is not there. Programs end with the test: their input is closed, or
//! they serve one connection; at the worst they are killed when their handle is dropped.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use conbrio::io::{HalfClose, Read, Write};
use conbrio::prelude::*;
use conbrio::tls::rustls::ProtocolVersion;
use conbrio::tls::{Acceptor, Connector, TlsListener};

use crate::support::{Certified, authority, both, with_network};

/// Whether a program can be run. If not, says so.
fn is_there(program: &str) -> bool {
    let probe = Command::new(program).arg("version").stdin(Stdio::null()).output();
    let is_there = probe.is_ok();
    if !is_there {
        eprintln!("SKIPPED: {program} is not installed; this test proves nothing without it");
    }
    is_there
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Certificates in files, in a folder of their own.
struct Files(PathBuf);

impl Files {
    fn new(name: &str, server: &Certified) -> Files {
        let folder =
            std::env::temp_dir().join(format!("conbrio-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("root.pem"), &authority().0.root).unwrap();
        std::fs::write(folder.join("certificate.pem"), &server.certificate).unwrap();
        std::fs::write(folder.join("key.pem"), &server.key).unwrap();
        Files(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn for_localhost() -> (Certified, Acceptor, Connector) {
    let local = authority().0.server_for_openssl("localhost");
    let acceptor = Acceptor::builder()
        .certificate_pem(local.certificate.as_bytes(), local.key.as_bytes())
        .alpn(["echo", "http/1.1"])
        .build()
        .unwrap();
    let root = authority().0.root.as_bytes();
    let connector = Connector::builder().root_pem(root).alpn(["echo"]).build().unwrap();
    (local, acceptor, connector)
}

// spec: test_ssl.ssl_server_basics
#[test]
fn a_client_of_openssl() {
    if !is_there("openssl") {
        return;
    }
    with_network(|cx| {
        let (local, acceptor, _) = for_localhost();
        for version in ["-tls1_2", "-tls1_3"] {
            let files = Files::new(&format!("client{version}"), &local);
            let listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut listener = TlsListener::new(listener, acceptor.clone());
            let mut command = Command::new("openssl");
            command.args(["s_client", "-quiet", "-verify_return_error", version]);
            command.args(["-servername", "localhost", "-verify_hostname", "localhost"]);
            command.args(["-alpn", "echo", "-connect", &format!("127.0.0.1:{port}")]);
            command.arg("-CAfile").arg(files.path("root.pem"));
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let (answer, ()) = both(
                cx,
                |cx| {
                    cx.blocking(|| {
                        use std::io::Write as _;
                        let mut client = Running(command.spawn().unwrap());
                        let mut input = client.0.stdin.take().unwrap();
                        input.write_all(b"hello from openssl\n").unwrap();
                        let mut answer = String::new();
                        let output = client.0.stdout.take().unwrap();
                        BufReader::new(output).read_line(&mut answer).unwrap();
                        drop(input);
                        answer
                    })
                    .unwrap()
                },
                |cx| {
                    let (mut stream, _) = listener.accept(cx).unwrap();
                    let settled = stream.handshake(cx).unwrap();
                    let expected = match version {
                        "-tls1_2" => ProtocolVersion::TLSv1_2,
                        _ => ProtocolVersion::TLSv1_3,
                    };
                    assert_eq!(settled.protocol_version(), expected);
                    assert_eq!(settled.alpn_protocol(), Some(&b"echo"[..]));
                    assert_eq!(settled.server_name(), Some("localhost"));
                    let mut line = [0; 19];
                    stream.read_exact(cx, &mut line).unwrap();
                    stream.write_all(cx, &line).unwrap();
                    stream.end_write(cx).unwrap();
                    // It may say the end or be killed before that.
                    let _ = stream.read(cx, &mut line);
                },
            );
            assert_eq!(answer, "hello from openssl\n");
        }
    });
}

// spec: test_ssl.ssl_client_basics
#[test]
fn a_server_of_openssl() {
    if !is_there("openssl") {
        return;
    }
    with_network(|cx| {
        let (local, _, connector) = for_localhost();
        for version in ["-tls1_2", "-tls1_3"] {
            let files = Files::new(&format!("server{version}"), &local);
            let mut command = Command::new("openssl");
            // It says on which port it listens. It sends back each line in reverse.
            command.args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-rev", version]);
            command.args(["-alpn", "echo"]);
            command.arg("-cert").arg(files.path("certificate.pem"));
            command.arg("-key").arg(files.path("key.pem"));
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut server = Running(command.spawn().unwrap());
            let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
            let port = cx
                .blocking(|| {
                    loop {
                        let line = lines.next().expect("it says its port").unwrap();
                        if let Some(address) = line.strip_prefix("ACCEPT ") {
                            return address.rsplit(':').next().unwrap().parse::<u16>().unwrap();
                        }
                    }
                })
                .unwrap();
            let transport = TcpStream::connect(cx, ("127.0.0.1", port)).unwrap();
            let mut stream = connector.connect(cx, "localhost", transport).unwrap();
            assert_eq!(stream.negotiated().unwrap().alpn_protocol(), Some(&b"echo"[..]));
            for _ in 0..3 {
                stream.write_all(cx, b"desserts\n").unwrap();
                let mut answer = [0; 9];
                stream.read_exact(cx, &mut answer).unwrap();
                assert_eq!(&answer, b"stressed\n");
            }
            stream.end_write(cx).unwrap();
            // It says the end, too, or goes.
            let _ = stream.read(cx, &mut [0]);
        }
    });
}

#[test]
fn a_client_that_is_curl() {
    if !is_there("curl") {
        return;
    }
    with_network(|cx| {
        let (local, acceptor, _) = for_localhost();
        let files = Files::new("curl", &local);
        let listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut listener = TlsListener::new(listener, acceptor.https_compatible(true));
        let body = "from a stream that is encrypted ".repeat(10_000);
        let (output, ()) = both(
            cx,
            |cx| {
                cx.blocking(|| {
                    Command::new("curl")
                        .args(["--silent", "--show-error", "--http1.1", "--max-time", "30"])
                        .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
                        .arg("--cacert")
                        .arg(files.path("root.pem"))
                        .arg(format!("https://localhost:{port}/"))
                        .output()
                        .unwrap()
                })
                .unwrap()
            },
            |cx| {
                let (mut stream, _) = listener.accept(cx).unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0; 512];
                    let count = stream.read(cx, &mut byte).unwrap();
                    assert!(count > 0, "it ended in the middle of a request");
                    request.extend(&byte[..count]);
                }
                assert!(request.starts_with(b"GET / HTTP/1.1\r\n"));
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(cx, head.as_bytes()).unwrap();
                stream.write_all(cx, body.as_bytes()).unwrap();
                stream.end_write(cx).unwrap();
            },
        );
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "curl: {complaint}");
        assert!(output.stdout == body.as_bytes(), "curl got {} bytes", output.stdout.len());
    });
}
