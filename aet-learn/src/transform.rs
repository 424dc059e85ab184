//! Transforming of batches on the device, differentiable in the transformation: for losses that compare
//! the image of an estimated transformation with that of the true one (AET, section 3.4: the
//! expected distance of non-parametric transformations).
//!
//! The forward pass differs from [`aet_geometry::warp()`] in one thing: where a colour comes from
//! outside, that one ends at the border of the image sharply, this one within half a pixel, as
//! `grid_sample` with zeros outside does, so that a border that moves has a gradient.

use aet_geometry::{Family, KernelBasis, SplineBasis, TransformationFamily};
use burn::tensor::ops::{GridSampleOptions, GridSamplePaddingMode, InterpolateMode};
use burn::tensor::{Int, Tensor, TensorData};

use crate::border::Outside;
use crate::matrix::{Column, HORIZON, pixel_matrix};

/// Images `[batch, channels, height, width]` changed by the transformations that normalised targets
/// `[batch, target length]` stand for, bilinearly; `outside` is what warps read from outside, of
/// three channels if it is a colour. Gradients flow to images and targets.
pub fn transform_batch(
    family: &Family,
    images: Tensor<4>,
    target: Tensor<2>,
    outside: Outside,
) -> Tensor<4> {
    if let Some(basis) = family.convolution() {
        return convolve(basis, images, target);
    }
    let [_, _, height, width] = images.dims();
    let grid = sampling_grid(family, target, [height, width]);
    let options = GridSampleOptions::new(InterpolateMode::Bilinear).with_align_corners(false);
    match outside {
        Outside::Fill(colour) => {
            let colour = TensorData::new(colour.to_vec(), [1, 3, 1, 1]);
            let fill = Tensor::<4>::from_data(colour, &images.device());
            let options = options.with_padding_mode(GridSamplePaddingMode::Zeros);
            (images - fill.clone()).grid_sample_2d(grid, options) + fill
        }
        // Folds the axes at the sides of the image, as the host does.
        Outside::Reflect => {
            let options = options.with_padding_mode(GridSamplePaddingMode::Reflection);
            images.grid_sample_2d(grid, options)
        }
    }
}

/// Images each convolved with a kernel of its own, which `target`, `[batch, side * side]`, gives; the
/// border is repeated outwards. Weights sum to 1, so that it is the same for normalised pixels.
fn convolve(basis: KernelBasis, images: Tensor<4>, target: Tensor<2>) -> Tensor<4> {
    let [batch, _, height, width] = images.dims();
    let side = basis.side_px;
    let reach = side as i64 / 2;
    let clamped = |length: usize| {
        let places = -reach..length as i64 + reach;
        Tensor::<1, Int>::arange(places, &images.device()).clamp(0, length as i64 - 1)
    };
    let (rows, columns) = (clamped(height), clamped(width));
    let padded = images.clone().select(2, rows).select(3, columns);
    let noise = (target.clone() - target.mean_dim(1)) * basis.scale;
    let weighted = (0..side * side).map(|place| {
        let (row, column) = (place / side, place % side);
        let seen = padded.clone();
        let seen = seen.narrow(2, row, height).narrow(3, column, width);
        seen * noise.clone().narrow(1, place, 1).reshape([batch, 1, 1, 1])
    });
    weighted.fold(images.clone(), |sum, part| sum + part)
}

/// Where each pixel of the transformed image is read from, in coordinates that span [-1, 1] over
/// the source image, `[batch, height, width, 2]` with x first.
fn sampling_grid(family: &Family, target: Tensor<2>, [height, width]: [usize; 2]) -> Tensor<4> {
    let device = target.device();
    let [batch, _] = target.dims();
    if let Some((basis, shift)) = family.spline([height, width]) {
        return spline_grid((&basis, shift), target, [height, width]);
    }
    let matrix = pixel_matrix(family, target, [height, width]);
    let centres = |side: usize| {
        Tensor::<1, Int>::arange(0..side as i64, &device)
            .float()
            .add_scalar(0.5)
    };
    let x = centres(width).reshape([1, 1, width]);
    let y = centres(height).reshape([1, height, 1]);
    let [u, v, w] = matrix.map(|row| {
        let [p, q, r] = row.map(|Column(value)| value.reshape([batch, 1, 1]));
        p * x.clone() + q * y.clone() + r
    });
    let w = w.clamp_min(HORIZON);
    let normalised = |position: Tensor<3>, side: usize| {
        (position / w.clone())
            .mul_scalar(2.0 / side as f64)
            .sub_scalar(1.0)
    };
    Tensor::stack(vec![normalised(u, width), normalised(v, height)], 3)
}

/// As [`sampling_grid`], of a thin-plate spline whose control points `target` moves by up to `shift`
/// of the sides.
fn spline_grid(
    (basis, shift): (&SplineBasis, f64),
    target: Tensor<2>,
    [height, width]: [usize; 2],
) -> Tensor<4> {
    let device = target.device();
    let [batch, length] = target.dims();
    let (pixels, points) = (height * width, basis.points());
    let weights = TensorData::new(basis.weights().to_vec(), [1, pixels, points]);
    let weights = Tensor::<3>::from_data(weights, &device);
    // A side spans 2 in normalised coordinates.
    let moves = target.reshape([batch, length / 2, 2]) * (2.0 * shift);
    let centre =
        |index: usize, side: usize| (2.0 * (index as f64 + 0.5) / side as f64 - 1.0) as f32;
    let centres: Vec<f32> = (0..pixels)
        .flat_map(|at| [centre(at % width, width), centre(at / width, height)])
        .collect();
    let centres = Tensor::<3>::from_data(TensorData::new(centres, [1, pixels, 2]), &device);
    (centres + weights.matmul(moves)).reshape([batch, height, width, 2])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use aet_data::random::{Purpose, generator};
    use aet_geometry::RgbImage;
    use burn::tensor::Device;

    use super::*;
    use crate::state::host_values;

    const SIZE: [usize; 2] = [12, 20];

    fn smooth() -> RgbImage {
        let [height, width] = SIZE;
        let value = |i: usize| {
            let (x, y) = ((i / 3 % width) as f64, (i / 3 / width) as f64);
            (127.0 + 60.0 * (x / 4.0 + (i % 3) as f64).sin() + 50.0 * (y / 3.0).cos()) as u8
        };
        RgbImage::new(height, width, (0..height * width * 3).map(value).collect()).unwrap()
    }

    /// An image as a tensor `[1, 3, height, width]` of values from 0 to 1.
    fn tensor(image: &RgbImage, device: &Device) -> Tensor<4> {
        let [height, width] = SIZE;
        let pixels = image.pixels();
        let values: Vec<f32> = (0..3)
            .flat_map(|channel| pixels.iter().skip(channel).step_by(3))
            .map(|value| f32::from(*value) / 255.0)
            .collect();
        Tensor::from_data(TensorData::new(values, [1, 3, height, width]), device)
    }

    fn targets(target: &[f32], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(target.to_vec(), [1, target.len()]), device)
    }

    fn differentiable() -> impl Iterator<Item = Family> {
        let kinds = Family::KINDS.iter();
        kinds
            .map(|(kind, _)| Family::default_of(kind).unwrap())
            .filter(|family| family.is_differentiable())
    }

    #[test]
    fn the_device_warps_as_the_host_does_but_at_the_border() {
        let device = Device::flex();
        let image = smooth();
        for family in differentiable() {
            let mut rng = generator(6, 0, 2, Purpose::Transform);
            let sampled = family.sample(&mut rng, SIZE[0], SIZE[1]);
            let fill = Outside::Fill([128.0 / 255.0; 3]);
            let target = targets(&sampled.target, &device);
            let found = host_values(transform_batch(
                &family,
                tensor(&image, &device),
                target,
                fill,
            ));
            let host = sampled.transformation.apply(image.view(), [128; 3]);
            let expected = host_values(tensor(&host, &device));
            let off = found
                .iter()
                .zip(&expected)
                .filter(|(f, e)| (*f - *e).abs() > 2.0 / 255.0);
            // The border of an image has some 64 of 240 pixels, and half of each may differ.
            assert!(off.count() <= 3 * 64, "{}", family.name());
            let mean: f32 = found
                .iter()
                .zip(&expected)
                .map(|(f, e)| (f - e).abs())
                .sum::<f32>()
                / found.len() as f32;
            assert!(mean < 0.03, "{}: {mean}", family.name());
        }
    }

    #[test]
    fn a_mirrored_border_is_the_same_on_device_and_host_everywhere() {
        let device = Device::flex();
        let image = smooth();
        let kinds = ["affine", "projective", "translation", "thin-plate"];
        // A range so wide that the image is mirrored more than once.
        let wide = r#"{ "kind": "scaling", "scale": [0.2, 0.25] }"#;
        let families = kinds.map(|kind| Family::default_of(kind).unwrap());
        let wide = serde_json::from_str::<Family>(wide).unwrap();
        for (draw, family) in families.iter().chain([&wide]).enumerate() {
            let mut rng = generator(6, 0, draw as u64, Purpose::Transform);
            let sampled = family.sample(&mut rng, SIZE[0], SIZE[1]);
            let inside = sampled.transformation.reads_inside(SIZE[0], SIZE[1]);
            assert!(inside.contains(&false), "{}", family.name());
            let target = targets(&sampled.target, &device);
            let images = tensor(&image, &device);
            let found = host_values(transform_batch(family, images, target, Outside::Reflect));
            let host = (sampled.transformation).apply(image.view(), aet_geometry::Border::Reflect);
            for (found, expected) in found.iter().zip(host_values(tensor(&host, &device))) {
                let off = (found - expected).abs();
                assert!(off < 2.0 / 255.0, "{}: {found} {expected}", family.name());
            }
        }
    }

    #[test]
    fn gradients_are_those_of_central_differences_on_an_image_that_is_not_square() {
        let device = Device::flex().autodiff();
        let image = tensor(&smooth(), &device);
        let weights = (image.clone() * 7.0).sin();
        let value = |family: &Family, target: &[f32], outside: Outside| -> f64 {
            let warped = transform_batch(family, image.clone(), targets(target, &device), outside);
            let sum = host_values((warped * weights.clone()).reshape([-1]));
            sum.iter().map(|v| f64::from(*v)).sum()
        };
        let outsides = [Outside::Fill([0.5; 3]), Outside::Reflect];
        for (family, outside) in differentiable().flat_map(|f| outsides.map(|o| (f.clone(), o))) {
            let mut rng = generator(8, 0, 3, Purpose::Transform);
            let target = family.sample(&mut rng, SIZE[0], SIZE[1]).target;
            let leaf = targets(&target, &device).require_grad();
            let warped = transform_batch(&family, image.clone(), leaf.clone(), outside);
            let gradients = (warped * weights.clone()).sum().backward();
            let found = host_values(leaf.grad(&gradients).unwrap());
            let step = 2e-3;
            let expected: Vec<f64> = (0..target.len())
                .map(|index| {
                    let at = |by: f32| {
                        let mut moved = target.clone();
                        moved[index] += by;
                        value(&family, &moved, outside)
                    };
                    (at(step) - at(-step)) / f64::from(2.0 * step)
                })
                .collect();
            let largest = expected.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
            for (found, expected) in found.iter().zip(&expected) {
                // Bilinear interpolation has kinks at pixel centres, which a step may pass.
                let off = (f64::from(*found) - expected).abs();
                assert!(
                    off < 0.05 * largest,
                    "{}: {found} for {expected}",
                    family.name()
                );
            }
        }
    }
}
