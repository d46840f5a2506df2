//! Certificates, pairs of streams, and what else the suites share.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use conbrio::io::{Read, Split, Write};
use conbrio::net::{TcpListener, TcpStream};
use conbrio::prelude::*;
use conbrio::testing::streams::{self, Duplex};
use conbrio::testing::{MockClock, settle};
use conbrio::tls::rustls;
use conbrio::tls::rustls::pki_types::CertificateDer;
use conbrio::tls::rustls::pki_types::pem::PemObject;
use conbrio::tls::{Acceptor, AcceptorBuilder, Connector, ConnectorBuilder, TlsStream};
use conbrio::{Builder, MaybeCancelled};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SignatureAlgorithm,
};

/// An authority and whom it has certified. All keys are of one kind, whose signatures have one length, so
/// that equal seeds give equal runs.
pub(crate) struct Authority {
    pub(crate) root: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in the format PEM.
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let root = params.self_signed(&key).unwrap().pem();
        Authority { root, issuer: Issuer::new(params, key) }
    }

    fn certify(
        &self,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
        algorithm: &'static SignatureAlgorithm,
    ) -> Certified {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Certified { certificate, key: key.serialize_pem() }
    }

    pub(crate) fn server(&self, name: &str) -> Certified {
        self.certify(name, ExtendedKeyUsagePurpose::ServerAuth, &rcgen::PKCS_ED25519)
    }

    pub(crate) fn client(&self, name: &str) -> Certified {
        self.certify(name, ExtendedKeyUsagePurpose::ClientAuth, &rcgen::PKCS_ED25519)
    }

    /// A key in a file that OpenSSL 3.0 can read: it does not know the newer format of the other kind
    /// (RFC 8410, section 7).
    pub(crate) fn server_for_openssl(&self, name: &str) -> Certified {
        self.certify(name, ExtendedKeyUsagePurpose::ServerAuth, &rcgen::PKCS_ECDSA_P256_SHA256)
    }
}

/// The one that most tests use, with a certificate for [`HOST`].
pub(crate) fn authority() -> &'static (Authority, Certified) {
    static AUTHORITY: OnceLock<(Authority, Certified)> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let authority = Authority::new("the authority of the tests");
        let server = authority.server(HOST);
        (authority, server)
    })
}

pub(crate) const HOST: &str = "trio-test-1.example.org";

pub(crate) fn acceptor_builder() -> AcceptorBuilder {
    let server = &authority().1;
    Acceptor::builder().certificate_pem(server.certificate.as_bytes(), server.key.as_bytes())
}

pub(crate) fn connector_builder() -> ConnectorBuilder {
    Connector::builder().root_pem(authority().0.root.as_bytes())
}

/// The roots for configurations of rustls itself.
pub(crate) fn roots() -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate(&authority().0.root)).unwrap();
    roots
}

pub(crate) fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// A configuration of rustls for a client that trusts as [`connector`] does.
pub(crate) fn client_config(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots())
        .with_no_client_auth()
}

pub(crate) fn acceptor() -> Acceptor {
    static ACCEPTOR: OnceLock<Acceptor> = OnceLock::new();
    ACCEPTOR.get_or_init(|| acceptor_builder().build().unwrap()).clone()
}

pub(crate) fn connector() -> Connector {
    static CONNECTOR: OnceLock<Connector> = OnceLock::new();
    CONNECTOR.get_or_init(|| connector_builder().build().unwrap()).clone()
}

/// The two ends over a transport, client first; the handshake is to be done yet.
pub(crate) fn attach<S>((near, far): (S, S)) -> (TlsStream<S>, TlsStream<S>) {
    (connector().attach(HOST, near).unwrap(), acceptor().attach(far))
}

/// As [`attach`], and neither side minds if the other goes without a word.
pub(crate) fn attach_https<S>((near, far): (S, S)) -> (TlsStream<S>, TlsStream<S>) {
    let client = connector().https_compatible(true).attach(HOST, near).unwrap();
    (client, acceptor().https_compatible(true).attach(far))
}

/// Does the handshake of both ends.
pub(crate) fn shake<S: Read + Write + Send>(
    cx: &mut Cx,
    (mut client, mut server): (TlsStream<S>, TlsStream<S>),
) -> (TlsStream<S>, TlsStream<S>) {
    cx.nursery(|cx, n| -> std::io::Result<()> {
        n.spawn(|cx| {
            server.handshake(cx)?;
            Ok(())
        });
        client.handshake(cx)?;
        Ok(())
    })
    .unwrap();
    (client, server)
}

/// Two ends in memory, after the handshake.
pub(crate) fn pair(cx: &mut Cx) -> (TlsStream<Duplex>, TlsStream<Duplex>) {
    shake(cx, attach(streams::duplex()))
}

/// Runs both at once.
pub(crate) fn both<A: Send, B>(
    cx: &mut Cx,
    a: impl FnOnce(&mut Cx) -> A + Send,
    b: impl FnOnce(&mut Cx) -> B,
) -> (A, B) {
    cx.nursery(|cx, n| -> Result<(A, B), Cancelled> {
        let mut a = n.spawn(|cx| Ok(a(cx)));
        let b = b(cx);
        Ok((a.join(cx)?, b))
    })
    .unwrap()
}

/// Sends back what comes, until it ends, and then ends, too.
pub(crate) fn echo(cx: &mut Cx, mut stream: TlsStream<impl Split + Send>) -> std::io::Result<()> {
    use conbrio::io::HalfClose;
    let (mut reader, mut writer) = stream.split();
    conbrio::io::copy(cx, &mut reader, &mut writer)?;
    Ok(writer.end_write(cx)?)
}

/// Two ends of a connection.
pub(crate) fn tcp(cx: &mut Cx) -> (TcpStream, TcpStream) {
    let mut listener = TcpListener::bind(cx, "127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let near = TcpStream::connect(cx, address).unwrap();
    (near, listener.accept(cx).unwrap().0)
}

/// Runs a test on one worker, and on two, in virtual time.
#[track_caller]
pub(crate) fn on_workers(test: impl Fn(&mut Cx) + Send + Sync) {
    for workers in [1, 2] {
        let clock = MockClock::new().autojump(Duration::ZERO);
        Builder::new().workers(workers).clock(clock).run(|cx| test(cx)).unwrap();
    }
}

/// Runs a test with the network, which takes real time.
#[track_caller]
pub(crate) fn with_network(test: impl Fn(&mut Cx) + Send + Sync) {
    for workers in [1, 2] {
        Builder::new().workers(workers).run(|cx| test(cx)).unwrap();
    }
}

/// Runs `f` until it waits and everything has come to rest, and cancels it there.
pub(crate) fn cancel_at_rest<T: Send>(cx: &mut Cx, f: impl FnOnce(&mut Cx) -> T + Send) -> T {
    let result = Mutex::new(None);
    cx.nursery(|cx, n| -> Result<(), Cancelled> {
        n.spawn(|cx| {
            let value = f(cx);
            *result.lock().unwrap() = Some(value);
            Ok(())
        });
        settle(cx, Duration::ZERO)?;
        n.cancel();
        Ok(())
    })
    .unwrap();
    result.into_inner().unwrap().expect("it has ended")
}

/// The failure that a call was to end with.
#[track_caller]
pub(crate) fn failed<T: std::fmt::Debug, E: Into<std::io::Error> + MaybeCancelled>(
    result: Result<T, E>,
) -> std::io::Error {
    match result {
        Ok(value) => panic!("it succeeded with {value:?}"),
        Err(error) => {
            assert!(error.cancelled().is_none(), "it was cancelled");
            error.into()
        }
    }
}
