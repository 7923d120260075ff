//! What this installation is made of and whether that is well; for administrators also the settings it runs by.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::Data;
use poem::{Request, handler};
use trunkline_jobs::subscriptions::{self, CheckRow};
use trunkline_platform::db::Engine;
use trunkline_platform::ring::Ring;
use trunkline_platform::task::WorkerRow;

use super::layout::Place;
use super::visit::{Page, Visit};
use super::{Pages, parts};
use crate::access::Scope;
use crate::config::Origin;
use crate::health::{Check, Checks};

/// `GET /system`
#[handler]
pub(super) async fn show(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.visit(request).await?;
    let report = pages.probes.report().await;
    let workers = pages.tasks.workers().await?;
    let alive: Vec<&WorkerRow> = workers.iter().filter(|worker| worker.lease_until > visit.now).collect();
    let told = pages.lines.list().await;
    let told = told.as_ref().map(Check::told);
    let webhooks = subscriptions::last(pages.tasks.db()).await?;
    let content = html! {
        h1 { "System" }
        h2 { "What it depends on" }
        (dependencies(&visit, &report.checks, told.as_ref()))
        h2 { "What it is" }
        (facts(&visit))
        h2 { "The provider’s webhooks" }
        (provider(&visit, webhooks.as_ref()))
        h2 { "Processes at work" }
        (processes(&visit, &alive))
        @if visit.caller.scopes.has(Scope::Admin) {
            h2 { "Settings" }
            p.note { "Of the process that made this page. Secrets are hidden, and so are passwords in addresses." }
            (settings(&pages.settings))
        }
    };
    Ok(visit.live(Place::System, "System", &content))
}

fn dependencies(visit: &Visit<'_>, checks: &Checks, provider: Option<&Check>) -> Markup {
    let database = match visit.pages.tasks.db().engine() {
        Engine::Postgres => "PostgreSQL",
        Engine::Sqlite => "SQLite",
    };
    let all = [
        (database, Some(&checks.database), "database-away"),
        ("Redis", checks.redis.as_ref(), "redis-away"),
        ("PostgreSQL’s bell", checks.listen.as_ref(), "redis-away"),
        ("The store of files", checks.media_store.as_ref(), "media-store"),
        ("The virus scanner", checks.scanner.as_ref(), "media"),
        ("The provider", provider, "sending"),
        ("The workers of this process", checks.workers.as_ref(), "stopping"),
    ];
    html! {
        div.wide tabindex="0" {
            table {
                thead { tr { th { "What" } th { "State" } th { "Why" } th { "Runbook" } } }
                tbody {
                    @for (name, check, runbook) in all {
                        @if let Some(Check { ok, problem }) = check {
                            tr {
                                td { (name) }
                                td { (parts::state(if *ok { "well" } else { "away" })) }
                                td { (problem.as_deref().unwrap_or_default()) }
                                td { @if !ok { a href={ "/runbooks/" (runbook) } { (runbook) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn facts(visit: &Visit<'_>) -> Markup {
    let pages = visit.pages;
    let bell = match pages.tasks.ring() {
        Ring::Local(_) => "within the process",
        Ring::Postgres(_) => "through PostgreSQL",
        Ring::Redis(_) => "through Redis",
    };
    let store = if pages.probes.store.is_remote() { "in a bucket" } else { "in a folder" };
    let said = |text: &str| Some(html! { (text) });
    parts::facts(&[
        ("Version", said(env!("CARGO_PKG_VERSION"))),
        ("The bell rings", said(bell)),
        ("Files are kept", said(store)),
        ("Files are scanned", said(if pages.scans { "yes" } else { "no" })),
        (
            "A master key is set",
            said(if pages.secrets.is_open() {
                "yes"
            } else {
                "no: webhook secrets are kept in the settings only"
            }),
        ),
        ("The business’s clock", said(pages.zone.name())),
    ])
}

fn provider(visit: &Visit<'_>, last: Option<&CheckRow>) -> Markup {
    html! {
        @match last {
            None => p.note { "They were never looked at. Set " code { "webhooks.public_url" } " and an API key, and a schedule does it." },
            Some(last) if last.findings.is_empty() => p { "All was well " (parts::time(last.checked_at, visit.now)) "." },
            Some(last) => {
                p { "Looked at " (parts::time(last.checked_at, visit.now)) ". " a href="/runbooks/rotation" { "Runbook" } }
                ul { @for finding in &last.findings { li { (finding.what) } } }
            }
        }
    }
}

fn processes(visit: &Visit<'_>, alive: &[&WorkerRow]) -> Markup {
    html! {
        @if alive.is_empty() { p.note { "There are none: nothing is worked on." } } @else {
            div.wide tabindex="0" {
                table {
                    thead { tr { th { "Process" } th { "Host" } th { "Queues" } th { "Since" } th { "Its lease ends" } } }
                    tbody {
                        @for worker in alive {
                            tr {
                                td { code { (worker.id) } }
                                td { (worker.host) " (" (worker.pid) ")" }
                                td { (worker.queues) }
                                td { (parts::time(worker.started_at, visit.now)) }
                                td { (parts::time(worker.lease_until, visit.now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn settings(origins: &[Origin]) -> Markup {
    html! {
        div.wide tabindex="0" {
            table {
                thead { tr { th { "Setting" } th { "Value" } th { "From" } } }
                tbody {
                    @for Origin { key, value, source } in origins {
                        tr { td { code { (key) } } td { code { (value) } } td { (source) } }
                    }
                }
            }
        }
    }
}
