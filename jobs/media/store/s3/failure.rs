//! What went wrong with a request, without the SDK's generic types and without anything secret.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{BoxError, ProvideErrorMetadata, SdkError};

/// Why S3 did not do something.
#[derive(Debug, thiserror::Error)]
pub enum S3Failure {
    #[error("the server answered {status}{}", told(code, message))]
    Answered { status: u16, code: Option<String>, message: Option<String> },
    #[error("the server left out {0}")]
    Incomplete(&'static str),
    #[error("no usable answer")]
    Unanswered(#[source] BoxError),
}

impl S3Failure {
    pub(super) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Answered { code: Some(code), .. } if code == wanted)
    }

    /// Answers to HEAD have no body, and so no code.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Answered { status: 404, .. })
    }
}

fn told(code: &Option<String>, message: &Option<String>) -> String {
    let code = code.as_ref().map(|code| format!(" {code}"));
    let message = message.as_ref().map(|message| format!(": {message}"));
    [code, message].into_iter().flatten().collect()
}

impl<E> From<SdkError<E, HttpResponse>> for S3Failure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ServiceError(answer) => Self::Answered {
                status: answer.raw().status().as_u16(),
                code: answer.err().code().map(str::to_owned),
                message: answer.err().message().map(str::to_owned),
            },
            other => Self::Unanswered(other.into()),
        }
    }
}
