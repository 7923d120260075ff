//! The runbooks, inside the program: whoever is woken has this page open, and not the repository.

use std::sync::Arc;

use maud::html;
use poem::web::{Data, Path};
use poem::{Request, handler};

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
    let content = html! { h1 { (title) } pre.prose tabindex="0" { (text) } };
    Ok(visit.page(Place::Aside, title, &content))
}

#[cfg(test)]
mod tests {
    use super::*;

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
