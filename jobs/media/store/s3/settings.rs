//! Which bucket, and how to reach it.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, Credentials, Region, StalledStreamProtectionConfig};
use aws_sdk_s3::types::ServerSideEncryption;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// What the signature needs and servers other than Amazon's ignore.
const DEFAULT_REGION: &str = "us-east-1";
const CONNECT: Duration = Duration::from_secs(5);
/// Until the answer begins.
const ANSWER: Duration = Duration::from_secs(30);
/// One try, the transfer included.
const ATTEMPT: Duration = Duration::from_secs(60);
/// All tries together; beyond that the job's own backoff is the better one.
const OPERATION: Duration = Duration::from_secs(120);
const ATTEMPTS: u32 = 3;
/// How long a transfer may stand still.
const STALLED: Duration = Duration::from_secs(20);

/// A bucket and how to reach it.
#[derive(Clone, Debug)]
pub struct S3Settings {
    pub bucket: String,
    /// Begins every key: `""`, or a path that ends in a slash.
    pub prefix: String,
    /// Absent: Amazon's own for the region.
    pub endpoint: Option<Url>,
    /// Absent: what the environment says.
    pub region: Option<String>,
    /// The bucket in the path of URLs instead of the host's name.
    pub path_style: bool,
    pub encryption: Encryption,
    /// Absent: the SDK's chain of environment, profile, web identity and instance metadata.
    pub keys: Option<AccessKeys>,
    /// How long a link that is handed out stays good. Absent: none is handed out.
    pub presign: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct AccessKeys {
    pub access_key: SecretString,
    pub secret_key: SecretString,
}

/// How the server encrypts what it stores.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Encryption {
    /// As the bucket's own default says.
    BucketDefault,
    Aes256,
    /// By this key, or the account's own for S3.
    Kms(Option<String>),
}

impl Encryption {
    pub(super) fn algorithm(&self) -> Option<ServerSideEncryption> {
        match self {
            Self::BucketDefault => None,
            Self::Aes256 => Some(ServerSideEncryption::Aes256),
            Self::Kms(_) => Some(ServerSideEncryption::AwsKms),
        }
    }

    pub(super) fn kms_key(&self) -> Option<String> {
        match self {
            Self::Kms(key) => key.clone(),
            Self::BucketDefault | Self::Aes256 => None,
        }
    }
}

impl S3Settings {
    pub(super) async fn client(&self) -> Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .read_timeout(ANSWER)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION)
            .build();
        let mut chain = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts)
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled().grace_period(STALLED).build(),
            );
        let elsewhere = self.endpoint.as_ref().map(|_| DEFAULT_REGION.to_owned());
        if let Some(region) = self.region.clone().or(elsewhere) {
            chain = chain.region(Region::new(region));
        }
        if let Some(AccessKeys { access_key, secret_key }) = &self.keys {
            let (access_key, secret_key) = (access_key.expose_secret(), secret_key.expose_secret());
            chain =
                chain.credentials_provider(Credentials::new(access_key, secret_key, None, None, "settings"));
        }
        let mut config = Builder::from(&chain.load().await).force_path_style(self.path_style);
        config.set_endpoint_url(
            self.endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
        );
        Client::from_conf(config.build())
    }
}
