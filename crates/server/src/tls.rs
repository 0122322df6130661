//! [`Tls`]: certificates from files, which may change while the server runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use common::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::hangup::Hangups;

/// How often it is looked whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where a certificate and its key are, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those that lead to one that clients trust.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// The certificate of new connections. Those that are open keep theirs.
#[derive(Clone)]
pub(crate) struct Tls {
    files: Arc<TlsFiles>,
    read: Arc<Mutex<Contents>>,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

struct Current(ArcSwap<CertifiedKey>);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::from(error).at(path.display()))
}

impl Contents {
    fn of(files: &TlsFiles) -> Result<Self> {
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
        })
    }

    fn certified(&self, files: &TlsFiles) -> Result<CertifiedKey> {
        let wrong = |path: &Path, what: &str| Error::invalid(what).at(path.display());
        let chain =
            CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain
            .ok()
            .filter(|chain| !chain.is_empty())
            .ok_or_else(|| wrong(&files.certificate, "holds no certificate as PEM"))?;
        // What exactly is wrong with a key is not for the log.
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| wrong(&files.key, "holds no private key as PEM"))?;
        let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|_| {
            wrong(
                &files.key,
                "holds a key of a kind that is not known: use ECDSA, Ed25519 or RSA",
            )
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                let what = format!("is not the key of {}", files.certificate.display());
                Err(wrong(&files.key, &what))
            }
            _ => Ok(certified),
        }
    }
}

impl Tls {
    /// # Errors
    /// [`ErrorKind::Io`] for a file that cannot be read, [`ErrorKind::Invalid`] for one that holds something else.
    pub(crate) fn open(files: TlsFiles) -> Result<Self> {
        let contents = Contents::of(&files)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(contents.certified(&files)?)));
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                Error::new(ErrorKind::Unsupported, format!("TLS: {error}")).caused_by(error)
            })?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&current) as _;
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            files: Arc::new(files),
            read: Arc::new(Mutex::new(contents)),
            current,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    pub(crate) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Takes what the files hold now; returns whether that is something else.
    fn reload(&self) -> Result<bool> {
        let contents = Contents::of(&self.files)?;
        let mut read = self.read.lock();
        if *read == contents {
            return Ok(false);
        }
        let certified = contents.certified(&self.files)?;
        self.current.0.store(Arc::new(certified));
        *read = contents;
        Ok(true)
    }

    /// Reloads the files when they have changed, looking every few seconds and on SIGHUP.
    pub(crate) async fn watch(self) {
        let mut hangups = Hangups::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = hangups.next() => {}
            }
            let this = self.clone();
            let reloaded = tokio::task::spawn_blocking(move || this.reload()).await;
            match reloaded {
                Ok(Ok(true)) => tracing::info!("the certificate was read anew"),
                Ok(Ok(false)) => {}
                // Between the writing of the two files they do not fit each other.
                Ok(Err(error)) => tracing::warn!(%error, "the certificate stays as it was"),
                Err(_) => tracing::warn!("the certificate cannot be read"),
            }
        }
    }
}
