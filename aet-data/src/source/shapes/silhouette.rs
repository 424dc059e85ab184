//! The ten outlines, as signed distances: below 0 inside, above 0 outside.
//!
//! All of them cover the same area, pi / 2 (that of a disc of radius 0.707), so that neither how
//! much of an image a shape fills nor the brightness that comes with it tells the class. Each
//! remains a shape of its own under any rotation. x points right and y down, as in images.

/// A class of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silhouette {
    /// A full circle.
    Disc,
    /// Four equal sides.
    Square,
    /// Three equal sides, a corner on top.
    Triangle,
    /// Five points, one on top.
    Star,
    /// A plus sign.
    Cross,
    /// A circle with a round hole.
    Ring,
    /// A moon that opens to the right.
    Crescent,
    /// Two lobes above, the tip below.
    Heart,
    /// An arrow that points up.
    Arrow,
    /// Six equal sides.
    Hexagon,
}

/// All classes, in the order of their labels.
pub const ALL: [Silhouette; 10] = [
    Silhouette::Disc,
    Silhouette::Square,
    Silhouette::Triangle,
    Silhouette::Star,
    Silhouette::Cross,
    Silhouette::Ring,
    Silhouette::Crescent,
    Silhouette::Heart,
    Silhouette::Arrow,
    Silhouette::Hexagon,
];

/// The area of every outline.
pub const AREA: f64 = std::f64::consts::FRAC_PI_2;

/// A corner, `[x, y]`.
type Point = [f64; 2];

const TRIANGLE: [Point; 3] = [[0.0, -1.0], [0.866_025_4, 0.5], [-0.866_025_4, 0.5]];
const HEXAGON: [Point; 6] = [
    [0.0, -1.0],
    [0.866_025_4, -0.5],
    [0.866_025_4, 0.5],
    [0.0, 1.0],
    [-0.866_025_4, 0.5],
    [-0.866_025_4, -0.5],
];
/// Points at radius 1, notches at 0.42.
const STAR: [Point; 10] = [
    [0.0, -1.0],
    [0.246_869_8, -0.339_787_1],
    [0.951_056_5, -0.309_017_0],
    [0.399_443_7, 0.129_787_1],
    [0.587_785_3, 0.809_017_0],
    [0.0, 0.42],
    [-0.587_785_3, 0.809_017_0],
    [-0.399_443_7, 0.129_787_1],
    [-0.951_056_5, -0.309_017_0],
    [-0.246_869_8, -0.339_787_1],
];
const CROSS: [Point; 12] = [
    [-0.32, -1.0],
    [0.32, -1.0],
    [0.32, -0.32],
    [1.0, -0.32],
    [1.0, 0.32],
    [0.32, 0.32],
    [0.32, 1.0],
    [-0.32, 1.0],
    [-0.32, 0.32],
    [-1.0, 0.32],
    [-1.0, -0.32],
    [-0.32, -0.32],
];
const ARROW: [Point; 7] = [
    [0.0, -1.0],
    [0.85, -0.05],
    [0.32, -0.05],
    [0.32, 1.0],
    [-0.32, 1.0],
    [-0.32, -0.05],
    [-0.85, -0.05],
];

impl Silhouette {
    /// The name of the class.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disc => "disc",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Star => "star",
            Self::Cross => "cross",
            Self::Ring => "ring",
            Self::Crescent => "crescent",
            Self::Heart => "heart",
            Self::Arrow => "arrow",
            Self::Hexagon => "hexagon",
        }
    }

    /// How much larger than its raw form each outline is drawn, to cover [`AREA`].
    fn scale(self) -> f64 {
        match self {
            Self::Disc => std::f64::consts::FRAC_1_SQRT_2,
            Self::Square => 0.626_657,
            Self::Triangle => 1.099_639,
            Self::Star => 1.128_056,
            Self::Cross => 0.854_659,
            Self::Ring => 0.838_942,
            Self::Crescent => 0.995_750,
            Self::Heart => 1.326_699,
            Self::Arrow => 1.030_372,
            Self::Hexagon => 0.777_562,
        }
    }

    /// The signed distance from (x, y) to the outline, in the units of x and y.
    pub fn distance(self, x: f64, y: f64) -> f64 {
        let scale = self.scale();
        scale * self.raw_distance(x / scale, y / scale)
    }

    fn raw_distance(self, x: f64, y: f64) -> f64 {
        match self {
            Self::Disc => length(x, y) - 1.0,
            Self::Square => {
                let (dx, dy) = (x.abs() - 1.0, y.abs() - 1.0);
                length(dx.max(0.0), dy.max(0.0)) + dx.max(dy).min(0.0)
            }
            Self::Ring => (length(x, y) - 0.769).abs() - 0.231,
            Self::Crescent => (length(x, y) - 1.0).max(0.78 - length(x - 0.5, y)),
            Self::Heart => heart(x, y),
            Self::Triangle => polygon(&TRIANGLE, x, y),
            Self::Star => polygon(&STAR, x, y),
            Self::Cross => polygon(&CROSS, x, y),
            Self::Arrow => polygon(&ARROW, x, y),
            Self::Hexagon => polygon(&HEXAGON, x, y),
        }
    }
}

/// A square on its corner, with half a disc on each of its upper sides; 1.1 high.
fn heart(x: f64, y: f64) -> f64 {
    let (x, y) = (x.abs(), 0.52 - y);
    if x + y > 1.0 {
        return length(x - 0.25, y - 0.75) - std::f64::consts::SQRT_2 / 4.0;
    }
    let along = 0.5 * (x + y).max(0.0);
    let to_notch = x * x + (y - 1.0) * (y - 1.0);
    let to_side = (x - along) * (x - along) + (y - along) * (y - along);
    let distance = to_notch.min(to_side).sqrt();
    if x > y { distance } else { -distance }
}

/// The distance to the nearest side, below 0 where a ray to the right crosses an odd number of
/// sides.
fn polygon(corners: &[Point], x: f64, y: f64) -> f64 {
    let mut nearest = f64::INFINITY;
    let mut inside = false;
    let mut last = corners[corners.len() - 1];
    for &corner in corners {
        let [ex, ey] = [last[0] - corner[0], last[1] - corner[1]];
        let [px, py] = [x - corner[0], y - corner[1]];
        let along = ((px * ex + py * ey) / (ex * ex + ey * ey)).clamp(0.0, 1.0);
        let [dx, dy] = [px - ex * along, py - ey * along];
        nearest = nearest.min(dx * dx + dy * dy);
        let spans = (corner[1] > y) != (last[1] > y);
        if spans && px * ey * ey.signum() < ex * py * ey.signum() {
            inside = !inside;
        }
        last = corner;
    }
    let distance = nearest.sqrt();
    if inside { -distance } else { distance }
}

fn length(x: f64, y: f64) -> f64 {
    (x * x + y * y).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: i32 = 400;

    /// Points of a grid over `[-2, 2]` in both directions.
    fn grid() -> impl Iterator<Item = [f64; 2]> {
        let at = |step: i32| (f64::from(step) + 0.5) * 4.0 / f64::from(STEPS) - 2.0;
        (0..STEPS).flat_map(move |row| (0..STEPS).map(move |column| [at(column), at(row)]))
    }

    #[test]
    fn every_outline_covers_the_same_area() {
        let step = 4.0 / f64::from(STEPS);
        for shape in ALL {
            // Cells on the outline count in part.
            let part = |[x, y]: [f64; 2]| (0.5 - shape.distance(x, y) / step).clamp(0.0, 1.0);
            let area = grid().map(part).sum::<f64>() * step * step;
            let factor = (AREA / area).sqrt();
            println!("{} covers {area}, scale times {factor}", shape.name());
            assert!((factor - 1.0).abs() < 0.001, "{}: {factor}", shape.name());
        }
    }

    #[test]
    fn distances_change_no_faster_than_places() {
        for shape in ALL {
            for [x, y] in grid().step_by(7) {
                let here = shape.distance(x, y);
                for [dx, dy] in [[0.01, 0.0], [0.0, 0.01]] {
                    let change = (shape.distance(x + dx, y + dy) - here).abs();
                    assert!(change <= 0.0101, "{} at {x}, {y}: {change}", shape.name());
                }
            }
        }
    }

    #[test]
    fn outlines_differ_from_each_other() {
        for (number, one) in ALL.iter().enumerate() {
            for other in &ALL[number + 1..] {
                let differ = grid().filter(|[x, y]| {
                    (one.distance(*x, *y) < 0.0) != (other.distance(*x, *y) < 0.0)
                });
                let share = differ.count() as f64 * (4.0 / f64::from(STEPS)).powi(2) / AREA;
                assert!(share > 0.05, "{} and {}: {share}", one.name(), other.name());
            }
        }
    }
}
