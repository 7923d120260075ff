//! The fingerprint of a dead letter, written in the transaction in which it becomes one.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::normal_error;
use crate::db::{DbError, Rows};
use crate::task::{TaskId, TaskTx, Tasks};

/// Dead letters given their fingerprint in one transaction.
const BATCH: i64 = 500;

crate::statements! {
    READ_DEATHS = parts {
        "SELECT id, kind, last_error FROM tasks WHERE id IN " (any "$1") " AND died_at IS NOT NULL"
    }
    SET_FINGERPRINTS = parts {
        "UPDATE tasks SET fingerprint = r.fingerprint
         FROM " (rows "$1" as r (id BIGINT, fingerprint TEXT))
        " WHERE tasks.id = r.id AND tasks.died_at IS NOT NULL"
    }
    /// Those a release that knows no fingerprints left behind.
    FIND_UNMARKED = same {
        "SELECT id FROM tasks WHERE died_at IS NOT NULL AND fingerprint IS NULL ORDER BY kind, died_at, id LIMIT $1"
    }
}

/// What a task of this kind died of: the same for every one whose error reads the same once it is
/// [normal](normal_error).
pub fn fingerprint(kind: &str, error: Option<&str>) -> String {
    let digest = Sha256::new()
        .chain_update(kind)
        .chain_update([0])
        .chain_update(normal_error(error.unwrap_or_default()))
        .finalize();
    digest.iter().take(8).fold(String::with_capacity(16), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[derive(sqlx::FromRow)]
struct Death {
    id: TaskId,
    kind: String,
    last_error: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Unmarked {
    id: TaskId,
}

#[derive(Serialize)]
struct Mark {
    id: TaskId,
    fingerprint: String,
}

impl TaskTx {
    /// Gives tasks that have just become dead letters their fingerprint.
    pub(in crate::task) async fn mark_deaths(&mut self, ids: Vec<i64>) -> Result<(), DbError> {
        if ids.is_empty() {
            return Ok(());
        }
        let deaths: Vec<Death> = READ_DEATHS.bind(ids).all(&mut self.session).await?;
        let marks: Vec<Mark> = deaths
            .into_iter()
            .map(|death| Mark {
                id: death.id,
                fingerprint: fingerprint(&death.kind, death.last_error.as_deref()),
            })
            .collect();
        SET_FINGERPRINTS.bind(Rows::of(&marks)?).execute(&mut self.session).await.map(drop)
    }
}

impl Tasks {
    /// Gives a fingerprint to dead letters that have none, because a release that knew no fingerprints made them.
    pub async fn mark_old_deaths(&self) -> Result<u64, DbError> {
        let mut marked = 0;
        loop {
            let unmarked: Vec<Unmarked> = FIND_UNMARKED.bind(BATCH).all(&mut self.db.read().await?).await?;
            if unmarked.is_empty() {
                return Ok(marked);
            }
            let ids: Vec<i64> = unmarked.iter().map(|task| task.id.0).collect();
            marked += ids.len() as u64;
            let mut tx = self.begin().await?;
            tx.mark_deaths(ids).await?;
            tx.commit().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_has_one_fingerprint_for_each_kind() {
        let of = |kind, error: &str| fingerprint(kind, Some(error));
        assert_eq!(of("media.download", "event 7 is gone"), of("media.download", "event 12 is gone"));
        assert_ne!(of("media.download", "event 7 is gone"), of("call.missed", "event 7 is gone"));
        assert_ne!(of("media.download", "event 7 is gone"), of("media.download", "refused"));
        assert_eq!(fingerprint("a", None), fingerprint("a", Some("")));
    }

    /// It is stored: it must not change from one release to the next.
    #[test]
    fn a_fingerprint_stays_what_it_is() {
        assert_eq!(fingerprint("media.download", Some("event 7 is gone")), "b266136f8111b7fe");
    }
}
