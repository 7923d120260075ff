//! A lossless WebP of eight colours at most: every channel has two values, so a pixel takes three bits.

use rand::{RngExt, rngs::StdRng};

use super::scene::Scene;

const WIDTH: u32 = 160;
const HEIGHT: u32 = 120;

pub(super) fn webp(rng: &mut StdRng) -> Vec<u8> {
    let scene = Scene::invent(rng);
    let [dark, light]: [[u8; 3]; 2] = [
        std::array::from_fn(|_| rng.random_range(20..90)),
        std::array::from_fn(|_| rng.random_range(170..=255)),
    ];
    let mut bits = Bits::default();
    bits.push(0x2F, 8);
    bits.push(WIDTH - 1, 14);
    bits.push(HEIGHT - 1, 14);
    // No transparency, the one version there is, no transforms, no cache of colours, one set of codes.
    bits.push(0, 1 + 3 + 1 + 1 + 1);
    for channel in [1, 0, 2] {
        bits.push_code_of_two(dark[channel], light[channel]);
    }
    bits.push_code_of_one(255);
    bits.push_code_of_one(0);
    for (x, y) in (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y))) {
        let [red, green, blue] = scene.colour((x, y), (WIDTH, HEIGHT)).map(|value| value > 128);
        for is_light in [green, red, blue] {
            bits.push(u32::from(is_light), 1);
        }
    }

    let mut data = bits.finish();
    let size = data.len() as u32;
    data.resize(data.len().next_multiple_of(2), 0);
    let mut file = b"RIFF".to_vec();
    file.extend((data.len() as u32 + 12).to_le_bytes());
    file.extend(b"WEBPVP8L");
    file.extend(size.to_le_bytes());
    file.extend(data);
    file
}

/// Bits from the lowest up.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u64,
    count: u32,
}

impl Bits {
    fn push(&mut self, value: u32, length: u32) {
        self.pending |= u64::from(value) << self.count;
        self.count += length;
        while self.count >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// A code in which the lower of two values is 0 and the other is 1.
    fn push_code_of_two(&mut self, low: u8, high: u8) {
        self.push(0b111, 3);
        self.push(low.into(), 8);
        self.push(high.into(), 8);
    }

    /// A code of one value, which takes no bits.
    fn push_code_of_one(&mut self, value: u8) {
        self.push(0b101, 3);
        self.push(value.into(), 8);
    }

    fn finish(mut self) -> Vec<u8> {
        self.push(0, 7);
        self.bytes
    }
}
