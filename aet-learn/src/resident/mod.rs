//! Images that live on a device, and the views that are made of them there: of a batch only the plan,
//! some numbers an image, comes from the host ([`PairPlan`]).
//!
//! What comes out is what the host's pipeline gives, but for rounding: the host cuts values off to whole
//! levels of 256 after weighing them in whole numbers, this does so after weighing them in f32, so that
//! one in some hundred values differs by one level.

#[cfg(feature = "cube")]
mod kernel;

use std::sync::Arc;

use aet_data::{HostBatch, ImageSet, ItemPipeline, Normalisation, PairPlan};
use burn::tensor::ops::{GridSampleOptions, GridSamplePaddingMode, InterpolateMode};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::batch::Batch;
use crate::config::{Experiment, ViewsMade};
use crate::device::is_cpu;
use crate::error::{ConfigError, LearnError};

/// Levels that rounding may take from a value which is a whole number.
const ROUNDING: f64 = 2e-3;

/// What is no further before the horizon, over the largest third coordinate that there can be, has no
/// place in the image.
const HORIZON: f64 = 1e-6;

/// The images of a set on a device, and the plan by which views are made of them.
#[derive(Debug)]
pub struct Resident {
    /// `[images, 3, height * width]`, levels from 0 to 255.
    pixels: Tensor<3, Int>,
    /// Scale, offset and fill, of three channels each, `[9]`.
    colours: Tensor<1>,
    height: usize,
    width: usize,
    plan: PairPlan,
}

/// Bytes that a level takes on `device`.
fn level_bytes(device: &Device) -> usize {
    match device.supports_dtype(DType::U8) {
        true => 1,
        false => 4,
    }
}

impl Resident {
    /// Bytes that `set` takes on `device`; none where its images have to be read one by one, or differ
    /// in size from its items.
    pub fn bytes(set: &ImageSet, device: &Device) -> Option<usize> {
        let fits = |index: usize| {
            let image = set.image(index);
            [image.height(), image.width()] == set.size()
        };
        let held = !set.is_streamed() && (0..set.len()).all(fits);
        held.then(|| set.len() * 3 * set.height() * set.width() * level_bytes(device))
    }

    /// Moves the images of `set` to `device`; none where [`bytes`](Self::bytes) gives none.
    pub fn load(set: &ImageSet, plan: PairPlan, device: &Device) -> Option<Self> {
        Self::bytes(set, device)?;
        let device = device.clone().without_autodiff();
        let (height, width) = (set.height(), set.width());
        let planes = (0..set.len()).flat_map(|index| {
            let pixels = set.image(index).pixels();
            (0..3).flat_map(move |channel| pixels.iter().skip(channel).step_by(3).copied())
        });
        let shape = [set.len(), 3, height * width];
        let pixels = match level_bytes(&device) {
            1 => {
                let data = TensorData::new(planes.collect::<Vec<u8>>(), shape);
                Tensor::from_data(data, (&device, DType::U8))
            }
            _ => {
                let data = TensorData::new(planes.map(i32::from).collect::<Vec<i32>>(), shape);
                Tensor::from_data(data, (&device, DType::I32))
            }
        };
        let Normalisation { mean, std } = &plan.normalisation;
        let scale = std.map(|std| 1.0 / (255.0 * std));
        let offset: [f32; 3] = std::array::from_fn(|at| -mean[at] / std[at]);
        let colours = [scale, offset, plan.fill.map(f32::from)].concat();
        Some(Self {
            pixels,
            colours: Tensor::from_data(TensorData::new(colours, [9]), &device),
            height,
            width,
            plan,
        })
    }

    /// The batch that `indices` and `numbers` plan, `[batch, plan.target_len()]`, on autodiff where
    /// `device` is.
    fn batch(&self, indices: &[usize], numbers: Vec<f32>, device: &Device) -> Batch {
        let plain = self.pixels.device();
        let rows = indices.len();
        let places: Vec<i32> = indices.iter().map(|index| *index as i32).collect();
        let places = TensorData::new(places, [rows]);
        let places = Tensor::<1, Int>::from_data(places, (&plain, DType::I32));
        let columns = numbers.len() / rows.max(1);
        let numbers = Tensor::<2>::from_data(TensorData::new(numbers, [rows, columns]), &plain);
        let views = self.views(places, &numbers);
        let target = numbers.narrow(1, 0, self.plan.families_len());
        let tracked = device.is_autodiff();
        let views = views.into_iter().map(|view| match tracked {
            true => view.autodiff(),
            false => view,
        });
        Batch {
            views: views.collect(),
            target: if tracked { target.autodiff() } else { target },
            epochs_done: None,
        }
    }

    /// All views, `[batch, 3, height, width]` each.
    fn views(&self, places: Tensor<1, Int>, numbers: &Tensor<2>) -> Vec<Tensor<4>> {
        let shifts = self.plan.families_len();
        let copies = 0..self.plan.copies();
        let matrices = copies.map(|copy| shifts + PairPlan::SHIFTS + copy * PairPlan::MATRIX);
        #[cfg(feature = "cube")]
        if kernel::applies(&self.pixels) {
            let view = |matrix| {
                let size = [self.height, self.width];
                let (pixels, colours) = (self.pixels.clone(), self.colours.clone());
                let (places, numbers) = (places.clone(), numbers.clone());
                kernel::view(pixels, places, numbers, colours, size, shifts, matrix)
            };
            return std::iter::once(None)
                .chain(matrices.map(Some))
                .map(view)
                .collect();
        }
        let part = |start: usize, count: usize| numbers.clone().narrow(1, start, count);
        let chosen = self.pixels.clone().select(0, places).float();
        let original = self.shifted(chosen, part(shifts, PairPlan::SHIFTS));
        let warped = matrices.map(|at| self.warped(original.clone(), part(at, PairPlan::MATRIX)));
        std::iter::once(original.clone())
            .chain(warped)
            .map(|view| self.normalised(view))
            .collect()
    }

    /// Whole numbers from 0 along the rows, `[1, height, 1]`, and along the columns, `[1, 1, width]`.
    fn axes(&self) -> [Tensor<3>; 2] {
        let device = self.pixels.device();
        let axis = |side: usize| Tensor::<1, Int>::arange(0..side as i64, &device).float();
        [
            axis(self.height).reshape([1, self.height, 1]),
            axis(self.width).reshape([1, 1, self.width]),
        ]
    }

    /// Crops with black around them, mirrored or not: `[batch, 3, height * width]` and the shifts of
    /// the plan to `[batch, 3, height, width]`.
    fn shifted(&self, images: Tensor<3>, shifts: Tensor<2>) -> Tensor<4> {
        let (height, width) = (self.height, self.width);
        let [batch, _] = shifts.dims();
        let [rows, columns] = self.axes();
        let number = |at: usize| shifts.clone().narrow(1, at, 1).reshape([batch, 1, 1]);
        let mirrored = columns.clone() * -2.0 + (width as f64 - 1.0);
        let from_column = columns + number(2) * mirrored + number(1);
        let from_row = rows + number(0);
        let within = |place: &Tensor<3>, side: usize| {
            let last = side as f64 - 1.0;
            let clamped = place.clone().clamp(0.0, last);
            (clamped.clone().equal(place.clone()).float(), clamped)
        };
        let (row_within, from_row) = within(&from_row, height);
        let (column_within, from_column) = within(&from_column, width);
        let places = (from_row * width as f64 + from_column).int();
        let places = places.reshape([batch, 1, height * width]);
        let shifted = images.gather(2, places.expand([batch, 3, height * width]));
        let within = (row_within * column_within).reshape([batch, 1, height, width]);
        shifted.reshape([batch, 3, height, width]) * within
    }

    /// Each image read through its matrix, `[batch, 9]`, as [`aet_geometry::warp()`] does it.
    fn warped(&self, images: Tensor<4>, matrices: Tensor<2>) -> Tensor<4> {
        let (height, width) = (self.height, self.width);
        let [batch, _] = matrices.dims();
        let [rows, columns] = self.axes();
        let (y, x) = (rows + 0.5, columns + 0.5);
        let entry = |at: usize| matrices.clone().narrow(1, at, 1).reshape([batch, 1, 1]);
        let line = |at: usize| {
            entry(3 * at) * x.clone() + entry(3 * at + 1) * y.clone() + entry(3 * at + 2)
        };
        let [u, v, w] = [line(0), line(1), line(2)];
        let most = entry(6).abs() * width as f64 + entry(7).abs() * height as f64 + entry(8).abs();
        let horizon = most * HORIZON;
        let before_horizon = w
            .clone()
            .greater(horizon.clone().expand([batch, height, width]));
        let w = w.max_pair(horizon.expand([batch, height, width]));
        let (x, y) = (u / w.clone(), v / w);
        let within = |place: &Tensor<3>, side: usize| {
            let inside = place.clone().greater_equal_elem(0.0);
            inside.bool_and(place.clone().lower_elem(side as f64))
        };
        let inside = within(&x, width)
            .bool_and(within(&y, height))
            .bool_and(before_horizon);
        let inside = inside.float().reshape([batch, 1, height, width]);
        let along = |place: Tensor<3>, side: usize| {
            place.clamp(0.0, side as f64) * (2.0 / side as f64) - 1.0
        };
        let grid = Tensor::stack(vec![along(x, width), along(y, height)], 3);
        let options = GridSampleOptions::new(InterpolateMode::Bilinear)
            .with_align_corners(false)
            .with_padding_mode(GridSamplePaddingMode::Border);
        let read = (images.grid_sample_2d(grid, options) + ROUNDING).floor();
        let fill = self.channels(2);
        (read - fill.clone()) * inside + fill
    }

    /// Levels to normalised values.
    fn normalised(&self, images: Tensor<4>) -> Tensor<4> {
        images * self.channels(0) + self.channels(1)
    }

    /// The scale (0), offset (1) or fill (2) of each channel, `[1, 3, 1, 1]`.
    fn channels(&self, which: usize) -> Tensor<4> {
        let row = self.colours.clone().narrow(0, 3 * which, 3);
        row.reshape([1, 3, 1, 1])
    }
}

/// Bytes of images that a device is given unasked.
const MOST_RESIDENT: usize = 4 << 30;

/// Bytes that the images take on each device, where views are to be made there; none where not.
pub(crate) fn views_fit(
    experiment: &Experiment,
    images: &ImageSet,
    devices: &[Device],
) -> Option<usize> {
    experiment.training_pipeline().plan()?;
    let bytes = |device: &Device| Resident::bytes(images, device);
    match experiment.training.views {
        ViewsMade::Host => None,
        ViewsMade::Device => bytes(devices.first()?),
        ViewsMade::Auto => {
            let fits = |device: &Device| bytes(device).is_some_and(|bytes| bytes <= MOST_RESIDENT);
            let all = devices.iter().all(|device| !is_cpu(device) && fits(device));
            devices.first().filter(|_| all).and_then(bytes)
        }
    }
}

/// What makes the views of training images: the loader's pipeline, and the images on each device where
/// they are made there.
pub(crate) fn views_of(
    experiment: &Experiment,
    images: &ImageSet,
    devices: &[Device],
) -> Result<(Arc<dyn ItemPipeline>, Vec<Resident>), LearnError> {
    let made = experiment.training.views;
    let pipeline = experiment.training_pipeline();
    let wanted = views_fit(experiment, images, devices).is_some();
    let plan = pipeline.plan().filter(|_| wanted);
    let residents = plan.as_ref().and_then(|plan| {
        let load = |device| Resident::load(images, plan.clone(), device);
        devices.iter().map(load).collect::<Option<Vec<_>>>()
    });
    match (plan, residents) {
        (Some(plan), Some(residents)) => Ok((Arc::new(plan), residents)),
        _ if made == ViewsMade::Device => Err(ConfigError::range(
            "training.views",
            "host or auto for images that do not all have the size of an item and stay in memory, and \
             for all but shifts, mirrors and homographies with one colour around them",
            "device",
        )
        .into()),
        _ => Ok((pipeline, Vec::new())),
    }
}

/// The batch that `host` plans, in equal parts as [`Batch::divide`] gives them, for as many devices as
/// there are `residents`.
///
/// # Panics
/// When the items cannot be divided so.
pub fn divide(
    host: &HostBatch,
    residents: &[Resident],
    devices: &[Device],
    turns: usize,
) -> Vec<Vec<Batch>> {
    let (rows, parts) = (host.len(), turns * residents.len());
    assert_eq!(rows % parts, 0, "parts of a batch are equal");
    let each = rows / parts;
    let places = residents.iter().zip(devices).enumerate();
    (0..turns)
        .map(|turn| {
            let part = |(place, (resident, device)): (usize, (&Resident, &Device))| {
                let first = (turn * residents.len() + place) * each;
                let numbers = &host.targets[first * host.target_len..][..each * host.target_len];
                resident.batch(&host.indices[first..][..each], numbers.to_vec(), device)
            };
            places.clone().map(part).collect()
        })
        .collect()
}
