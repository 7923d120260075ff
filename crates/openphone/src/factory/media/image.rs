//! PNG and GIF, both written without compressing anything.

use rand::{RngExt, rngs::StdRng};

use super::scene::Scene;

const WIDTH: u16 = 48;
const HEIGHT: u16 = 36;
const SIZE: (u32, u32) = (WIDTH as u32, HEIGHT as u32);

pub(super) fn png(rng: &mut StdRng) -> Vec<u8> {
    let scene = Scene::invent(rng);
    let mut rows = Vec::new();
    for y in 0..SIZE.1 {
        rows.push(0); // no filter
        rows.extend((0..SIZE.0).flat_map(|x| scene.colour((x, y), SIZE)));
    }
    let mut header = Vec::new();
    header.extend(u32::from(WIDTH).to_be_bytes());
    header.extend(u32::from(HEIGHT).to_be_bytes());
    header.extend([8, 2, 0, 0, 0]); // 8 bits, RGB

    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"IDAT", &stored(&rows));
    chunk(&mut file, b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend(kind);
    file.extend(data);
    let check = crc32(&file[start..]);
    file.extend(check.to_be_bytes());
}

/// A zlib stream of one stored block; `data` is shorter than 64 KiB.
fn stored(data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16;
    let mut stream = vec![0x78, 0x01, 0x01];
    stream.extend(length.to_le_bytes());
    stream.extend((!length).to_le_bytes());
    stream.extend(data);
    stream.extend(adler32(data).to_be_bytes());
    stream
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

fn adler32(data: &[u8]) -> u32 {
    let (low, high) = data.iter().fold((1u32, 0u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    high << 16 | low
}

pub(super) fn gif(rng: &mut StdRng) -> Vec<u8> {
    // 128 colours make codes of exactly one byte, as long as the table is cleared before it grows.
    const CLEAR: u8 = 128;
    const END: u8 = 129;
    const RUN: usize = 120;

    let scene = Scene::invent(rng);
    let mut file = b"GIF89a".to_vec();
    file.extend(WIDTH.to_le_bytes());
    file.extend(HEIGHT.to_le_bytes());
    file.extend([0xF6, 0, 0]); // a table of 128 colours
    file.extend(scene.colours.concat());
    file.extend((scene.colours.len() * 3..128 * 3).map(|_| rng.random::<u8>()));
    file.extend([0x2C, 0, 0, 0, 0]);
    file.extend(WIDTH.to_le_bytes());
    file.extend(HEIGHT.to_le_bytes());
    file.extend([0, 7]);

    let pixels: Vec<u8> = (0..SIZE.1)
        .flat_map(|y| (0..SIZE.0).map(move |x| (x, y)))
        .map(|place| scene.part(place, SIZE) as u8)
        .collect();
    let mut codes = Vec::new();
    for run in pixels.chunks(RUN) {
        codes.push(CLEAR);
        codes.extend(run);
    }
    codes.push(END);
    for block in codes.chunks(255) {
        file.push(block.len() as u8);
        file.extend(block);
    }
    file.extend([0, 0x3B]);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_published_ones() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
    }
}
