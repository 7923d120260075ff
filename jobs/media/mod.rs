//! The files behind the provider's links: fetched from outside, told by content, checked, scanned, stored by hash, and
//! purged when their time is over.
//!
//! * [`fetch`]: a download from a link that a stranger chose, behind [`guard`].
//! * [`sniff`]: what a file is, told by its first bytes; [`check`]: whether it is let in.
//! * [`scan`]: what the virus scanner says; [`thumbnail`]: small pictures.
//! * [`store`]: the files by their hash; [`contents`]: who holds on to which.
//! * The table of media says which file belongs to what and what became of it. `media.download` brings a file from its
//!   link to its place, and its states are
//!
//! ```text
//!   pending ──► stored ──► purged        pending: to be fetched or, with a content, to be scanned
//!      │  ▲        │                     stored: can be opened
//!      ▼  │        ▼                     quarantined: the scanner found something
//!    failed    quarantined               failed: given up, with the reason
//! ```

pub mod act;
pub mod check;
pub mod contents;
mod download;
pub mod fetch;
mod fresh;
pub mod guard;
pub mod inspect;
mod intake;
mod metrics;
pub mod purge;
mod rescan;
pub mod scan;
pub mod sniff;
pub mod store;
mod table;
pub mod thumbnail;

use trunkline_platform::db::Stmt;

pub use download::DownloadMedia;
pub use fetch::{FetchConfig, Fetcher};
pub use guard::{AddressPolicy, HostRule};
pub use metrics::MediaMetrics;
pub use rescan::RescanMedia;
pub use store::{AccessKeys, Encryption, MediaStore, S3Settings, Sha256Hash, StoreError};
pub(crate) use table::{Link, Owner, count_in, fetch_waiting, keep_links};
pub use table::{MediaCount, MediaId, count};

/// What downloads need.
#[derive(Clone, Debug)]
pub struct MediaServices {
    pub fetcher: Fetcher,
    pub store: MediaStore,
    pub rules: check::Rules,
    /// Absent: nothing is scanned.
    pub scanner: Option<scan::Scanner>,
    pub thumbnails: thumbnail::Thumbnails,
    pub metrics: MediaMetrics,
}

pub(crate) static STATEMENTS: &[&[&Stmt]] = &[
    act::STATEMENTS,
    contents::STATEMENTS,
    inspect::STATEMENTS,
    purge::STATEMENTS,
    rescan::STATEMENTS,
    table::STATEMENTS,
];
