//! What is in force and where it came from, fit to be shown: secrets are hidden, and so are passwords in URLs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use super::layers::Setting;

const HIDDEN: &str = "(hidden)";

/// One setting as `config show` tells of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Origin {
    pub key: String,
    pub value: Value,
    pub source: String,
}

/// Whether a setting holds a secret. Such a setting can be read from a file, and is never shown whole.
pub(super) fn is_secret(key: &str) -> bool {
    is_secret_url(key)
        || matches!(
            key,
            "openphone.api_key"
                | "openphone.webhook_secrets"
                | "secrets.master_keys"
                | "media.s3.access_key"
                | "media.s3.secret_key"
        )
}

/// Settings that are URLs and may have a password in them.
fn is_secret_url(key: &str) -> bool {
    matches!(key, "database.url" | "redis.url")
}

pub(super) fn origins(settings: &BTreeMap<String, Setting>) -> Vec<Origin> {
    let origin = |setting: &Setting| Origin {
        key: setting.key.clone(),
        value: shown(&setting.key, &setting.value),
        source: setting.source.to_string(),
    };
    settings.values().map(origin).collect()
}

fn shown(key: &str, value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) if text.is_empty() => json!(""),
        toml::Value::Array(items) if items.is_empty() => json!([]),
        toml::Value::String(url) if is_secret_url(key) => json!(without_password(url)),
        _ if is_secret(key) => json!(HIDDEN),
        value => serde_json::to_value(value).unwrap_or(Value::Null),
    }
}

/// A URL without what only its owner should know. One that cannot be read is hidden whole.
fn without_password(text: &str) -> String {
    if text.starts_with("sqlite:") {
        return text.to_owned();
    }
    let Ok(mut url) = Url::parse(text) else { return HIDDEN.to_owned() };
    if url.password().is_some() && url.set_password(Some("hidden")).is_err() {
        return HIDDEN.to_owned();
    }
    if url.query().is_some() {
        url.set_query(Some("hidden"));
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_keeps_its_host_and_loses_its_password_and_parameters() {
        for (url, shown) in [
            ("postgres://me:hunter2@db:5432/app", "postgres://me:hidden@db:5432/app"),
            ("postgres://db/app?password=hunter2", "postgres://db/app?hidden"),
            ("rediss://:hunter2@cache:6379", "rediss://:hidden@cache:6379"),
            ("redis://cache:6379/1", "redis://cache:6379/1"),
            ("sqlite://data/a file.db", "sqlite://data/a file.db"),
            ("hunter2", "(hidden)"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn a_secret_is_hidden_but_its_absence_is_not() {
        let secret = toml::Value::String("k".to_owned());
        assert_eq!(shown("openphone.api_key", &secret), json!("(hidden)"));
        assert_eq!(shown("openphone.api_key", &toml::Value::String(String::new())), json!(""));
        assert_eq!(shown("openphone.webhook_secrets", &toml::Value::Array(vec![secret])), json!("(hidden)"));
    }
}
