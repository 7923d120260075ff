//! WAV and MP3: a tone, and silence.

use rand::{RngExt, rngs::StdRng};

pub(super) fn wav(rng: &mut StdRng) -> Vec<u8> {
    const RATE: u32 = 8000;
    let period = rng.random_range(12..40);
    let samples: Vec<i16> = (0..RATE / 2)
        .map(|at| if at % period < period / 2 { 6000 } else { -6000 } + rng.random_range(-400..400))
        .collect();
    let size = samples.len() as u32 * 2;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + size).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * 2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(size.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

pub(super) fn mp3(rng: &mut StdRng) -> Vec<u8> {
    // Layer III, 128 kbit/s, 44.1 kHz, stereo: every frame has 417 bytes.
    const HEADER: [u8; 4] = [0xFF, 0xFB, 0x90, 0x00];
    const FRAME: usize = 417;
    // All-zero side information: no sound. What follows it in the frame is not part of the sound.
    const SIDE_INFO: usize = 32;

    let title = format!("{:016x}", rng.random::<u64>());
    let mut file = b"ID3\x03\0\0\0\0\0\x1bTIT2\0\0\0\x11\0\0\0".to_vec();
    file.extend(title.as_bytes());
    for _ in 0..rng.random_range(20..40) {
        file.extend(HEADER);
        file.extend([0; SIDE_INFO]);
        file.extend((HEADER.len() + SIDE_INFO..FRAME).map(|_| rng.random_range(0..0x80u8)));
    }
    file
}
