//! Files to attach: small, real, and made by code. The pictures show something, so that a person can tell whether a
//! copy of one came out well.
//!
//! A file's name says everything about it, so a server needs no store: the same name always gives
//! the same bytes.

mod audio;
mod document;
mod image;
mod jpeg;
mod scene;
mod webp;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

/// The kinds of file the factory makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    Png,
    Jpeg,
    Gif,
    Webp,
    Mp3,
    Wav,
    Pdf,
    Card,
    /// The EICAR test file: harmless, and a virus to every scanner. It is always the same.
    Eicar,
}

impl MediaKind {
    pub const ALL: [Self; 9] = [
        Self::Png,
        Self::Jpeg,
        Self::Gif,
        Self::Webp,
        Self::Mp3,
        Self::Wav,
        Self::Pdf,
        Self::Card,
        Self::Eicar,
    ];
    pub const IMAGES: [Self; 4] = [Self::Png, Self::Jpeg, Self::Gif, Self::Webp];
    pub const DOCUMENTS: [Self; 2] = [Self::Pdf, Self::Card];

    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Gif => "gif",
            Self::Webp => "webp",
            Self::Mp3 => "mp3",
            Self::Wav => "wav",
            Self::Pdf => "pdf",
            Self::Card => "vcf",
            Self::Eicar => "txt",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Mp3 => "audio/mpeg",
            Self::Wav => "audio/wav",
            Self::Pdf => "application/pdf",
            Self::Card => "text/vcard",
            Self::Eicar => "text/plain",
        }
    }
}

/// A file as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    pub content_type: &'static str,
    pub bytes: Vec<u8>,
}

/// What a faithful copy of a file must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaFile {
    pub name: String,
    pub url: String,
    pub content_type: String,
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// The file of that name, if the name is one the factory would give.
pub fn render(name: &str) -> Option<Media> {
    let (stem, extension) = name.split_once('.')?;
    let kind = MediaKind::ALL.into_iter().find(|kind| kind.extension() == extension)?;
    let digits = stem.strip_prefix("f-").filter(|digits| digits.len() == 16)?;
    let mut rng = StdRng::seed_from_u64(u64::from_str_radix(digits, 16).ok()?);
    let bytes = match kind {
        MediaKind::Png => image::png(&mut rng),
        MediaKind::Gif => image::gif(&mut rng),
        MediaKind::Jpeg => jpeg::jpeg(&mut rng),
        MediaKind::Webp => webp::webp(&mut rng),
        MediaKind::Mp3 => audio::mp3(&mut rng),
        MediaKind::Wav => audio::wav(&mut rng),
        MediaKind::Pdf => document::pdf(&mut rng),
        MediaKind::Card => document::card(&mut rng),
        MediaKind::Eicar => document::eicar(),
    };
    Some(Media { content_type: kind.content_type(), bytes })
}

/// Makes up a file of that kind, to be served under `base`.
pub(super) fn invent(rng: &mut StdRng, kind: MediaKind, base: &Url) -> MediaFile {
    let name = format!("f-{:016x}.{}", rng.random::<u64>(), kind.extension());
    let bytes = render(&name).map(|media| media.bytes).unwrap_or_default();
    MediaFile {
        url: base.join(&name).map_or_else(|_| name.clone(), String::from),
        content_type: kind.content_type().to_owned(),
        size: bytes.len() as u64,
        sha256: Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_always_gives_the_same_bytes_and_another_name_others() {
        for kind in MediaKind::ALL {
            let name = |n: u64| format!("f-{n:016x}.{}", kind.extension());
            let (first, again, other) = (render(&name(1)), render(&name(1)), render(&name(2)));
            assert_eq!(first, again);
            assert_eq!(first == other, kind == MediaKind::Eicar);
            let size = first.unwrap().bytes.len();
            assert!((64..64 * 1024).contains(&size), "{kind:?} has {size} bytes");
        }
    }

    #[test]
    fn each_kind_begins_as_it_should() {
        let begins: [(MediaKind, &[u8]); 9] = [
            (MediaKind::Png, b"\x89PNG\r\n\x1a\n"),
            (MediaKind::Jpeg, b"\xff\xd8\xff"),
            (MediaKind::Gif, b"GIF89a"),
            (MediaKind::Mp3, b"ID3"),
            (MediaKind::Wav, b"RIFF"),
            (MediaKind::Webp, b"RIFF"),
            (MediaKind::Pdf, b"%PDF-"),
            (MediaKind::Card, b"BEGIN:VCARD\r\n"),
            (MediaKind::Eicar, b"X5O!P%@AP"),
        ];
        for (kind, magic) in begins {
            let media = render(&format!("f-00000000000000ff.{}", kind.extension())).unwrap();
            assert!(media.bytes.starts_with(magic));
        }
    }

    #[test]
    fn other_names_have_no_file() {
        for name in ["", "a.png", "f-1.png", "f-00000000000000zz.png", "f-00000000000000ff.exe", "../f.png"] {
            assert_eq!(render(name), None, "{name}");
        }
    }
}
