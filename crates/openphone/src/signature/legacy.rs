//! The older scheme: one header, `hmac;1;<milliseconds>;<base64>`. The time and the body are signed.

use chrono::{DateTime, Duration, Utc};
use http::HeaderMap;

use super::{
    Key, OPENPHONE_SIGNATURE, Scheme, SignatureError, Verified, check_freshness, headers, secret::Code,
};

/// How many signatures of one request are looked at. Each has its own time, so each costs a pass
/// over the body.
const MAX_SIGNATURES: usize = 4;

/// The value of `openphone-signature` for a request signed at `timestamp_millis`.
pub fn sign_legacy(key: &Key, timestamp_millis: i64, body: &[u8]) -> String {
    let timestamp = timestamp_millis.to_string();
    let code = key.authenticate(&parts(&timestamp, body)).encode();
    format!("hmac;1;{timestamp};{code}")
}

fn parts<'p>(timestamp: &'p str, body: &'p [u8]) -> [&'p [u8]; 3] {
    [timestamp.as_bytes(), b".", body]
}

/// One signature of the header's list. Each carries its own time.
struct Entry<'h> {
    timestamp: &'h str,
    code: &'h str,
}

impl<'h> Entry<'h> {
    fn read(text: &'h str) -> Option<Self> {
        let (timestamp, code) = text.strip_prefix("hmac;1;")?.split_once(';')?;
        Some(Self { timestamp, code })
    }

    fn verify(&self, keys: &[Key], tolerance: Option<Duration>, body: &[u8], now: DateTime<Utc>) -> Verdict {
        let timestamp = headers::timestamp(self.timestamp, Scheme::Legacy)?;
        let claim = Code::read(self.code).ok_or(SignatureError::SignatureInvalid)?;
        let parts = parts(self.timestamp, body);
        let made: Vec<Code> = keys.iter().map(|key| key.authenticate(&parts)).collect();
        let key = claim.place_in(&made).ok_or(SignatureError::SignatureInvalid)?;
        if let Some(tolerance) = tolerance {
            check_freshness(timestamp, tolerance, now)?;
        }
        Ok((timestamp, key))
    }
}

pub(super) fn verify(
    keys: &[Key],
    tolerance: Option<Duration>,
    request: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Verified, SignatureError> {
    let header = headers::signatures(request, OPENPHONE_SIGNATURE)?;
    if keys.is_empty() {
        return Err(SignatureError::SecretNotConfigured(Scheme::Legacy));
    }
    let verdict = header
        .split(',')
        .filter_map(|entry| Entry::read(entry.trim_ascii()))
        .take(MAX_SIGNATURES)
        .map(|entry| entry.verify(keys, tolerance, body, now))
        .reduce(better)
        .ok_or(SignatureError::SignatureMalformed)?;
    verdict.map(|(timestamp, key)| Verified { scheme: Scheme::Legacy, delivery_id: None, timestamp, key })
}

/// When it was signed, and with which key.
type Verdict = Result<(DateTime<Utc>, usize), SignatureError>;

/// The verdict of a list is that of its best signature.
fn better(first: Verdict, second: Verdict) -> Verdict {
    fn rank(verdict: &Verdict) -> (u8, usize) {
        match verdict {
            Ok((_, key)) => (3, *key),
            Err(SignatureError::TimestampStale { .. }) => (2, 0),
            Err(SignatureError::SignatureInvalid) => (1, 0),
            Err(_) => (0, 0),
        }
    }
    if rank(&second) > rank(&first) { second } else { first }
}
