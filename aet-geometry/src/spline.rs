//! Thin-plate splines (Bookstein, 1989): the smoothest field that takes given displacements at control
//! points. On a fixed grid of points it is linear in the displacements, so that one matrix serves all
//! fields of an image size.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The weights with which displacements of control points add up at every pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct SplineBasis {
    points: usize,
    weights: Vec<f32>,
}

/// Bases that were made, by points and image size.
type Made = HashMap<(usize, usize, usize), Arc<SplineBasis>>;

static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);

impl SplineBasis {
    /// The basis of `per_side` x `per_side` control points, evenly spaced from corner to corner, at
    /// the centres of the pixels of an image of `height` x `width`. It is made once and kept.
    pub fn of(per_side: usize, height: usize, width: usize) -> Arc<Self> {
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (per_side, height, width);
        let basis = made
            .entry(key)
            .or_insert_with(|| Arc::new(Self::new(per_side, height, width)));
        Arc::clone(basis)
    }

    /// Number of control points.
    pub fn points(&self) -> usize {
        self.points
    }

    /// The weight of each control point at each pixel, `[height * width, points]`; control points are
    /// row by row, the first at the upper left corner.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    fn new(per_side: usize, height: usize, width: usize) -> Self {
        let points = control_points(per_side);
        let count = points.len();
        let inverse = inverse_of_system(&points);
        let size = count + 3;
        let mut weights = Vec::with_capacity(height * width * count);
        for row in 0..height {
            for column in 0..width {
                let x = 2.0 * (column as f64 + 0.5) / width as f64 - 1.0;
                let y = 2.0 * (row as f64 + 0.5) / height as f64 - 1.0;
                let terms: Vec<f64> = points
                    .iter()
                    .map(|point| kernel(*point, [x, y]))
                    .chain([1.0, x, y])
                    .collect();
                weights.extend((0..count).map(|point| {
                    let sum: f64 = (0..size)
                        .map(|term| terms[term] * inverse[term * size + point])
                        .sum();
                    sum as f32
                }));
            }
        }
        Self {
            points: count,
            weights,
        }
    }
}

/// A grid over [-1, 1] x [-1, 1], row by row.
fn control_points(per_side: usize) -> Vec<[f64; 2]> {
    let at = |index: usize| 2.0 * index as f64 / (per_side.max(2) - 1) as f64 - 1.0;
    let rows = (0..per_side).flat_map(|row| (0..per_side).map(move |column| (row, column)));
    rows.map(|(row, column)| [at(column), at(row)]).collect()
}

/// r^2 log r^2 of the distance r.
fn kernel([x, y]: [f64; 2], [u, v]: [f64; 2]) -> f64 {
    let square = (x - u).powi(2) + (y - v).powi(2);
    if square > 0.0 {
        square * square.ln()
    } else {
        0.0
    }
}

/// The inverse of the symmetric system of a thin-plate spline, `[n + 3, n + 3]`, by Gauss and Jordan
/// with the largest pivot.
fn inverse_of_system(points: &[[f64; 2]]) -> Vec<f64> {
    let count = points.len();
    let size = count + 3;
    let width = 2 * size;
    let mut rows = vec![0.0; size * width];
    for row in 0..size {
        for column in 0..size {
            rows[row * width + column] = match (row < count, column < count) {
                (true, true) => kernel(points[row], points[column]),
                (true, false) => affine_term(points[row], column - count),
                (false, true) => affine_term(points[column], row - count),
                (false, false) => 0.0,
            };
        }
        rows[row * width + size + row] = 1.0;
    }
    for pivot in 0..size {
        let best = (pivot..size)
            .max_by(|a, b| {
                let at = |row: &usize| rows[row * width + pivot].abs();
                at(a).total_cmp(&at(b))
            })
            .unwrap_or(pivot);
        for column in 0..width {
            rows.swap(pivot * width + column, best * width + column);
        }
        let scale = 1.0 / rows[pivot * width + pivot];
        for column in 0..width {
            rows[pivot * width + column] *= scale;
        }
        for row in (0..size).filter(|row| *row != pivot) {
            let factor = rows[row * width + pivot];
            for column in 0..width {
                rows[row * width + column] -= factor * rows[pivot * width + column];
            }
        }
    }
    let halves = rows.chunks_exact(width).flat_map(|row| &row[size..]);
    halves.copied().collect()
}

fn affine_term([x, y]: [f64; 2], term: usize) -> f64 {
    [1.0, x, y][term]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field that displacements give at each pixel.
    fn field(basis: &SplineBasis, displacements: &[f64]) -> Vec<f64> {
        let rows = basis.weights().chunks_exact(basis.points());
        rows.map(|row| {
            row.iter()
                .zip(displacements)
                .map(|(w, d)| f64::from(*w) * d)
                .sum()
        })
        .collect()
    }

    #[test]
    fn affine_displacements_are_kept_everywhere() {
        let basis = SplineBasis::of(4, 10, 14);
        let affine = |[x, y]: [f64; 2]| 0.3 - 0.7 * x + 0.2 * y;
        let displacements: Vec<f64> = control_points(4).into_iter().map(affine).collect();
        for (place, found) in field(&basis, &displacements).into_iter().enumerate() {
            let x = 2.0 * ((place % 14) as f64 + 0.5) / 14.0 - 1.0;
            let y = 2.0 * ((place / 14) as f64 + 0.5) / 10.0 - 1.0;
            assert!((found - affine([x, y])).abs() < 1e-5, "{found} at {x} {y}");
        }
    }

    #[test]
    fn a_pixel_on_a_control_point_has_its_displacement() {
        // 3 points a side over 5 pixels: the middle pixel lies on the middle point.
        let basis = SplineBasis::of(3, 5, 5);
        let displacements: Vec<f64> = (0..9).map(|i| f64::from(i * i % 7) - 3.0).collect();
        let middle = field(&basis, &displacements)[2 * 5 + 2];
        assert!((middle - displacements[4]).abs() < 1e-5, "{middle}");
    }
}
