//! What a handshake has settled.

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, Connection, HandshakeKind, ProtocolVersion};

/// What the two sides have settled in the handshake, and who the peer has shown itself to be.
///
/// Given by [`TlsStream::handshake`](super::TlsStream::handshake) and
/// [`TlsStream::negotiated`](super::TlsStream::negotiated).
#[derive(Clone, Debug)]
pub struct Negotiated {
    alpn_protocol: Option<Vec<u8>>,
    peer_certificates: Vec<CertificateDer<'static>>,
    protocol_version: ProtocolVersion,
    cipher_suite: CipherSuite,
    server_name: Option<String>,
    is_resumed: bool,
}

impl Negotiated {
    /// Reads it off a connection whose handshake is over.
    pub(super) fn of(connection: &Connection) -> Negotiated {
        let server_name = match connection {
            Connection::Client(_) => None,
            Connection::Server(server) => server.server_name().map(str::to_owned),
        };
        Negotiated {
            alpn_protocol: connection.alpn_protocol().map(<[u8]>::to_vec),
            peer_certificates: connection.peer_certificates().unwrap_or_default().to_vec(),
            protocol_version: connection
                .protocol_version()
                .expect("the version is settled when the handshake is over"),
            cipher_suite: connection
                .negotiated_cipher_suite()
                .expect("the ciphers are settled when the handshake is over")
                .suite(),
            server_name,
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// The application protocol that both sides know (ALPN), if both have named some and one is the same.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.alpn_protocol.as_deref()
    }

    /// The certificates that the peer has sent, its own first. Empty if it sent none, as most clients do.
    ///
    /// They have been checked: those of a server against the host and the roots, those of a client against
    /// the roots of [`AcceptorBuilder::client_root_pem`](super::AcceptorBuilder::client_root_pem).
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.peer_certificates
    }

    /// The version of the protocol: `TLSv1_2` or `TLSv1_3`.
    pub fn protocol_version(&self) -> ProtocolVersion {
        self.protocol_version
    }

    /// What the data are encrypted with.
    pub fn cipher_suite(&self) -> CipherSuite {
        self.cipher_suite
    }

    /// On the side of the server, the host that the client asked for (SNI), in lower case.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Whether an earlier session was taken up again, which saves the check of certificates.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }
}
