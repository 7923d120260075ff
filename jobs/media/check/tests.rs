//! Files as customers send them, and as those do who mean no good.

use std::io::Write;

use bytes::Bytes;
use image::{DynamicImage, ImageFormat, RgbImage};
use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::*;
use crate::media::store::Sha256Hash;

fn rules() -> Rules {
    let kinds = [Kind::Image, Kind::Audio, Kind::Video, Kind::Document, Kind::Contact, Kind::Text];
    Rules { kinds: kinds.into(), max_pixels: 1_000_000 }
}

fn fetched(content: &[u8]) -> Fetched {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    Fetched {
        file,
        sha256: Sha256Hash::from([0; 32]),
        size: content.len() as u64,
        declared_type: Some("text/html".to_owned()),
        head: Bytes::copy_from_slice(&content[..content.len().min(8192)]),
    }
}

async fn judged(content: &[u8]) -> Result<Checked, Rejection> {
    match check(&rules(), &fetched(content), None).await {
        Ok(checked) => Ok(checked),
        Err(CheckError::Rejected(rejection)) => Err(rejection),
        Err(CheckError::Io(error)) => panic!("{error}"),
    }
}

fn picture(format: ImageFormat) -> Vec<u8> {
    let pixels = RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 6, y as u8 * 8, 90]));
    let mut content = std::io::Cursor::new(Vec::new());
    DynamicImage::from(pixels).write_to(&mut content, format).unwrap();
    content.into_inner()
}

const FORMATS: [(ImageFormat, &str); 4] = [
    (ImageFormat::Jpeg, "image/jpeg"),
    (ImageFormat::Png, "image/png"),
    (ImageFormat::Gif, "image/gif"),
    (ImageFormat::WebP, "image/webp"),
];

/// A zip archive of one entry that says how large it is unpacked.
fn archive(name: &str, unpacked: u32) -> Vec<u8> {
    let mut local = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    local.extend((name.len() as u16).to_le_bytes());
    local.extend([0, 0]);
    local.extend(name.as_bytes());
    let mut directory = b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    directory.extend(unpacked.to_le_bytes());
    directory.extend((name.len() as u16).to_le_bytes());
    directory.extend([0; 16]);
    directory.extend(name.as_bytes());
    assert_eq!(directory.len(), 46 + name.len());
    let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
    end.extend((directory.len() as u32).to_le_bytes());
    end.extend((local.len() as u32).to_le_bytes());
    end.extend([0, 0]);
    [local, directory, end].concat()
}

#[tokio::test]
async fn whole_pictures_pass_with_whatever_phones_append_to_them() {
    for (format, mime) in FORMATS {
        let content = picture(format);
        let checked = judged(&content).await.unwrap();
        assert_eq!((checked.media_type.mime, checked.mismatch), (mime, true), "served as text/html");
        // A motion photo: a film behind the picture.
        let film = [content.as_slice(), b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", &[7; 5000]].concat();
        assert!(judged(&film).await.is_ok(), "{mime}");
        // Two pictures in one file, as some cameras write them.
        let double = [content.as_slice(), &content].concat();
        assert!(judged(&double).await.is_ok(), "{mime}");
    }
}

#[tokio::test]
async fn a_picture_that_was_cut_off_anywhere_is_refused() {
    for (format, mime) in FORMATS {
        let content = picture(format);
        for end in [content.len() / 2, content.len() * 9 / 10, content.len() - 1] {
            assert_eq!(judged(&content[..end]).await, Err(Rejection::Truncated(mime)), "{mime} {end}");
        }
    }
}

#[tokio::test]
async fn an_empty_file_and_kinds_that_are_not_let_in_are_refused() {
    assert_eq!(judged(b"").await, Err(Rejection::Empty));
    for (content, kind) in [
        (b"MZ\x90\0\0\0\0\0".as_slice(), Kind::Other),
        (b"<html><script>alert(1)</script></html>", Kind::Other),
        (b"<svg onload='alert(1)'/>", Kind::Other),
        (b"\x7fELF\x02\x01\x01\0", Kind::Other),
        (b"\0\x01\x02\x03 who knows", Kind::Other),
        (&archive("a.txt", 3), Kind::Archive),
    ] {
        let judged = judged(content).await;
        assert!(matches!(judged, Err(Rejection::NotAccepted { kind: got, .. }) if got == kind), "{judged:?}");
    }
}

#[tokio::test]
async fn a_small_file_that_unfolds_to_a_huge_picture_is_refused() {
    let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bomb.extend(60_000u32.to_be_bytes());
    bomb.extend(60_000u32.to_be_bytes());
    bomb.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    bomb.extend(b"\0\0\0\0IEND\xae\x42\x60\x82");
    let refused = Rejection::TooManyPixels { width: 60_000, height: 60_000, limit: 1_000_000 };
    assert_eq!(judged(&bomb).await, Err(refused));

    let mut gif = b"GIF89a\xff\xff\xff\xff\0\0\0".to_vec();
    gif.extend(b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b");
    assert!(matches!(judged(&gif).await, Err(Rejection::TooManyPixels { width: 65_535, .. })));
}

#[tokio::test]
async fn an_archive_that_unpacks_to_far_more_than_it_is_is_refused() {
    let mut all = rules();
    all.kinds.insert(Kind::Archive);
    for (unpacked, fine) in [(60 << 20, true), (65 << 20, false), (u32::MAX, false)] {
        let checked = check(&all, &fetched(&archive("a.txt", unpacked)), None).await;
        assert_eq!(checked.is_ok(), fine, "{unpacked}");
        let bomb = matches!(checked, Err(CheckError::Rejected(Rejection::Bomb { .. })));
        assert_eq!(bomb, !fine);
    }
}

#[tokio::test]
async fn what_is_two_things_at_once_is_refused() {
    for (format, mime) in FORMATS {
        let content = picture(format);
        for (other, also) in [
            (archive("Main.class", 9), "a zip archive"),
            ([archive("Main.class", 9), vec![0; 64]].concat(), "a zip archive"),
            (b"\n%PDF-1.7\n".to_vec(), "a PDF document"),
            (b"<HTML><script>alert(1)</script>".to_vec(), "a web page"),
        ] {
            let both = [content.as_slice(), &other].concat();
            assert_eq!(
                judged(&both).await,
                Err(Rejection::Polyglot { media_type: mime, also }),
                "{mime} {also}"
            );
        }
    }
    let mut comment = b"GIF89a\x01\0\x01\0\0\0\0\x21\xfe\x19<script>alert(1)</script>\0".to_vec();
    comment.extend(b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b");
    let refused = Rejection::Polyglot { media_type: "image/gif", also: "a web page" };
    assert_eq!(judged(&comment).await, Err(refused));
    let sound = [b"ID3\x03".as_slice(), &[0; 400], &archive("Main.class", 9)].concat();
    let refused = Rejection::Polyglot { media_type: "audio/mpeg", also: "a zip archive" };
    assert_eq!(judged(&sound).await, Err(refused));
}

#[tokio::test]
async fn a_tag_that_compressed_sound_has_by_chance_is_no_page_and_one_with_text_behind_it_is() {
    let sound = |inside: &[u8]| [b"ID3\x03".as_slice(), &[0; 400], inside, &[0xfb; 400]].concat();
    for chance in
        [b"\x07<sVG\x9f\xfe\x01\x80".as_slice(), b"<svg \x9f\xfe", b"<htmlx1234567890", b"<?php\xff"]
    {
        assert!(judged(&sound(chance)).await.is_ok(), "{chance:?}");
    }
    let refused = Rejection::Polyglot { media_type: "audio/mpeg", also: "a web page" };
    for page in [b"<svg onload=alert(1)>".as_slice(), b"<SVG/onload=alert(1)>", b"<html>\n<body>1</body>"] {
        assert_eq!(judged(&sound(page)).await, Err(refused.clone()), "{page:?}");
    }
}

#[tokio::test]
async fn documents_and_notes_pass() {
    for content in [
        b"%PDF-1.7\n%\xe2\xe3\n1 0 obj\n".as_slice(),
        b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ana\r\nEND:VCARD\r\n",
        b"see <script> below",
    ] {
        assert!(judged(content).await.is_ok(), "{content:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_content_makes_it_fail_otherwise(start in 0usize..4, cut in 0usize..400, rest: Vec<u8>) {
        let content = picture(FORMATS[start].0);
        let broken = [&content[..cut.min(content.len())], rest.as_slice()].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(judged(&broken));
    }
}
