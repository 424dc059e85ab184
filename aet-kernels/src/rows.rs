//! Passes over rows of channels: batch normalisation with ReLU, the statistics that it needs, and
//! the same backwards. Each is done on a block that is in the cache, beside the product that made it
//! or is to read it.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over registers: an iterator's closure is not inlined into code for other instructions"
)]

use pulp::{Simd, WithSimd};

use crate::simd::{load, run, store, write};

/// Batch normalisation and ReLU as it is applied: `max(floor, (y - mean) * scale + shift)`, per channel.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// Mean of the batch, `[channels]`.
    pub mean: &'a [f32],
    /// Scale over the deviation of the batch, `[channels]`.
    pub scale: &'a [f32],
    /// Shift, `[channels]`.
    pub shift: &'a [f32],
    /// 0 for ReLU, negative infinity for none.
    pub floor: f32,
}

impl Affine<'_> {
    fn check(&self, channels: usize) {
        assert!(
            [self.mean, self.scale, self.shift]
                .iter()
                .all(|v| v.len() >= channels)
        );
    }

    /// Before ReLU.
    ///
    /// # Safety
    /// The channel and a vector from it on are among those checked.
    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, simd: S, y: S::f32s, channel: usize) -> S::f32s {
        // SAFETY: by the caller's promise.
        unsafe {
            let mean = load(simd, self.mean.as_ptr().add(channel));
            let scale = load(simd, self.scale.as_ptr().add(channel));
            let shift = load(simd, self.shift.as_ptr().add(channel));
            simd.mul_add_e_f32s(simd.sub_f32s(y, mean), scale, shift)
        }
    }
}

/// Rows that lie apart: row `r` is `data[offset(r)..]`.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// Where each row starts; without them, row `r` starts at `r * stride`.
    pub offsets: Option<&'a [u32]>,
    /// From one row to the next.
    pub stride: usize,
}

impl<'a> Layout<'a> {
    /// Rows one after the other, `stride` apart.
    pub fn dense(stride: usize) -> Self {
        Self {
            offsets: None,
            stride,
        }
    }

    /// Rows at `offsets`.
    pub fn at(offsets: &'a [u32]) -> Self {
        Self {
            offsets: Some(offsets),
            stride: 0,
        }
    }

    /// Where row number `row` starts.
    #[inline(always)]
    pub fn place(&self, row: usize) -> usize {
        match self.offsets {
            Some(offsets) => offsets[row] as usize,
            None => row * self.stride,
        }
    }

    /// Copies rows of `channels` in `data` to dense rows.
    pub fn copy(&self, data: &[f32], out: &mut [f32], channels: usize) {
        for (row, out) in out.chunks_exact_mut(channels).enumerate() {
            out.copy_from_slice(&data[self.place(row)..][..channels]);
        }
    }

    fn check(&self, rows: usize, channels: usize, len: usize) {
        let last = match self.offsets {
            // `max` of an iterator is not vectorised.
            Some(offsets) => offsets[..rows].iter().fold(0, |last, at| (*at).max(last)) as usize,
            None => rows.saturating_sub(1) * self.stride,
        };
        assert!(rows == 0 || last + channels <= len);
    }
}

/// `out = max(floor, norm(y))` for `rows` dense rows of `channels` in `y`.
pub fn activate(y: &[f32], channels: usize, norm: Affine<'_>, out: &mut [f32], layout: Layout<'_>) {
    let rows = y.len() / channels;
    norm.check(channels);
    layout.check(rows, channels, out.len());
    run(Activate {
        y,
        channels,
        norm,
        out,
        layout,
    });
}

struct Activate<'a> {
    y: &'a [f32],
    channels: usize,
    norm: Affine<'a>,
    out: &'a mut [f32],
    layout: Layout<'a>,
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let floor = simd.splat_f32s(self.norm.floor);
        for (row, y) in self.y.chunks_exact(self.channels).enumerate() {
            let place = self.layout.place(row);
            for channel in (0..self.channels).step_by(S::F32_LANES) {
                // SAFETY: channels are whole vectors; `activate` has checked the rest.
                unsafe {
                    let y = load(simd, y.as_ptr().add(channel));
                    let value = simd.max_f32s(self.norm.apply(simd, y, channel), floor);
                    store(simd, self.out.as_mut_ptr().add(place + channel), value);
                }
            }
        }
    }
}

/// `rows = max(floor, rows + shift)` in place, for dense rows `stride` apart: what is left of batch
/// normalisation once its scale is in the weights.
pub fn shift_and_clip(rows: &mut [f32], stride: usize, shift: &[f32], floor: f32) {
    run(ShiftAndClip {
        rows,
        stride,
        shift,
        floor,
    });
}

struct ShiftAndClip<'a> {
    rows: &'a mut [f32],
    stride: usize,
    shift: &'a [f32],
    floor: f32,
}

impl WithSimd for ShiftAndClip<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let floor = simd.splat_f32s(self.floor);
        let channels = self.shift.len();
        for row in self.rows.chunks_mut(self.stride) {
            let row = &mut row[..channels];
            for channel in (0..channels).step_by(S::F32_LANES) {
                // SAFETY: channels are whole vectors, in both slices.
                unsafe {
                    let place = row.as_mut_ptr().add(channel);
                    let shift = load(simd, self.shift.as_ptr().add(channel));
                    let sum = simd.add_f32s(load(simd, place), shift);
                    store(simd, place, simd.max_f32s(sum, floor));
                }
            }
        }
    }
}

/// The mean over `rows` dense rows of each channel, and the sum of squared differences from it;
/// the rows go on to `out`, dense without padding between them.
///
/// `moments` is `[2, channels]`: means, then sums of squares. `far` says that the rows will have left
/// the caches before they are read.
pub fn measure_and_keep(
    block: &[f32],
    stride: usize,
    out: &mut [f32],
    moments: &mut [f32],
    far: bool,
) {
    let channels = moments.len() / 2;
    let rows = out.len() / channels;
    Layout::dense(stride).check(rows, channels, block.len());
    assert!(rows > 0 && moments.len() == 2 * channels && out.len() == rows * channels);
    run(Measure {
        block,
        stride,
        out,
        moments,
        far: far && whole_lines(channels),
    });
}

/// Whether rows of `channels` are made of whole cache lines; a part of a line is not worth streaming.
fn whole_lines(channels: usize) -> bool {
    channels.is_multiple_of(16)
}

struct Measure<'a> {
    block: &'a [f32],
    stride: usize,
    out: &'a mut [f32],
    moments: &'a mut [f32],
    far: bool,
}

impl WithSimd for Measure<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let channels = self.moments.len() / 2;
        let full = channels / (4 * S::F32_LANES) * 4 * S::F32_LANES;
        // SAFETY: channels are whole vectors; `measure_and_keep` has checked the rest.
        unsafe {
            for first in (0..full).step_by(4 * S::F32_LANES) {
                self.columns::<S, 4>(simd, first);
            }
            for first in (full..channels).step_by(S::F32_LANES) {
                self.columns::<S, 1>(simd, first);
            }
        }
    }
}

impl Measure<'_> {
    /// All rows of `V` vectors of channels from `first` on.
    #[inline(always)]
    unsafe fn columns<S: Simd, const V: usize>(&mut self, simd: S, first: usize) {
        let channels = self.moments.len() / 2;
        let rows = self.out.len() / channels;
        let share = simd.splat_f32s(1.0 / rows as f32);
        let [mut means, mut squares] = [[simd.splat_f32s(0.0); V]; 2];
        // SAFETY: by the caller's promise.
        unsafe {
            for row in 0..rows {
                let place = self.block.as_ptr().add(row * self.stride + first);
                for v in 0..V {
                    means[v] = simd.add_f32s(means[v], load(simd, place.add(v * S::F32_LANES)));
                }
            }
            for mean in &mut means {
                *mean = simd.mul_f32s(*mean, share);
            }
            for row in 0..rows {
                let place = self.block.as_ptr().add(row * self.stride + first);
                let out = self.out.as_mut_ptr().add(row * channels + first);
                for v in 0..V {
                    let value = load(simd, place.add(v * S::F32_LANES));
                    let off = simd.sub_f32s(value, means[v]);
                    squares[v] = simd.mul_add_e_f32s(off, off, squares[v]);
                    write(simd, out.add(v * S::F32_LANES), value, self.far);
                }
            }
            let moments = self.moments.as_mut_ptr();
            for v in 0..V {
                let channel = first + v * S::F32_LANES;
                store(simd, moments.add(channel), means[v]);
                store(simd, moments.add(channels + channel), squares[v]);
            }
        }
    }
}

/// How the gradient of a normalised value becomes that of the value before normalisation:
/// `dy = dz * scale + (y - mean) * slope + offset`, per channel (Ioffe and Szegedy 2015, section 3).
#[derive(Debug, Clone, Copy)]
pub struct NormGradient<'a> {
    /// `[channels]`.
    pub mean: &'a [f32],
    /// `[channels]`.
    pub scale: &'a [f32],
    /// `[channels]`.
    pub slope: &'a [f32],
    /// `[channels]`.
    pub offset: &'a [f32],
}

/// The gradient before normalisation, of dense rows `dz` and `y`, to rows of `out`.
pub fn through_norm(
    dz: &[f32],
    y: &[f32],
    norm: NormGradient<'_>,
    out: &mut [f32],
    layout: Layout<'_>,
) {
    let channels = norm.mean.len();
    assert_eq!(dz.len(), y.len());
    assert!(
        [norm.scale, norm.slope, norm.offset]
            .iter()
            .all(|v| v.len() == channels)
    );
    layout.check(dz.len() / channels, channels, out.len());
    run(ThroughNorm {
        dz,
        y,
        norm,
        out,
        layout,
    });
}

struct ThroughNorm<'a> {
    dz: &'a [f32],
    y: &'a [f32],
    norm: NormGradient<'a>,
    out: &'a mut [f32],
    layout: Layout<'a>,
}

impl WithSimd for ThroughNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let norm = self.norm;
        let channels = norm.mean.len();
        let rows = self
            .dz
            .chunks_exact(channels)
            .zip(self.y.chunks_exact(channels));
        for (row, (dz, y)) in rows.enumerate() {
            let place = self.layout.place(row);
            for channel in (0..channels).step_by(S::F32_LANES) {
                // SAFETY: channels are whole vectors; `through_norm` has checked the rest.
                unsafe {
                    let mean = load(simd, norm.mean.as_ptr().add(channel));
                    let off = simd.sub_f32s(load(simd, y.as_ptr().add(channel)), mean);
                    let slope = load(simd, norm.slope.as_ptr().add(channel));
                    let offset = load(simd, norm.offset.as_ptr().add(channel));
                    let rest = simd.mul_add_e_f32s(off, slope, offset);
                    let scale = load(simd, norm.scale.as_ptr().add(channel));
                    let dz = load(simd, dz.as_ptr().add(channel));
                    let dy = simd.mul_add_e_f32s(dz, scale, rest);
                    store(simd, self.out.as_mut_ptr().add(place + channel), dy);
                }
            }
        }
    }
}

/// The gradient before ReLU: `dz` is `da` where the normalised `y` is above the floor, else 0. It goes to
/// dense rows of `dz`; `sums`, `[2, channels]`, become the sums of `dz` and of `dz (y - mean)`.
pub fn through_relu(
    da: &[f32],
    layout: Layout<'_>,
    y: &[f32],
    norm: Affine<'_>,
    dz: &mut [f32],
    sums: &mut [f32],
    far: bool,
) {
    let channels = sums.len() / 2;
    assert_eq!(dz.len(), y.len());
    norm.check(channels);
    layout.check(y.len() / channels, channels, da.len());
    run(ThroughRelu {
        da,
        layout,
        y,
        norm,
        dz,
        sums,
        far: far && whole_lines(channels),
    });
}

struct ThroughRelu<'a> {
    da: &'a [f32],
    layout: Layout<'a>,
    y: &'a [f32],
    norm: Affine<'a>,
    dz: &'a mut [f32],
    sums: &'a mut [f32],
    far: bool,
}

impl WithSimd for ThroughRelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let channels = self.sums.len() / 2;
        let pairs = channels / (2 * S::F32_LANES) * 2 * S::F32_LANES;
        // SAFETY: channels are whole vectors; `through_relu` has checked the rest.
        unsafe {
            for first in (0..pairs).step_by(2 * S::F32_LANES) {
                self.columns::<S, 2>(simd, first);
            }
            if pairs < channels {
                self.columns::<S, 1>(simd, pairs);
            }
        }
    }
}

impl ThroughRelu<'_> {
    /// All rows of `V` vectors of channels from `first` on.
    #[inline(always)]
    unsafe fn columns<S: Simd, const V: usize>(&mut self, simd: S, first: usize) {
        let channels = self.sums.len() / 2;
        let zero = simd.splat_f32s(0.0);
        let floor = simd.splat_f32s(self.norm.floor);
        let [mut mean, mut scale, mut shift, mut plain, mut products] = [[zero; V]; 5];
        // SAFETY: by the caller's promise.
        unsafe {
            for v in 0..V {
                let channel = first + v * S::F32_LANES;
                mean[v] = load(simd, self.norm.mean.as_ptr().add(channel));
                scale[v] = load(simd, self.norm.scale.as_ptr().add(channel));
                shift[v] = load(simd, self.norm.shift.as_ptr().add(channel));
            }
            for row in 0..self.y.len() / channels {
                let da = self.da.as_ptr().add(self.layout.place(row) + first);
                let place = row * channels + first;
                for v in 0..V {
                    let at = v * S::F32_LANES;
                    let off = simd.sub_f32s(load(simd, self.y.as_ptr().add(place + at)), mean[v]);
                    let z = simd.mul_add_e_f32s(off, scale[v], shift[v]);
                    let alive = simd.greater_than_f32s(z, floor);
                    let dz = simd.select_f32s(alive, load(simd, da.add(at)), zero);
                    plain[v] = simd.add_f32s(plain[v], dz);
                    products[v] = simd.mul_add_e_f32s(dz, off, products[v]);
                    let out = self.dz.as_mut_ptr().add(place + at);
                    write(simd, out, dz, self.far);
                }
            }
            let sums = self.sums.as_mut_ptr();
            for v in 0..V {
                let channel = first + v * S::F32_LANES;
                store(simd, sums.add(channel), plain[v]);
                store(simd, sums.add(channels + channel), products[v]);
            }
        }
    }
}
