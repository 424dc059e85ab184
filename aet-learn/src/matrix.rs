//! The matrix M(theta) of a transformation as a differentiable function of its normalised target
//! (AET, section 3.2), for the loss 1/2 ||M(theta) - M(theta^)||^2, for the positions of corners,
//! and for warps.
//!
//! M is `source_from_output`. For losses its pixel coordinates are replaced by normalised ones, which
//! span [-1, 1] over the image, so that no entry outweighs the others by its unit. The scale of a
//! projective M is fixed by its bottom-right entry in pixel coordinates, which is 1.

use std::ops::{Add, Div, Mul, Neg, Sub};

use aet_geometry::scalar::Matrix;
use aet_geometry::{Family, Scalar, TransformationFamily};
use burn::tensor::{Tensor, TensorData};

/// Keeps the gradient of a (cosine, sine) pair's length finite.
const TINY: f64 = 1e-12;

/// Smallest third homogeneous coordinate that is divided by: what a map takes to its horizon or
/// beyond is taken far away instead.
pub(crate) const HORIZON: f64 = 0.1;

/// One number for each pair of a batch, `[batch, 1]`.
#[derive(Debug, Clone)]
pub struct Column(pub Tensor<2>);

impl Add for Column {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Column {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Mul for Column {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }
}

impl Div for Column {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        Self(self.0 / other.0)
    }
}

impl Neg for Column {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Scalar for Column {
    fn constant(&self, value: f64) -> Self {
        Self(Tensor::full(self.0.dims(), value, &self.0.device()))
    }

    fn sin(self) -> Self {
        Self(self.0.sin())
    }

    fn cos(self) -> Self {
        Self(self.0.cos())
    }

    fn direction(cos: Self, sin: Self) -> [Self; 2] {
        let length = (cos.0.clone().square() + sin.0.clone().square() + TINY).sqrt();
        [Self(cos.0 / length.clone()), Self(sin.0 / length)]
    }

    fn plus(self, value: f64) -> Self {
        Self(self.0.add_scalar(value))
    }

    fn times(self, value: f64) -> Self {
        Self(self.0.mul_scalar(value))
    }
}

/// Normalised targets `[batch, target length]` to the matrices `source_from_output`, in pixels, for
/// images of `image_size` (height, width).
pub fn pixel_matrix(family: &Family, target: Tensor<2>, image_size: [usize; 2]) -> Matrix<Column> {
    let columns: Vec<Column> = target.split(1, 1).into_iter().map(Column).collect();
    family.matrix(&columns, image_size)
}

/// Normalised targets `[batch, target length]` to the entries of M, row by row, `[batch, 9]`, for
/// images of `image_size` (height, width, in pixels).
pub fn normalised_matrix_entries(
    family: &Family,
    target: Tensor<2>,
    image_size: [usize; 2],
) -> Tensor<2> {
    let entries = pixel_matrix(family, target, image_size);
    let entries = entries.into_iter().flatten().map(|column| column.0);
    let pixel = Tensor::cat(entries.collect(), 1);
    let change = TensorData::new(change_of_coordinates(image_size), [9, 9]);
    let change = Tensor::from_data(change, &pixel.device());
    pixel.matmul(change)
}

/// Normalised targets `[batch, target length]` to where the corners of the transformed image are
/// read from, in pixels: x and y of (0, 0), (width, 0), (width, height), (0, height), `[batch, 8]`.
/// A corner that is on the horizon or behind it comes far away.
pub fn corner_positions_px(
    family: &Family,
    target: Tensor<2>,
    image_size: [usize; 2],
) -> Tensor<2> {
    let matrix = pixel_matrix(family, target, image_size);
    let [height, width] = image_size.map(|side| side as f64);
    let corners = [[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]];
    let positions = corners.into_iter().flat_map(|[x, y]| {
        let [u, v, w] = matrix.clone().map(|[p, q, r]| p.times(x) + q.times(y) + r);
        let w = w.0.clamp_min(HORIZON);
        [u.0 / w.clone(), v.0 / w]
    });
    Tensor::cat(positions.collect(), 1)
}

/// The mean distance, in pixels, between where the corners of an image of `image_size` (height, width)
/// are read from by a prediction and by the truth, both normalised targets `[batch, target length]`; off
/// the gradient.
pub fn corner_error_px(
    family: &Family,
    [prediction, target]: [&Tensor<2>; 2],
    image_size: [usize; 2],
) -> Tensor<1> {
    let corners = |of: &Tensor<2>| corner_positions_px(family, of.clone().detach(), image_size);
    let off = corners(prediction) - corners(target);
    let [batch, _] = off.dims();
    let squares = off.square().reshape([batch, 4, 2]).sum_dim(2);
    squares.sqrt().mean()
}

/// The `[9, 9]` matrix that takes the entries of a 3x3 matrix in pixels, as a row, to those of the
/// same map in normalised coordinates.
fn change_of_coordinates([height, width]: [usize; 2]) -> Vec<f32> {
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    let pixel_from_norm = [[x, 0.0, x], [0.0, y, y], [0.0, 0.0, 1.0]];
    let norm_from_pixel = [[1.0 / x, 0.0, -1.0], [0.0, 1.0 / y, -1.0], [0.0, 0.0, 1.0]];
    let mut change = vec![0.0; 81];
    for (row, column) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
        for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
            let share: f64 = norm_from_pixel[i][row] * pixel_from_norm[column][j];
            change[(row * 3 + column) * 9 + i * 3 + j] = share as f32;
        }
    }
    change
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use aet_data::random::{Purpose, generator};
    use burn::tensor::Device;

    use super::*;
    use crate::state::host_values;

    const SIZE: [usize; 2] = [24, 40];

    fn homographies() -> impl Iterator<Item = (&'static str, Family)> {
        let kinds = Family::KINDS.iter();
        kinds
            .map(|(kind, _)| (*kind, Family::default_of(kind).unwrap()))
            .filter(|(_, family)| family.is_homography())
    }

    /// The entries by the family's own way from target to matrix.
    fn expected(family: &Family, target: &[f32]) -> [f64; 9] {
        let map = family.source_from_output(target, SIZE[0], SIZE[1]);
        let map = map.unwrap().unwrap();
        let c = map.coefficients();
        let pixel = [c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], 1.0];
        let change = change_of_coordinates(SIZE);
        std::array::from_fn(|to| {
            (0..9)
                .map(|from| pixel[from] * f64::from(change[from * 9 + to]))
                .sum()
        })
    }

    #[test]
    fn entries_are_those_of_every_family() {
        for (kind, family) in homographies() {
            for index in 0..20 {
                let mut rng = generator(3, 0, index, Purpose::Transform);
                let target = family.sample(&mut rng, SIZE[0], SIZE[1]).target;
                let data = TensorData::new(target.clone(), [1, target.len()]);
                let tensor = Tensor::from_data(data, &Device::flex());
                let found = host_values(normalised_matrix_entries(&family, tensor, SIZE));
                for (found, expected) in found.iter().zip(expected(&family, &target)) {
                    let error = (f64::from(*found) - expected).abs();
                    assert!(
                        error < 2e-4 * (1.0 + expected.abs()),
                        "{kind}: {found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn corners_are_where_the_map_takes_them() {
        for (kind, family) in homographies() {
            let mut rng = generator(4, 0, 1, Purpose::Transform);
            let sampled = family.sample(&mut rng, SIZE[0], SIZE[1]);
            let data = TensorData::new(sampled.target.clone(), [1, sampled.target.len()]);
            let tensor = Tensor::from_data(data, &Device::flex());
            let found = host_values(corner_positions_px(&family, tensor, SIZE));
            let corners = [[0.0, 0.0], [40.0, 0.0], [40.0, 24.0], [0.0, 24.0]];
            for (found, corner) in found.chunks_exact(2).zip(corners) {
                let map = sampled.source_from_output().unwrap();
                let expected = map.apply(corner).unwrap();
                let off =
                    (f64::from(found[0]) - expected[0]).hypot(f64::from(found[1]) - expected[1]);
                assert!(off < 1e-2, "{kind}: {found:?} {expected:?}");
            }
        }
    }

    #[test]
    fn the_identity_stays_the_identity_in_normalised_coordinates() {
        let change = change_of_coordinates(SIZE);
        let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0_f32];
        for to in 0..9 {
            let entry: f32 = (0..9)
                .map(|from| identity[from] * change[from * 9 + to])
                .sum();
            assert!((entry - identity[to]).abs() < 1e-6);
        }
    }

    #[test]
    fn the_gradient_is_finite_at_a_vanishing_direction() {
        let device = Device::flex().autodiff();
        let target = Tensor::<2>::zeros([1, 6], &device).require_grad();
        let family = Family::default_of("affine").unwrap();
        let entries = normalised_matrix_entries(&family, target.clone(), SIZE);
        let gradients = entries.square().sum().backward();
        let gradient = host_values(target.grad(&gradients).unwrap());
        assert!(
            gradient.iter().all(|value| value.is_finite()),
            "{gradient:?}"
        );
    }
}
