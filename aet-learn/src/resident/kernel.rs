//! A view of every image of a batch by one kernel, where there are CubeCL kernels: crop, mirror, warp,
//! rounding and normalising for a pixel at a time, from the levels to the values that the encoder is
//! given. Burn's own operations do the same in some seventy passes.

use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, DispatchTensorKind, backend_extension};
use burn::tensor::{DType, Int, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::ir::{IntKind, UIntKind};
use burn_cubecl::cubecl::{self, calculate_cube_count_elemwise, prelude::*};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

/// Levels that rounding may take from a value which is a whole number.
const ROUNDING: f32 = super::ROUNDING as f32;
/// What is no further before the horizon has no place in the image.
const HORIZON: f32 = super::HORIZON as f32;

/// The operation that a backend needs for views.
#[backend_extension(Cube, Fusion)]
pub trait ViewsBackend: Backend {
    /// `pixels`, `[images, 3, height * width]` levels, `places`, `[rows]`, and `numbers`, `[rows,
    /// columns]` of a plan, to `[rows, 3, height, width]`; `colours` holds scale, offset and fill of the
    /// channels, `[9]`. In a row of the plan the numbers of the crop begin at `shifts`, and those of the
    /// matrix at `matrix`, for a view that is warped.
    #[fusion(meta = |_, places, _, colours, [height, width], _, _| {
        let [rows] = places.shape.dims();
        TensorSpec::new(Shape::new([rows, 3, *height, *width]), colours.dtype)
    })]
    fn view(
        pixels: IntTensor<Self>,
        places: IntTensor<Self>,
        numbers: FloatTensor<Self>,
        colours: FloatTensor<Self>,
        size: [usize; 2],
        shifts: usize,
        matrix: Option<usize>,
    ) -> FloatTensor<Self>;
}

/// Whether [`view`] can read `pixels`.
pub(super) fn applies(pixels: &burn::Tensor<3, Int>) -> bool {
    let kind = pixels.clone().into_dispatch().kind;
    crate::backbone::kernels_are_on() && matches!(kind, DispatchTensorKind::Cube(_))
}

/// A view of the images at `places`, `[rows]`, of `pixels`, `[images, 3, height * width]`, by the
/// `numbers`, `[rows, columns]`, of a plan: `[rows, 3, height, width]`. `colours` is scale, offset and
/// fill of the three channels, `[9]`; the crop begins at `shifts` of a row, and the matrix, for a view
/// that is warped, at `matrix`.
pub(super) fn view(
    pixels: burn::Tensor<3, Int>,
    places: burn::Tensor<1, Int>,
    numbers: burn::Tensor<2>,
    colours: burn::Tensor<1>,
    size: [usize; 2],
    shifts: usize,
    matrix: Option<usize>,
) -> burn::Tensor<4> {
    burn::Tensor::from_dispatch(Dispatch::view(
        pixels.into_dispatch(),
        places.into_dispatch(),
        numbers.into_dispatch(),
        colours.into_dispatch(),
        size,
        shifts,
        matrix,
    ))
}

/// An image of a batch and how it is cropped.
#[derive(CubeType, Clone, Copy)]
struct Crop {
    /// Where its first level is.
    start: usize,
    down: f32,
    right: f32,
    mirrored: f32,
    height: usize,
    width: usize,
}

/// The level of a channel at a pixel of the cropped image, black outside of the image.
#[cube]
fn level<I: Numeric>(
    pixels: &Tensor<I>,
    crop: &Crop,
    channel: usize,
    row: f32,
    column: f32,
) -> f32 {
    let last_row = f32::cast_from(crop.height - 1);
    let last_column = f32::cast_from(crop.width - 1);
    let row = row + crop.down;
    let column = column + crop.mirrored * (last_column - 2.0f32 * column) + crop.right;
    let mut found = 0.0f32;
    if row >= 0.0f32 && row <= last_row && column >= 0.0f32 && column <= last_column {
        let plane = crop.start + channel * crop.height * crop.width;
        let place = usize::cast_from(row) * crop.width + usize::cast_from(column);
        found = f32::cast_from(pixels[plane + place]);
    }
    found
}

/// A pixel of a view, all its channels.
#[cube(launch)]
fn view_pixel<I: Numeric>(
    pixels: &Tensor<I>,
    places: &Tensor<i32>,
    numbers: &Tensor<f32>,
    colours: &Tensor<f32>,
    output: &mut Tensor<f32>,
    height: usize,
    width: usize,
    columns: usize,
    shifts: usize,
    matrix: usize,
    threads: usize,
    #[comptime] is_warped: bool,
    #[define(I)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= threads {
        terminate!();
    }
    let area = height * width;
    let image = ABSOLUTE_POS / area;
    let place = ABSOLUTE_POS % area;
    let row = f32::cast_from(place / width);
    let column = f32::cast_from(place % width);
    let of_image = image * columns;
    let crop = Crop {
        start: usize::cast_from(places[image]) * 3 * area,
        down: numbers[of_image + shifts],
        right: numbers[of_image + shifts + 1],
        mirrored: numbers[of_image + shifts + 2],
        height,
        width,
    };
    let to = image * 3 * area + place;
    if is_warped {
        let m = of_image + matrix;
        let x = column + 0.5f32;
        let y = row + 0.5f32;
        let u = numbers[m] * x + numbers[m + 1] * y + numbers[m + 2];
        let v = numbers[m + 3] * x + numbers[m + 4] * y + numbers[m + 5];
        let w = numbers[m + 6] * x + numbers[m + 7] * y + numbers[m + 8];
        let wide = f32::cast_from(width);
        let high = f32::cast_from(height);
        let most = numbers[m + 6].abs() * wide + numbers[m + 7].abs() * high + numbers[m + 8].abs();
        let horizon = most * HORIZON;
        let before = max(w, horizon);
        let from_x = u / before;
        let from_y = v / before;
        let is_inside =
            w > horizon && from_x >= 0.0f32 && from_x < wide && from_y >= 0.0f32 && from_y < high;
        // The centre of a pixel is half a pixel from its corner; the border is repeated outwards.
        let at_x = clamp(from_x - 0.5f32, 0.0f32, wide - 1.0f32);
        let at_y = clamp(from_y - 0.5f32, 0.0f32, high - 1.0f32);
        let left = at_x.floor();
        let top = at_y.floor();
        let right = min(left + 1.0f32, wide - 1.0f32);
        let bottom = min(top + 1.0f32, high - 1.0f32);
        let along = at_x - left;
        let down = at_y - top;
        #[unroll]
        for channel in 0..3usize {
            let mut value = colours[6 + channel];
            if is_inside {
                let upper = level::<I>(pixels, &crop, channel, top, left) * (1.0f32 - along)
                    + level::<I>(pixels, &crop, channel, top, right) * along;
                let lower = level::<I>(pixels, &crop, channel, bottom, left) * (1.0f32 - along)
                    + level::<I>(pixels, &crop, channel, bottom, right) * along;
                value = (upper * (1.0f32 - down) + lower * down + ROUNDING).floor();
            }
            output[to + channel * area] = value * colours[channel] + colours[3 + channel];
        }
    } else {
        #[unroll]
        for channel in 0..3usize {
            let value = level::<I>(pixels, &crop, channel, row, column);
            output[to + channel * area] = value * colours[channel] + colours[3 + channel];
        }
    }
}

impl ViewsBackend for CubeBackend {
    fn view(
        pixels: CubeTensor,
        places: CubeTensor,
        numbers: CubeTensor,
        colours: CubeTensor,
        [height, width]: [usize; 2],
        shifts: usize,
        matrix: Option<usize>,
    ) -> CubeTensor {
        let [pixels, places, numbers, colours] =
            [pixels, places, numbers, colours].map(into_contiguous);
        let [rows, columns] = numbers.meta.shape().dims();
        let (client, device) = (pixels.client.clone(), pixels.device.clone());
        let shape = Shape::new([rows, 3, height, width]);
        let output = empty_device_contiguous_dtype(client.clone(), device, shape, DType::F32);
        let threads = rows * height * width;
        let dim = CubeDim::new(&client, threads);
        let count = calculate_cube_count_elemwise(&client, threads, dim);
        let element = match pixels.dtype {
            DType::U8 => ElemType::UInt(UIntKind::U8),
            _ => ElemType::Int(IntKind::I32),
        };
        view_pixel::launch(
            &client,
            count,
            dim,
            pixels.into_tensor_arg(),
            places.into_tensor_arg(),
            numbers.into_tensor_arg(),
            colours.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            height,
            width,
            columns,
            shifts,
            matrix.unwrap_or(0),
            threads,
            matrix.is_some(),
            element,
        );
        output
    }
}
