//! TLS, and HTTP/2 with it and without.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use server::{ServeOptions, TlsFiles};
use syncdb::SyncServerOptions;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Running, notes, run, run_with};

/// Writes a certificate for `localhost` and its key; returns what a client trusts.
fn certify(files: &TlsFiles) -> CertificateDer<'static> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&files.key, certified.signing_key.serialize_pem()).unwrap();
    std::fs::write(&files.certificate, certified.cert.pem()).unwrap();
    CertificateDer::from_pem_slice(certified.cert.pem().as_bytes()).unwrap()
}

fn files(folder: &Path) -> TlsFiles {
    TlsFiles {
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    }
}

fn secure(files: &TlsFiles) -> Running {
    let options = ServeOptions {
        tls: Some(files.clone()),
        ..ServeOptions::default()
    };
    run_with(notes(), SyncServerOptions::default(), options)
}

async fn connect(
    running: &Running,
    trusted: &CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(running.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

fn get(path: &str) -> Request<Body> {
    Request::get(format!("http://localhost{path}"))
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap()
}

#[test]
fn both_protocols_are_spoken_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let trusted = certify(&files);
    let running = secure(&files);
    running.runtime.block_on(async {
        let stream = connect(&running, &trusted, b"h2").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        let driver = tokio::spawn(connection);
        for id in 0..5 {
            let answer = sender
                .send_request(get(&format!("/v1/tables/notes/rows/{id}")))
                .await
                .unwrap();
            assert_eq!(
                (answer.status(), answer.version()),
                (StatusCode::OK, Version::HTTP_2)
            );
        }
        drop(sender);
        let _ = driver.await;
        let stream = connect(&running, &trusted, b"http/1.1").await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let driver = tokio::spawn(connection);
        let answer = sender.send_request(get("/healthz")).await.unwrap();
        assert_eq!(
            (answer.status(), answer.version()),
            (StatusCode::OK, Version::HTTP_11)
        );
        driver.abort();
    });
    // Who speaks plainly is not answered.
    assert!(
        !running
            .raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            .contains("200")
    );
    running.end();
}

#[test]
fn http2_is_spoken_without_tls_as_well() {
    let running = run();
    running.runtime.block_on(async {
        let stream = TcpStream::connect(running.address).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        let driver = tokio::spawn(connection);
        // Many at once on one connection.
        let requests = (0..50).map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move {
                sender
                    .send_request(get("/v1/status"))
                    .await
                    .unwrap()
                    .status()
            })
        });
        for request in requests.collect::<Vec<_>>() {
            assert_eq!(request.await.unwrap(), StatusCode::OK);
        }
        driver.abort();
    });
    running.end();
}

#[test]
fn a_new_certificate_is_taken_and_open_connections_stay() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let before = certify(&files);
    let running = secure(&files);
    running.runtime.block_on(async {
        let stream = connect(&running, &before, b"http/1.1").await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let driver = tokio::spawn(connection);
        // Half of a change: the certificate stays.
        std::fs::write(&files.key, "no key").unwrap();
        let after = certify(&files);
        while connect(&running, &after, b"http/1.1").await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(connect(&running, &before, b"http/1.1").await.is_err());
        let answer = sender.send_request(get("/healthz")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        driver.abort();
    });
    running.end();
}

#[test]
fn files_that_hold_something_else_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let serve = |files: &TlsFiles| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let options = ServeOptions {
            tls: Some(files.clone()),
            ..ServeOptions::default()
        };
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = Arc::new(syncdb::SyncServer::new(notes()).unwrap());
            let error = server::serve(listener, server, options, std::future::pending())
                .await
                .unwrap_err();
            error.message().to_owned()
        })
    };
    assert!(serve(&files).contains("cert.pem"));
    certify(&files);
    std::fs::write(&files.key, "garbage").unwrap();
    let message = serve(&files);
    assert!(
        message.contains("key.pem: holds no private key"),
        "{message}"
    );
    std::fs::write(&files.certificate, "garbage").unwrap();
    let message = serve(&files);
    assert!(
        message.contains("cert.pem: holds no certificate"),
        "{message}"
    );
    // The key of another certificate.
    certify(&files);
    let key = std::fs::read(&files.key).unwrap();
    certify(&files);
    std::fs::write(&files.key, key).unwrap();
    let message = serve(&files);
    assert!(message.contains("is not the key of"), "{message}");
}

#[test]
fn t47_a_handshake_byte_by_byte_is_let_go() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    certify(&files);
    let options = ServeOptions {
        handshake_timeout: std::time::Duration::from_millis(300),
        tls: Some(files.clone()),
        ..ServeOptions::default()
    };
    let running = run_with(notes(), SyncServerOptions::default(), options);
    let mut stream = std::net::TcpStream::connect(running.address).unwrap();
    // The head of a hello, and of the rest a byte now and then.
    stream
        .write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])
        .unwrap();
    while stream.write_all(&[7]).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    running.end();
}
