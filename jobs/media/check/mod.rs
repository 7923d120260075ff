//! Whether a file is what customers send each other: told by its content, before anybody can open it.
//!
//! * [`kind`]: what sorts of file there are, and which are let in.
//! * [`declared`]: whether a file is what it was said to be. A lie is noted and decides nothing.
//! * [`picture`]: whether a picture is whole, how large it would become, and where it ends.
//! * [`archive`]: what a zip archive would unpack to. Nothing is ever unpacked here.
//! * [`polyglot`]: whether the same bytes are a second kind of file as well.
//!
//! Every check reads the file in pieces, never the whole of it into memory, and none of them decodes anything: what
//! decodes is the [thumbnail](super::thumbnail), which may fail without consequence.

mod archive;
mod declared;
mod kind;
mod picture;
mod polyglot;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;

pub use kind::{Kind, UnknownKind};

use self::archive::Archive;
use self::picture::Picture;
use super::fetch::Fetched;
use super::sniff::{MediaType, sniff};

/// What is let in.
#[derive(Debug, Clone)]
pub struct Rules {
    pub kinds: BTreeSet<Kind>,
    /// The most pixels that a picture may unfold to.
    pub max_pixels: u64,
}

/// A file that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    pub media_type: MediaType,
    /// It is something else than it was said to be.
    pub mismatch: bool,
}

/// Why a file is not kept. The same file will never pass, so it is not fetched again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the file is empty")]
    Empty,
    #[error("the file is {media_type}, and files of that kind ({kind}) are not accepted (media.kinds)")]
    NotAccepted { media_type: &'static str, kind: Kind },
    #[error("the file is a broken {0}: it ends before the picture does, or is no picture inside")]
    Truncated(&'static str),
    #[error("the picture is {width} x {height}: more than {limit} pixels (media.max_pixels)")]
    TooManyPixels { width: u32, height: u32, limit: u64 },
    #[error("the file would unpack to {unpacked} bytes, {packed} packed: a decompression bomb")]
    Bomb { packed: u64, unpacked: u64 },
    #[error("the file is {media_type} and at the same time {also}")]
    Polyglot { media_type: &'static str, also: &'static str },
}

#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error("cannot read the downloaded file")]
    Io(#[from] io::Error),
}

/// Checks a download; `told` is what the provider said it was, which counts before what its host said.
pub async fn check(rules: &Rules, fetched: &Fetched, told: Option<&str>) -> Result<Checked, CheckError> {
    let media_type = sniff(&fetched.head);
    let kind = Kind::of(media_type.mime);
    if fetched.size == 0 {
        return Err(Rejection::Empty.into());
    }
    if !rules.kinds.contains(&kind) {
        return Err(Rejection::NotAccepted { media_type: media_type.mime, kind }.into());
    }
    let (path, head, max_pixels) = (fetched.file.path().to_owned(), fetched.head.clone(), rules.max_pixels);
    let inspected = tokio::task::spawn_blocking(move || inspect(&path, &head, media_type, max_pixels));
    inspected.await.map_err(io::Error::other)??;
    let said = told.or(fetched.declared_type.as_deref());
    Ok(Checked { media_type, mismatch: said.is_some_and(|said| declared::differs(said, media_type.mime)) })
}

fn inspect(path: &Path, head: &[u8], media_type: MediaType, max_pixels: u64) -> Result<(), CheckError> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mime = media_type.mime;
    let picture = match Picture::read(&mut file, size, mime)? {
        Picture::Other => None,
        Picture::Broken => return Err(Rejection::Truncated(mime).into()),
        Picture::Whole { width, height, end } => {
            if u64::from(width) * u64::from(height) > max_pixels {
                return Err(Rejection::TooManyPixels { width, height, limit: max_pixels }.into());
            }
            Some(end)
        }
    };
    let archive = Archive::find(&mut file, size)?;
    if let Some(Archive { unpacked, .. }) = archive.filter(|archive| archive.is_bomb(size)) {
        return Err(Rejection::Bomb { packed: size, unpacked }.into());
    }
    if let Some(also) = polyglot::find(&mut file, head, mime, picture, archive)? {
        return Err(Rejection::Polyglot { media_type: mime, also }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
