//! Weights as the products want them, and the gradient of weights from sums of products.

use super::{Algorithm, Convolution, Window};
use crate::buffer::Buffer;
use crate::product::{Panels, write_row, write_transposed};
use crate::simd::{padded, run};
use crate::winograd::{kernel_matrix, tile_side};
use crate::workers::{Shared, for_each};

/// Weights laid out for the products.
#[derive(Debug)]
pub struct Weights {
    /// `[depth, channels out]`, for each transformed value in turn.
    pub(super) forward: Buffer,
    /// For the gradient of the input.
    pub(super) backward: Option<Buffer>,
}

impl Weights {
    /// Whether the gradient of the input can be had with them.
    pub fn has_backward(&self) -> bool {
        self.backward.is_some()
    }
}

impl Convolution {
    /// Lays out `weights`, `[channels out, channels in, side, side]`, each output channel times its
    /// `scale` if there is one; with those for the gradient of the input if `backward`.
    pub fn prepare(&self, weights: &[f32], scale: Option<&[f32]>, backward: bool) -> Weights {
        assert_eq!(weights.len(), self.weight_len());
        if self.algorithm == Algorithm::Shallow {
            let directly = self.directly();
            return Weights {
                forward: self.pack_shallow(&self.kernels(weights, scale)),
                backward: backward.then(|| directly.pack_back(&directly.kernels(weights, scale))),
            };
        }
        let kernels = self.kernels(weights, scale);
        Weights {
            forward: self.pack(&kernels),
            backward: backward.then(|| self.pack_back(&kernels)),
        }
    }

    /// The kernels as they are multiplied with, `[channels in, values, stored out]`.
    fn kernels(&self, weights: &[f32], scale: Option<&[f32]>) -> Buffer {
        let columns_out = self.stored_out();
        let (taps, values) = (self.taps(), self.values());
        let transform = self.transform();
        let mut kernels = Buffer::stale(self.channels_in * values * columns_out);
        let shared = Shared::new(&mut kernels);
        for_each(
            self.channels_in,
            || Buffer::stale(taps * columns_out),
            |channel, own| {
                // SAFETY: a part for each channel.
                let part =
                    unsafe { shared.part(channel * values * columns_out, values * columns_out) };
                self.gather(weights, scale, channel, own);
                match &transform {
                    Some(matrix) => sandwich(matrix, own, columns_out, part),
                    None => part.copy_from_slice(own),
                }
            },
        );
        kernels
    }

    fn pack_shallow(&self, kernels: &[f32]) -> Buffer {
        let mut packed = Buffer::stale(kernels.len());
        self.tile_row()
            .pack(kernels, self.stored_out(), &mut packed);
        packed
    }

    /// Whether kernels are transformed.
    fn is_transformed(&self) -> bool {
        matches!(self.algorithm, Algorithm::Winograd | Algorithm::Shallow)
    }

    /// Numbers in a kernel.
    pub(super) fn taps(&self) -> usize {
        self.window.side * self.window.side
    }

    /// Numbers in a kernel as it is multiplied with.
    fn values(&self) -> usize {
        match self.is_transformed() {
            true => tile_side(self.window.side).pow(2),
            false => self.taps(),
        }
    }

    /// The matrix on both sides of a kernel, for Winograd.
    fn transform(&self) -> Option<Vec<Vec<f32>>> {
        self.is_transformed().then(|| {
            let matrix = kernel_matrix(self.window.side);
            let single = |row: &Vec<f64>| row.iter().map(|v| *v as f32).collect();
            matrix.iter().map(single).collect()
        })
    }

    /// The kernels of an input channel, `[side, side, stored out]`.
    fn gather(&self, weights: &[f32], scale: Option<&[f32]>, channel: usize, kernels: &mut [f32]) {
        let (taps, columns) = (self.taps(), self.stored_out());
        kernels.fill(0.0);
        for out in 0..self.channels_out {
            let scale = scale.map_or(1.0, |scale| scale[out]);
            let start = (out * self.channels_in + channel) * taps;
            for (tap, weight) in weights[start..start + taps].iter().enumerate() {
                kernels[tap * columns + out] = weight * scale;
            }
        }
    }

    /// `kernels`, `[channels in, values, stored out]`, as the right operand of products, `[stored in,
    /// stored out]` for each value; for the direct way, those of all values below each other.
    fn pack(&self, kernels: &[f32]) -> Buffer {
        let (depth, columns) = (self.depth(), self.stored_out());
        let mut packed = Buffer::stale(self.products() * depth * columns);
        let shared = Shared::new(&mut packed);
        let values = self.values();
        let each = values / self.products();
        let nothing = vec![0.0; columns];
        for_each(
            self.products(),
            || (),
            |product, ()| {
                // SAFETY: a part for each product.
                let matrix = unsafe { shared.part(product * depth * columns, depth * columns) };
                for tap in 0..each {
                    for channel in 0..self.stored_in {
                        let row = match channel < self.channels_in {
                            true => {
                                &kernels[(channel * values + product + tap) * columns..][..columns]
                            }
                            false => &nothing,
                        };
                        write_row(matrix, depth, tap * self.stored_in + channel, row);
                    }
                }
            },
        );
        packed
    }

    /// `kernels` as the right operand of the products that give the gradient of the input, `[stored out,
    /// channels in]` for each value; for the direct way, those of the taps of a class below each other, the
    /// last tap first, one class after the other.
    fn pack_back(&self, kernels: &[f32]) -> Buffer {
        let (stored_out, columns) = (self.stored_out(), padded(self.channels_in));
        let values = self.values();
        let mut packed = Buffer::stale(values * stored_out * columns);
        let shared = Shared::new(&mut packed);
        // The values of each matrix, and how many come before them.
        let matrices: Vec<(usize, Vec<usize>)> = match self.algorithm {
            Algorithm::Direct => {
                let mut before = 0;
                let classes = self.window.classes().map(|class| {
                    let values = self.values_of(class);
                    before += values.len();
                    (before - values.len(), values)
                });
                classes.collect()
            }
            _ => (0..values).map(|value| (value, vec![value])).collect(),
        };
        for_each(
            matrices.len(),
            || (),
            |matrix, ()| {
                let (before, own) = &matrices[matrix];
                let depth = own.len() * stored_out;
                // SAFETY: a part for each matrix.
                let matrix = unsafe { shared.part(before * stored_out * columns, depth * columns) };
                for (place, value) in own.iter().enumerate() {
                    let row = |channel: usize| {
                        &kernels[(channel * values + value) * stored_out..][..stored_out]
                    };
                    let rows = (0..self.channels_in).map(row);
                    write_transposed(matrix, [depth, columns], place * stored_out, rows);
                }
            },
        );
        packed
    }

    /// The taps that meet the input pixels of a class, the last first.
    fn values_of(&self, class: [usize; 2]) -> Vec<usize> {
        let Window { side, stride, .. } = self.window;
        let [down, right] = class.map(|first| (first..side).step_by(stride).rev());
        down.flat_map(|y| right.clone().map(move |x| y * side + x))
            .collect()
    }

    /// The gradient of the weights, `[channels out, channels in, side, side]`, from what several
    /// threads have summed up, always added in the same order.
    pub fn collect_gradient(&self, groups: &[Buffer], gradient: &mut [f32]) {
        assert_eq!(gradient.len(), self.weight_len());
        let (taps, values, columns) = (self.taps(), self.values(), self.stored_out());
        let transform = self.transform().map(transposed);
        let mut kernels = Buffer::stale(self.channels_in * taps * columns);
        let shared = Shared::new(&mut kernels);
        for_each(
            self.channels_in,
            || Buffer::stale(values * columns),
            |channel, own| {
                for (value, sum) in own.chunks_exact_mut(columns).enumerate() {
                    let start = (value * self.stored_in + channel) * columns;
                    sum.copy_from_slice(&groups[0][start..start + columns]);
                    for group in &groups[1..] {
                        for (sum, more) in sum.iter_mut().zip(&group[start..]) {
                            *sum += more;
                        }
                    }
                }
                // SAFETY: a part for each channel.
                let part = unsafe { shared.part(channel * taps * columns, taps * columns) };
                match &transform {
                    Some(matrix) => sandwich(matrix, own, columns, part),
                    None => part.copy_from_slice(own),
                }
            },
        );
        let each = self.channels_in * taps;
        let shared = Shared::new(gradient);
        for_each(
            self.channels_out.div_ceil(16),
            || (),
            |block, ()| {
                let outs = block * 16..self.channels_out.min(block * 16 + 16);
                // SAFETY: a part for each block.
                let part = unsafe { shared.part(outs.start * each, outs.len() * each) };
                for place in 0..each {
                    let row = &kernels[place * columns..][outs.clone()];
                    for (out, value) in row.iter().enumerate() {
                        part[out * each + place] = *value;
                    }
                }
            },
        );
    }

    /// Values that the gradient of the weights is summed in.
    pub fn gradient_len(&self) -> usize {
        self.values() * self.stored_in * self.stored_out()
    }

    /// Rows of the packed weights of a product.
    fn depth(&self) -> usize {
        match self.algorithm {
            Algorithm::Direct => self.taps() * self.stored_in,
            _ => self.stored_in,
        }
    }

    /// Products of a tile; 1 without Winograd.
    fn products(&self) -> usize {
        match self.algorithm {
            Algorithm::Winograd => tile_side(self.window.side).pow(2),
            _ => 1,
        }
    }

    /// The right operand of each product; backward, not of the direct way.
    pub(super) fn panels<'w>(
        &self,
        weights: &'w Buffer,
        backward: bool,
    ) -> impl Iterator<Item = Panels<'w>> + use<'w> {
        let (depth, columns) = match backward {
            true => (self.stored_out(), padded(self.channels_in)),
            false => (self.depth(), self.stored_out()),
        };
        weights
            .chunks_exact(depth * columns)
            .map(move |values| Panels {
                depth,
                columns,
                values,
            })
    }

    /// The right operand of the product for each class of input pixels, the direct way.
    pub(super) fn class_panels<'w>(
        &self,
        weights: &'w Buffer,
    ) -> impl Iterator<Item = ([usize; 2], Panels<'w>)> + use<'w> {
        let (window, stored_out, columns) =
            (self.window, self.stored_out(), padded(self.channels_in));
        let mut rest = &weights[..];
        window.classes().map(move |class| {
            let [down, right] = class.map(|remainder| window.taps(remainder));
            let depth = down * right * stored_out;
            let (values, others) = rest.split_at(depth * columns);
            rest = others;
            let panels = Panels {
                depth,
                columns,
                values,
            };
            (class, panels)
        })
    }
}

/// `out = m k m^T` for square matrices of rows of `columns`: `m` is `[n, s]`, `k` `[s, s, columns]`,
/// `out` `[n, n, columns]`.
fn sandwich(m: &[Vec<f32>], k: &[f32], columns: usize, out: &mut [f32]) {
    let (n, s) = (m.len(), m[0].len());
    let mut middle = vec![0.0; n * s * columns];
    run(|| {
        for (i, factors) in m.iter().enumerate() {
            for b in 0..s {
                let sum = &mut middle[(i * s + b) * columns..][..columns];
                for (a, factor) in factors.iter().enumerate() {
                    add_scaled(sum, &k[(a * s + b) * columns..][..columns], *factor);
                }
            }
        }
        for (i, line) in middle.chunks_exact(s * columns).enumerate() {
            for (j, factors) in m.iter().enumerate() {
                let sum = &mut out[(i * n + j) * columns..][..columns];
                sum.fill(0.0);
                for (b, factor) in factors.iter().enumerate() {
                    add_scaled(sum, &line[b * columns..][..columns], *factor);
                }
            }
        }
    });
}

#[inline(always)]
fn add_scaled(sum: &mut [f32], values: &[f32], factor: f32) {
    if factor != 0.0 {
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum += factor * value;
        }
    }
}

fn transposed(matrix: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    (0..matrix[0].len())
        .map(|column| matrix.iter().map(|row| row[column]).collect())
        .collect()
}
