//! The present scheme: Standard Webhooks. The id, the time in seconds and the body are signed.

use chrono::{DateTime, Duration, Utc};
use http::HeaderMap;

use super::{
    Key, Scheme, SignatureError, Verified, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, check_freshness,
    headers, secret::Code,
};

/// How many signatures of one request are looked at.
const MAX_SIGNATURES: usize = 32;

/// The value of `webhook-signature` for a request signed at `timestamp` (seconds).
pub fn sign_standard(key: &Key, id: &str, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    format!("v1,{}", key.authenticate(&parts(id, &timestamp, body)).encode())
}

fn parts<'p>(id: &'p str, timestamp: &'p str, body: &'p [u8]) -> [&'p [u8]; 5] {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body]
}

pub(super) fn verify(
    keys: &[Key],
    tolerance: Duration,
    request: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Verified, SignatureError> {
    let id = headers::identifier(request, WEBHOOK_ID)?;
    let timestamp_text = headers::identifier(request, WEBHOOK_TIMESTAMP)?;
    let signatures = headers::signatures(request, WEBHOOK_SIGNATURE)?;
    let timestamp = headers::timestamp(timestamp_text, Scheme::Standard)?;
    if keys.is_empty() {
        return Err(SignatureError::SecretNotConfigured(Scheme::Standard));
    }
    let mut entries =
        signatures.split(' ').filter_map(|entry| entry.strip_prefix("v1,")).take(MAX_SIGNATURES).peekable();
    entries.peek().ok_or(SignatureError::SignatureMalformed)?;

    let parts = parts(id, timestamp_text, body);
    let made: Vec<Code> = keys.iter().map(|key| key.authenticate(&parts)).collect();
    let keys = entries.filter_map(Code::read).map(|claim| claim.place_in(&made));
    let key = keys.fold(None, Option::max).ok_or(SignatureError::SignatureInvalid)?;
    check_freshness(timestamp, tolerance, now)?;
    Ok(Verified { scheme: Scheme::Standard, delivery_id: Some(id.to_owned()), timestamp, key })
}
