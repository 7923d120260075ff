//! The shape of a picture, read from its own structure: how large it is, where it ends, and whether it gets there. Pixels
//! are not decoded. Formats that are not known here are let pass; nothing of ours decodes them either.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Picture {
    /// No picture, or of a format that is not looked into.
    Other,
    /// It ends too early or is no picture inside.
    Broken,
    Whole {
        width: u32,
        height: u32,
        /// Where the picture ends; what follows is something else.
        end: u64,
    },
}

/// None: broken.
type Shape = io::Result<Option<(u32, u32)>>;

impl Picture {
    pub(super) fn read(file: &mut File, size: u64, mime: &str) -> io::Result<Self> {
        let read: fn(&mut Reader<'_>) -> Shape = match mime {
            "image/jpeg" => jpeg,
            "image/png" => png,
            "image/gif" => gif,
            "image/webp" => webp,
            "image/heic" | "image/heif" | "image/heic-sequence" | "image/avif" => boxes,
            _ => return Ok(Self::Other),
        };
        file.seek(SeekFrom::Start(0))?;
        let mut reader = Reader { inner: BufReader::with_capacity(64 * 1024, file), at: 0, size };
        match read(&mut reader) {
            Ok(Some((width, height))) => Ok(Self::Whole { width, height, end: reader.at }),
            Ok(None) => Ok(Self::Broken),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Self::Broken),
            Err(error) => Err(error),
        }
    }
}

/// Reads forwards and knows where it is. Beyond the end is an error.
struct Reader<'f> {
    inner: BufReader<&'f mut File>,
    at: u64,
    size: u64,
}

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn byte(&mut self) -> io::Result<u8> {
        let [byte] = self.bytes()?;
        Ok(byte)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let to = self.at.checked_add(length).filter(|to| *to <= self.size).ok_or(ErrorKind::UnexpectedEof)?;
        let by = i64::try_from(length).map_err(io::Error::other)?;
        self.inner.seek_relative(by)?;
        self.at = to;
        Ok(())
    }

    /// Goes on to behind the next byte of this value.
    fn find(&mut self, wanted: u8) -> io::Result<()> {
        loop {
            let buffer = self.inner.fill_buf()?;
            if buffer.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let found = buffer.iter().position(|byte| *byte == wanted);
            let used = found.map_or(buffer.len(), |at| at + 1);
            self.inner.consume(used);
            self.at += used as u64;
            if found.is_some() {
                return Ok(());
            }
        }
    }
}

fn jpeg(file: &mut Reader<'_>) -> Shape {
    let mut size = None;
    if file.bytes()? != [0xFF, 0xD8] {
        return Ok(None);
    }
    loop {
        // Between scans, and after coded data, whatever is no marker is passed over as decoders do.
        file.find(0xFF)?;
        let mut marker = file.byte()?;
        while marker == 0xFF {
            marker = file.byte()?;
        }
        match marker {
            0x00 | 0x01 | 0xD0..=0xD7 => {}
            0xD9 => return Ok(size),
            // A second picture cannot begin inside the first.
            0xD8 => return Ok(None),
            _ => {
                let length = u16::from_be_bytes(file.bytes()?);
                let Some(mut left) = length.checked_sub(2) else { return Ok(None) };
                let is_frame = matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC);
                if is_frame && size.is_none() {
                    let [_, h1, h2, w1, w2] = file.bytes()?;
                    let Some(rest) = left.checked_sub(5) else { return Ok(None) };
                    left = rest;
                    size = Some((u16::from_be_bytes([w1, w2]).into(), u16::from_be_bytes([h1, h2]).into()));
                }
                file.skip(left.into())?;
            }
        }
    }
}

fn png(file: &mut Reader<'_>) -> Shape {
    let mut size = None;
    if file.bytes()? != *b"\x89PNG\r\n\x1a\n" {
        return Ok(None);
    }
    loop {
        let length = u32::from_be_bytes(file.bytes()?);
        let kind: [u8; 4] = file.bytes()?;
        let mut left = u64::from(length) + 4;
        if &kind == b"IHDR" && length >= 8 {
            size = Some((u32::from_be_bytes(file.bytes()?), u32::from_be_bytes(file.bytes()?)));
            left -= 8;
        }
        file.skip(left)?;
        if &kind == b"IEND" {
            return Ok(size);
        }
    }
}

fn gif(file: &mut Reader<'_>) -> Shape {
    file.skip(6)?;
    let [w1, w2, h1, h2, packed, _, _] = file.bytes()?;
    let size = (u16::from_le_bytes([w1, w2]).into(), u16::from_le_bytes([h1, h2]).into());
    file.skip(colours(packed))?;
    let mut pictures = 0;
    loop {
        match file.byte()? {
            0x2C => {
                let [.., packed] = file.bytes::<9>()?;
                file.skip(colours(packed) + 1)?;
                blocks(file)?;
                pictures += 1;
            }
            0x21 => {
                file.skip(1)?;
                blocks(file)?;
            }
            0x3B => return Ok((pictures > 0).then_some(size)),
            _ => return Ok(None),
        }
    }
}

/// The bytes of a colour table.
fn colours(packed: u8) -> u64 {
    if packed & 0x80 == 0 { 0 } else { 3 << ((packed & 7) + 1) }
}

fn blocks(file: &mut Reader<'_>) -> io::Result<()> {
    loop {
        match file.byte()? {
            0 => return Ok(()),
            length => file.skip(length.into())?,
        }
    }
}

fn webp(file: &mut Reader<'_>) -> Shape {
    file.skip(4)?;
    let end = u64::from(u32::from_le_bytes(file.bytes()?)) + 8;
    file.skip(4)?;
    let kind: [u8; 4] = file.bytes()?;
    file.skip(4)?;
    let size = match &kind {
        b"VP8X" => {
            file.skip(4)?;
            let [w1, w2, w3, h1, h2, h3] = file.bytes()?;
            (u32::from_le_bytes([w1, w2, w3, 0]) + 1, u32::from_le_bytes([h1, h2, h3, 0]) + 1)
        }
        b"VP8 " => {
            file.skip(6)?;
            let [w1, w2, h1, h2] = file.bytes()?;
            let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
            (side(w1, w2), side(h1, h2))
        }
        b"VP8L" => {
            file.skip(1)?;
            let bits = u32::from_le_bytes(file.bytes()?);
            ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        }
        _ => return Ok(None),
    };
    let Some(left) = end.checked_sub(file.at) else { return Ok(None) };
    file.skip(left)?;
    Ok(Some(size))
}

/// MPEG-4's relatives are boxes to the end of the file. How large the picture is stands deep inside; nothing of ours
/// decodes them, so it does not matter here.
fn boxes(file: &mut Reader<'_>) -> Shape {
    while file.at < file.size {
        let length = u32::from_be_bytes(file.bytes()?);
        file.skip(4)?;
        let left = match length {
            0 => file.size - file.at,
            1 => u64::from_be_bytes(file.bytes()?).checked_sub(16).ok_or(ErrorKind::UnexpectedEof)?,
            length => u64::from(length).checked_sub(8).ok_or(ErrorKind::UnexpectedEof)?,
        };
        file.skip(left)?;
    }
    Ok(Some((0, 0)))
}
