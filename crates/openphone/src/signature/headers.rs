//! Reading the headers of a scheme: each must be there once, and be of a sane size.

use chrono::{DateTime, Utc};
use http::HeaderMap;

use super::{Scheme, SignatureError};

/// Room for many times the signatures that a rotation of keys produces.
const MAX_SIGNATURE_HEADER: usize = 4096;
const MAX_ID_HEADER: usize = 255;

/// The one value of a header that identifies something.
pub(super) fn identifier<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, SignatureError> {
    single(headers, name, MAX_ID_HEADER)
}

/// The one value of a header that lists signatures.
pub(super) fn signatures<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, SignatureError> {
    single(headers, name, MAX_SIGNATURE_HEADER)
}

fn single<'h>(
    headers: &'h HeaderMap,
    name: &'static str,
    max_length: usize,
) -> Result<&'h str, SignatureError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(SignatureError::HeaderMissing(name))?;
    if values.next().is_some() {
        return Err(SignatureError::HeaderDuplicated(name));
    }
    value
        .to_str()
        .ok()
        .filter(|text| !text.is_empty() && text.len() <= max_length)
        .ok_or(SignatureError::HeaderMalformed(name))
}

/// Reads a signed time. The schemes use different units, and taking one for the other would refuse
/// everything in a way that looks like a wrong clock; so that mistake has its own name.
pub(super) fn timestamp(text: &str, scheme: Scheme) -> Result<DateTime<Utc>, SignatureError> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SignatureError::TimestampMalformed);
    }
    let number = || text.parse::<i64>().map_err(|_| SignatureError::TimestampMalformed);
    let moment = match (scheme, text.len()) {
        (Scheme::Standard, 10) => DateTime::from_timestamp_secs(number()?),
        (Scheme::Legacy, 13) => DateTime::from_timestamp_millis(number()?),
        (_, 10 | 13) => return Err(SignatureError::TimestampUnit(scheme)),
        _ => None,
    };
    moment.ok_or(SignatureError::TimestampMalformed)
}
