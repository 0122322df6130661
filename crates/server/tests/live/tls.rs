//! Both transports by TLS, to a proxy that ends it.

use std::net::SocketAddr;
use std::sync::Arc;

use common::row;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use server::ServeOptions;
use server::client::{ClientOptions, WebSocketTransport};
use server::http::HttpTransport;
use syncdb::{SyncDb, Transport};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::support::{Running, run};

const CERTIFICATE: &[u8] = include_bytes!("../tls/certificate.pem");
const KEY: &[u8] = include_bytes!("../tls/key.pem");

fn tls_proxy(running: &Running) -> u16 {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = running.runtime.block_on(TcpListener::bind(any)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = running.address;
    running.runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(stream).await else {
                    return;
                };
                let mut server = TcpStream::connect(server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[test]
fn both_transports_speak_tls_to_whom_they_trust_and_to_nobody_else() {
    let running = run(ServeOptions::default());
    let port = tls_proxy(&running);
    let url = format!("https://localhost:{port}");
    let trusting = ClientOptions::default().authorities(CERTIFICATE);
    let db = SyncDb::client("phone").unwrap();
    let http = HttpTransport::with(&url, &trusting).unwrap();
    let socket = WebSocketTransport::with(&url, trusting.clone()).unwrap();
    let transports: [Box<dyn Transport>; 2] = [Box::new(http), Box::new(socket)];
    for (round, mut transport) in transports.into_iter().enumerate() {
        db.sync(&mut *transport).unwrap();
        let text = format!("round {round}");
        db.update("notes", 0, row! { "text": text.as_str() })
            .unwrap();
        assert!(db.sync(&mut *transport).unwrap().converged);
        let there = running.notes.get(0).unwrap();
        assert_eq!(there[1].as_text(), Some(text.as_str()));
    }
    // Neither somebody whom nobody vouches for, nor one under another's name.
    let other = format!("https://[::ffff:127.0.0.1]:{port}");
    for (url, options) in [(&url, ClientOptions::default()), (&other, trusting)] {
        // Where the system trusts nobody there is no transport to begin with.
        if let Ok(mut http) = HttpTransport::with(url, &options) {
            let error = db.sync(&mut http).unwrap_err();
            assert!(error.message().contains("ertificate"), "{error}");
        }
        if let Ok(mut socket) = WebSocketTransport::with(url, options) {
            let error = db.sync(&mut socket).unwrap_err();
            assert!(error.message().contains("ertificate"), "{error}");
        }
    }
    let wrong = ClientOptions::default().authorities(b"no certificate".as_slice());
    assert!(WebSocketTransport::with(&url, wrong).is_err());
    running.end();
}
