//! A stored delivery as a request again.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Headers that belong to the connection a request came over and not to the request. Whoever sends it again has their own.
const OF_THE_CONNECTION: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The headers a delivery came with, but for those of its connection.
///
/// `kept` is JSON: each header's values by its name.
///
/// # Errors
/// When it is not.
pub fn headers(kept: &str) -> Result<HeaderMap, serde_json::Error> {
    let kept: BTreeMap<String, Vec<String>> = serde_json::from_str(kept)?;
    Ok(of(&kept))
}

/// The same of headers that were read already.
pub fn of(kept: &BTreeMap<String, Vec<String>>) -> HeaderMap {
    let named: Vec<String> = kept
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, values)| values)
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut headers = HeaderMap::new();
    for (name, values) in kept {
        let name = name.to_ascii_lowercase();
        if OF_THE_CONNECTION.contains(&name.as_str()) || named.contains(&name) {
            continue;
        }
        let Ok(name) = HeaderName::try_from(name) else { continue };
        for value in values {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                headers.append(name.clone(), value);
            }
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_kept_but_what_belongs_to_the_connection() {
        let kept = r#"{"accept":["*/*"],"connection":["close, X-Hop"],"content-length":["17"],"content-type":["application/json"],
            "host":["hooks.example.com"],"webhook-signature":["v1,abc v1,def"],"x-hop":["1"],"x-forwarded-for":["1.2.3.4","5.6.7.8"]}"#;
        let headers = headers(kept).unwrap();
        let told: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(
            told,
            [
                ("accept", "*/*"),
                ("content-type", "application/json"),
                ("webhook-signature", "v1,abc v1,def"),
                ("x-forwarded-for", "1.2.3.4"),
                ("x-forwarded-for", "5.6.7.8"),
            ]
        );
        assert!(super::headers("nonsense").is_err());
    }
}
