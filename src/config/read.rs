//! Reading the values of settings into the types they stand for. No error repeats a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use chrono_tz::Tz;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::Error};
use tracing_subscriber::filter::{LevelFilter, Targets};
use trunkline_jobs::campaigns::Threshold;
use trunkline_jobs::campaigns::flight::Price;
use trunkline_jobs::contacts::number::Country;
use trunkline_jobs::forward::AllowList;
use trunkline_jobs::media::check::Kind;
use trunkline_jobs::media::scan::ClamdAddress;
use trunkline_jobs::secrets::MasterKeys;
use trunkline_openphone::client::webhook_events;
use trunkline_openphone::signature::Key;
use trunkline_platform::db::DbUrl;
use url::Url;

use super::units;

pub(super) fn database_url<'de, D: Deserializer<'de>>(de: D) -> Result<DbUrl, D::Error> {
    String::deserialize(de)?.parse().map_err(D::Error::custom)
}

/// A time zone by its name in the time zone database.
pub(super) fn timezone<'de, D: Deserializer<'de>>(de: D) -> Result<Tz, D::Error> {
    let name = String::deserialize(de)?;
    name.parse().map_err(|_| {
        D::Error::custom(format!("{name:?} is no time zone: write one such as \"America/New_York\""))
    })
}

/// A text to be sent, `""` for none.
pub(super) fn optional_text<'de, D: Deserializer<'de>>(de: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(de)?;
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

/// A path, `""` for none.
pub(super) fn optional_path<'de, D: Deserializer<'de>>(de: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(de)?;
    Ok(Some(text).filter(|text| !text.is_empty()).map(PathBuf::from))
}

/// A price such as `0.01 USD`.
pub(super) fn price<'de, D: Deserializer<'de>>(de: D) -> Result<Price, D::Error> {
    String::deserialize(de)?.parse().map_err(D::Error::custom)
}

/// A threshold such as `10% of 50`, or `off`.
pub(super) fn threshold<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Threshold>, D::Error> {
    match String::deserialize(de)?.as_str() {
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(D::Error::custom),
    }
}

/// `name=30d`, each name once.
pub(super) fn durations_by_name<'de, D: Deserializer<'de>>(
    de: D,
) -> Result<BTreeMap<String, Duration>, D::Error> {
    let mut durations = BTreeMap::new();
    for text in Vec::<String>::deserialize(de)? {
        let (name, duration) = text.split_once('=').ok_or_else(|| {
            D::Error::custom(format!("write name=duration, such as \"call.ringing=1d\", not {text:?}"))
        })?;
        let duration = units::parse_duration(duration.trim()).map_err(D::Error::custom)?;
        if durations.insert(name.trim().to_owned(), duration).is_some() {
            return Err(D::Error::custom(format!("{:?} is there twice", name.trim())));
        }
    }
    Ok(durations)
}

/// Networks, addresses and hosts that may be forwarded to.
pub(super) fn allow_list<'de, D: Deserializer<'de>>(de: D) -> Result<AllowList, D::Error> {
    let texts = Vec::<String>::deserialize(de)?;
    AllowList::parse(texts.iter().map(String::as_str)).map_err(D::Error::custom)
}

pub(super) fn country<'de, D: Deserializer<'de>>(de: D) -> Result<Country, D::Error> {
    String::deserialize(de)?.parse().map_err(D::Error::custom)
}

/// A secret, `""` for none.
pub(super) fn optional_secret<'de, D: Deserializer<'de>>(de: D) -> Result<Option<SecretString>, D::Error> {
    let text = String::deserialize(de)?;
    Ok(Some(text).filter(|text| !text.is_empty()).map(SecretString::from))
}

/// Kinds of file, by name.
pub(super) fn kinds<'de, D: Deserializer<'de>>(de: D) -> Result<BTreeSet<Kind>, D::Error> {
    let names = Vec::<String>::deserialize(de)?;
    names.iter().map(|name| name.parse().map_err(D::Error::custom)).collect()
}

/// Where clamd listens, `""` for nowhere.
pub(super) fn clamd<'de, D: Deserializer<'de>>(de: D) -> Result<Option<ClamdAddress>, D::Error> {
    let text = String::deserialize(de)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(D::Error::custom)
}

pub(super) fn redis_url<'de, D: Deserializer<'de>>(de: D) -> Result<Option<SecretString>, D::Error> {
    let text = String::deserialize(de)?;
    if text.is_empty() {
        return Ok(None);
    }
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "redis" | "rediss") && url.has_host() => Ok(Some(text.into())),
        _ => Err(D::Error::custom("write redis://host:port or rediss://host:port")),
    }
}

pub(super) fn api_url<'de, D: Deserializer<'de>>(de: D) -> Result<Url, D::Error> {
    let text = String::deserialize(de)?;
    let url = Url::parse(&text).map_err(D::Error::custom)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(D::Error::custom("this must be an https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(D::Error::custom("the key belongs into openphone.api_key, not into the URL"));
    }
    Ok(url)
}

/// An http or https URL without credentials, `""` for none.
pub(super) fn optional_endpoint<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(de)?;
    if text.is_empty() {
        return Ok(None);
    }
    match Url::parse(&text) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err(D::Error::custom("the keys belong into media.s3.access_key and media.s3.secret_key"))
        }
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Some(url)),
        _ => Err(D::Error::custom("write https://host or https://host:port")),
    }
}

pub(super) fn webhook_secrets<'de, D: Deserializer<'de>>(de: D) -> Result<Vec<SecretString>, D::Error> {
    let list = Vec::<String>::deserialize(de)?;
    for text in &list {
        Key::parse(text.trim()).map_err(D::Error::custom)?;
    }
    Ok(list.into_iter().map(SecretString::from).collect())
}

/// Where the provider reaches us, `""` for nowhere.
pub(super) fn public_url<'de, D: Deserializer<'de>>(de: D) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(de)?;
    if text.is_empty() {
        return Ok(None);
    }
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.path() != "/" => {
            Ok(Some(url))
        }
        _ => Err(D::Error::custom(
            "write the whole address, such as https://hooks.example.com/webhooks/openphone",
        )),
    }
}

/// Names of events that webhooks tell of.
pub(super) fn event_types<'de, D: Deserializer<'de>>(de: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(de)?;
    match names.iter().find(|name| !webhook_events().any(|known| known == name.as_str())) {
        Some(unknown) => Err(D::Error::custom(format!("no webhook tells of {unknown:?}"))),
        None => Ok(names),
    }
}

pub(super) fn master_keys<'de, D: Deserializer<'de>>(de: D) -> Result<Vec<SecretString>, D::Error> {
    let list = Vec::<String>::deserialize(de)?;
    MasterKeys::parse(list.iter().map(String::as_str)).map_err(D::Error::custom)?;
    Ok(list.into_iter().map(SecretString::from).collect())
}

/// `info`, or `info,trunkline=debug`. The one level without a target must be there: a misspelled level would
/// else be taken for a target, and silence everything.
pub(super) fn log_level<'de, D: Deserializer<'de>>(de: D) -> Result<Targets, D::Error> {
    parse_level(&String::deserialize(de)?).ok_or_else(|| {
        D::Error::custom(
            "write error, warn, info, debug or trace, and after it target=level, such as info,sqlx=warn",
        )
    })
}

fn parse_level(text: &str) -> Option<Targets> {
    let (default, targets): (Vec<&str>, Vec<&str>) =
        text.split(',').map(str::trim).partition(|part| !part.contains('='));
    let [default] = default[..] else { return None };
    targets.into_iter().try_fold(Targets::new().with_default(level(default)?), |filter, part| {
        let (target, name) = part.split_once('=')?;
        Some(filter.with_target(target, level(name)?))
    })
}

fn level(name: &str) -> Option<LevelFilter> {
    let is_name = ["off", "error", "warn", "info", "debug", "trace"].contains(&name);
    is_name.then(|| LevelFilter::from_str(name).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_can_differ_by_target() {
        let level = parse_level("info, trunkline=debug,sqlx=off").unwrap();
        assert!(level.would_enable("trunkline::receiver", &tracing::Level::DEBUG));
        assert!(!level.would_enable("other", &tracing::Level::DEBUG));
        assert!(!level.would_enable("sqlx::query", &tracing::Level::ERROR));
    }

    #[test]
    fn a_misspelled_level_is_refused_rather_than_taken_for_a_target() {
        for text in
            ["", "inof", "5", "trunkline=debug", "info,debug", "info,trunkline", "info,trunkline=loud"]
        {
            assert!(parse_level(text).is_none(), "{text}");
        }
    }
}
