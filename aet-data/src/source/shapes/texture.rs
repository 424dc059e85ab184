//! What surfaces are covered with: two colours, and a pattern that says how much of each a place
//! has.

use super::draw;
use crate::random::ItemRng;

/// Red, green and blue, 0 to 1.
pub type Colour = [f64; 3];

/// A pattern, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pattern {
    /// One colour, with a hint of noise.
    Plain,
    /// From one colour to the other across the image.
    Gradient,
    Stripes,
    Checks,
    /// Spots on a square grid.
    Spots,
    /// Clouds in two sizes.
    Clouds,
}

/// A covered plane.
#[derive(Debug, Clone)]
pub struct Texture {
    colours: [Colour; 2],
    pattern: Pattern,
    /// Cosine and sine of its direction.
    direction: [f64; 2],
    /// Length after which the pattern comes again.
    period_px: f64,
    /// Where it starts, in periods.
    phase: [f64; 2],
    /// Chooses the noise.
    grain: u64,
}

impl Texture {
    /// A random pattern in two shades of `colour`, which differ by `contrast`.
    pub fn sample(rng: &mut ItemRng, colour: Colour, contrast: f64) -> Self {
        let pattern = match draw::whole(rng, 8) {
            0 => Pattern::Plain,
            1 => Pattern::Gradient,
            2 | 3 => Pattern::Stripes,
            4 => Pattern::Checks,
            5 => Pattern::Spots,
            _ => Pattern::Clouds,
        };
        let mut texture = Self::clouds(rng, colour, contrast);
        texture.pattern = pattern;
        texture
    }

    /// As [`Texture::sample`], but always clouds.
    pub fn clouds(rng: &mut ItemRng, colour: Colour, contrast: f64) -> Self {
        let half = 0.5 * contrast * if draw::whole(rng, 2) == 0 { 1.0 } else { -1.0 };
        let angle = draw::between(rng, 0.0, std::f64::consts::PI);
        let tint: Colour = std::array::from_fn(|_| draw::between(rng, -0.25, 0.25));
        let shade = |sign: f64| {
            std::array::from_fn(|channel| {
                let moved = sign * (half + tint[channel] * contrast);
                (colour[channel] + moved).clamp(0.0, 1.0)
            })
        };
        Self {
            colours: [shade(1.0), shade(-1.0)],
            pattern: Pattern::Clouds,
            direction: [libm::cos(angle), libm::sin(angle)],
            period_px: draw::between(rng, 4.0, 10.0),
            phase: [draw::between(rng, 0.0, 1.0), draw::between(rng, 0.0, 1.0)],
            grain: draw::bits(rng),
        }
    }

    /// The colour at (x, y), in pixels.
    pub fn colour(&self, x: f64, y: f64) -> Colour {
        let [cos, sin] = self.direction;
        let along = cos * x + sin * y;
        let across = cos * y - sin * x;
        let u = along / self.period_px + self.phase[0];
        let v = across / self.period_px + self.phase[1];
        let share = match self.pattern {
            Pattern::Plain => 0.5 + 0.3 * (noise(self.grain, u, v) - 0.5),
            Pattern::Gradient => 0.5 + (along - 16.0 * (cos + sin)) / 32.0,
            Pattern::Stripes => 0.5 + 0.9 * wave(u),
            Pattern::Checks => 0.5 + 1.2 * wave(0.5 * u) * wave(0.5 * v),
            Pattern::Spots => 0.2 + 0.7 * (wave(u) + wave(v)).max(0.0),
            Pattern::Clouds => {
                let coarse = noise(self.grain, u, v);
                let fine = noise(self.grain ^ 1, 2.7 * u, 2.7 * v);
                1.4 * (0.65 * coarse + 0.35 * fine - 0.5) + 0.5
            }
        };
        mix(self.colours[0], self.colours[1], share.clamp(0.0, 1.0))
    }
}

/// `from` at share 0, `to` at share 1.
pub fn mix(from: Colour, to: Colour, share: f64) -> Colour {
    std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * share)
}

/// A sine of period 1.
fn wave(position: f64) -> f64 {
    libm::sin(std::f64::consts::TAU * position)
}

/// Smooth noise from 0 to 1, with one random value on every whole place.
fn noise(grain: u64, u: f64, v: f64) -> f64 {
    let (column, row) = (libm::floor(u), libm::floor(v));
    let ease = |part: f64| part * part * (3.0 - 2.0 * part);
    let (right, down) = (ease(u - column), ease(v - row));
    let value = |dx: i64, dy: i64| lattice(grain, column as i64 + dx, row as i64 + dy);
    let above = value(0, 0) + (value(1, 0) - value(0, 0)) * right;
    let below = value(0, 1) + (value(1, 1) - value(0, 1)) * right;
    above + (below - above) * down
}

/// A random number from 0 to 1 for a place: the finaliser of SplitMix64 on its coordinates.
fn lattice(grain: u64, column: i64, row: i64) -> f64 {
    let mut bits = grain
        .wrapping_add((column as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add((row as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 40) as f64 / (1_u64 << 24) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, generator};

    #[test]
    fn colours_stay_in_range_and_vary() {
        for index in 0..200 {
            let mut rng = generator(3, 0, index, Purpose::Shapes);
            let texture = Texture::sample(&mut rng, [0.4, 0.5, 0.6], 0.4);
            let colours: Vec<Colour> = (0..1024)
                .map(|at| texture.colour(f64::from(at % 32), f64::from(at / 32)))
                .collect();
            let all = || colours.iter().flatten();
            assert!(
                all().all(|value| (0.0..=1.0).contains(value)),
                "{texture:?}"
            );
            assert!(
                colours.iter().any(|colour| *colour != colours[0]),
                "{texture:?}"
            );
        }
    }

    #[test]
    fn noise_is_continuous() {
        for step in 0..500 {
            let u = -3.0 + f64::from(step) * 0.013;
            let change = (noise(7, u, 1.3) - noise(7, u + 1e-6, 1.3)).abs();
            assert!(change < 1e-5, "{u}: {change}");
        }
    }
}
