//! One generated image: a textured, lit shape in front of a background.
//!
//! The class shows in the outline alone. Colours, textures, brightness, size, place and light are
//! drawn without regard to it. As in photographs, up is a little special: shapes stand upright
//! within 25 degrees, light comes from above within 45, shadows fall below, and backgrounds have a
//! horizon (a third of them) or grow darker downwards. So a rotation of the image can be told from the image.

use super::draw;
use super::silhouette::Silhouette;
use super::texture::{Colour, Texture, mix};
use crate::random::ItemRng;

/// Height and width of the images, in pixels.
pub const SIDE: usize = 32;

const DEGREE: f64 = std::f64::consts::PI / 180.0;
/// Points across a pixel, in each direction, at which its coverage is looked at.
const SAMPLES: usize = 3;
/// Further than this from an outline, in pixels, a pixel lies wholly on one side of it.
const EDGE_PX: f64 = 0.95;
/// Least distance between the colours of the shape and of what is behind it.
const LEAST_CONTRAST: f64 = 0.6;

/// All that was drawn for one image.
pub struct Scene {
    outline: Outline,
    surface: Texture,
    light: Light,
    background: Background,
    clutter: Vec<Spot>,
    exposure: Exposure,
}

impl Scene {
    /// Draws a scene with `shape` in it.
    pub fn sample(rng: &mut ItemRng, shape: Silhouette) -> Self {
        let outline = Outline::sample(rng, shape);
        let light = Light::sample(rng, outline.size_px);
        let background = Background::sample(rng);
        let surface = {
            let colour = background.colour_apart(rng);
            let contrast = draw::between(rng, 0.03, 0.10);
            Texture::sample(rng, colour, contrast)
        };
        let spots = usize::from(draw::chance(rng, 0.25));
        Self {
            clutter: (0..spots).map(|_| Spot::sample(rng)).collect(),
            exposure: Exposure::sample(rng),
            outline,
            surface,
            light,
            background,
        }
    }

    /// Paints the scene, u8 `[SIDE, SIDE, 3]`; `rng` gives the noise of the pixels.
    pub fn paint(&self, rng: &mut ItemRng) -> Vec<u8> {
        let mut pixels = Vec::with_capacity(SIDE * SIDE * 3);
        for row in 0..SIDE {
            for column in 0..SIDE {
                let colour = self.colour(column as f64 + 0.5, row as f64 + 0.5);
                let developed = self.exposure.develop(rng, colour);
                pixels.extend(developed.map(|value| (value * 255.0 + 0.5) as u8));
            }
        }
        pixels
    }

    /// The colour of the pixel with its centre at (x, y).
    fn colour(&self, x: f64, y: f64) -> Colour {
        let distance = self.outline.distance(x, y);
        let coverage = self.outline.coverage(x, y, distance);
        let mut behind = [0.0; 3];
        if coverage < 1.0 {
            behind = self.background.colour(x, y);
            for spot in &self.clutter {
                behind = mix(behind, spot.colour, spot.coverage(x, y));
            }
            let shadow = self.light.shadow(&self.outline, x, y);
            behind = behind.map(|value| value * (1.0 - shadow));
        }
        if coverage == 0.0 {
            return behind;
        }
        let [shade, shine] = self.light.shade(&self.outline, x, y, distance);
        let lit = (self.surface.colour(x, y)).map(|value| (value * shade + shine).min(1.0));
        mix(behind, lit, coverage)
    }
}

/// A shape in its place.
struct Outline {
    shape: Silhouette,
    centre: [f64; 2],
    size_px: f64,
    /// Width over height, square root of.
    stretch: f64,
    /// Cosine and sine of its angle.
    turn: [f64; 2],
}

impl Outline {
    fn sample(rng: &mut ItemRng, shape: Silhouette) -> Self {
        let angle = draw::between(rng, -25.0, 25.0) * DEGREE;
        let middle = SIDE as f64 / 2.0;
        let mut place = || middle + draw::between(rng, -4.5, 4.5);
        Self {
            shape,
            centre: [place(), place()],
            size_px: draw::between(rng, 8.5, 13.0),
            stretch: draw::between(rng, 0.92, 1.08),
            turn: [libm::cos(angle), libm::sin(angle)],
        }
    }

    /// Distance to the outline in pixels, below 0 inside.
    fn distance(&self, x: f64, y: f64) -> f64 {
        let [dx, dy] = [x - self.centre[0], y - self.centre[1]];
        let [cos, sin] = self.turn;
        let across = (cos * dx + sin * dy) / (self.size_px * self.stretch);
        let down = (cos * dy - sin * dx) * self.stretch / self.size_px;
        self.size_px * self.shape.distance(across, down)
    }

    /// The share of the pixel at (x, y) that lies inside; `distance` is that of its centre.
    fn coverage(&self, x: f64, y: f64, distance: f64) -> f64 {
        if distance.abs() > EDGE_PX {
            return if distance < 0.0 { 1.0 } else { 0.0 };
        }
        let offset = |step: usize| (step as f64 + 0.5) / SAMPLES as f64 - 0.5;
        let inside = (0..SAMPLES * SAMPLES)
            .filter(|point| {
                let [dx, dy] = [offset(point % SAMPLES), offset(point / SAMPLES)];
                self.distance(x + dx, y + dy) < 0.0
            })
            .count();
        inside as f64 / (SAMPLES * SAMPLES) as f64
    }

    /// Direction in which the distance grows, of about length 1.
    fn outwards(&self, x: f64, y: f64) -> [f64; 2] {
        let slope = |dx: f64, dy: f64| {
            (self.distance(x + dx, y + dy) - self.distance(x - dx, y - dy)) / 0.8
        };
        [slope(0.4, 0.0), slope(0.0, 0.4)]
    }
}

/// Where light comes from, and how the shape answers it.
struct Light {
    /// Towards the light: right, down, out of the picture.
    towards: [f64; 3],
    /// Half-way between the light and the eye.
    half_way: [f64; 3],
    ambient: f64,
    shine: f64,
    /// Width of the rounded rim of the shape.
    rim_px: f64,
    steepness: f64,
    shadow: f64,
    shadow_px: f64,
}

impl Light {
    fn sample(rng: &mut ItemRng, size_px: f64) -> Self {
        let azimuth = draw::between(rng, -45.0, 45.0) * DEGREE;
        let elevation = draw::between(rng, 25.0, 60.0) * DEGREE;
        let flat = libm::cos(elevation);
        let towards = [
            libm::sin(azimuth) * flat,
            -libm::cos(azimuth) * flat,
            libm::sin(elevation),
        ];
        Self {
            towards,
            half_way: unit_vector([towards[0], towards[1], towards[2] + 1.0]),
            ambient: draw::between(rng, 0.3, 0.6),
            shine: draw::between(rng, 0.0, 0.5),
            rim_px: size_px * draw::between(rng, 0.2, 0.7),
            steepness: draw::between(rng, 0.5, 1.8),
            shadow: draw::between(rng, 0.15, 0.6),
            shadow_px: draw::between(rng, 1.0, 3.5),
        }
    }

    /// What the surface colour is multiplied by and what is added to it (Lambert, and a highlight
    /// after Blinn), at `distance` from the outline. A flat surface has factor 1.
    fn shade(&self, outline: &Outline, x: f64, y: f64, distance: f64) -> [f64; 2] {
        let depth = (-distance / self.rim_px).clamp(0.0, 1.0);
        let slope = self.steepness * (1.0 - depth);
        let [right, down] = outline.outwards(x, y);
        let normal = unit_vector([right * slope, down * slope, 1.0]);
        let lit = self.ambient + (1.0 - self.ambient) * dot(normal, self.towards).max(0.0);
        let flat = self.ambient + (1.0 - self.ambient) * self.towards[2];
        let mirrored = dot(normal, self.half_way).max(0.0);
        let squared = mirrored * mirrored;
        let fourth = squared * squared;
        let sixteenth = fourth * fourth * fourth * fourth;
        [lit / flat, self.shine * sixteenth * fourth]
    }

    /// How much of the light the shape keeps from (x, y) behind it, 0 to 1.
    fn shadow(&self, outline: &Outline, x: f64, y: f64) -> f64 {
        let [right, down, _] = self.towards;
        let towards = [right * self.shadow_px, down * self.shadow_px];
        let distance = outline.distance(x + towards[0], y + towards[1]);
        self.shadow * (0.5 - distance / 3.0).clamp(0.0, 1.0)
    }
}

/// What lies behind the shape.
struct Background {
    above: Texture,
    below: Texture,
    colours: [Colour; 2],
    /// Height of the horizon at the left and right edge, in pixels from the top; far below the
    /// image where there is none.
    horizon_px: [f64; 2],
    /// Brightness at the top and at the bottom.
    brightness: [f64; 2],
}

impl Background {
    fn sample(rng: &mut ItemRng) -> Self {
        let has_horizon = draw::chance(rng, 0.35);
        let colours = [colour(rng, 0.35, 1.0), colour(rng, 0.15, 0.75)];
        let (above, horizon) = if has_horizon {
            let contrast = draw::between(rng, 0.02, 0.08);
            let sky = Texture::clouds(rng, colours[0], contrast);
            (sky, draw::between(rng, 9.0, 25.0))
        } else {
            let contrast = draw::between(rng, 0.02, 0.08);
            let wall = Texture::sample(rng, colours[0], contrast);
            (wall, 10.0 * SIDE as f64)
        };
        let contrast = draw::between(rng, 0.02, 0.08);
        let tilt = draw::between(rng, -2.5, 2.5);
        Self {
            above,
            below: Texture::sample(rng, colours[1], contrast),
            colours: [colours[0], colours[usize::from(has_horizon)]],
            horizon_px: [horizon - tilt, horizon + tilt],
            brightness: [draw::between(rng, 0.95, 1.2), draw::between(rng, 0.6, 0.95)],
        }
    }

    /// A colour that differs from those of the background, as far as some tries find one.
    fn colour_apart(&self, rng: &mut ItemRng) -> Colour {
        let mut best = (0.0, [0.0; 3]);
        for _ in 0..8 {
            let tried = colour(rng, 0.15, 1.0);
            let apart = self.colours.map(|behind| {
                let squares: f64 = (0..3)
                    .map(|c| (behind[c] - tried[c]) * (behind[c] - tried[c]))
                    .sum();
                squares.sqrt()
            });
            let least = apart[0].min(apart[1]);
            if least > best.0 {
                best = (least, tried);
            }
            if least > LEAST_CONTRAST {
                break;
            }
        }
        best.1
    }

    fn colour(&self, x: f64, y: f64) -> Colour {
        let side = SIDE as f64;
        let horizon = self.horizon_px[0] + (self.horizon_px[1] - self.horizon_px[0]) * x / side;
        let down = (y - horizon + 0.5).clamp(0.0, 1.0);
        let colour = if down == 0.0 {
            self.above.colour(x, y)
        } else {
            mix(self.above.colour(x, y), self.below.colour(x, y), down)
        };
        let [top, bottom] = self.brightness;
        let brightness = top + (bottom - top) * y / side;
        colour.map(|value| (value * brightness).min(1.0))
    }
}

/// A small thing of no importance behind the shape.
struct Spot {
    centre: [f64; 2],
    radii: [f64; 2],
    colour: Colour,
}

impl Spot {
    fn sample(rng: &mut ItemRng) -> Self {
        let mut place = || draw::between(rng, 0.0, SIDE as f64);
        Self {
            centre: [place(), place()],
            radii: [draw::between(rng, 1.0, 3.5), draw::between(rng, 1.0, 3.5)],
            colour: colour(rng, 0.1, 1.0),
        }
    }

    fn coverage(&self, x: f64, y: f64) -> f64 {
        let u = (x - self.centre[0]) / self.radii[0];
        let v = (y - self.centre[1]) / self.radii[1];
        let reach = (u * u + v * v).sqrt();
        (0.5 + (1.0 - reach) * self.radii[0].min(self.radii[1])).clamp(0.0, 1.0)
    }
}

/// The camera: brightness, colour cast and noise.
struct Exposure {
    gain: Colour,
    noise: f64,
}

impl Exposure {
    fn sample(rng: &mut ItemRng) -> Self {
        let gain = draw::between(rng, 0.75, 1.15);
        Self {
            gain: std::array::from_fn(|_| gain * draw::between(rng, 0.92, 1.08)),
            noise: draw::between(rng, 0.003, 0.02),
        }
    }

    fn develop(&self, rng: &mut ItemRng, colour: Colour) -> Colour {
        let bits = draw::bits(rng);
        std::array::from_fn(|channel| {
            // Two bytes a channel: their sum has the triangular distribution of variance 1/6.
            let part = bits >> (16 * channel);
            let sum = (part & 0xff) as f64 + ((part >> 8) & 0xff) as f64;
            let noise = (sum / 255.0 - 1.0) * 2.449_49 * self.noise;
            (colour[channel] * self.gain[channel] + noise).clamp(0.0, 1.0)
        })
    }
}

/// A colour of any hue, with its largest part between `dark` and `bright`.
fn colour(rng: &mut ItemRng, dark: f64, bright: f64) -> Colour {
    let value = draw::between(rng, dark, bright);
    let saturation = draw::between(rng, 0.0, 0.85);
    let hue = draw::between(rng, 0.0, 6.0);
    std::array::from_fn(|channel| {
        let turned = (hue + 2.0 * channel as f64) % 6.0;
        let share = ((turned - 3.0).abs() - 1.0).clamp(0.0, 1.0);
        value * (1.0 - saturation * (1.0 - share))
    })
}

fn dot(one: [f64; 3], other: [f64; 3]) -> f64 {
    one[0] * other[0] + one[1] * other[1] + one[2] * other[2]
}

fn unit_vector(vector: [f64; 3]) -> [f64; 3] {
    let length = dot(vector, vector).sqrt();
    vector.map(|part| part / length)
}
