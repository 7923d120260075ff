//! The one function that answers a search, for the command line, the API and the pages.
//!
//! The index gives the newest [`WINDOW`] documents that have all terms. These are read, looked at closely (phrases to
//! their end, who said it, the time to the millisecond) and ranked; older ones come window by window behind a cursor. So what a
//! query costs is bounded however much fits it, and nothing that fits is out of reach.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_platform::db::{Db, DbError, Session};

use super::index::{first_of, last_of};
use super::query::{Term, Terms};
use super::rank::fit;
use super::snippet::Snippet;
use super::source::{Document, Kind, Side, Source, Speaker};
use super::terms::{Mark, expression};
use super::words::one_word;

/// How many documents are ranked together.
pub const WINDOW: u32 = 200;
/// Windows that one call looks through when what the index found does not fit after all.
const MOST_WINDOWS: usize = 5;
/// Documents read at a time.
const SLICE: usize = 25;
/// The longest a statement may take.
const LIMIT: Duration = Duration::from_secs(5);
pub(super) const MOST_HITS: u32 = 100;

trunkline_platform::statements! {
    /// Differs by necessity: each engine has its own full-text search. SQLite walks its index from the newest on.
    /// PostgreSQL would rather walk the newest rows where it believes that many fit, and be wrong: the sum keeps it to the index of terms.
    FIND = split {
        postgres:
        "SELECT rowid AS id FROM search_terms WHERE terms @@ CAST($1 AS tsquery) AND rowid BETWEEN $2 AND $3
         ORDER BY rowid + 0 DESC LIMIT $4",
        sqlite:
        "SELECT rowid AS id FROM search_terms WHERE search_terms MATCH $1 AND rowid BETWEEN $2 AND $3
         ORDER BY rowid DESC LIMIT $4",
    }
    READ_DOCUMENTS = parts {
        "SELECT d.id AS document, d.message_id, d.transcript_id, d.summary_id, d.voicemail_id,
                COALESCE(d.transcript_id, d.summary_id, v.call_id) AS call_id,
                COALESCE(m.conversation_id, c.conversation_id) AS conversation_id,
                COALESCE(m.created_at, m.status_at, c.created_at, c.status_at, v.transcript_at) AS at,
                v.created_at AS voicemail_at, COALESCE(m.direction, c.direction) AS direction,
                COALESCE(m.user_id, c.user_id) AS user_id, COALESCE(m.sender, v.sender, c.caller) AS sender,
                COALESCE(v.recipient, c.callee) AS recipient,
                (SELECT STRING_AGG(r.number, ',') FROM message_recipients AS r WHERE r.message_id = m.id) AS numbers,
                m.text, t.dialogue, s.summary, s.next_steps, v.transcript AS voicemail
         FROM search_documents AS d
         LEFT JOIN messages AS m ON m.id = d.message_id
         LEFT JOIN call_transcripts AS t ON t.call_id = d.transcript_id
         LEFT JOIN call_summaries AS s ON s.call_id = d.summary_id
         LEFT JOIN voicemails AS v ON v.id = d.voicemail_id
         LEFT JOIN calls AS c ON c.id = COALESCE(d.transcript_id, d.summary_id, v.call_id)
         WHERE d.id IN " (any "$1")
    }
}

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// As people type it; see the module `query`.
    pub text: String,
    /// None given: all.
    pub kinds: Vec<Kind>,
    /// Somebody who took part.
    pub number: Option<String>,
    /// Who must have said it.
    pub speaker: Option<By>,
    pub conversation: Option<String>,
    pub since: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
    pub order: Order,
    pub limit: u32,
    pub cursor: Option<Cursor>,
}

/// Who must have said what is looked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum By {
    Side(Side),
    /// A user's id or a number.
    Somebody(String),
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Order {
    /// The best of a window first.
    #[default]
    Best,
    Newest,
}

/// Where the next page begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    /// The newest document of the window.
    from: i64,
    /// Hits of it that were given already.
    skip: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no place in a search: it is `next` of the page before")]
pub struct CursorError(String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.from, self.skip)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let read = || {
            let (from, skip) = text.split_once('.')?;
            let cursor = Self { from: from.parse().ok()?, skip: skip.parse().ok()? };
            (cursor.from >= 0 && cursor.skip <= WINDOW && cursor.to_string() == text).then_some(cursor)
        };
        read().ok_or_else(|| CursorError(text.chars().take(60).collect()))
    }
}

/// Something that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Hit {
    pub kind: Kind,
    /// The message, the call, or the voicemail.
    pub id: String,
    pub call_id: Option<String>,
    pub conversation_id: Option<String>,
    pub at: DateTime<Utc>,
    pub direction: Option<String>,
    pub from: Option<String>,
    pub to: Vec<String>,
    /// Of two in one window the greater fits better.
    pub score: f64,
    /// Who said what is shown.
    pub speaker: Speaker,
    /// When in the call it was said, in seconds.
    pub start: Option<f64>,
    pub snippet: Snippet,
}

/// A part of what was found.
#[derive(Debug, Default)]
pub struct Page {
    pub hits: Vec<Hit>,
    /// Where to go on. A page can be short, or empty, and not the last.
    pub next: Option<Cursor>,
    /// The query had more terms than are looked for.
    pub cut: bool,
}

/// Answers a query. One that nothing can be made of finds nothing.
///
/// # Errors
/// Only the database's.
pub async fn search(db: &Db, query: &Query) -> Result<Page, DbError> {
    let parsed = Terms::parse(&query.text);
    let mut page = Page { cut: parsed.cut, ..Page::default() };
    if parsed.terms.is_empty() && !query.text.trim().is_empty() {
        return Ok(page);
    }
    let Some(expression) = expression(db.engine(), &parsed.terms, &query.marks()) else { return Ok(page) };
    let mut session = db.look(LIMIT).await?;
    let oldest = query.since.map_or(0, |since| first_of(since.timestamp()));
    let newest = query.until.map_or(i64::MAX, |until| last_of(until.timestamp()));
    let mut cursor = query.cursor.unwrap_or(Cursor { from: i64::MAX, skip: 0 });
    for _ in 0..MOST_WINDOWS {
        let find = FIND.bind(expression.as_str()).bind(oldest).bind(newest.min(cursor.from)).bind(WINDOW);
        let ids: Vec<(i64,)> = find.all(&mut session).await?;
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else { break };
        let older =
            (ids.len() == WINDOW as usize && last.0 > 0).then(|| Cursor { from: last.0 - 1, skip: 0 });
        let mut found = Vec::new();
        for slice in ids.chunks(SLICE) {
            look_at(&mut session, query, &parsed.terms, slice, &mut found).await?;
        }
        match query.order {
            Order::Best => found.sort_by(|a, b| b.1.score.total_cmp(&a.1.score).then(b.0.cmp(&a.0))),
            Order::Newest => found.sort_by_key(|(id, _)| std::cmp::Reverse(*id)),
        }
        let limit = query.limit.clamp(1, MOST_HITS);
        let total = found.len();
        let (skip, take) = (cursor.skip as usize, limit as usize);
        page.hits = found.into_iter().skip(skip).take(take).map(|(_, hit)| hit).collect();
        page.next = if skip + take < total {
            Some(Cursor { from: first.0, skip: cursor.skip + limit })
        } else {
            older
        };
        match older {
            Some(older) if page.hits.is_empty() => cursor = older,
            _ => break,
        }
    }
    session.commit().await?;
    Ok(page)
}

/// Reads documents and adds those that fit.
async fn look_at(
    session: &mut Session,
    query: &Query,
    terms: &[Term],
    ids: &[(i64,)],
    found: &mut Vec<(i64, Hit)>,
) -> Result<(), DbError> {
    let ids: Vec<i64> = ids.iter().map(|(id,)| *id).collect();
    let sources: Vec<Source> = READ_DOCUMENTS.bind(ids).all(session).await?;
    for source in sources {
        for document in source.documents() {
            found.extend(source.document.zip(query.hit(&source, &document, terms)));
        }
    }
    Ok(())
}

impl Query {
    /// The marks of what can fit: of each group one.
    fn marks(&self) -> Vec<Vec<Mark<'_>>> {
        let mut marks: Vec<Vec<Mark<'_>>> =
            vec![self.kinds.iter().map(|kind| Mark::Kind(kind.as_str())).collect()];
        marks.extend(self.number.iter().map(|number| vec![Mark::Number(number)]));
        marks.extend(self.conversation.iter().map(|id| vec![Mark::Conversation(id)]));
        if let Some(By::Somebody(who)) = &self.speaker {
            marks.push(vec![Mark::Number(who), Mark::User(who)]);
        }
        let only_times = self.text.trim().is_empty() && marks.iter().all(Vec::is_empty);
        if only_times && (self.since.is_some() || self.until.is_some() || self.speaker.is_some()) {
            marks.push(Kind::ALL.iter().map(|kind| Mark::Kind(kind.as_str())).collect());
        }
        marks
    }

    /// The document as a hit, if it really fits.
    fn hit(&self, source: &Source, document: &Document, terms: &[Term]) -> Option<Hit> {
        let in_time = self.since.is_none_or(|since| document.at >= since)
            && self.until.is_none_or(|until| document.at < until);
        let said = document
            .passages
            .iter()
            .filter(|passage| self.speaker.as_ref().is_none_or(|by| by.is(&passage.speaker)));
        let fit = fit(said, terms).filter(|_| in_time)?;
        let speaker = fit.best.passage.speaker.clone();
        let numbers = source.numbers.iter().flat_map(|numbers| numbers.split(','));
        let mut to: Vec<String> =
            source.recipient.iter().cloned().chain(numbers.map(str::to_owned)).collect();
        to.sort_unstable();
        Some(Hit {
            kind: document.kind,
            id: document.id.clone(),
            call_id: source.call_id.clone(),
            conversation_id: source.conversation_id.clone(),
            at: document.at,
            direction: source.direction.clone(),
            from: source.sender.clone(),
            to,
            score: fit.score,
            speaker,
            start: fit.best.passage.start,
            snippet: Snippet::of(&fit.best, &fit.mentions),
        })
    }
}

/// `us`, `them`, or somebody by a user's id or a number.
impl From<&str> for By {
    fn from(who: &str) -> Self {
        match who {
            "us" => Self::Side(Side::Ours),
            "them" => Self::Side(Side::Theirs),
            who => Self::Somebody(who.to_owned()),
        }
    }
}

impl By {
    fn is(&self, speaker: &Speaker) -> bool {
        match self {
            Self::Side(side) => speaker.side == Some(*side),
            Self::Somebody(who) => {
                let same =
                    |told: &Option<String>| told.as_deref().is_some_and(|it| one_word(it) == one_word(who));
                same(&speaker.user_id) || same(&speaker.number)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_said_it_is_a_side_or_somebody() {
        assert_eq!(By::from("us"), By::Side(Side::Ours));
        assert_eq!(By::from("+12125550101"), By::Somebody("+12125550101".to_owned()));
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let cursor = Cursor { from: 1_770_000_000 << 20, skip: 20 };
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        for bad in ["", "1", "1.", ".1", "-1.0", "1.201", "1.-1", "01.1", "1.1.1", "99999999999999999999.0"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
