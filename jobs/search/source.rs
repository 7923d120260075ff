//! From the rows that jobs keep to the texts that can be found.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::terms::{Mark, Terms};

/// What a document was made of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Message,
    Transcript,
    Summary,
    Voicemail,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Message, Self::Transcript, Self::Summary, Self::Voicemail];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Transcript => "transcript",
            Self::Summary => "summary",
            Self::Voicemail => "voicemail",
        }
    }
}

/// Which side somebody was on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Ours,
    Theirs,
}

/// Who wrote or said something, as far as it was told.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Speaker {
    pub side: Option<Side>,
    pub user_id: Option<String>,
    pub number: Option<String>,
}

/// What one side wrote or said in one go.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Passage {
    pub(super) speaker: Speaker,
    /// Seconds from the start of the call.
    pub(super) start: Option<f64>,
    pub(super) text: String,
}

/// Rows as they are stored: of one message or one voicemail, or of a call with all that was made of it.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
#[sqlx(default)]
pub(super) struct Source {
    /// The document, where there is one already.
    pub(super) document: Option<i64>,
    pub(super) message_id: Option<String>,
    pub(super) transcript_id: Option<String>,
    pub(super) summary_id: Option<String>,
    pub(super) voicemail_id: Option<String>,
    pub(super) call_id: Option<String>,
    pub(super) conversation_id: Option<String>,
    /// When the message or the call began.
    pub(super) at: Option<DateTime<Utc>>,
    pub(super) voicemail_at: Option<DateTime<Utc>>,
    pub(super) direction: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) sender: Option<String>,
    pub(super) recipient: Option<String>,
    /// Everyone else who took part, joined by commas.
    pub(super) numbers: Option<String>,
    pub(super) text: Option<String>,
    pub(super) dialogue: Option<String>,
    pub(super) summary: Option<String>,
    pub(super) next_steps: Option<String>,
    pub(super) voicemail: Option<String>,
}

/// A text that can be found.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) kind: Kind,
    /// The message, the call, or the voicemail.
    pub(super) id: String,
    pub(super) at: DateTime<Utc>,
    pub(super) passages: Vec<Passage>,
}

/// An utterance as `call_transcripts.dialogue` holds it.
#[derive(Deserialize)]
struct Utterance {
    user_id: Option<String>,
    identifier: Option<String>,
    #[serde(default)]
    content: String,
    start: Option<f64>,
}

impl Source {
    /// The documents that the rows make.
    pub(super) fn documents(&self) -> Vec<Document> {
        let at = self.at.unwrap_or_default();
        let document = |kind, id: &Option<String>, at, passages: Option<Vec<Passage>>| {
            let (id, passages) = (id.clone()?, passages.filter(|passages| !passages.is_empty())?);
            Some(Document { kind, id, at, passages })
        };
        let made = [
            document(Kind::Message, &self.message_id, at, self.message()),
            document(Kind::Transcript, &self.transcript_id, at, self.transcript()),
            document(Kind::Summary, &self.summary_id, at, self.summary()),
            document(Kind::Voicemail, &self.voicemail_id, self.voicemail_at.unwrap_or(at), self.voicemail()),
        ];
        made.into_iter().flatten().collect()
    }

    fn message(&self) -> Option<Vec<Passage>> {
        let text = self.text.clone().filter(|text| !text.is_empty())?;
        let ours = self.direction.as_deref() == Some("outgoing");
        let speaker = Speaker {
            side: Some(if ours { Side::Ours } else { Side::Theirs }),
            user_id: self.user_id.clone().filter(|_| ours),
            number: self.sender.clone(),
        };
        Some(vec![Passage { speaker, start: None, text }])
    }

    fn transcript(&self) -> Option<Vec<Passage>> {
        let dialogue: Vec<Utterance> = serde_json::from_str(self.dialogue.as_deref()?).ok()?;
        let passages = dialogue.into_iter().map(|said| Passage {
            speaker: Speaker {
                side: match (&said.user_id, &said.identifier) {
                    (Some(_), _) => Some(Side::Ours),
                    (None, Some(_)) => Some(Side::Theirs),
                    (None, None) => None,
                },
                user_id: said.user_id,
                number: said.identifier,
            },
            start: said.start,
            text: said.content,
        });
        Some(passages.collect())
    }

    fn summary(&self) -> Option<Vec<Passage>> {
        let lists = [self.summary.as_deref(), self.next_steps.as_deref()];
        let texts = lists
            .into_iter()
            .flatten()
            .flat_map(|list| serde_json::from_str::<Vec<String>>(list).unwrap_or_default());
        Some(texts.map(|text| Passage { text, ..Passage::default() }).collect())
    }

    fn voicemail(&self) -> Option<Vec<Passage>> {
        let text = self.voicemail.clone().filter(|text| !text.is_empty())?;
        let speaker = Speaker { side: Some(Side::Theirs), user_id: None, number: self.sender.clone() };
        Some(vec![Passage { speaker, start: None, text }])
    }

    /// The terms by which a document is found.
    pub(super) fn terms(&self, document: &Document) -> Terms {
        let mut terms = Terms::default();
        terms.mark(Mark::Kind(document.kind.as_str()));
        let said = document.passages.iter().map(|passage| &passage.speaker);
        let numbers: BTreeSet<&str> = said
            .clone()
            .filter_map(|speaker| speaker.number.as_deref())
            .chain(self.sender.as_deref())
            .chain(self.recipient.as_deref())
            .chain(self.numbers.iter().flat_map(|numbers| numbers.split(',')))
            .collect();
        numbers.into_iter().for_each(|number| terms.mark(Mark::Number(number)));
        let users: BTreeSet<&str> =
            said.filter_map(|speaker| speaker.user_id.as_deref()).chain(self.user_id.as_deref()).collect();
        users.into_iter().for_each(|user| terms.mark(Mark::User(user)));
        self.conversation_id.iter().for_each(|id| terms.mark(Mark::Conversation(id)));
        document.passages.iter().for_each(|passage| terms.add_text(&passage.text));
        terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_makes_a_document_of_each_of_its_texts() {
        let source = Source {
            transcript_id: Some("AC1".to_owned()),
            summary_id: Some("AC1".to_owned()),
            voicemail_id: Some("call:AC1".to_owned()),
            dialogue: Some(
                r#"[{"user_id":"US1","content":"Hi","start":0.0,"end":1.5},{"identifier":"+12125550101","content":"Heater"}]"#
                    .to_owned(),
            ),
            summary: Some(r#"["It stopped."]"#.to_owned()),
            next_steps: Some(r#"["Book."]"#.to_owned()),
            ..Source::default()
        };
        let documents = source.documents();
        let told: Vec<_> =
            documents.iter().map(|made| (made.kind, made.id.as_str(), made.passages.len())).collect();
        assert_eq!(told, [(Kind::Transcript, "AC1", 2), (Kind::Summary, "AC1", 2)]);
        assert_eq!(documents[0].passages[1].speaker.side, Some(Side::Theirs));
        assert_eq!(
            source.terms(&documents[0]).text(),
            "_ktranscript _n12125550101 _uus1 heater hi ",
            "two people's words are no neighbours"
        );
    }

    #[test]
    fn what_has_no_text_makes_no_document() {
        for (text, dialogue) in [(None, Some("[]")), (Some(""), Some("not JSON"))] {
            let source = Source {
                message_id: Some("AC1".to_owned()),
                transcript_id: Some("AC1".to_owned()),
                text: text.map(str::to_owned),
                dialogue: dialogue.map(str::to_owned),
                ..Source::default()
            };
            assert!(source.documents().is_empty());
        }
    }
}
