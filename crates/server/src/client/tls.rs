//! TLS of clients, by rustls: whom to trust.

use std::sync::Arc;

use common::{Error, ErrorKind, Result};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::ClientOptions;

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// What requests by `ureq` trust: the authorities in PEM, or those of the system.
pub(crate) fn trusting(authorities: Option<&[u8]>) -> Result<TlsConfig> {
    let roots = roots(authorities)?;
    let roots = roots
        .iter()
        .map(|root| Certificate::from_der(root).to_owned());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
        .unversioned_rustls_crypto_provider(provider())
        .build())
}

/// The certificates that servers' may be signed by.
fn roots(authorities: Option<&[u8]>) -> Result<Vec<CertificateDer<'static>>> {
    let Some(pem) = authorities else {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why = found.errors.first().map(ToString::to_string);
            return Err(Error::new(
                ErrorKind::Io,
                format!(
                    "the system names no certificate authority that it trusts ({}); give one",
                    why.unwrap_or_else(|| "it has none".to_owned())
                ),
            ));
        }
        return Ok(found.certs);
    };
    let certificates =
        CertificateDer::pem_slice_iter(pem).collect::<std::result::Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(Error::invalid(
            "there is no certificate in the PEM of the authorities",
        )),
        Err(error) => Err(Error::invalid(format!(
            "the authorities are no certificates in PEM: {error}"
        ))),
    }
}

/// What a client of `WebSockets` begins its connections with.
pub(super) fn config(options: &ClientOptions) -> Result<Arc<ClientConfig>> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(roots(options.authorities.as_deref())?);
    if added == 0 {
        return Err(Error::invalid(
            "none of the authorities' certificates is one",
        ));
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::unsupported(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
