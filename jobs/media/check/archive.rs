//! What a zip archive says of itself in the directory at its end: enough to see a bomb, and that a file is an archive
//! besides what it seems to be. Office documents are such archives.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

const END_OF_DIRECTORY: &[u8; 4] = b"PK\x05\x06";
const DIRECTORY_ENTRY: &[u8; 4] = b"PK\x01\x02";
const END_SIZE: usize = 22;
const ENTRY_SIZE: usize = 46;
/// A comment of 64 KiB may follow the end record.
const TAIL: u64 = END_SIZE as u64 + 0xFFFF;
/// The largest directory that is read: some tens of thousands of entries.
const LARGEST_DIRECTORY: u64 = 4 << 20;
/// Stands for a number that only the 64-bit format has room for.
const IN_64_BITS: u64 = 0xFFFF_FFFF;

/// Documents shrink to a tenth, tables of zeros to a thousandth; bombs begin there.
const MOST_RATIO: u64 = 200;
/// What may be unpacked to whatever the ratio.
const ALWAYS_FINE: u64 = 64 << 20;

/// A zip archive, by its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Archive {
    /// All its entries, unpacked, as it says.
    pub(super) unpacked: u64,
    /// Where the directory ends.
    pub(super) end: u64,
    /// Nothing but its comment follows.
    pub(super) reaches_the_end: bool,
}

impl Archive {
    /// The archive that ends with or near the end of a file, as every unpacker looks for it.
    pub(super) fn find(file: &mut File, size: u64) -> io::Result<Option<Self>> {
        let start = size.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        file.take(TAIL).read_to_end(&mut tail)?;
        for at in (0..tail.len().saturating_sub(END_SIZE - 1)).rev() {
            let Some(record) =
                tail.get(at..at + END_SIZE).filter(|record| record.starts_with(END_OF_DIRECTORY))
            else {
                continue;
            };
            let (directory, comment) = (u32_at(record, 12), u16_at(record, 20));
            let end = start + at as u64;
            let reaches_the_end = end + END_SIZE as u64 + comment == size;
            if directory == IN_64_BITS {
                return Ok(Some(Self { unpacked: u64::MAX, end, reaches_the_end }));
            }
            if let Some(unpacked) = unpacked(file, end, directory)? {
                return Ok(Some(Self { unpacked, end, reaches_the_end }));
            }
        }
        Ok(None)
    }

    pub(super) fn is_bomb(&self, packed: u64) -> bool {
        self.unpacked > ALWAYS_FINE.max(packed.saturating_mul(MOST_RATIO))
    }
}

/// Adds up what a directory tells; nothing if there is none.
fn unpacked(file: &mut File, end: u64, length: u64) -> io::Result<Option<u64>> {
    let Some(start) = end.checked_sub(length).filter(|_| length >= ENTRY_SIZE as u64) else {
        return Ok(None);
    };
    if length > LARGEST_DIRECTORY {
        return Ok(Some(u64::MAX));
    }
    file.seek(SeekFrom::Start(start))?;
    let mut directory = Vec::new();
    file.take(length).read_to_end(&mut directory)?;
    if !directory.starts_with(DIRECTORY_ENTRY) {
        return Ok(None);
    }
    let mut rest = directory.as_slice();
    let mut total = 0u64;
    while let Some(entry) = rest.get(..ENTRY_SIZE).filter(|entry| entry.starts_with(DIRECTORY_ENTRY)) {
        let size = u32_at(entry, 24);
        total = total.saturating_add(if size == IN_64_BITS { u64::MAX } else { size });
        let names = u16_at(entry, 28) + u16_at(entry, 30) + u16_at(entry, 32);
        let next = ENTRY_SIZE + usize::try_from(names).unwrap_or(usize::MAX);
        rest = rest.get(next..).unwrap_or_default();
    }
    Ok(Some(total))
}

fn u16_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 2).map_or(0, |bytes| u64::from(bytes[0]) | u64::from(bytes[1]) << 8)
}

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u16_at(bytes, at) | u16_at(bytes, at + 2) << 16
}
