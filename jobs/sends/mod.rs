//! The ledger of texts: one row for each, and what is known of it.
//!
//! ```text
//! waiting ─▶ intended ─▶ accepted ─▶ sent ─▶ delivered | undelivered | failed
//!    ▲           │ ├───▶ refused
//!    │           │ └───▶ unknown ──▶ accepted …        the provider has it
//!    │           │          ├──────▶ waiting           the provider provably has not
//!    └───────────┘          └──────▶ unresolved        nobody can tell: a person decides
//!     it never left
//! ```
//!
//! `intended` is committed before the provider is asked, in the transaction that decides that the text may go. So
//! whatever happens after it, there is a row that says a text may be out, and a row that is not certain is never sent again
//! on a guess: [`SettleSend`] asks the provider first.

mod attribute;
mod body;
mod call;
mod ledger;
mod mirror;
mod read;
mod record;
mod settle;
mod sweep;
mod text;

use trunkline_platform::db::Stmt;

pub(crate) use attribute::attribute;
pub use body::body_hash;
pub(crate) use call::{Called, Intent, Outcome, call};
pub(crate) use ledger::{NewSend, insert_intended};
pub(crate) use mirror::mirror;
pub use read::{Kind, SendFilter, SendRow, SendState, list, show};
pub(crate) use record::record;
pub use settle::{Resolution, ResolveError, SettleSend, resolve};
pub use sweep::SweepSends;
pub(crate) use sweep::doubt_earlier;
pub use text::{SendText, Text, request};

/// A row of the ledger, by its number.
#[derive(sqlx::FromRow)]
struct Id {
    id: i64,
}

pub(crate) static STATEMENTS: &[&[&Stmt]] = &[
    attribute::STATEMENTS,
    ledger::STATEMENTS,
    mirror::STATEMENTS,
    read::STATEMENTS,
    record::STATEMENTS,
    settle::STATEMENTS,
    sweep::STATEMENTS,
    text::STATEMENTS,
];
