//! A baseline JPEG of grey squares: only the mean of each 8×8 block is coded, which is all a valid
//! file needs.

use rand::{RngExt, rngs::StdRng};

use super::scene::Scene;

const BLOCKS: u16 = 48;

/// The standard code for the size of a difference: (bits, length) by size.
const SIZE_CODES: [(u32, u8); 9] = [
    (0b00, 2),
    (0b010, 3),
    (0b011, 3),
    (0b100, 3),
    (0b101, 3),
    (0b110, 3),
    (0b1110, 4),
    (0b1_1110, 5),
    (0b11_1110, 6),
];

pub(super) fn jpeg(rng: &mut StdRng) -> Vec<u8> {
    let mut file = vec![0xFF, 0xD8];
    segment(&mut file, 0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    // Dividing by 8 throughout turns a block's first coefficient into its mean.
    segment(&mut file, 0xDB, &[&[0u8][..], &[8; 64]].concat());
    let side = (BLOCKS * 8).to_be_bytes();
    segment(&mut file, 0xC0, &[8, side[0], side[1], side[0], side[1], 1, 1, 0x11, 0]);
    let sizes = [0, 1, 5, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    segment(&mut file, 0xC4, &[&[0x00][..], &sizes, &[0, 1, 2, 3, 4, 5, 6, 7, 8]].concat());
    // The one code of the second table says "nothing more in this block".
    segment(&mut file, 0xC4, &[0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    segment(&mut file, 0xDA, &[1, 1, 0x00, 0, 63, 0]);

    let (scene, side) = (Scene::invent(rng), u32::from(BLOCKS));
    let mut bits = Bits::default();
    let mut previous = 0;
    for place in (0..side).flat_map(|y| (0..side).map(move |x| (x, y))) {
        let colour = scene.colour(place, (side, side));
        let grey = colour.iter().map(|&value| i32::from(value)).sum::<i32>() / 3;
        let mean = grey + rng.random_range(-3..=3) - 128;
        bits.push_difference(mean - previous);
        bits.push(0, 1);
        previous = mean;
    }
    file.extend(bits.finish());
    file.extend([0xFF, 0xD9]);
    file
}

fn segment(file: &mut Vec<u8>, marker: u8, data: &[u8]) {
    file.extend([0xFF, marker]);
    file.extend((data.len() as u16 + 2).to_be_bytes());
    file.extend(data);
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u8,
}

impl Bits {
    fn push_difference(&mut self, difference: i32) {
        let size = (32 - difference.unsigned_abs().leading_zeros()) as u8;
        let (code, length) = SIZE_CODES[usize::from(size)];
        self.push(code, length);
        // A negative number is written as one less, without its leading ones.
        let value = if difference < 0 { difference - 1 } else { difference };
        self.push(value as u32 & ((1 << size) - 1), size);
    }

    fn push(&mut self, value: u32, length: u8) {
        self.pending = self.pending << length | value;
        self.count += length;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.pending >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xFF {
                self.bytes.push(0);
            }
        }
        self.pending &= (1 << self.count) - 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let padding = (8 - self.count) % 8;
        self.push((1 << padding) - 1, padding);
        self.bytes
    }
}
