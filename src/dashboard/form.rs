//! What people send: the query of an address, or the fields of a form. Both are bounded, and read in one way.

use maud::{Markup, html};
use poem::{Body, Request};
use url::form_urlencoded;

pub(super) use crate::paths::segment;

/// Longer than any form of ours: a payload can be long.
const LONGEST: usize = 1 << 20;
/// No list that is chosen by hand has more fields.
const MOST_FIELDS: usize = 2_000;

/// Named texts in the order they came; a name can come again.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn of_query(request: &Request) -> Self {
        Self::parse(request.uri().query().unwrap_or_default().as_bytes())
    }

    /// None: it is too long, or did not arrive whole.
    pub(super) async fn of_body(body: Body) -> Option<Self> {
        Some(Self::parse(&body.into_bytes_limit(LONGEST).await.ok()?))
    }

    /// A form as it is when nobody has filled it in yet.
    pub(super) fn filled(fields: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(fields.into_iter().collect())
    }

    #[cfg(test)]
    pub(super) fn read(query: &str) -> Self {
        Self::parse(query.as_bytes())
    }

    fn parse(bytes: &[u8]) -> Self {
        let fields = form_urlencoded::parse(bytes).take(MOST_FIELDS);
        // No text in the database has a NUL, and PostgreSQL takes it for a mistake of ours.
        Self(fields.map(|(name, value)| (name.into_owned(), value.replace('\0', ""))).collect())
    }

    /// What stands there, when it is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut same = self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| value.trim());
        same.find(|value| !value.is_empty())
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// Every value of a name that is not empty, without the blanks around it.
    pub(super) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        let same = self.0.iter().filter(move |(field, _)| field == name);
        same.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.get(name)?.parse().ok()
    }
}

/// An address with a query of those fields that are there, behind what it has of one already.
pub(super) fn address(path: &str, fields: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    match (query.is_empty(), path.contains('?')) {
        (true, _) => path.to_owned(),
        (false, false) => format!("{path}?{query}"),
        (false, true) => format!("{path}&{query}"),
    }
}

/// Fields that go along unseen.
pub(super) fn hidden(fields: &[(&str, Option<&str>)]) -> Markup {
    html! {
        @for (name, value) in fields {
            @if let Some(value) = value { input type="hidden" name=(name) value=(value); }
        }
    }
}

/// Where whoever acts says why.
pub(super) fn reason(id: &str) -> Markup {
    html! {
        label for=(id) { "Why" }
        input id=(id) name="reason" required maxlength="500" placeholder="For whoever reads the audit later";
    }
}

/// What is done at the second press only: folded away are what would come of it, what else is `asked`, why, and the button. An
/// `id` on a page is one form's.
pub(super) fn folded(path: &str, says: &str, would: &str, id: &str, asked: &Markup) -> Markup {
    html! {
        details {
            summary { (says) "…" }
            form method="post" action=(path) {
                p { (would) }
                (asked)
                (reason(id))
                button type="submit" { (says) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_back_as_it_was_written() {
        let there = [("kind", Some("a b&c=d")), ("queue", None), ("error", Some("\"+ü"))];
        let address = address("/dead/list", &there);
        let fields = Fields::parse(address.split_once('?').unwrap().1.as_bytes());
        for (name, value) in there {
            assert_eq!(fields.get(name), value);
        }
        assert_eq!(super::address("/dead?a=1", &[("b", Some("2"))]), "/dead?a=1&b=2");
        assert_eq!(Fields::parse(b"id=1&id=&id=+2+&a=%00").all("id").collect::<Vec<_>>(), ["1", "2"]);
        assert!(!Fields::parse(b"a=%00").has("a"));
    }
}
