//! [`Hangups`]: the signal to read files anew.

/// SIGHUP, by which a running server is told to read its files anew: certificates, keys, the level of its log.
///
/// As long as one of these is there, the signal does not end the process, as it would otherwise. Each of several hears of every
/// signal. Systems without signals have none.
#[derive(Debug)]
pub struct Hangups {
    #[cfg(unix)]
    signals: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    /// Begins to listen. Where that is not possible, there are none.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O.
    #[expect(clippy::new_without_default, reason = "it changes what a signal does")]
    pub fn new() -> Self {
        Self {
            #[cfg(unix)]
            signals: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    /// Ready with the next signal; several in short order may count as one.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signals) = &mut self.signals
            && signals.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
