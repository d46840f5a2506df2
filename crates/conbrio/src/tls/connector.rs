//! The side of the client: whom to trust, what to say, and making streams.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore};

use super::TlsStream;
use super::certificates::{Identity, Roots, provider};
use crate::io::{Error, Read, Write};
use crate::net::TcpStream;
use crate::task::Cx;

/// Makes streams on the side of the client. Cheap to clone; one is enough for a program.
///
/// Streams of one connector take up earlier sessions again, where the server allows it.
///
/// # Examples
///
/// ```no_run
/// use conbrio::io::{Read, Write};
/// use conbrio::prelude::*;
/// use conbrio::tls::Connector;
///
/// fn fetch(cx: &mut Cx, host: &str) -> std::io::Result<String> {
///     let connector = Connector::new().https_compatible(true);
///     let mut stream = connector.connect_tcp(cx, host, 443)?;
///     stream.write_all(cx, format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes())?;
///     let mut page = String::new();
///     stream.read_to_string(cx, &mut page)?;
///     Ok(page)
/// }
/// ```
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    https_compatible: bool,
}

impl Connector {
    /// One that trusts whom Mozilla trusts, by the list of the crate `webpki-roots`.
    pub fn new() -> Connector {
        Connector::builder().build().expect("nothing in it can be wrong")
    }

    /// One with other options.
    pub fn builder() -> ConnectorBuilder {
        ConnectorBuilder {
            roots: Roots::default(),
            identity: None,
            alpn: Vec::new(),
            server_names: true,
            failure: None,
        }
    }

    /// One for a configuration of rustls, for what the builder has no option for.
    pub fn from_config(config: Arc<ClientConfig>) -> Connector {
        Connector { config, https_compatible: false }
    }

    /// Whether a transport that ends without a word is the end of a stream, and not an error: as many
    /// servers of HTTP do it, also in the middle of a record. Off unless it is set.
    ///
    /// Only for protocols that say by themselves where their content ends. For all others somebody on the
    /// way could cut it off unseen.
    #[must_use]
    pub fn https_compatible(mut self, compatible: bool) -> Connector {
        self.https_compatible = compatible;
        self
    }

    /// A stream to `host` over a transport that is connected to it. Nothing is sent yet: the handshake is
    /// done by [`handshake`](TlsStream::handshake), or by the first call that needs it. Never waits.
    ///
    /// The server must have a certificate for `host`, which is a name or an address, without a port.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `host` is neither.
    pub fn attach<S>(&self, host: &str, transport: S) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            let message = format!(
                "tls with {host:?}: {error}; give a host name or an address, without a port"
            );
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        let config = Arc::clone(&self.config);
        let start = move || ClientConnection::new(config, name).map(Connection::from);
        Ok(TlsStream::new(Box::new(start), transport, host.into(), self.https_compatible))
    }

    /// As [`attach`](Connector::attach), and does the handshake.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the transport has been dropped.
    ///
    /// # Errors
    ///
    /// As [`attach`](Connector::attach) and [`TlsStream::handshake`]. The transport has been dropped.
    pub fn connect<S: Read + Write>(
        &self,
        cx: &mut Cx,
        host: &str,
        transport: S,
    ) -> Result<TlsStream<S>, Error> {
        cx.checkpoint()?;
        let mut stream = self.attach(host, transport)?;
        stream.handshake(cx)?;
        Ok(stream)
    }

    /// Connects to a port of a host by TCP, and does the handshake.
    ///
    /// # Cancellation
    ///
    /// Always a checkpoint. On cancel the connection has been closed.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::connect`] and [`connect`](Connector::connect).
    pub fn connect_tcp(
        &self,
        cx: &mut Cx,
        host: &str,
        port: u16,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let transport = TcpStream::connect(cx, (host, port))?;
        self.connect(cx, host, transport)
    }
}

impl Default for Connector {
    fn default() -> Connector {
        Connector::new()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("https_compatible", &self.https_compatible)
            .finish_non_exhaustive()
    }
}

/// How a [`Connector`] is made.
///
/// Where no roots are named it trusts whom [`webpki_roots`](ConnectorBuilder::webpki_roots) names; where
/// some are named, those alone.
///
/// # Examples
///
/// ```
/// use conbrio::tls::Connector;
///
/// # fn main() -> std::io::Result<()> {
/// # let pem = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
/// let connector = Connector::builder().root_pem(pem.as_bytes()).alpn(["h2", "http/1.1"]).build()?;
/// # drop(connector);
/// # Ok(())
/// # }
/// ```
#[must_use = "options do nothing until `build` is called"]
pub struct ConnectorBuilder {
    roots: Roots,
    identity: Option<Identity>,
    alpn: Vec<Vec<u8>>,
    server_names: bool,
    /// The first of the errors, which `build` reports.
    failure: Option<io::Error>,
}

impl ConnectorBuilder {
    /// Trusts whom Mozilla trusts.
    pub fn webpki_roots(mut self) -> ConnectorBuilder {
        self.roots.add_webpki();
        self
    }

    /// Trusts whom the system trusts. Reads its files, which takes some milliseconds.
    #[cfg(feature = "tls-native-roots")]
    pub fn system_roots(mut self) -> ConnectorBuilder {
        let added = self.roots.add_system();
        self.note(added);
        self
    }

    /// Trusts a certificate, or several, in the format PEM.
    pub fn root_pem(mut self, pem: &[u8]) -> ConnectorBuilder {
        let added = self.roots.add_pem(pem);
        self.note(added);
        self
    }

    /// Trusts a certificate.
    pub fn root(mut self, certificate: CertificateDer<'static>) -> ConnectorBuilder {
        let added = self.roots.add(certificate);
        self.note(added);
        self
    }

    /// The certificate by which this side shows who it is, if the server asks, with those between it and
    /// the root after it, and its key; both in the format PEM.
    pub fn certificate_pem(mut self, chain: &[u8], key: &[u8]) -> ConnectorBuilder {
        let identity =
            Identity::from_pem(chain, key).map(|identity| self.identity = Some(identity));
        self.note(identity);
        self
    }

    /// As [`certificate_pem`](ConnectorBuilder::certificate_pem), for what has been parsed.
    pub fn certificate(
        mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> ConnectorBuilder {
        self.identity = Some(Identity { chain, key });
        self
    }

    /// The application protocols that this side knows, the best first (ALPN).
    pub fn alpn<P: AsRef<[u8]>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> ConnectorBuilder {
        self.alpn = protocols.into_iter().map(|name| name.as_ref().to_vec()).collect();
        self
    }

    /// Whether the server is told which host is wanted (SNI). On unless it is set.
    pub fn server_names(mut self, tell: bool) -> ConnectorBuilder {
        self.server_names = tell;
        self
    }

    /// Makes the connector.
    ///
    /// # Errors
    ///
    /// What is wrong with the certificates or the key.
    pub fn build(self) -> io::Result<Connector> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let roots: Arc<RootCertStore> = Arc::new(self.roots.into_store());
        let provider = provider();
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|error| invalid(format!("tls roots: {error}")))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(format!("tls set-up: {error}")))?
            .with_webpki_verifier(verifier);
        let mut config = match self.identity {
            None => config.with_no_client_auth(),
            Some(Identity { chain, key }) => config
                .with_client_auth_cert(chain, key)
                .map_err(|error| invalid(format!("tls certificate of the client: {error}")))?,
        };
        config.alpn_protocols = self.alpn;
        config.enable_sni = self.server_names;
        Ok(Connector::from_config(Arc::new(config)))
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.failure.get_or_insert(error);
        }
    }
}

impl fmt::Debug for ConnectorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorBuilder").field("failure", &self.failure).finish_non_exhaustive()
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
