//! Small pictures of pictures, for lists and pages.
//!
//! Decoding what strangers sent is the riskiest thing done to a file, so it is fenced: formats are named and not guessed,
//! pixels and memory are limited before anything is decoded, few are made at a time, and one that takes too long is
//! waited for no longer (it keeps its place among the few until it ends). It runs away from the threads that serve
//! everybody else. The picture is turned as its EXIF says and written anew, so neither EXIF nor the place where it was
//! taken gets into the small one. HEIC has no maintained decoder in Rust alone: such pictures have none.
//!
//! A picture without a thumbnail is as good as any other; the row says why it has none.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use tempfile::NamedTempFile;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::fetch::{Fetched, Incoming};
use super::sniff::MediaType;

/// The longer side of a thumbnail.
pub const SIDE: u32 = 320;
const QUALITY: u8 = 80;
/// How many are made at a time, each with this much memory at the most.
const AT_A_TIME: usize = 2;
const MEMORY: u64 = 192 << 20;
/// The longest side of a picture that one is made of.
const LONGEST_SIDE: u32 = 20_000;
/// Some decoders hold the whole file.
const LARGEST_FILE: u64 = 32 << 20;
const LONGEST: Duration = Duration::from_secs(20);

/// Makes thumbnails. Clones share the limit on how many are made at a time.
#[derive(Debug, Clone)]
pub struct Thumbnails {
    places: Arc<Semaphore>,
}

/// A thumbnail, on disk and not yet in its place.
#[derive(Debug)]
pub(super) struct Thumbnail {
    pub(super) file: Fetched,
    pub(super) media_type: &'static str,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum ThumbnailError {
    #[error("the file is too large to make a small picture of")]
    TooLarge,
    #[error("it took too long to make")]
    Timeout,
    #[error("no small pictures are made of {0}")]
    Format(&'static str),
    #[error("the picture cannot be decoded: {0}")]
    Image(#[from] ImageError),
    #[error("it cannot be written: {0}")]
    Io(#[from] io::Error),
}

impl Default for Thumbnails {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }
}

impl Thumbnails {
    /// Makes a thumbnail in a temporary file of `folder`. None of what is no picture.
    pub(super) async fn make(
        &self,
        original: &Fetched,
        media_type: MediaType,
        folder: &Path,
    ) -> Option<Result<Thumbnail, ThumbnailError>> {
        if !media_type.mime.starts_with("image/") {
            return None;
        }
        Some(self.make_of(original, media_type, folder).await)
    }

    async fn make_of(
        &self,
        original: &Fetched,
        media_type: MediaType,
        folder: &Path,
    ) -> Result<Thumbnail, ThumbnailError> {
        let format = format_of(media_type.mime).ok_or(ThumbnailError::Format(media_type.mime))?;
        if original.size > LARGEST_FILE {
            return Err(ThumbnailError::TooLarge);
        }
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let (path, to) = (original.file.path().to_owned(), folder.to_owned());
        let making = tokio::task::spawn_blocking(move || {
            let made = draw(&path, format, &to);
            drop(place);
            made
        });
        let (small, media_type) = timeout(LONGEST, making)
            .await
            .map_err(|_| ThumbnailError::Timeout)?
            .map_err(io::Error::other)??;
        let file = Incoming::receive(folder, tokio::fs::File::open(small.path()).await?).await?;
        Ok(Thumbnail { file, media_type })
    }
}

fn format_of(mime: &str) -> Option<ImageFormat> {
    match mime {
        "image/jpeg" => Some(ImageFormat::Jpeg),
        "image/png" => Some(ImageFormat::Png),
        "image/webp" => Some(ImageFormat::WebP),
        "image/gif" => Some(ImageFormat::Gif),
        _ => None,
    }
}

fn draw(
    path: &PathBuf,
    format: ImageFormat,
    folder: &Path,
) -> Result<(NamedTempFile, &'static str), ThumbnailError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(MEMORY);
    let mut reader = ImageReader::with_format(BufReader::new(File::open(path)?), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // Not every decoder counts the picture that comes out.
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    if picture.width().max(picture.height()) > SIDE {
        picture = picture.thumbnail(SIDE, SIDE);
    }
    picture.apply_orientation(orientation);

    let file = NamedTempFile::new_in(folder)?;
    let mut writer = BufWriter::new(file.as_file());
    let media_type = if picture.color().has_alpha() {
        picture.to_rgba8().write_with_encoder(PngEncoder::new(&mut writer))?;
        "image/png"
    } else {
        picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut writer, QUALITY))?;
        "image/jpeg"
    };
    io::Write::flush(&mut writer)?;
    drop(writer);
    Ok((file, media_type))
}

#[cfg(test)]
mod tests;
