//! Bring into the index what is not there: rows from before there was an index, or put there by hand. What jobs keep
//! is indexed as they keep it.

use trunkline_platform::db::{DbError, Session, Stmt};

use super::run::{Chore, ChoreError, Run};
use crate::search;

/// Rows of one transaction, whose locks others may wait for.
const BATCH: u32 = 100;

trunkline_platform::statements! {
    MESSAGES_LEFT_OUT = same {
        "SELECT m.id FROM messages AS m
         WHERE m.id > $1 AND m.text <> ''
           AND NOT EXISTS (SELECT 1 FROM search_documents AS d WHERE d.message_id = m.id)
         ORDER BY m.id LIMIT $2"
    }
    TRANSCRIPTS_LEFT_OUT = same {
        "SELECT t.call_id AS id FROM call_transcripts AS t
         WHERE t.call_id > $1 AND t.dialogue <> '[]'
           AND NOT EXISTS (SELECT 1 FROM search_documents AS d WHERE d.transcript_id = t.call_id)
         ORDER BY t.call_id LIMIT $2"
    }
    SUMMARIES_LEFT_OUT = same {
        "SELECT s.call_id AS id FROM call_summaries AS s
         WHERE s.call_id > $1 AND (s.summary <> '[]' OR s.next_steps <> '[]')
           AND NOT EXISTS (SELECT 1 FROM search_documents AS d WHERE d.summary_id = s.call_id)
         ORDER BY s.call_id LIMIT $2"
    }
    VOICEMAILS_LEFT_OUT = same {
        "SELECT v.id, v.call_id FROM voicemails AS v
         WHERE v.id > $1 AND v.transcript <> ''
           AND NOT EXISTS (SELECT 1 FROM search_documents AS d WHERE d.voicemail_id = v.id)
         ORDER BY v.id LIMIT $2"
    }
    /// These change nothing: whoever changes the row and indexes it waits, or is waited for.
    LOCK_MESSAGE = same { "UPDATE messages SET direction = direction WHERE id = $1" }
    LOCK_CALL = same { "UPDATE calls SET has_voicemail = has_voicemail WHERE id = $1" }
    LOCK_VOICEMAIL = same { "UPDATE voicemails SET sender = sender WHERE id = $1" }
}

/// Indexes what is not indexed.
#[derive(Debug)]
pub struct IndexLeftOut;

#[derive(sqlx::FromRow)]
#[sqlx(default)]
#[derive(Default)]
struct Row {
    id: String,
    call_id: Option<String>,
}

#[derive(Clone, Copy)]
enum Of {
    Message,
    Call,
    Voicemail,
}

impl Chore for IndexLeftOut {
    const NAME: &'static str = "upkeep.search";
    const ABOUT: &'static str = "Brings into the index of texts and calls what is not there.";

    async fn work(run: &mut Run<'_>) -> Result<(), ChoreError> {
        for (stmt, of) in [
            (&MESSAGES_LEFT_OUT, Of::Message),
            (&TRANSCRIPTS_LEFT_OUT, Of::Call),
            (&SUMMARIES_LEFT_OUT, Of::Call),
            (&VOICEMAILS_LEFT_OUT, Of::Voicemail),
        ] {
            index(run, stmt, of).await?;
        }
        Ok(())
    }
}

async fn index(run: &mut Run<'_>, stmt: &'static Stmt, of: Of) -> Result<(), DbError> {
    let mut after = String::new();
    loop {
        let query = stmt.bind(after.as_str()).bind(BATCH);
        let rows: Vec<Row> = query.all(&mut run.db().read().await?).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        if run.is_over() {
            run.freed.next = Some(0);
            return Ok(());
        }
        last.id.clone_into(&mut after);
        run.freed.rows += rows.len() as u64;
        if !run.dry_run {
            let mut tx = run.db().write().await?;
            for row in &rows {
                keep(&mut tx, row, of).await?;
            }
            tx.commit().await?;
        }
    }
}

async fn keep(tx: &mut Session, row: &Row, of: Of) -> Result<(), DbError> {
    match (of, &row.call_id) {
        (Of::Message, _) => {
            LOCK_MESSAGE.bind(&row.id).execute(tx).await?;
            search::keep_message(tx, &row.id).await
        }
        (Of::Voicemail, None) => {
            LOCK_VOICEMAIL.bind(&row.id).execute(tx).await?;
            search::keep_voicemail(tx, &row.id).await
        }
        (Of::Call, call_id) | (Of::Voicemail, call_id) => {
            let call_id = call_id.as_ref().unwrap_or(&row.id);
            LOCK_CALL.bind(call_id).execute(tx).await?;
            search::keep_call(tx, call_id).await
        }
    }
}
