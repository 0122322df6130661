//! How commands reach a server: its certificate, and the caller's credentials.

use std::path::PathBuf;

use clap::Args;
use common::Result;
use server::client::ClientOptions;

use crate::source;

/// How a server is reached.
#[derive(Debug, Default, Args)]
pub(super) struct Reach {
    /// Token or API key that the server takes; better in the variable `TANDEM_TOKEN`, which others on the machine do not see
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Certificates in PEM of the authorities that servers' are signed by, in place of those that the system trusts
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
}

impl Reach {
    pub(super) fn options(&self) -> Result<ClientOptions> {
        let mut options = ClientOptions::default();
        // What is said on the command line counts, whatever the variable holds.
        let variable = || std::env::var("TANDEM_TOKEN").ok();
        let token = self.token.clone().or_else(variable);
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            options = options.credentials(token)?;
        }
        if let Some(path) = &self.authorities {
            options = options.authorities(source::read(path)?);
        }
        Ok(options)
    }
}
