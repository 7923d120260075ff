//! What a file is, told by its first bytes.
//!
//! Declared types are missing, wrong or chosen to deceive, so they decide nothing: not how a file is
//! treated and not how it is served later. Signatures come from `infer`; the rules here cover what phones
//! send and it does not know, give each type one name, and see drawings that a browser would run.

const UNKNOWN: MediaType = MediaType::new("application/octet-stream", "bin");
const SVG: MediaType = MediaType::new("image/svg+xml", "svg");

/// A MIME type and the extension to offer with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MediaType {
    pub mime: &'static str,
    pub extension: &'static str,
}

impl MediaType {
    const fn new(mime: &'static str, extension: &'static str) -> Self {
        Self { mime, extension }
    }
}

/// Tells the type of a file that begins with `head`. A few kilobytes are enough.
pub fn sniff(head: &[u8]) -> MediaType {
    if let Some(known) = iso_media(head).or_else(|| amr_wideband(head)) {
        return known;
    }
    let text = text(head);
    let signature = || infer::get(head).map(|kind| canonical(kind.mime_type(), kind.extension()));
    // The drawing first: to `infer`, one that begins with a comment is a web page.
    text.and_then(drawing).or_else(signature).or_else(|| text.map(prose)).unwrap_or(UNKNOWN)
}

/// MPEG-4 and its relatives: one container, told apart by its major brand.
fn iso_media(head: &[u8]) -> Option<MediaType> {
    let brand = head.get(4..12)?.strip_prefix(b"ftyp")?;
    Some(match brand {
        b"heic" | b"heix" | b"heim" | b"heis" => MediaType::new("image/heic", "heic"),
        b"hevc" | b"hevx" => MediaType::new("image/heic-sequence", "heics"),
        b"M4A " | b"M4B " => MediaType::new("audio/mp4", "m4a"),
        [b'3', b'g', b'2', _] => MediaType::new("video/3gpp2", "3g2"),
        [b'3', b'g', ..] => MediaType::new("video/3gpp", "3gp"),
        _ => return None,
    })
}

fn amr_wideband(head: &[u8]) -> Option<MediaType> {
    head.starts_with(b"#!AMR-WB\n").then_some(MediaType::new("audio/amr-wb", "awb"))
}

/// `infer` reports some types under names that were never registered.
fn canonical(mime: &'static str, extension: &'static str) -> MediaType {
    let mime = match mime {
        "audio/x-wav" => "audio/wav",
        "audio/x-flac" => "audio/flac",
        "audio/x-aiff" => "audio/aiff",
        "audio/opus" => "audio/ogg",
        "audio/m4a" => "audio/mp4",
        other => other,
    };
    MediaType { mime, extension }
}

/// The head as text, if it is that: UTF-8 but for a character cut at the end, and nothing only binaries hold.
fn text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(cut) if cut.error_len().is_none() => std::str::from_utf8(head.get(..cut.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let plain = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    (!text.is_empty() && text.chars().all(plain)).then_some(text)
}

fn drawing(text: &str) -> Option<MediaType> {
    let root = root_element(text).get(..4)?;
    root.eq_ignore_ascii_case("<svg").then_some(SVG)
}

/// What follows the comments, declarations and document type that markup may begin with.
fn root_element(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let end = match rest.as_bytes() {
            [b'<', b'!', b'-', b'-', ..] => "-->",
            [b'<', b'?', ..] => "?>",
            [b'<', b'!', ..] | [b']', ..] => ">",
            _ => return rest,
        };
        match rest.split_once(end) {
            Some((_, after)) => rest = after.trim_start(),
            None => return rest,
        }
    }
}

fn prose(text: &str) -> MediaType {
    let first = text.trim_start().lines().next().unwrap_or_default().trim_end();
    if first.eq_ignore_ascii_case("BEGIN:VCARD") {
        MediaType::new("text/vcard", "vcf")
    } else if first.eq_ignore_ascii_case("BEGIN:VCALENDAR") {
        MediaType::new("text/calendar", "ics")
    } else {
        MediaType::new("text/plain", "txt")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn padded(start: &[u8]) -> Vec<u8> {
        [start, &[0; 64]].concat()
    }

    #[test]
    fn what_phones_send_is_recognised() {
        let ogg_opus = [b"OggS".as_slice(), &[0; 24], b"OpusHead"].concat();
        let cases: [(&[u8], &str, &str); 18] = [
            (b"\xff\xd8\xff\xe0", "image/jpeg", "jpg"),
            (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
            (b"GIF89a", "image/gif", "gif"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp", "webp"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "image/heic", "heic"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0heicmif1", "image/heif", "heif"),
            (b"\0\0\0\x18ftypisom", "video/mp4", "mp4"),
            (b"\0\0\0\x14ftypqt  ", "video/quicktime", "mov"),
            (b"\0\0\0\x14ftyp3gp5", "video/3gpp", "3gp"),
            (b"\0\0\0\x14ftyp3g2a", "video/3gpp2", "3g2"),
            (b"\0\0\0\x14ftypM4A ", "audio/mp4", "m4a"),
            (b"ID3\x03", "audio/mpeg", "mp3"),
            (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav", "wav"),
            (b"OggS\0\x02", "audio/ogg", "ogg"),
            (&ogg_opus, "audio/ogg", "opus"),
            (b"#!AMR\n\x3c", "audio/amr", "amr"),
            (b"#!AMR-WB\n\x04", "audio/amr-wb", "awb"),
            (b"%PDF-1.7\n%\xe2\xe3", "application/pdf", "pdf"),
        ];
        for (start, mime, extension) in cases {
            assert_eq!(sniff(&padded(start)), MediaType { mime, extension });
        }
    }

    #[test]
    fn text_is_told_by_being_nothing_but_text() {
        let cases: [(&[u8], &str); 7] = [
            (b"See you at 5?\r\n", "text/plain"),
            ("\u{feff}Grüße".as_bytes(), "text/plain"),
            (&"Grüße".as_bytes()[..4], "text/plain"),
            (b"BEGIN:VCARD\r\nVERSION:3.0\r\n", "text/vcard"),
            (b"begin:vcard\nversion:2.1\n", "text/vcard"),
            (b"BEGIN:VCALENDAR\r\n", "text/calendar"),
            (b"BEGIN:VCARDS are fun", "text/plain"),
        ];
        for (content, mime) in cases {
            assert_eq!(sniff(content).mime, mime, "{content:?}");
        }
    }

    #[test]
    fn markup_a_browser_would_run_is_never_plain_text() {
        for (content, mime) in [
            ("<html><script>alert(1)</script>", "text/html"),
            ("<svg onload=alert(1)>", "image/svg+xml"),
            ("<?xml version='1.0'?>\n<SVG xmlns=''>", "image/svg+xml"),
            ("<!-- drawn by hand --><svg/>", "image/svg+xml"),
            ("<!DOCTYPE svg [ <!ENTITY a 'b'> ]>\n<svg/>", "image/svg+xml"),
            ("<!DOCTYPE html><body><svg/>", "text/html"),
        ] {
            assert_eq!(sniff(content.as_bytes()).mime, mime, "{content}");
        }
    }

    #[test]
    fn an_executable_is_seen_for_what_it_is() {
        assert_eq!(sniff(&padded(b"MZ\x90")).mime, "application/vnd.microsoft.portable-executable");
    }

    #[test]
    fn the_unknown_and_the_empty_are_only_bytes() {
        assert_eq!(sniff(b""), UNKNOWN);
        assert_eq!(sniff(&[0x00, 0xfe, 0x01, 0x02]), UNKNOWN);
    }

    proptest! {
        #[test]
        fn no_content_makes_it_panic(head: Vec<u8>) {
            sniff(&head);
        }

        #[test]
        fn no_iso_container_makes_it_panic(length: [u8; 4], rest: Vec<u8>) {
            sniff(&[&length, b"ftyp".as_slice(), &rest].concat());
        }
    }
}
