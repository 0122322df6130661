//! A server in this process, on a port of its own.

use std::net::SocketAddr;

use server::{App, ServeOptions, serve};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A server that answers until this is dropped, which waits for its end.
pub(crate) struct Listening {
    pub(crate) runtime: Runtime,
    pub(crate) address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: Option<JoinHandle<common::Result<()>>>,
}

impl Listening {
    pub(crate) fn start(app: impl Into<App>, options: ServeOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(server::listen("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, mut stopped) = watch::channel(false);
        let serving = runtime.spawn(serve(listener, app.into(), options, async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }));
        Self {
            runtime,
            address,
            stop,
            serving: Some(serving),
        }
    }

    /// Tells the server to stop.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop();
        // After a failure nobody waits for those who are still connected.
        if let Some(serving) = self.serving.take().filter(|_| !std::thread::panicking()) {
            self.runtime.block_on(serving).unwrap().unwrap();
        }
    }
}
