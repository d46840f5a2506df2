//! The side of the server: who to be, whom to let in, and making streams.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{Connection, ServerConfig, ServerConnection};

use super::TlsStream;
use super::certificates::{Identity, Roots, provider};
use crate::io::{Error, Read, Write};
use crate::task::Cx;

/// Makes streams on the side of the server. Cheap to clone.
///
/// # Examples
///
/// One connection of an echo server:
///
/// ```
/// use conbrio::io::{self, HalfClose, Read, Split, Write};
/// use conbrio::prelude::*;
/// use conbrio::tls::{Acceptor, Connector};
///
/// fn echo<S: Split>(cx: &mut Cx, acceptor: &Acceptor, connection: S) -> std::io::Result<()> {
///     let mut stream = acceptor.accept(cx, connection)?;
///     let (mut reader, mut writer) = stream.split();
///     io::copy(cx, &mut reader, &mut writer)?;
///     Ok(writer.end_write(cx)?)
/// }
///
/// # let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
/// # let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
/// let acceptor = Acceptor::builder()
///     .certificate_pem(certificate.as_bytes(), key.as_bytes())
///     .build()
///     .unwrap();
/// let connector = Connector::builder().root_pem(certificate.as_bytes()).build().unwrap();
///
/// conbrio::run(|cx| {
///     let (near, far) = conbrio::testing::streams::duplex();
///     cx.nursery(|cx, n| -> std::io::Result<()> {
///         n.spawn(|cx| echo(cx, &acceptor, far));
///         let mut stream = connector.connect(cx, "localhost", near)?;
///         stream.write_all(cx, b"hello")?;
///         stream.end_write(cx)?;
///         let mut answer = String::new();
///         stream.read_to_string(cx, &mut answer)?;
///         assert_eq!(answer, "hello");
///         Ok(())
///     })
///     .unwrap();
/// });
/// ```
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    https_compatible: bool,
}

impl Acceptor {
    /// The options, of which [`certificate_pem`](AcceptorBuilder::certificate_pem) is needed.
    pub fn builder() -> AcceptorBuilder {
        AcceptorBuilder {
            identity: None,
            client_roots: Roots::default(),
            clients_may_be_anonymous: false,
            alpn: Vec::new(),
            failure: None,
        }
    }

    /// One for a configuration of rustls, for what the builder has no option for.
    pub fn from_config(config: Arc<ServerConfig>) -> Acceptor {
        Acceptor { config, https_compatible: false }
    }

    /// Whether a transport that ends without a word is the end of a stream, and not an error. See
    /// [`Connector::https_compatible`](super::Connector::https_compatible).
    #[must_use]
    pub fn https_compatible(mut self, compatible: bool) -> Acceptor {
        self.https_compatible = compatible;
        self
    }

    /// A stream to a client over a transport that is connected to it. Nothing is read yet: the handshake is
    /// done by [`handshake`](TlsStream::handshake), or by the first call that needs it. Never waits.
    pub fn attach<S>(&self, transport: S) -> TlsStream<S> {
        self.attach_to("a client".into(), transport)
    }

    /// As [`attach`](Acceptor::attach), for a client with a name in messages.
    pub(super) fn attach_to<S>(&self, peer: Arc<str>, transport: S) -> TlsStream<S> {
        let config = Arc::clone(&self.config);
        let start = move || ServerConnection::new(config).map(Connection::from);
        TlsStream::new(Box::new(start), transport, peer, self.https_compatible)
    }

    /// As [`attach`](Acceptor::attach), and does the handshake.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the transport has been dropped.
    ///
    /// # Errors
    ///
    /// As [`TlsStream::handshake`]. The transport has been dropped.
    pub fn accept<S: Read + Write>(
        &self,
        cx: &mut Cx,
        transport: S,
    ) -> Result<TlsStream<S>, Error> {
        cx.checkpoint()?;
        let mut stream = self.attach(transport);
        stream.handshake(cx)?;
        Ok(stream)
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("https_compatible", &self.https_compatible)
            .finish_non_exhaustive()
    }
}

/// How an [`Acceptor`] is made.
#[must_use = "options do nothing until `build` is called"]
pub struct AcceptorBuilder {
    identity: Option<Identity>,
    client_roots: Roots,
    clients_may_be_anonymous: bool,
    alpn: Vec<Vec<u8>>,
    /// The first of the errors, which `build` reports.
    failure: Option<io::Error>,
}

impl AcceptorBuilder {
    /// The certificate by which the server shows who it is, with those between it and the root after it,
    /// and its key; both in the format PEM.
    pub fn certificate_pem(mut self, chain: &[u8], key: &[u8]) -> AcceptorBuilder {
        match Identity::from_pem(chain, key) {
            Ok(identity) => self.identity = Some(identity),
            Err(error) => self.note(error),
        }
        self
    }

    /// As [`certificate_pem`](AcceptorBuilder::certificate_pem), for what has been parsed.
    pub fn certificate(
        mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> AcceptorBuilder {
        self.identity = Some(Identity { chain, key });
        self
    }

    /// Asks clients for certificates, and trusts this one, or these, in the format PEM. Clients without a
    /// certificate are turned away, unless they
    /// [may be anonymous](AcceptorBuilder::clients_may_be_anonymous).
    pub fn client_root_pem(mut self, pem: &[u8]) -> AcceptorBuilder {
        if let Err(error) = self.client_roots.add_pem(pem) {
            self.note(error);
        }
        self
    }

    /// Whether clients that have no certificate are let in, where some are asked for. Off unless it is set.
    pub fn clients_may_be_anonymous(mut self, may: bool) -> AcceptorBuilder {
        self.clients_may_be_anonymous = may;
        self
    }

    /// The application protocols that this side knows, the best first (ALPN). A client that names others
    /// only is turned away.
    pub fn alpn<P: AsRef<[u8]>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> AcceptorBuilder {
        self.alpn = protocols.into_iter().map(|name| name.as_ref().to_vec()).collect();
        self
    }

    /// Makes the acceptor.
    ///
    /// # Errors
    ///
    /// What is wrong with the certificates or the key, or that there are none.
    pub fn build(self) -> io::Result<Acceptor> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let Identity { chain, key } = self
            .identity
            .ok_or_else(|| invalid("a server needs a certificate: call `certificate_pem`"))?;
        let provider = provider();
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(&error.to_string()))?;
        let config = match self.client_roots.into_named() {
            None => config.with_no_client_auth(),
            Some(roots) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if self.clients_may_be_anonymous {
                    verifier.allow_unauthenticated()
                } else {
                    verifier
                };
                let verifier = verifier.build().map_err(|error| invalid(&error.to_string()))?;
                config.with_client_cert_verifier(verifier)
            }
        };
        let mut config = config
            .with_single_cert(chain, key)
            .map_err(|error| invalid(&format!("certificate of the server: {error}")))?;
        config.alpn_protocols = self.alpn;
        Ok(Acceptor::from_config(Arc::new(config)))
    }

    fn note(&mut self, error: io::Error) {
        self.failure.get_or_insert(error);
    }
}

impl fmt::Debug for AcceptorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptorBuilder").field("failure", &self.failure).finish_non_exhaustive()
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("tls set-up: {message}"))
}
