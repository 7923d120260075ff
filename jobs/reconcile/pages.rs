//! What a run has still to ask for.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trunkline_openphone::event::Setting;
use trunkline_platform::db::{DbError, Rows, Session, sql_time};

use super::kind::Kind;

trunkline_platform::statements! {
    /// The first is asked for first: a list that was begun is read to its end while the provider knows where we were.
    NEXT_PAGE = same {
        "SELECT id, kind, phone_number_id, number, conversation_id, others, call_id, at, since, webhook_id, delivery_id,
                page_token, restarts
         FROM reconcile_pages WHERE run_id = $1 ORDER BY id LIMIT 1"
    }
    ADD_PAGES = parts {
        "INSERT INTO reconcile_pages (run_id, kind, phone_number_id, number, conversation_id, others, call_id, at,
             since, webhook_id, delivery_id, page_token, restarts)
         SELECT $1, r.kind, r.phone_number_id, r.number, r.conversation_id, r.others, r.call_id, r.at, r.since,
                r.webhook_id, r.delivery_id, '', 0
         FROM " (rows "$2" as r (seq BIGINT, kind TEXT, phone_number_id TEXT, number TEXT, conversation_id TEXT,
            others TEXT, call_id TEXT, at TIMESTAMPTZ, since TIMESTAMPTZ, webhook_id TEXT, delivery_id TEXT))
        " ORDER BY r.seq"
    }
    TURN_PAGE = same {
        "UPDATE reconcile_pages SET page_token = $3, restarts = restarts + $4 WHERE id = $1 AND page_token = $2"
    }
    END_PAGE = same { "DELETE FROM reconcile_pages WHERE id = $1 AND page_token = $2" }
    COUNT_PAGES = same { "SELECT COUNT(*) AS count FROM reconcile_pages WHERE run_id = $1" }
}

/// One page to ask for.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Page {
    pub(super) id: i64,
    #[sqlx(try_from = "String")]
    pub(super) kind: Kind,
    phone_number_id: Option<String>,
    number: Option<String>,
    conversation_id: Option<String>,
    others: Option<String>,
    call_id: Option<String>,
    pub(super) at: Option<DateTime<Utc>>,
    since: Option<DateTime<Utc>>,
    webhook_id: Option<String>,
    delivery_id: Option<String>,
    /// Empty at the beginning of a list.
    pub(super) page_token: String,
    pub(super) restarts: i32,
}

impl Page {
    /// Where the list goes on.
    pub(super) fn token(&self) -> Option<String> {
        Some(self.page_token.clone()).filter(|token| !token.is_empty())
    }

    /// Where what it lists happened. Numbers happen nowhere.
    pub(super) fn setting(&self) -> Setting {
        let others = self.others.as_deref().and_then(|others| serde_json::from_str(others).ok());
        Setting {
            phone_number_id: self.phone_number_id.clone().unwrap_or_default(),
            number: self.number.clone().unwrap_or_default(),
            conversation_id: self.conversation_id.clone().unwrap_or_default(),
            others: others.unwrap_or_default(),
        }
    }

    pub(super) fn phone_number_id(&self) -> Option<&str> {
        self.phone_number_id.as_deref()
    }

    pub(super) fn conversation_id(&self) -> Option<&str> {
        self.conversation_id.as_deref()
    }

    pub(super) fn call_id(&self) -> &str {
        self.call_id.as_deref().unwrap_or_default()
    }

    pub(super) fn webhook_id(&self) -> &str {
        self.webhook_id.as_deref().unwrap_or_default()
    }

    pub(super) fn delivery_id(&self) -> &str {
        self.delivery_id.as_deref().unwrap_or_default()
    }

    pub(super) fn since(&self) -> DateTime<Utc> {
        self.since.unwrap_or(DateTime::UNIX_EPOCH)
    }
}

/// A page that another told to ask for.
#[derive(Debug)]
pub(super) struct NewPage {
    pub(super) kind: Kind,
    pub(super) setting: Option<Setting>,
    pub(super) call: Option<(String, DateTime<Utc>)>,
    pub(super) since: Option<DateTime<Utc>>,
    /// Whose log it is of, and which delivery.
    pub(super) webhook_id: Option<String>,
    pub(super) delivery_id: Option<String>,
}

impl NewPage {
    pub(super) fn of(kind: Kind) -> Self {
        Self { kind, setting: None, call: None, since: None, webhook_id: None, delivery_id: None }
    }
}

#[derive(Serialize)]
struct Line<'p> {
    seq: usize,
    kind: &'static str,
    phone_number_id: Option<&'p str>,
    number: Option<&'p str>,
    conversation_id: Option<&'p str>,
    others: Option<String>,
    call_id: Option<&'p str>,
    at: Option<String>,
    since: Option<String>,
    webhook_id: Option<&'p str>,
    delivery_id: Option<&'p str>,
}

impl<'p> Line<'p> {
    fn of((seq, page): (usize, &'p NewPage)) -> Result<Self, serde_json::Error> {
        let setting = page.setting.as_ref();
        Ok(Self {
            seq,
            kind: page.kind.name(),
            phone_number_id: setting.map(|setting| setting.phone_number_id.as_str()),
            number: setting.map(|setting| setting.number.as_str()),
            conversation_id: setting.map(|setting| setting.conversation_id.as_str()),
            others: setting.map(|setting| serde_json::to_string(&setting.others)).transpose()?,
            call_id: page.call.as_ref().map(|(id, _)| id.as_str()),
            at: page.call.as_ref().map(|(_, at)| sql_time(*at)),
            since: page.since.map(sql_time),
            webhook_id: page.webhook_id.as_deref(),
            delivery_id: page.delivery_id.as_deref(),
        })
    }
}

pub(super) async fn add(tx: &mut Session, run: i64, pages: &[NewPage]) -> Result<(), DbError> {
    if pages.is_empty() {
        return Ok(());
    }
    let lines: Vec<Line<'_>> = pages.iter().enumerate().map(Line::of).collect::<Result<_, _>>()?;
    ADD_PAGES.bind(run).bind(Rows::of(&lines)?).execute(tx).await.map(drop)
}

pub(super) async fn next(session: &mut Session, run: i64) -> Result<Option<Page>, DbError> {
    NEXT_PAGE.bind(run).optional(session).await
}

/// What follows a page that was read.
#[derive(Debug, Default)]
pub(super) enum Follows {
    /// The list has come to its end.
    #[default]
    Nothing,
    /// It goes on here.
    Token(String),
    /// It begins anew: the provider does not know any more where it was.
    Itself,
}

/// Lets what follows take a page's place. False: somebody else has done so.
pub(super) async fn turn(tx: &mut Session, page: &Page, follows: &Follows) -> Result<bool, DbError> {
    let (id, token) = (page.id, page.page_token.as_str());
    let query = match follows {
        Follows::Nothing => END_PAGE.bind(id).bind(token),
        Follows::Token(next) => TURN_PAGE.bind(id).bind(token).bind(next).bind(0),
        Follows::Itself => TURN_PAGE.bind(id).bind(token).bind("").bind(1),
    };
    Ok(query.execute(tx).await? == 1)
}

#[derive(sqlx::FromRow)]
struct Count {
    count: i64,
}

/// How many pages are known of that have still to be asked for.
pub(super) async fn count(session: &mut Session, run: i64) -> Result<i64, DbError> {
    let row: Count = COUNT_PAGES.bind(run).one(session).await?;
    Ok(row.count)
}
