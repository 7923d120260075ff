//! A fresh link for one that is gone. Links expire; the provider signs new ones for whoever asks about the message, the
//! recording or the voicemail again. It is asked once for each link that was told.

use trunkline_openphone::client::ApiError;
use trunkline_platform::job::{Context, Failure};

use super::table::MediaRow;
use crate::Services;
use crate::calls::{call_of_voicemail, recording_key};
use crate::provider::Share;

/// What the provider knows.
pub(super) enum Fresh {
    Link(String),
    /// And why not.
    No(&'static str),
}

/// Asks the provider where a file is now.
pub(super) async fn ask(cx: &Context<Services>, row: &MediaRow) -> Result<Fresh, Failure> {
    let Services { provider, media, .. } = cx.services();
    if row.asked_at.is_some() {
        return Ok(Fresh::No("the provider was asked for another before"));
    }
    if !provider.is_configured() {
        return Ok(Fresh::No("there is no API key to ask for another (`trunkline secrets add-api-key`)"));
    }
    media.metrics.fresh_link();
    let found = match row.owner_type.as_str() {
        "message" => {
            let id = row.owner_id.as_str();
            let asked = provider.ask(cx, Share::Repair, |client| client.get_message(id)).await?;
            let at = usize::try_from(row.position).unwrap_or(usize::MAX);
            asked.map(|message| message.media.into_iter().nth(at).map(|item| item.url))
        }
        "recording" => {
            let Some((call, key)) = row.owner_id.split_once('/') else {
                return Ok(Fresh::No("its call is not known"));
            };
            let asked = provider.ask(cx, Share::Repair, |client| client.call_recordings(call)).await?;
            asked.map(|recordings| {
                let is_it = |recording: &&_| recording_key(recording).as_deref() == Some(key);
                recordings.iter().find(is_it).and_then(|recording| recording.url.clone())
            })
        }
        _ => {
            let Some(call) = call_of_voicemail(&row.owner_id) else {
                return Ok(Fresh::No("its call is not known, by which the provider could be asked"));
            };
            let asked = provider.ask(cx, Share::Repair, |client| client.call_voicemail(call)).await?;
            asked.map(|voicemail| voicemail.url)
        }
    };
    match found {
        Ok(Some(url)) if url != row.url => Ok(Fresh::Link(url)),
        Ok(_) | Err(ApiError::NotFound(_)) => Ok(Fresh::No("the provider knows no other")),
        Err(error) if error.is_retryable() => Err(Failure::from(error)),
        Err(error) => {
            let error = trunkline_platform::chain(&error);
            tracing::warn!(media = %row.id, error, "the provider cannot be asked for a fresh link");
            Ok(Fresh::No("the provider did not tell another"))
        }
    }
}
