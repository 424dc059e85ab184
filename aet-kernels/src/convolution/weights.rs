//! Weights as the products want them, and the gradient of weights from sums of products.

use super::{Algorithm, Convolution};
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
                backward: backward.then(|| directly.pack(&directly.kernels(weights, scale), true)),
            };
        }
        let kernels = self.kernels(weights, scale);
        Weights {
            forward: self.pack(&kernels, false),
            backward: backward.then(|| self.pack(&kernels, true)),
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
    fn taps(&self) -> usize {
        self.side * self.side
    }

    /// Numbers in a kernel as it is multiplied with.
    fn values(&self) -> usize {
        match self.is_transformed() {
            true => tile_side(self.side).pow(2),
            false => self.taps(),
        }
    }

    /// The matrix on both sides of a kernel, for Winograd.
    fn transform(&self) -> Option<Vec<Vec<f32>>> {
        self.is_transformed().then(|| {
            let matrix = kernel_matrix(self.side);
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

    /// `kernels`, `[channels in, values, stored out]`, as the right operand of products: forward
    /// `[stored in, stored out]` for each value, backward the other way round with the kernel
    /// turned by half a turn; for the direct way, those of all values below each other.
    fn pack(&self, kernels: &[f32], backward: bool) -> Buffer {
        let depth = self.depth(backward);
        let stored_out = self.stored_out();
        let columns = if backward {
            padded(self.channels_in)
        } else {
            stored_out
        };
        let mut packed = Buffer::stale(self.products() * depth * columns);
        let shared = Shared::new(&mut packed);
        let values = self.values();
        let each = values / self.products();
        let kernel = |channel: usize, value: usize| {
            let start = (channel * values + value) * stored_out;
            &kernels[start..start + stored_out]
        };
        let nothing = vec![0.0; stored_out];
        for_each(
            self.products(),
            || (),
            |product, ()| {
                // SAFETY: a part for each product.
                let matrix = unsafe { shared.part(product * depth * columns, depth * columns) };
                for tap in 0..each {
                    if backward {
                        let turned = product + each - 1 - tap;
                        let rows = (0..self.channels_in).map(|channel| kernel(channel, turned));
                        write_transposed(matrix, [depth, columns], tap * stored_out, rows);
                    } else {
                        for channel in 0..self.stored_in {
                            let row = match channel < self.channels_in {
                                true => kernel(channel, product + tap),
                                false => &nothing,
                            };
                            write_row(matrix, depth, tap * self.stored_in + channel, row);
                        }
                    }
                }
            },
        );
        packed
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

    /// Rows of the packed weights, forward or backward.
    fn depth(&self, backward: bool) -> usize {
        let channels = if backward {
            self.stored_out()
        } else {
            self.stored_in
        };
        match self.algorithm {
            Algorithm::Direct => self.taps() * channels,
            _ => channels,
        }
    }

    /// Products of a tile; 1 without Winograd.
    fn products(&self) -> usize {
        match self.algorithm {
            Algorithm::Winograd => tile_side(self.side).pow(2),
            _ => 1,
        }
    }

    pub(super) fn panels<'w>(
        &self,
        weights: &'w Buffer,
        backward: bool,
    ) -> impl Iterator<Item = Panels<'w>> {
        let depth = self.depth(backward);
        let columns = padded(if backward {
            self.channels_in
        } else {
            self.channels_out
        });
        weights
            .chunks_exact(depth * columns)
            .map(move |values| Panels {
                depth,
                columns,
                values,
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
