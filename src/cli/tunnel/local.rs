//! Delivering a webhook on this machine, as it came.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::redirect::Policy;
use reqwest::{Client, Error};
use tokio::time::Instant;
use trunkline_jobs::forward::original;
use url::Url;

use super::remote::Delivery;

/// What the local address said.
#[derive(Debug)]
pub(super) enum Answer {
    Status {
        status: u16,
        took: Duration,
    },
    /// It has the webhook and did not answer in time: sending it again by ourselves would be a repetition.
    Silent {
        took: Duration,
    },
    /// Nobody listens, or the connection broke: it is sent again.
    Away(Error),
}

pub(super) struct Local {
    client: Client,
    to: Url,
}

impl Local {
    pub(super) fn new(to: Url, timeout: Duration) -> Result<Self> {
        if !matches!(to.scheme(), "http" | "https") {
            bail!("--to is http:// or https://, not {}://", to.scheme());
        }
        let client =
            Client::builder().redirect(Policy::none()).no_proxy().referer(false).timeout(timeout).build();
        Ok(Self { client: client.context("setting up HTTP")?, to })
    }

    pub(super) async fn deliver(&self, delivery: &Delivery) -> Answer {
        let began = Instant::now();
        let request = self.client.post(self.to.clone()).headers(original::of(&delivery.headers));
        match request.body(delivery.body.clone()).send().await {
            Ok(answer) => Answer::Status { status: answer.status().as_u16(), took: began.elapsed() },
            Err(error) if error.is_timeout() && !error.is_connect() => {
                Answer::Silent { took: began.elapsed() }
            }
            Err(error) => Answer::Away(error.without_url()),
        }
    }
}
