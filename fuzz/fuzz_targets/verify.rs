//! Any headers and body: never a panic, and nothing passes that was not signed with our keys.
#![no_main]

use chrono::DateTime;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use trunkline_openphone::signature::{
    Key, OPENPHONE_SIGNATURE, Scheme, Secrets, Tolerance, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP,
    sign_legacy, sign_standard, verify,
};

const KEY: &str = "gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnp8=";

type Value<'a> = Option<&'a [u8]>;

fuzz_target!(|input: (Value<'_>, Value<'_>, Value<'_>, Value<'_>, u32, &[u8])| {
    let (id, timestamp, signature, legacy, now, body) = input;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (WEBHOOK_ID, id),
        (WEBHOOK_TIMESTAMP, timestamp),
        (WEBHOOK_SIGNATURE, signature),
        (OPENPHONE_SIGNATURE, legacy),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(value).ok()) {
            headers.append(name, value);
        }
    }
    let (Ok(secrets), Ok(key)) = (Secrets::parse([KEY, &format!("whsec_{KEY}")]), Key::parse(KEY)) else {
        unreachable!("the key is valid")
    };
    let now = DateTime::from_timestamp_secs(now.into()).unwrap_or_default();
    let Ok(verified) = verify(&secrets, &Tolerance::default(), &headers, body, now) else { return };

    let (name, expected) = match verified.scheme {
        Scheme::Standard => {
            let id = verified.delivery_id.unwrap_or_default();
            (WEBHOOK_SIGNATURE, sign_standard(&key, &id, verified.timestamp.timestamp(), body))
        }
        Scheme::Legacy => {
            (OPENPHONE_SIGNATURE, sign_legacy(&key, verified.timestamp.timestamp_millis(), body))
        }
    };
    let claimed = headers[name].to_str().unwrap_or_default();
    assert!(claimed.contains(&expected));
});
