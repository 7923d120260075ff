//! The sorts of file there are.

use std::fmt;
use std::str::FromStr;

/// A sort of file, as settings and errors name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Image,
    Audio,
    Video,
    /// PDF and what offices write.
    Document,
    /// vCard.
    Contact,
    Calendar,
    Text,
    /// Zip and its relatives, of which nobody can say at a glance what is in them.
    Archive,
    /// All else, such as programs, web pages, drawings that run scripts, and what nobody knows.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no kind of file {0:?}; the kinds are image, audio, video, document, contact, calendar, text, archive and other"
)]
pub struct UnknownKind(String);

impl Kind {
    const ALL: [Self; 9] = [
        Self::Image,
        Self::Audio,
        Self::Video,
        Self::Document,
        Self::Contact,
        Self::Calendar,
        Self::Text,
        Self::Archive,
        Self::Other,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Document => "document",
            Self::Contact => "contact",
            Self::Calendar => "calendar",
            Self::Text => "text",
            Self::Archive => "archive",
            Self::Other => "other",
        }
    }

    /// The kind of a sniffed type.
    pub fn of(mime: &str) -> Self {
        match mime {
            // A page that a browser would run, whatever it looks like.
            "image/svg+xml" => Self::Other,
            "text/vcard" => Self::Contact,
            "text/calendar" => Self::Calendar,
            "text/plain" => Self::Text,
            "application/pdf" | "application/rtf" | "application/msword" => Self::Document,
            "application/zip"
            | "application/gzip"
            | "application/vnd.rar"
            | "application/x-7z-compressed"
            | "application/x-bzip2"
            | "application/x-tar"
            | "application/x-xz"
            | "application/zstd" => Self::Archive,
            _ if mime.starts_with("image/") => Self::Image,
            _ if mime.starts_with("audio/") => Self::Audio,
            _ if mime.starts_with("video/") => Self::Video,
            _ if mime.starts_with("application/vnd.openxmlformats-officedocument.")
                || mime.starts_with("application/vnd.oasis.opendocument.")
                || mime.starts_with("application/vnd.ms-") =>
            {
                Self::Document
            }
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_or_a_machine_would_run_is_no_picture_and_no_document() {
        for mime in [
            "image/svg+xml",
            "text/html",
            "application/vnd.microsoft.portable-executable",
            "application/x-executable",
            "application/vnd.android.package-archive",
            "application/octet-stream",
        ] {
            assert_eq!(Kind::of(mime), Kind::Other, "{mime}");
        }
    }

    #[test]
    fn what_people_send_has_its_kind() {
        for (mime, kind) in [
            ("image/heic", Kind::Image),
            ("audio/amr", Kind::Audio),
            ("video/3gpp", Kind::Video),
            ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", Kind::Document),
            ("application/vnd.ms-excel", Kind::Document),
            ("text/vcard", Kind::Contact),
            ("application/zip", Kind::Archive),
        ] {
            assert_eq!(Kind::of(mime), kind, "{mime}");
        }
    }

    #[test]
    fn a_kind_is_read_by_the_name_it_is_written_with() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("pictures".parse::<Kind>().is_err());
    }
}
