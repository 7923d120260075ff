//! An installation elsewhere, as commands reach it that need no database: by its address and a key.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::host::is_this_machine;
use super::payload;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A batch of webhooks and what JSON adds to it; a single webhook can be larger than a batch usually is.
const LARGEST_ANSWER: usize = 64 << 20;

#[derive(Args, Debug)]
pub(super) struct ServerArgs {
    /// The installation, such as https://trunkline.example.com
    #[arg(long, value_name = "URL")]
    pub(super) server: Url,
    /// A file with a key of that installation
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Send the key over plain http to another machine
    #[arg(long)]
    plain_http: bool,
}

/// The API of an installation.
pub(super) struct Server {
    pub(super) client: Client,
    api: Url,
    key: SecretString,
}

impl ServerArgs {
    /// `silence`: how long the server may tell nothing before it counts as away. A long answer may take longer.
    ///
    /// # Errors
    /// When the key could be read on its way, or there is none in the file.
    pub(super) fn open(&self, silence: Duration) -> Result<Server> {
        may_have_key(&self.server, self.plain_http)?;
        Server::new(self.server.clone(), payload::secret(Some(&self.key_file))?, silence)
    }
}

/// Keeps a key from being sent where others can read it on the way.
fn may_have_key(server: &Url, plain_http: bool) -> Result<()> {
    match server.scheme() {
        "https" => Ok(()),
        "http" if is_this_machine(server) || plain_http => Ok(()),
        "http" => bail!(
            "the key could be read on its way to {server}: write https://, or add --plain-http where the way is your own"
        ),
        other => bail!("--server is https:// or http://, not {other}://"),
    }
}

impl Server {
    fn new(server: Url, key: SecretString, silence: Duration) -> Result<Self> {
        let client = Client::builder()
            .redirect(Policy::none())
            .read_timeout(silence)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("trunkline/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("setting up HTTP")?;
        let mut api = server;
        api.path_segments_mut()
            .map_err(|()| anyhow!("--server is no web address"))?
            .pop_if_empty()
            .extend(["api", "v1", ""]);
        Ok(Self { client, api, key })
    }

    /// Where an operation is; `path` has no `/` at its beginning.
    pub(super) fn url(&self, path: &str) -> Result<Url> {
        Ok(self.api.join(path)?)
    }

    /// Sends it with the key.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.bearer_auth(self.key.expose_secret()).send().await;
        answer.map_err(|error| {
            let host = self.api.origin().ascii_serialization();
            anyhow::Error::new(error.without_url()).context(format!("{host} does not answer"))
        })
    }
}

/// The whole body of an answer; none when it is too large.
pub(super) async fn whole(answer: &mut Response) -> Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= LARGEST_ANSWER => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Ok(None),
            Ok(None) => return Ok(Some(body)),
            Err(error) => return Err(error.without_url()).context("the connection broke off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_over_plain_http_to_this_machine_only_unless_somebody_says_so() {
        let may = |text: &str, plain| may_have_key(&text.parse().unwrap(), plain).is_ok();
        for here in ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]/", "https://a.example"] {
            assert!(may(here, false), "{here}");
        }
        assert!(!may("http://a.example", false) && may("http://a.example", true));
        assert!(!may("ftp://a.example", true));
    }

    #[test]
    fn the_api_is_found_below_whatever_path_the_server_has() {
        for (server, api) in [
            ("https://a.example", "https://a.example/api/v1/"),
            ("https://a.example/", "https://a.example/api/v1/"),
            ("https://a.example/trunkline/", "https://a.example/trunkline/api/v1/"),
        ] {
            let server = Server::new(server.parse().unwrap(), "k".into(), Duration::from_secs(1)).unwrap();
            assert_eq!(server.api.as_str(), api);
        }
    }
}
