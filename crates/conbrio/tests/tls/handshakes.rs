//! Handshakes: who is trusted, what is settled, and what happens when it cannot be.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use conbrio::io::{HalfClose, Read, Write};
use conbrio::prelude::*;
use conbrio::testing::{assert_checkpoints, streams};
use conbrio::tls::rustls::{self, AlertDescription, CertificateError, ProtocolVersion};
use conbrio::tls::{Acceptor, Connector, TlsError, TlsListener};

use crate::support::{
    Authority, HOST, acceptor, acceptor_builder, attach, authority, both, certificate,
    client_config, connector, connector_builder, echo, failed, on_workers, pair, shake, tcp,
    with_network,
};

/// Asks an echo over a stream, and says the end.
fn ask(cx: &mut Cx, stream: &mut (impl Read + HalfClose), text: &[u8]) -> Vec<u8> {
    stream.write_all(cx, text).unwrap();
    stream.end_write(cx).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(cx, &mut answer).unwrap();
    answer
}

// spec: test_ssl.ssl_client_basics
#[test]
fn a_client_that_trusts_the_server_talks_to_it() {
    on_workers(|cx| {
        let (near, far) = streams::duplex();
        let (echoed, answer) = both(
            cx,
            |cx| echo(cx, acceptor().attach(far)),
            |cx| {
                // No word about a handshake: the first write does it.
                let mut stream = connector().attach(HOST, near).unwrap();
                ask(cx, &mut stream, b"x")
            },
        );
        echoed.unwrap();
        assert_eq!(answer, b"x");
    });
}

/// The failures of the client and of the server.
fn rejected(cx: &mut Cx, connector: &Connector, host: &str) -> (std::io::Error, std::io::Error) {
    let (near, far) = streams::duplex();
    let (server, client) = both(
        cx,
        |cx| failed(acceptor().accept(cx, far)),
        |cx| failed(connector.connect(cx, host, near)),
    );
    (client, server)
}

// spec: test_ssl.ssl_client_basics
#[test]
fn a_client_turns_down_a_server_that_it_does_not_trust() {
    on_workers(|cx| {
        let (client, server) = rejected(cx, &Connector::new(), HOST);
        assert_eq!(client.kind(), ErrorKind::InvalidData);
        let error = TlsError::of(&client).unwrap();
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!((error.protocol(), error.peer()), (Some(&unknown), HOST));
        let message = client.to_string();
        assert!(message.starts_with(&format!("tls handshake with {HOST}: ")), "{message}");
        assert!(message.contains("root_pem"), "{message}");
        let source = std::error::Error::source(error).unwrap();
        assert!(source.is::<rustls::Error>());
        // The server is told why.
        let alert = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        assert_eq!(TlsError::of(&server).unwrap().protocol(), Some(&alert));
    });
}

// spec: test_ssl.ssl_client_basics
#[test]
fn a_client_turns_down_a_server_with_another_name() {
    on_workers(|cx| {
        let (client, _) = rejected(cx, &connector(), "trio-test-2.example.org");
        let error = TlsError::of(&client).unwrap().protocol().unwrap().clone();
        let names = matches!(
            error,
            rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })
        );
        assert!(names, "{error:?}");
        assert!(client.to_string().contains("trio-test-2.example.org"), "{client}");
    });
}

// spec: test_ssl.ssl_server_basics
#[test]
fn a_server_talks_to_a_peer_that_blocks_its_thread() {
    with_network(|cx| {
        let (server, client) = tcp(cx);
        let client = client.into_std().unwrap();
        std::thread::scope(|threads| {
            let thread = threads.spawn(move || {
                let config = client_config(rustls::ALL_VERSIONS);
                let name = HOST.try_into().unwrap();
                let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, client);
                stream.write_all(b"x").unwrap();
                let mut answer = [0];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"y");
                stream.conn.send_close_notify();
                stream.flush().unwrap();
                assert_eq!(stream.read(&mut answer).unwrap(), 0);
            });
            let mut stream = acceptor().attach(server);
            let mut byte = [0; 2];
            assert_eq!(stream.read(cx, &mut byte).unwrap(), 1);
            assert_eq!(&byte, b"x\0");
            stream.write_all(cx, b"y").unwrap();
            assert_eq!(stream.read(cx, &mut byte).unwrap(), 0);
            stream.end_write(cx).unwrap();
            cx.blocking(|| thread.join().unwrap()).unwrap();
        });
    });
}

// spec: test_ssl.checkpoints
#[test]
fn each_call_is_a_checkpoint() {
    on_workers(|cx| {
        let (mut client, mut server) = attach(streams::duplex());
        both(
            cx,
            |cx| server.handshake(cx).map(drop).unwrap(),
            |cx| assert_checkpoints(cx, |cx| client.handshake(cx).map(drop).unwrap()),
        );
        assert_checkpoints(cx, |cx| client.handshake(cx).map(drop).unwrap());
        assert_checkpoints(cx, |cx| client.write_all(cx, b"xxx").unwrap());
        assert_checkpoints(cx, |cx| assert_eq!(client.write(cx, b"").unwrap(), 0));
        assert_checkpoints(cx, |cx| client.write_all(cx, b"").unwrap());
        assert_checkpoints(cx, |cx| client.flush(cx).unwrap());
        // Also when the bytes are there already, decrypted.
        for _ in 0..3 {
            assert_checkpoints(cx, |cx| assert_eq!(server.read(cx, &mut [0]).unwrap(), 1));
        }
        assert_checkpoints(cx, |cx| assert_eq!(server.read(cx, &mut []).unwrap(), 0));
        assert_checkpoints(cx, |cx| client.end_write(cx).unwrap());
        assert_checkpoints(cx, |cx| client.end_write(cx).unwrap());
        for _ in 0..2 {
            assert_checkpoints(cx, |cx| assert_eq!(server.read(cx, &mut [0]).unwrap(), 0));
        }
        assert_checkpoints(cx, |cx| server.finish(cx).unwrap());
    });
}

// spec: test_ssl.send_all_empty_string
#[test]
fn writing_nothing_sends_nothing() {
    on_workers(|cx| {
        let (mut client, mut server) = pair(cx);
        for _ in 0..3 {
            client.write_all(cx, b"").unwrap();
            assert!(client.get_ref().writer().queue().is_empty());
        }
        client.write_all(cx, b"not nothing").unwrap();
        let mut buf = [0; 32];
        assert_eq!(server.read(cx, &mut buf).unwrap(), 11);
    });
}

// spec: test_ssl.selected_alpn_protocol_before_handshake, test_ssl.selected_alpn_protocol_when_not_set
#[test]
fn what_is_settled_is_known_after_the_handshake() {
    on_workers(|cx| {
        // Others may have left sessions in the connector that all share.
        let (near, far) = streams::duplex();
        let client = connector_builder().build().unwrap().attach(HOST, near).unwrap();
        let server = acceptor().attach(far);
        let error = client.negotiated().unwrap_err();
        assert!(error.to_string().contains("call `handshake` first"), "{error}");
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::NotConnected);
        assert!(server.negotiated().is_err());

        let (client, server) = shake(cx, (client, server));
        for (side, is_server) in [(client, false), (server, true)] {
            let settled = side.negotiated().unwrap();
            assert_eq!(settled.alpn_protocol(), None);
            assert_eq!(settled.protocol_version(), ProtocolVersion::TLSv1_3);
            assert_eq!(settled.server_name(), is_server.then_some(HOST));
            assert!(!settled.is_resumed());
        }
    });
}

#[test]
fn the_best_protocol_that_both_know_is_taken() {
    on_workers(|cx| {
        let connector = connector_builder().alpn(["h2", "http/1.1"]).build().unwrap();
        let acceptor = acceptor_builder().alpn(["spdy", "http/1.1"]).build().unwrap();
        let (near, far) = streams::duplex();
        let sides = (connector.attach(HOST, near).unwrap(), acceptor.attach(far));
        let (client, server) = shake(cx, sides);
        for side in [client, server] {
            assert_eq!(side.negotiated().unwrap().alpn_protocol(), Some(&b"http/1.1"[..]));
        }

        let stranger = acceptor_builder().alpn(["spdy"]).build().unwrap();
        let (near, far) = streams::duplex();
        let (server, client) = both(
            cx,
            |cx| failed(stranger.accept(cx, far)),
            |cx| failed(connector.connect(cx, HOST, near)),
        );
        let none = AlertDescription::NoApplicationProtocol;
        assert_eq!(
            TlsError::of(&client).unwrap().protocol(),
            Some(&rustls::Error::AlertReceived(none))
        );
        assert!(server.to_string().starts_with("tls handshake with a client: "), "{server}");
    });
}

// spec: test_ssl.getpeercert
#[test]
fn each_side_has_the_certificate_of_the_other() {
    on_workers(|cx| {
        let (authority, server) = authority();
        let own = authority.client("a client of the test");
        let connector = connector_builder()
            .certificate_pem(own.certificate.as_bytes(), own.key.as_bytes())
            .build()
            .unwrap();
        let acceptor =
            acceptor_builder().client_root_pem(authority.root.as_bytes()).build().unwrap();
        let (near, far) = streams::duplex();
        let sides = (connector.attach(HOST, near).unwrap(), acceptor.attach(far));
        let (on_client, on_server) = shake(cx, sides);
        for (side, peer) in [(on_client, server), (on_server, &own)] {
            let certificates = side.negotiated().unwrap().peer_certificates();
            assert_eq!(certificates, [certificate(&peer.certificate)]);
        }

        let (client, server) = pair(cx);
        assert_eq!(client.negotiated().unwrap().peer_certificates().len(), 1);
        assert!(server.negotiated().unwrap().peer_certificates().is_empty());
    });
}

#[test]
fn a_server_may_ask_for_certificates() {
    on_workers(|cx| {
        let root = authority().0.root.as_bytes();
        let strict = acceptor_builder().client_root_pem(root).build().unwrap();
        let lenient = acceptor_builder()
            .client_root_pem(root)
            .clients_may_be_anonymous(true)
            .build()
            .unwrap();

        let (near, far) = streams::duplex();
        let (server, client) = both(
            cx,
            |cx| failed(strict.accept(cx, far)),
            |cx| {
                // In TLS 1.3 the client is done before the server has seen that there is no certificate.
                let mut stream = connector().connect(cx, HOST, near).unwrap();
                failed(stream.read(cx, &mut [0]))
            },
        );
        let error = TlsError::of(&server).unwrap().protocol();
        assert_eq!(error, Some(&rustls::Error::NoCertificatesPresented));
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let error = TlsError::of(&client).unwrap();
        assert_eq!((error.protocol(), error.peer()), (Some(&alert), HOST));

        // One that another authority has signed.
        let other = Authority::new("another authority").client("somebody else");
        let stranger = connector_builder()
            .certificate_pem(other.certificate.as_bytes(), other.key.as_bytes())
            .build()
            .unwrap();
        let (near, far) = streams::duplex();
        let (server, client) = both(
            cx,
            |cx| failed(strict.accept(cx, far)),
            |cx| {
                let mut stream = stranger.connect(cx, HOST, near).unwrap();
                failed(stream.read(cx, &mut [0]))
            },
        );
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(TlsError::of(&server).unwrap().protocol(), Some(&unknown));
        assert_eq!(client.kind(), ErrorKind::InvalidData);

        let (near, far) = streams::duplex();
        let sides = (connector().attach(HOST, near).unwrap(), lenient.attach(far));
        let (_, server) = shake(cx, sides);
        assert!(server.negotiated().unwrap().peer_certificates().is_empty());
    });
}

/// A connector for one version of the protocol, through a configuration of rustls.
fn only(version: &'static rustls::SupportedProtocolVersion) -> Connector {
    Connector::from_config(Arc::new(client_config(&[version])))
}

#[test]
fn both_versions_work_and_sessions_are_taken_up_again() {
    on_workers(|cx| {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let (connector, acceptor) = (only(version), acceptor_builder().build().unwrap());
            for is_resumed in [false, true] {
                let (near, far) = streams::lockstep_duplex();
                let (echoed, answer) = both(
                    cx,
                    |cx| echo(cx, acceptor.attach(far)),
                    |cx| {
                        let mut stream = connector.attach(HOST, near).unwrap();
                        let settled = stream.handshake(cx).unwrap();
                        assert_eq!(settled.protocol_version(), version.version);
                        assert_eq!(settled.is_resumed(), is_resumed, "{version:?}");
                        stream.write_all(cx, b"again?").unwrap();
                        let mut answer = [0; 6];
                        stream.read_exact(cx, &mut answer).unwrap();
                        stream.end_write(cx).unwrap();
                        assert_eq!(stream.read(cx, &mut [0]).unwrap(), 0);
                        answer
                    },
                );
                echoed.unwrap();
                assert_eq!(&answer, b"again?");
            }
        }
    });
}

// spec: test_highlevel_ssl_helpers.open_ssl_over_tcp_stream_and_everything_else
#[test]
fn a_host_is_connected_to_by_its_name() {
    with_network(|cx| {
        let local = authority().0.server("localhost");
        let acceptor = Acceptor::builder()
            .certificate_pem(local.certificate.as_bytes(), local.key.as_bytes())
            .alpn(["echo"])
            .build()
            .unwrap();
        let listener = TcpListener::bind(cx, "localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut listener = TlsListener::new(listener, acceptor);
        cx.nursery(|cx, n| -> std::io::Result<()> {
            n.spawn(move |cx| -> std::io::Result<()> {
                loop {
                    let (stream, _) = listener.accept(cx)?;
                    n.spawn(move |cx| match echo(cx, stream) {
                        Err(error) if error.cancelled().is_some() => Err(error),
                        // Clients that turn the server down are no failure of the server.
                        _ => Ok(()),
                    });
                }
            });
            // Trusted by nobody.
            let error = failed(Connector::new().connect_tcp(cx, "localhost", port));
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            // Trusted, with a name that it does not have.
            let error = failed(connector().connect_tcp(cx, "127.0.0.1", port));
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            // Trusted, with its name; options are passed through.
            let connector = connector_builder().alpn(["echo"]).build().unwrap();
            let mut stream = connector.connect_tcp(cx, "localhost", port).unwrap();
            assert_eq!(stream.negotiated()?.alpn_protocol(), Some(&b"echo"[..]));
            assert_eq!(ask(cx, &mut stream, b"hello"), b"hello");
            n.cancel();
            Ok(())
        })
        .unwrap();
    });
}

// spec: test_highlevel_ssl_helpers.open_ssl_over_tcp_listeners, test_ssl.SSLListener
#[test]
fn a_listener_leaves_the_handshake_to_the_stream() {
    with_network(|cx| {
        let listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = TlsListener::new(listener, acceptor());
        assert_eq!(listener.local_addr().unwrap(), address);
        // A client that says nothing holds up nobody.
        let silent = TcpStream::connect(cx, address).unwrap();
        let (first, peer) = listener.accept(cx).unwrap();
        assert_eq!(peer, silent.local_addr().unwrap());
        assert!(first.negotiated().is_err());
        let transport = TcpStream::connect(cx, address).unwrap();
        let (second, _) = listener.accept(cx).unwrap();
        let (echoed, answer) = both(
            cx,
            |cx| echo(cx, second),
            |cx| ask(cx, &mut connector().attach(HOST, transport).unwrap(), b"hello"),
        );
        echoed.unwrap();
        assert_eq!(answer, b"hello");
        // An error names the peer by its address.
        drop(silent);
        let mut first = first;
        let error = failed(first.read(cx, &mut [0]));
        assert!(error.to_string().contains(&peer.to_string()), "{error}");
        let listener = listener.into_inner();
        assert_eq!(listener.local_addr().unwrap(), address);
    });
}

#[test]
fn what_is_wrong_with_options_is_said_by_name() {
    let text = |error: std::io::Error| {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        error.to_string()
    };
    let server = &authority().1;
    let (certificate, key) = (server.certificate.as_bytes(), server.key.as_bytes());
    let cases = [
        (text(Connector::builder().root_pem(b"no pem").build().unwrap_err()), "root"),
        (text(Connector::builder().certificate_pem(b"", key).build().unwrap_err()), "certificate"),
        (
            text(Connector::builder().certificate_pem(certificate, b"").build().unwrap_err()),
            "private key",
        ),
        (text(Acceptor::builder().build().unwrap_err()), "certificate_pem"),
        (
            text(Acceptor::builder().certificate_pem(certificate, b"?").build().unwrap_err()),
            "private key",
        ),
        (text(connector().attach("two words", streams::duplex().0).unwrap_err()), "two words"),
        (text(connector().attach("example.org:443", streams::duplex().0).unwrap_err()), ":443"),
    ];
    for (message, name) in cases {
        assert!(message.contains(name), "{message} does not name {name}");
    }
    // A key that is not the one of the certificate.
    let other = authority().0.server(HOST);
    let error = Acceptor::builder().certificate_pem(certificate, other.key.as_bytes()).build();
    assert!(text(error.unwrap_err()).contains("certificate of the server"));
}
