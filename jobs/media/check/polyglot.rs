//! Files that are two things at once: a picture to whoever looks, an archive or a page to whoever runs it.
//!
//! What phones append to their pictures (a short film, a depth map, a maker's notes) is no polyglot: it is no file that
//! anything would run, and refusing it would lose customers' photographs.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::archive::Archive;
use super::kind::Kind;

/// How far into a file readers of PDF look for its beginning.
const PDF_WITHIN: usize = 1024;
/// How far after the end of a picture is looked.
const AFTER: u64 = 8 * 1024;
/// What makes a browser take something for a page.
const PAGE: [&[u8]; 6] = [b"<script", b"<html", b"<!doctype html", b"<svg", b"<iframe", b"<?php"];
/// So much behind a tag has to be text. Compressed sound and pictures have every sequence of four bytes somewhere: a recording
/// in ten thousand has `<svg`, and none has a word of text behind it.
const TEXT_BEHIND: usize = 8;

/// What the file is besides; `end` is where the picture ends, if it is one.
pub(super) fn find(
    file: &mut File,
    head: &[u8],
    mime: &str,
    end: Option<u64>,
    archive: Option<Archive>,
) -> io::Result<Option<&'static str>> {
    let kind = Kind::of(mime);
    let zipped = matches!(kind, Kind::Archive | Kind::Other) || mime.starts_with("application/vnd.");
    let is_archive = |archive: Archive| archive.reaches_the_end || end.is_some_and(|end| archive.end > end);
    if !zipped && archive.is_some_and(is_archive) {
        return Ok(Some("a zip archive"));
    }
    let mut after = Vec::new();
    if let Some(end) = end {
        file.seek(SeekFrom::Start(end))?;
        file.take(AFTER).read_to_end(&mut after)?;
    }
    let parts = [head, after.as_slice()];
    let pdf = |part: &&[u8]| contains(&part[..part.len().min(PDF_WITHIN)], b"%PDF-");
    if mime != "application/pdf" && parts.iter().any(pdf) {
        return Ok(Some("a PDF document"));
    }
    let binary = matches!(kind, Kind::Image | Kind::Audio | Kind::Video);
    let page = |part: &&[u8]| PAGE.iter().any(|tag| has_tag(part, tag));
    Ok((binary && parts.iter().any(page)).then_some("a web page"))
}

/// Whether a tag is there, with an end of its name and text behind it.
fn has_tag(bytes: &[u8], tag: &[u8]) -> bool {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let places = bytes.windows(tag.len()).enumerate().filter(|(_, window)| window.eq_ignore_ascii_case(tag));
    places.map(|(at, _)| &bytes[at + tag.len()..]).any(|behind| {
        let ends =
            behind.first().is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'));
        ends && behind.iter().take(TEXT_BEHIND).all(is_text)
    })
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window.eq_ignore_ascii_case(wanted))
}
