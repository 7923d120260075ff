//! The files behind the provider's links: fetched from outside, told by content, stored by hash.
//!
//! * [`fetch`]: a download from a link that a stranger chose, behind [`guard`].
//! * [`sniff`]: what a file is, told by its first bytes.
//! * [`store`]: the files by their hash.
//! * The table of media says which file belongs to what, and `media.download` brings the two together.

mod download;
pub mod fetch;
pub mod guard;
pub mod sniff;
pub mod store;
mod table;

pub use download::DownloadMedia;
pub use fetch::{FetchConfig, Fetcher};
pub use guard::{AddressPolicy, HostRule};
pub use store::{MediaStore, Sha256Hash};
pub(crate) use table::{Link, Owner, STATEMENTS, fetch_waiting, keep_links};
pub use table::{MediaCount, MediaId, count};

/// What downloads need.
#[derive(Clone, Debug)]
pub struct MediaServices {
    pub fetcher: Fetcher,
    pub store: MediaStore,
}
