//! How clients reach the server, with TLS or without, and what both ends then hold.

use std::io;
use std::net::SocketAddr;

use conbrio::io::{HalfClose, Read, Split};
use conbrio::net::TcpStream;
use conbrio::prelude::*;
use conbrio::tls::{Acceptor, Connector, TlsStream};

/// A certificate that is its own authority, and its key, in the format PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    certificate: String,
    key: String,
}

impl Identity {
    pub(crate) fn new() -> io::Result<Identity> {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]);
        let made = made.map_err(io::Error::other)?;
        Ok(Identity { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
    }

    /// For a process that is started: the variables that [`given`](Identity::given) reads.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 2] {
        [(CERTIFICATE, &self.certificate), (KEY, &self.key)]
    }

    /// What this process was given, if there is to be TLS.
    pub(crate) fn given() -> Option<Identity> {
        let (certificate, key) = (std::env::var(CERTIFICATE).ok()?, std::env::var(KEY).ok()?);
        Some(Identity { certificate, key })
    }

    pub(crate) fn acceptor(&self) -> io::Result<Acceptor> {
        Acceptor::builder()
            .certificate_pem(self.certificate.as_bytes(), self.key.as_bytes())
            .build()
    }
}

/// The server, seen by a client.
pub(crate) struct Target {
    address: SocketAddr,
    connector: Option<Connector>,
}

impl Target {
    pub(crate) fn new(address: SocketAddr, identity: Option<&Identity>) -> io::Result<Target> {
        let connector = identity
            .map(|identity| Connector::builder().root_pem(identity.certificate.as_bytes()).build())
            .transpose()?;
        Ok(Target { address, connector })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects, with the handshake.
    pub(crate) fn connect(&self, cx: &mut Cx) -> io::Result<Connection> {
        let mut connection = self.begin(cx)?;
        connection.handshake(cx)?;
        Ok(connection)
    }

    /// Connects, and leaves the handshake to be done.
    pub(crate) fn begin(&self, cx: &mut Cx) -> io::Result<Connection> {
        let stream = TcpStream::connect(cx, self.address)?;
        Ok(match &self.connector {
            None => Connection::Plain(stream),
            Some(connector) => Connection::Encrypted(connector.attach(HOST, stream)?),
        })
    }
}

/// A stream, on either side.
pub(crate) enum Connection {
    Plain(TcpStream),
    Encrypted(TlsStream<TcpStream>),
}

/// What is read from, and what is written to.
type Halves<'a> = (Box<dyn Read + Send + 'a>, Box<dyn HalfClose + Send + 'a>);

impl Connection {
    /// The two directions, for a task each.
    pub(crate) fn split(&mut self) -> Halves<'_> {
        match self {
            Connection::Plain(stream) => {
                let (reader, writer) = stream.split();
                (Box::new(reader), Box::new(writer))
            }
            Connection::Encrypted(stream) => {
                let (reader, writer) = stream.split();
                (Box::new(reader), Box::new(writer))
            }
        }
    }

    /// Puts what has come at the end of `pending`, and says how many bytes.
    pub(crate) fn append(&mut self, cx: &mut Cx, pending: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            // While nothing comes there is no buffer.
            Connection::Plain(stream) => Ok(stream.read_with(cx, |bytes| {
                pending.extend(bytes);
                bytes.len()
            })?),
            Connection::Encrypted(stream) => {
                let mut bytes = [0; 4096];
                let count = stream.read(cx, &mut bytes)?;
                pending.extend(&bytes[..count]);
                Ok(count)
            }
        }
    }

    pub(crate) fn write_all(&mut self, cx: &mut Cx, bytes: &[u8]) -> io::Result<()> {
        Ok(self.split().1.write_all(cx, bytes)?)
    }

    pub(crate) fn read_exact(&mut self, cx: &mut Cx, bytes: &mut [u8]) -> io::Result<()> {
        Ok(self.split().0.read_exact(cx, bytes)?)
    }

    /// Says that this is all, and waits for the same from the peer. What comes until then is an error.
    pub(crate) fn part(&mut self, cx: &mut Cx) -> io::Result<()> {
        let (mut reader, mut writer) = self.split();
        writer.end_write(cx)?;
        match reader.read(cx, &mut [0; 64])? {
            0 => Ok(()),
            count => Err(io::Error::other(format!("{count} bytes instead of the end"))),
        }
    }

    /// Does the handshake, where there is one.
    pub(crate) fn handshake(&mut self, cx: &mut Cx) -> io::Result<()> {
        if let Connection::Encrypted(stream) = self {
            stream.handshake(cx)?;
        }
        Ok(())
    }

    /// The connection below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Connection::Plain(stream) => stream,
            Connection::Encrypted(stream) => stream.get_ref(),
        }
    }
}

/// Whom the certificate is for.
const HOST: &str = "soak.example.org";
const CERTIFICATE: &str = "SOAK_CERTIFICATE";
const KEY: &str = "SOAK_KEY";
