//! What the pictures show: a field, the sky and the sun, each time in other colours and at another hour.

use rand::{RngExt, rngs::StdRng};

pub(super) struct Scene {
    /// Of the sky, the sun and the field.
    pub(super) colours: [[u8; 3]; 3],
    /// Where the sun stands, how large it is, and where the field begins: as shares of the picture.
    sun: (f64, f64),
    radius: f64,
    horizon: f64,
}

impl Scene {
    pub(super) fn invent(rng: &mut StdRng) -> Self {
        Self {
            colours: [
                [rng.random_range(90..120), rng.random_range(150..180), rng.random_range(210..=255)],
                [rng.random_range(230..=255), rng.random_range(200..=230), rng.random_range(20..90)],
                [rng.random_range(20..80), rng.random_range(90..120), rng.random_range(10..60)],
            ],
            sun: (rng.random_range(0.2..0.8), rng.random_range(0.2..0.4)),
            radius: rng.random_range(0.08..0.15),
            horizon: rng.random_range(0.55..0.75),
        }
    }

    /// Which of the colours is at a place of a picture of that size.
    pub(super) fn part(&self, (x, y): (u32, u32), (width, height): (u32, u32)) -> usize {
        let (across, down) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
        let upright = f64::from(height) / f64::from(width);
        let from_sun = (across - self.sun.0).hypot((down - self.sun.1) * upright);
        if down > self.horizon { 2 } else { usize::from(from_sun < self.radius) }
    }

    pub(super) fn colour(&self, place: (u32, u32), size: (u32, u32)) -> [u8; 3] {
        self.colours[self.part(place, size)]
    }
}
