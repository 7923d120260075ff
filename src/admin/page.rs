//! Lists, a page at a time. The cursor tells where the next page begins.
//!
//! A cursor says of which list it is, with which filter, and after which place. It is read back only if it is exactly
//! what this program would have written; so one that was bent, cut or taken to another list is refused. It holds
//! nothing that its holder could not ask for anyway, so it needs no signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem_openapi::Object;
use poem_openapi::payload::Json;
use poem_openapi::types::{ParseFromJSON, ToJSON};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::problem::Problem;

const LONGEST_CURSOR: usize = 512;

/// How long a page is unless somebody says otherwise.
pub(super) fn usual() -> u32 {
    50
}

/// A page of a list
#[derive(Debug, Object)]
pub(super) struct Page<T: ToJSON + ParseFromJSON> {
    items: Vec<T>,
    /// Give it as `cursor` to go on; absent at the end
    #[oai(skip_serializing_if_is_none)]
    next: Option<String>,
}

/// A list with a filter, between whose pages cursors lead.
pub(super) struct Listing {
    name: &'static str,
    filter: String,
}

impl Listing {
    /// `filter` is whatever narrows the list.
    pub(super) fn of(name: &'static str, filter: &impl Serialize) -> Self {
        let filter = serde_json::to_vec(filter).unwrap_or_default();
        let hash = Sha256::digest(filter);
        Self { name, filter: URL_SAFE_NO_PAD.encode(&hash[..9]) }
    }

    /// The place after which the page begins.
    pub(super) fn after<P: Serialize + DeserializeOwned>(
        &self,
        cursor: Option<&str>,
    ) -> Result<Option<P>, Problem> {
        let Some(cursor) = cursor else { return Ok(None) };
        let place = self.read(cursor).ok_or_else(|| {
            Problem::invalid(
                "this is no cursor of this list with this filter: take `next` of the page before, unchanged",
            )
        })?;
        Ok(Some(place))
    }

    fn read<P: Serialize + DeserializeOwned>(&self, cursor: &str) -> Option<P> {
        if cursor.len() > LONGEST_CURSOR {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (_, _, place): (String, String, P) = serde_json::from_slice(&bytes).ok()?;
        (self.write(&place) == cursor).then_some(place)
    }

    fn write(&self, place: &impl Serialize) -> String {
        let json = serde_json::to_vec(&(self.name, &self.filter, place)).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(json)
    }

    /// The page of rows that were found when one more than `limit` was asked for.
    pub(super) fn page<R, T: ToJSON + ParseFromJSON, P: Serialize>(
        &self,
        mut rows: Vec<R>,
        limit: u32,
        place: impl Fn(&R) -> P,
        item: impl Fn(R) -> T,
    ) -> Json<Page<T>> {
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(&place);
        self.page_until(rows.into_iter().map(item).collect(), next)
    }

    /// A page whose end somebody else found.
    pub(super) fn page_until<T: ToJSON + ParseFromJSON, P: Serialize>(
        &self,
        items: Vec<T>,
        next: Option<P>,
    ) -> Json<Page<T>> {
        Json(Page { items, next: next.map(|place| self.write(&place)) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_leads_on_in_its_own_list_and_filter_only() {
        let tasks = Listing::of("tasks", &("dead", 1));
        let cursor = tasks.write(&17_i64);
        assert_eq!(tasks.after::<i64>(Some(&cursor)).unwrap(), Some(17));
        assert_eq!(tasks.after::<i64>(None).unwrap(), None);
        assert!(Listing::of("tasks", &("done", 1)).after::<i64>(Some(&cursor)).is_err());
        assert!(Listing::of("media", &("dead", 1)).after::<i64>(Some(&cursor)).is_err());
        assert!(tasks.after::<(i64, i64)>(Some(&cursor)).is_err());
    }

    #[test]
    fn a_cursor_that_was_bent_is_none() {
        let tasks = Listing::of("tasks", &());
        let cursor = tasks.write(&17_i64);
        let spaced = URL_SAFE_NO_PAD.encode(format!("[\"tasks\", \"{}\",17]", tasks.filter));
        for bent in
            [String::new(), format!("{cursor}="), format!("{cursor}A"), cursor[1..].to_owned(), spaced]
        {
            assert!(tasks.after::<i64>(Some(&bent)).is_err(), "{bent}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_as_a_cursor_is_read_back_as_itself_or_refused(text in "\\PC{0,600}|[A-Za-z0-9_-]{0,90}") {
            let tasks = Listing::of("tasks", &());
            if let Ok(Some(place)) = tasks.after::<i64>(Some(&text)) {
                prop_assert_eq!(tasks.write(&place), text);
            }
        }
    }
}
