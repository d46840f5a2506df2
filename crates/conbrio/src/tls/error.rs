//! What goes wrong in a TLS stream: with whom, at what, and why.

use std::fmt;
use std::io;
use std::sync::Arc;

/// What went wrong in a TLS stream, and with whom. The payload of the [`io::Error`]s of this module.
///
/// | Kind of the [`io::Error`] | Meaning |
/// |---|---|
/// | `InvalidData` | the two sides do not agree, or the certificate of the peer is not good: [`protocol`](TlsError::protocol) |
/// | `UnexpectedEof` | the transport ended, and the peer had not said that this is the end |
/// | `BrokenPipe` | this side has ended its writing direction |
/// | `ConnectionAborted` | an earlier call has failed; the message says how |
/// | any other | what the transport says, which is the [`source`](std::error::Error::source) |
///
/// # Examples
///
/// ```
/// use conbrio::testing::streams::duplex;
/// use conbrio::tls::{Connector, TlsError};
///
/// conbrio::run(|cx| {
///     let (near, far) = duplex();
///     drop(far);
///     let error = Connector::new().connect(cx, "example.org", near).unwrap_err();
///     let error = std::io::Error::from(error);
///     assert_eq!(TlsError::of(&error).unwrap().peer(), "example.org");
///     assert!(error.to_string().contains("example.org"), "{error}");
/// });
/// ```
#[derive(Debug)]
pub struct TlsError {
    during: &'static str,
    peer: Arc<str>,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// What rustls says, about itself or about the peer.
    Protocol(rustls::Error),
    Transport(io::Error),
    /// The transport ended before the peer had said so.
    CutOff,
    /// This side has ended the direction.
    Ended,
    /// An earlier call has failed: its message.
    Broken(Arc<str>),
}

impl TlsError {
    /// The payload of an error of this module.
    pub fn of(error: &io::Error) -> Option<&TlsError> {
        error.get_ref()?.downcast_ref()
    }

    /// The name of the peer: the host that a client wanted to talk to; for a server the address of the
    /// client, if it is known, or else `a client`.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// What rustls says, if that is the cause: a certificate that is not good, an alert of the peer.
    pub fn protocol(&self) -> Option<&rustls::Error> {
        match &self.cause {
            Cause::Protocol(error) => Some(error),
            _ => None,
        }
    }

    pub(super) fn by_protocol(
        during: &'static str,
        peer: &Arc<str>,
        error: rustls::Error,
    ) -> io::Error {
        Self::wrapped(io::ErrorKind::InvalidData, during, peer, Cause::Protocol(error))
    }

    pub(super) fn by_transport(
        during: &'static str,
        peer: &Arc<str>,
        error: io::Error,
    ) -> io::Error {
        Self::wrapped(error.kind(), during, peer, Cause::Transport(error))
    }

    pub(super) fn cut_off(during: &'static str, peer: &Arc<str>) -> io::Error {
        Self::wrapped(io::ErrorKind::UnexpectedEof, during, peer, Cause::CutOff)
    }

    pub(super) fn ended(peer: &Arc<str>) -> io::Error {
        Self::wrapped(io::ErrorKind::BrokenPipe, "write", peer, Cause::Ended)
    }

    pub(super) fn broken(during: &'static str, peer: &Arc<str>, earlier: Arc<str>) -> io::Error {
        Self::wrapped(io::ErrorKind::ConnectionAborted, during, peer, Cause::Broken(earlier))
    }

    fn wrapped(
        kind: io::ErrorKind,
        during: &'static str,
        peer: &Arc<str>,
        cause: Cause,
    ) -> io::Error {
        io::Error::new(kind, TlsError { during, peer: Arc::clone(peer), cause })
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tls {} with {}: ", self.during, self.peer)?;
        match &self.cause {
            Cause::Protocol(error) => {
                error.fmt(f)?;
                hint(error).map_or(Ok(()), |hint| write!(f, " ({hint})"))
            }
            Cause::Transport(error) => error.fmt(f),
            Cause::CutOff => f.write_str(
                "the transport ended without a close_notify: what has come may not be all (if the \
                 content says by itself where it ends, `https_compatible` takes this for the end)",
            ),
            Cause::Ended => {
                f.write_str("the writing direction has ended: write before `end_write`")
            }
            Cause::Broken(earlier) => write!(f, "the stream is broken since \"{earlier}\""),
        }
    }
}

/// What mends it, where the message of rustls does not say that.
fn hint(error: &rustls::Error) -> Option<&'static str> {
    use rustls::{CertificateError, Error};
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => Some(
            "its issuer is not among the roots: add it with `root_pem`, or have the peer send the \
             certificates in between",
        ),
        Error::NoCertificatesPresented => Some("give the client one with `certificate_pem`"),
        Error::InvalidMessage(_) => Some("is the peer talking TLS on this port?"),
        _ => None,
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Protocol(error) => Some(error),
            Cause::Transport(error) => Some(error),
            Cause::CutOff | Cause::Ended | Cause::Broken(_) => None,
        }
    }
}

/// Something was asked for that only the handshake decides, and there was none yet: call
/// [`handshake`](super::TlsStream::handshake) first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedHandshake(pub(super) ());

impl fmt::Display for NeedHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tls handshake has not been done: call `handshake` first")
    }
}

impl std::error::Error for NeedHandshake {}

impl From<NeedHandshake> for io::Error {
    fn from(error: NeedHandshake) -> io::Error {
        io::Error::new(io::ErrorKind::NotConnected, error)
    }
}
