//! The runbooks, inside the program: whoever is woken has this page open, and not the repository.

use std::sync::Arc;

use maud::{Markup, PreEscaped, html};
use poem::web::{Data, Path};
use poem::{Request, handler};
use pulldown_cmark::html::push_html;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::Pages;
use super::layout::Place;
use super::visit::Page;

macro_rules! runbooks {
    ($($name:literal),+ $(,)?) => {
        /// The files of `ops/docs/runbooks/`, by name.
        const RUNBOOKS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/ops/docs/runbooks/", $name, ".md")))),+];
    };
}

runbooks! {
    "README",
    "backup",
    "campaigns",
    "contacts",
    "database-away",
    "dead-letters",
    "development",
    "holding-back",
    "keys",
    "media-failed",
    "media-store",
    "media",
    "opt-outs",
    "reconcile",
    "redis-away",
    "replay",
    "rotation",
    "schedules",
    "search",
    "sending",
    "slow-queries",
    "sqlite-in-use",
    "stopping",
    "upgrading",
    "upkeep",
    "webhooks-refused",
}

/// `GET /runbooks/:name`
#[handler]
pub(super) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(name): Path<String>,
) -> Page {
    let visit = pages.visit(request).await?;
    let name = name.trim_end_matches(".md");
    let (_, text) = RUNBOOKS
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| visit.missing(Place::Aside, "such runbook"))?;
    let title = text.lines().next().unwrap_or_default().trim_start_matches(['#', ' ']);
    Ok(visit.page(Place::Aside, title, &page(text)))
}

/// A runbook as a page: its links to others lead to their pages, and what is wide scrolls by itself. Links into the repository are
/// words here.
fn page(text: &str) -> Markup {
    let mut leads_nowhere = false;
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(|event| {
        Some(match event {
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let Some(dest_url) = leads_to(&dest_url) else {
                    leads_nowhere = true;
                    return None;
                };
                Event::Start(Tag::Link { link_type, dest_url: dest_url.into(), title, id })
            }
            Event::End(TagEnd::Link) if std::mem::take(&mut leads_nowhere) => return None,
            Event::Start(Tag::CodeBlock(_)) => Event::Html("<pre tabindex=\"0\"><code>".into()),
            Event::End(TagEnd::CodeBlock) => Event::Html("</code></pre>\n".into()),
            other => other,
        })
    });
    let events = events.flat_map(|event| match event {
        table @ Event::Start(Tag::Table(_)) => {
            [Some(Event::Html("<div class=\"wide\" tabindex=\"0\">".into())), Some(table)]
        }
        table @ Event::End(TagEnd::Table) => [Some(table), Some(Event::Html("</div>\n".into()))],
        other => [Some(other), None],
    });
    let mut told = String::new();
    push_html(&mut told, events.flatten());
    html! { div.runbook { (PreEscaped(told)) } }
}

/// Where a link of a runbook leads here, if anywhere.
fn leads_to(link: &str) -> Option<String> {
    if link.starts_with("https://") {
        return Some(link.to_owned());
    }
    let (file, place) = link.split_once('#').map_or((link, None), |(file, place)| (file, Some(place)));
    let name = file.strip_suffix(".md")?;
    RUNBOOKS.iter().any(|(known, _)| *known == name).then(|| match place {
        Some(place) => format!("/runbooks/{name}#{place}"),
        None => format!("/runbooks/{name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runbook_is_a_page_whose_links_lead_to_pages() {
        let text = "# Away\n\nSee [media](media.md), [there](keys.md#scopes), [why](../decisions/0001-x.md) <b>\n\n\
                    | a | b |\n| --- | --- |\n| `x<y` | 2 |\n\n```\ntrunkline doctor\n```\n";
        let told = page(text).into_string();
        for part in [
            "<h1>Away</h1>",
            "<a href=\"/runbooks/media\">media</a>",
            "<a href=\"/runbooks/keys#scopes\">there</a>, why",
            "<div class=\"wide\" tabindex=\"0\"><table>",
            "<code>x&lt;y</code>",
            "<pre tabindex=\"0\"><code>trunkline doctor\n</code></pre>",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn every_runbook_links_to_nothing_that_is_not_there() {
        for (name, text) in RUNBOOKS {
            for event in Parser::new(text) {
                if let Event::Start(Tag::Link { dest_url, .. }) = event {
                    let beside = !dest_url.contains('/') && dest_url.contains(".md");
                    assert!(!beside || leads_to(&dest_url).is_some(), "{name}: {dest_url}");
                }
            }
        }
    }

    #[test]
    fn every_runbook_is_in_the_program() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/docs/runbooks");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let mut known: Vec<&str> = RUNBOOKS.iter().map(|(name, _)| *name).collect();
        files.sort();
        known.sort_unstable();
        assert_eq!(files, known);
    }
}
