//! The server's certificate and key, read once: bad files are an error at the start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion_postgres::pgwire::api::auth::sasl::scram::ScramAuth;
use datafusion_postgres::pgwire::tokio::tokio_rustls::TlsAcceptor;
use datafusion_postgres::pgwire::tokio::tokio_rustls::rustls::ServerConfig;
use datafusion_postgres::pgwire::tokio::tokio_rustls::rustls::crypto::ring;
use datafusion_postgres::pgwire::tokio::tokio_rustls::rustls::pki_types::pem::PemObject;
use datafusion_postgres::pgwire::tokio::tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
};

use crate::error::StoreError;

/// What clients of libpq 17 and newer name when they begin with TLS at once.
const ALPN: &[u8] = b"postgresql";

/// Where certificate and key lie, both PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key, unencrypted.
    pub key: PathBuf,
}

pub(super) struct Tls {
    acceptor: TlsAcceptor,
    certificate: Vec<u8>,
}

impl Tls {
    pub(super) fn open(files: &TlsFiles) -> Result<Self, StoreError> {
        let certificate = std::fs::read(&files.certificate)
            .map_err(|error| refused("sql.tls_certificate", &files.certificate, &error))?;
        let chain = CertificateDer::pem_slice_iter(&certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| refused("sql.tls_certificate", &files.certificate, &error))?;
        if chain.is_empty() {
            return Err(refused("sql.tls_certificate", &files.certificate, &"it holds none"));
        }
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| refused("sql.tls_key", &files.key, &error))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| refused("sql.tls_key", &files.key, &error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Ties the password to this certificate (SCRAM-SHA-256-PLUS), where its signature has a hash to
    /// do it with; Ed25519 has none.
    pub(super) fn bind(&self, scram: &mut ScramAuth) {
        if let Err(error) = scram.configure_certificate(&self.certificate) {
            tracing::debug!(%error, "no channel binding with this certificate");
        }
    }
}

fn refused(key: &'static str, path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Config {
        key,
        value: format!("{} ({error})", path.display()),
        expected: "needs a PEM file: the certificate chain, or its unencrypted private key",
    }
}
