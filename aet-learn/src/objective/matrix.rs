//! The matrix M(theta) of a transformation as a differentiable function of its normalised target
//! (AET, section 3.2), for the loss 1/2 ||M(theta) - M(theta^)||^2.
//!
//! M is `source_from_output` with its pixel coordinates replaced by normalised ones, which span
//! [-1, 1] over the image, so that no entry outweighs the others by its unit. The scale of a
//! projective M is fixed by its bottom-right entry in pixel coordinates, which is 1.

use aet_geometry::Family;
use burn::tensor::{Tensor, TensorData};

/// Keeps the gradient of a (cosine, sine) pair's length finite.
const TINY: f64 = 1e-12;

/// Normalised targets `[batch, target length]` to the entries of M, row by row, `[batch, 9]`, for
/// images of `image_size` (height, width, in pixels).
pub fn normalised_matrix_entries(
    family: &Family,
    target: Tensor<2>,
    image_size: [usize; 2],
) -> Tensor<2> {
    let pixel = match Motion::of(family) {
        Some(motion) => motion.pixel_entries(target, image_size),
        None => linear_entries(family, target, image_size),
    };
    let change = TensorData::new(change_of_coordinates(image_size), [9, 9]);
    let change = Tensor::from_data(change, &pixel.device());
    pixel.matmul(change)
}

/// The entries, in pixels, of a family whose target is linear in them, as the projective one's is.
/// Where the family puts the target 0 and each unit target says what the linear map is.
fn linear_entries(family: &Family, target: Tensor<2>, [height, width]: [usize; 2]) -> Tensor<2> {
    let length = family.target_len();
    let entries_of = |target: &[f32]| -> Vec<f32> {
        match family.source_from_output(target, height, width) {
            Ok(map) => {
                let coefficients = map.coefficients().map(|value| value as f32);
                coefficients.into_iter().chain([1.0]).collect()
            }
            Err(_) => vec![0.0; 9],
        }
    };
    let origin = entries_of(&vec![0.0; length]);
    let slopes: Vec<f32> = (0..length)
        .flat_map(|component| {
            let mut unit = vec![0.0; length];
            unit[component] = 1.0;
            let entries = entries_of(&unit);
            let slope: Vec<f32> = entries.iter().zip(&origin).map(|(e, o)| e - o).collect();
            slope
        })
        .collect();
    let device = target.device();
    let slopes = Tensor::<2>::from_data(TensorData::new(slopes, [length, 9]), &device);
    let origin = Tensor::<2>::from_data(TensorData::new(origin, [1, 9]), &device);
    target.matmul(slopes) + origin
}

/// Where a family that rotates, shifts, scales and shears keeps what in its target.
struct Motion {
    /// Largest shift, as a share of the side; 0 where the target has no shift.
    translation: f64,
    /// Range of the scale, where the target has one.
    scale: Option<[f64; 2]>,
    /// Largest shear in radians, where the target has one.
    shear_rad: Option<f64>,
    /// How far the centre lies off the middle of the image, in pixels.
    off_middle_px: f64,
}

impl Motion {
    fn of(family: &Family) -> Option<Self> {
        let (translation, scale) = match family {
            Family::Affine(affine) => (affine.translation, Some(affine.scale)),
            Family::Similarity(similarity) => (similarity.translation, Some(similarity.scale)),
            Family::Euclidean(euclidean) => (euclidean.translation, None),
            Family::Rotation(_) => (0.0, None),
            Family::Projective(_) => return None,
        };
        let shear_rad = match family {
            Family::Affine(affine) => Some(affine.shear_deg.to_radians()),
            _ => None,
        };
        Some(Self {
            translation,
            scale,
            shear_rad,
            off_middle_px: if shear_rad.is_some() { 0.5 } else { 0.0 },
        })
    }

    /// The entries of the inverse of T(centre) T(shift) A T(-centre) in pixels, `[batch, 9]`, where
    /// A = scale [cos a, -sin(a + b); sin a, cos(a + b)].
    fn pixel_entries(&self, target: Tensor<2>, [height, width]: [usize; 2]) -> Tensor<2> {
        let [batch, length] = target.dims();
        let device = target.device();
        let column = |index: usize| target.clone().slice([0..batch, index..index + 1]);
        let constant = |value: f64| Tensor::<2>::full([batch, 1], value, &device);
        let (cos, sin) = (column(0), column(1));
        let size = (cos.clone().square() + sin.clone().square() + TINY).sqrt();
        let (cos, sin) = (cos / size.clone(), sin / size);
        let shift = |index: usize, side: usize| match length {
            4.. => column(index) * (self.translation * side as f64),
            _ => constant(0.0),
        };
        let scale = match self.scale {
            Some([low, high]) => column(4) * ((high - low) / 2.0) + (low + high) / 2.0,
            None => constant(1.0),
        };
        let shear = match self.shear_rad {
            Some(most) => column(5) * most,
            None => constant(0.0),
        };
        let (cos_b, sin_b) = (shear.clone().cos(), shear.sin());
        let size = scale * cos_b.clone();
        let a = (cos.clone() * cos_b.clone() - sin.clone() * sin_b.clone()) / size.clone();
        let b = (sin.clone() * cos_b + cos.clone() * sin_b) / size.clone();
        let d = -sin / size.clone();
        let e = cos / size;
        let [x, y] = [width, height].map(|side| side as f64 / 2.0 + self.off_middle_px);
        let (shifted_x, shifted_y) = (shift(2, width) + x, shift(3, height) + y);
        let read = |p: &Tensor<2>, q: &Tensor<2>, centre: f64| {
            -(p.clone() * shifted_x.clone() + q.clone() * shifted_y.clone()) + centre
        };
        let (c, f) = (read(&a, &b, x), read(&d, &e, y));
        let (zero, one) = (constant(0.0), constant(1.0));
        Tensor::cat(vec![a, b, c, d, e, f, zero.clone(), zero, one], 1)
    }
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

    /// The entries by the family's own way from target to matrix.
    fn expected(family: &Family, target: &[f32]) -> [f64; 9] {
        let map = family.source_from_output(target, SIZE[0], SIZE[1]).unwrap();
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
        for (kind, _) in Family::KINDS {
            let family = Family::default_of(kind).unwrap();
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
