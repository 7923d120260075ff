//! What thumbnails come out of what pictures.

use std::io::{Cursor, Write};

use bytes::Bytes;
use image::{Rgb, RgbImage, Rgba, RgbaImage};

use super::*;
use crate::media::sniff::sniff;
use crate::media::store::Sha256Hash;

fn fetched(content: &[u8]) -> Fetched {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    Fetched {
        file,
        sha256: Sha256Hash::from([0; 32]),
        size: content.len() as u64,
        declared_type: None,
        head: Bytes::copy_from_slice(&content[..content.len().min(8192)]),
    }
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut content = Cursor::new(Vec::new());
    picture.into().write_to(&mut content, format).unwrap();
    content.into_inner()
}

async fn made_of(content: &[u8]) -> Option<Result<(DynamicImage, Vec<u8>, &'static str), ThumbnailError>> {
    let folder = tempfile::tempdir().unwrap();
    let made = Thumbnails::default().make(&fetched(content), sniff(content), folder.path()).await?;
    let result = made.map(|thumbnail| {
        let content = std::fs::read(thumbnail.file.file.path()).unwrap();
        assert_eq!(thumbnail.file.size, content.len() as u64);
        (image::load_from_memory(&content).unwrap(), content, thumbnail.media_type)
    });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a temporary file is left");
    Some(result)
}

/// Red at the left, blue at the right, and wider than high.
fn landscape() -> RgbImage {
    RgbImage::from_fn(900, 600, |x, _| if x < 450 { Rgb([220, 20, 20]) } else { Rgb([20, 20, 220]) })
}

/// EXIF with an orientation and, as cameras write it, a place.
fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0".to_vec();
    exif.extend(b"\x12\x01\x03\0\x01\0\0\0");
    exif.extend([orientation, 0, 0, 0]);
    exif.extend(b"\x0f\x01\x02\0\x0c\0\0\0\x26\0\0\0\0\0\0\0GPS-51.5N-0W");
    let mut content = jpeg[..2].to_vec();
    content.extend([0xFF, 0xE1]);
    content.extend((exif.len() as u16 + 2).to_be_bytes());
    content.extend(exif);
    content.extend(&jpeg[2..]);
    content
}

fn is_red(pixel: Rgb<u8>) -> bool {
    pixel.0[0] > 150 && pixel.0[2] < 100
}

#[tokio::test]
async fn each_format_comes_out_small_and_like_itself() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP] {
        let (small, content, _) = made_of(&encoded(landscape(), format)).await.unwrap().unwrap();
        assert_eq!((small.width(), small.height()), (SIDE, SIDE * 600 / 900), "{format:?}");
        let small = small.to_rgb8();
        assert!(is_red(*small.get_pixel(20, 100)) && !is_red(*small.get_pixel(300, 100)), "{format:?}");
        assert!(content.len() < 40_000, "{format:?}: {} bytes", content.len());
    }
}

#[tokio::test]
async fn a_small_picture_is_not_blown_up_and_a_transparent_one_stays_so() {
    let (small, ..) = made_of(&encoded(RgbImage::new(40, 30), ImageFormat::Png)).await.unwrap().unwrap();
    assert_eq!((small.width(), small.height()), (40, 30));
    let glass = RgbaImage::from_pixel(400, 400, Rgba([9, 9, 9, 0]));
    let (small, _, media_type) = made_of(&encoded(glass, ImageFormat::Png)).await.unwrap().unwrap();
    assert_eq!((media_type, small.to_rgba8().get_pixel(5, 5).0[3]), ("image/png", 0));
}

#[tokio::test]
async fn a_picture_is_turned_as_the_camera_was_held_and_tells_nothing_of_where() {
    let jpeg = with_exif(&encoded(landscape(), ImageFormat::Jpeg), 6);
    let (small, content, _) = made_of(&jpeg).await.unwrap().unwrap();
    assert_eq!((small.width(), small.height()), (SIDE * 600 / 900, SIDE));
    let small = small.to_rgb8();
    assert!(is_red(*small.get_pixel(100, 20)) && !is_red(*small.get_pixel(100, 300)), "red is on top");
    assert!(!content.windows(4).any(|bytes| bytes == b"Exif"));
    assert!(!content.windows(3).any(|bytes| bytes == b"GPS"));
}

#[tokio::test]
async fn what_cannot_be_decoded_says_why_and_what_is_no_picture_has_none() {
    let whole = encoded(landscape(), ImageFormat::Png);
    let broken = made_of(&whole[..whole.len() / 2]).await.unwrap();
    assert!(matches!(broken, Err(ThumbnailError::Image(_))), "{broken:?}");
    let heic = made_of(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").await.unwrap();
    assert_eq!(heic.unwrap_err().to_string(), "no small pictures are made of image/heic");
    assert!(made_of(b"%PDF-1.7").await.is_none());
}

#[tokio::test]
async fn a_bomb_costs_no_memory() {
    // 19,000 pixels square of one colour: a megabyte as a file, a gigabyte as pixels.
    let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bomb.extend(19_000u32.to_be_bytes());
    bomb.extend(19_000u32.to_be_bytes());
    bomb.extend([8, 2, 0, 0, 0]);
    let crc = |from: usize, bomb: &[u8]| {
        !bomb[from..].iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
        })
    };
    let check = crc(12, &bomb);
    bomb.extend(check.to_be_bytes());
    let data = bomb.len() + 4;
    bomb.extend(b"\0\0\0\x02IDAT\x78\x01");
    let check = crc(data, &bomb);
    bomb.extend(check.to_be_bytes());
    bomb.extend(b"\0\0\0\0IEND\xae\x42\x60\x82");
    let refused = made_of(&bomb).await.unwrap();
    assert!(matches!(refused, Err(ThumbnailError::Image(ImageError::Limits(_)))), "{refused:?}");
}
