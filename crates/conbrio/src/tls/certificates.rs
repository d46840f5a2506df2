//! Certificates and keys, as they come: which are trusted, and which are shown.

use std::io;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The arithmetic: always the same, so that nothing depends on what else a program has installed.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Whom to trust.
#[derive(Default)]
pub(super) struct Roots {
    /// `None` as long as nobody was named.
    store: Option<RootCertStore>,
}

impl Roots {
    fn named(&mut self) -> &mut RootCertStore {
        self.store.get_or_insert_with(RootCertStore::empty)
    }

    pub(super) fn add_webpki(&mut self) {
        self.named().extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }

    #[cfg(feature = "tls-native-roots")]
    pub(super) fn add_system(&mut self) -> io::Result<()> {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = self.named().add_parsable_certificates(found.certs);
        if added > 0 {
            return Ok(());
        }
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let message = format!(
            "tls roots: the system has none ({}); install its package of certificates, or name roots",
            why.join("; ")
        );
        Err(io::Error::new(io::ErrorKind::NotFound, message))
    }

    pub(super) fn add(&mut self, certificate: CertificateDer<'static>) -> io::Result<()> {
        self.named().add(certificate).map_err(|error| invalid("root", &error.to_string()))
    }

    pub(super) fn add_pem(&mut self, pem: &[u8]) -> io::Result<()> {
        parse_chain("root", pem)?.into_iter().try_for_each(|certificate| self.add(certificate))
    }

    /// Those that were named, or those of Mozilla.
    pub(super) fn into_store(mut self) -> RootCertStore {
        if self.store.is_none() {
            self.add_webpki();
        }
        self.store.expect("some were added")
    }

    /// Those that were named.
    pub(super) fn into_named(self) -> Option<RootCertStore> {
        self.store
    }
}

/// Who a side shows itself to be.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(super) fn from_pem(chain: &[u8], key: &[u8]) -> io::Result<Identity> {
        let chain = parse_chain("certificate", chain)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| invalid("private key", &error.to_string()))?;
        Ok(Identity { chain, key })
    }
}

fn parse_chain(what: &str, pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(invalid(
            what,
            "there is none in the text; it begins with -----BEGIN CERTIFICATE-----",
        )),
        Ok(chain) => Ok(chain),
        Err(error) => Err(invalid(what, &error.to_string())),
    }
}

fn invalid(what: &str, error: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("tls {what}: {error}"))
}
