//! Calls, and the recordings that belong to them.

use chrono::{DateTime, Utc};

use super::{
    CallStatus, Context, Direction, EventError, MediaItem, RecordingStatus, context::View, fields::Fields,
};

/// A call, as far as one event tells of it. Which step of its life that is, is the event's type.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub id: String,
    pub direction: Option<Direction>,
    pub status: Option<CallStatus>,
    pub from: Option<String>,
    pub to: Option<String>,
    /// Everyone who took part, as far as known.
    pub participants: Vec<String>,
    pub created_at: Option<DateTime<Utc>>,
    pub answered_at: Option<DateTime<Utc>>,
    /// The user who answered.
    pub answered_by: Option<String>,
    pub completed_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
    /// Seconds.
    pub duration: Option<f64>,
    pub has_voicemail: Option<bool>,
    /// The voicemail itself, which the oldest webhooks put into the call.
    pub voicemail: Option<MediaItem>,
    /// Recordings, which the oldest webhooks put into the call.
    pub recordings: Vec<Recording>,
    pub forwarded_from: Option<String>,
    pub forwarded_to: Option<String>,
    pub menu: Option<MenuSelection>,
    pub context: Context,
}

/// What a caller chose in a phone menu.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MenuSelection {
    pub digit: Option<String>,
    pub name: Option<String>,
    pub reason: Option<String>,
}

/// The recordings of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecordings {
    pub call_id: String,
    pub recordings: Vec<Recording>,
    pub call: Call,
}

/// One recorded stretch of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    pub id: Option<String>,
    /// Where to fetch it, once it is there.
    pub url: Option<String>,
    /// What it is said to be; not to be trusted.
    pub declared_type: Option<String>,
    /// Seconds.
    pub duration: Option<f64>,
    pub started_at: Option<DateTime<Utc>>,
    /// Given by the REST API only.
    pub status: Option<RecordingStatus>,
}

impl Call {
    pub(crate) fn read(view: &View<'_>) -> Result<Self, EventError> {
        let subject = &view.subject;
        let mut context = Context::read(view);
        let direction = subject.text("direction").and_then(|word| Direction::from_word(&word));
        let (mut from, mut to) = (subject.filled("from"), subject.filled("to"));
        let named = subject.texts("participants");
        if context.external.is_empty() {
            context.external =
                named.iter().filter(|number| !context.workspace.contains(number)).cloned().collect();
        }
        if let Some(direction) = direction {
            place(direction, &mut context, &mut from, &mut to);
        }
        let mut participants = context.workspace.clone();
        participants.extend(context.external.iter().cloned());
        participants.extend(named);
        let mut seen = std::collections::BTreeSet::new();
        participants.retain(|number| seen.insert(number.clone()));

        let voicemail = MediaItem::read(&subject.object("voicemail"));
        let mut call = Self {
            id: subject.id("id").ok_or(EventError::NoId)?,
            direction,
            status: subject.id("status").map(CallStatus::from),
            from,
            to,
            participants,
            created_at: subject.time("createdAt"),
            answered_at: subject.time("answeredAt"),
            answered_by: subject.id("answeredByUserId").or_else(|| subject.id("answeredBy")),
            completed_at: subject.time("completedAt"),
            updated_at: subject.time("updatedAt"),
            duration: subject.number("duration").filter(|seconds| *seconds >= 0.0),
            has_voicemail: subject.boolean("hasVoicemail").or(voicemail.is_some().then_some(true)),
            voicemail,
            recordings: subject.objects("media").iter().map(Recording::read).collect(),
            forwarded_from: subject.filled("forwardedFrom"),
            forwarded_to: subject.filled("forwardedTo"),
            menu: menu(subject),
            context,
        };
        call.duration = call.duration.or_else(|| call.talk_time());
        Ok(call)
    }

    /// Whether anyone answered; `None` while nobody can tell.
    pub fn answered(&self) -> Option<bool> {
        match self.status {
            Some(CallStatus::Answered | CallStatus::Forwarded | CallStatus::AiHandled) => Some(true),
            Some(
                CallStatus::Missed
                | CallStatus::NoAnswer
                | CallStatus::Unanswered
                | CallStatus::Abandoned
                | CallStatus::Busy
                | CallStatus::Failed
                | CallStatus::Canceled,
            ) => Some(false),
            _ if self.answered_at.is_some() => Some(true),
            _ if self.completed_at.is_some() => Some(false),
            _ => None,
        }
    }

    fn talk_time(&self) -> Option<f64> {
        let talked = self.completed_at? - self.answered_at?;
        (talked >= chrono::Duration::zero()).then(|| talked.as_seconds_f64())
    }
}

/// Fills in whichever is missing: who called whom, or which side each was on.
fn place(direction: Direction, context: &mut Context, from: &mut Option<String>, to: &mut Option<String>) {
    let (ours, theirs) = match direction {
        Direction::Incoming => (to, from),
        Direction::Outgoing => (from, to),
    };
    for (number, side) in [(ours, &mut context.workspace), (theirs, &mut context.external)] {
        match number {
            Some(number) if side.is_empty() => side.push(number.clone()),
            Some(_) => {}
            None => *number = side.first().cloned(),
        }
    }
}

fn menu(subject: &Fields<'_>) -> Option<MenuSelection> {
    let menu = MenuSelection {
        digit: subject.filled("phoneMenuSelection"),
        name: subject.filled("phoneMenuSelectionName"),
        reason: subject.filled("statusReason"),
    };
    (menu != MenuSelection::default()).then_some(menu)
}

impl CallRecordings {
    pub(crate) fn read(view: &View<'_>) -> Result<Self, EventError> {
        let mut call = Call::read(view)?;
        let mut recordings: Vec<_> = view.subject.objects("recordings").iter().map(Recording::read).collect();
        recordings.append(&mut call.recordings);
        Ok(Self { call_id: call.id.clone(), recordings, call })
    }
}

impl Recording {
    pub(crate) fn read(fields: &Fields<'_>) -> Self {
        Self {
            id: fields.id("id"),
            url: fields.filled("url"),
            declared_type: fields.filled("type"),
            duration: fields.number("duration"),
            started_at: fields.time("startTime"),
            status: fields.id("status").map(RecordingStatus::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::event::{Event, Payload};

    #[test]
    fn the_other_party_of_an_api_call_is_its_caller() {
        let body = br#"{"id":"EV1","type":"call.ringing","apiVersion":"v4","data":{"object":{"id":"AC1",
            "direction":"incoming","participants":["+12125550101"]}}}"#;
        let Ok(Event { payload: Payload::Call(call), .. }) = Event::parse(body) else { panic!("a call") };
        assert_eq!(call.from.as_deref(), Some("+12125550101"));
    }
}
