//! The warp eight pixels at a time, for x86-64 processors with AVX2.
//!
//! Eight positions are computed in two vectors of four `f64`; then each pixel's two rows of two
//! neighbours are read with one 8-byte load each, and blended with 16-bit multiply-adds.
//!
//! No closure here goes to a function of the standard library such as `array::map`: compiled with
//! AVX2, it would not be inlined into one compiled without, which made all this six times slower.

use std::arch::x86_64::*;

use super::{BITS, Map, ONE, ROUNDING, portable};
use crate::image::{RgbView, RgbViewMut};

/// Pixels handled at a time.
const LANES: usize = 8;

/// Largest side of a source: positions, in 1/[`ONE`] pixel, stay within 31 bits.
const MOST_SIDE: usize = 1 << 16;

/// Whether this path can take these images: there are two neighbours in each direction, numbers fit
/// 32 bits, and the processor has AVX2.
pub(super) fn suits(source: RgbView<'_>, output: &RgbViewMut<'_>) -> bool {
    let sides = 2..=MOST_SIDE;
    sides.contains(&source.width())
        && sides.contains(&source.height())
        && source.pixels().len() <= i32::MAX as usize
        && output.width() >= LANES
        && is_x86_feature_detected!("avx2")
}

/// Warps all of `output`; [`suits`] has been asked. With `MIRRORED` the source is mirrored at its
/// sides, and `fill` is left for what is read from nowhere.
#[target_feature(enable = "avx2")]
pub(super) fn warp<const MIRRORED: bool>(
    source: RgbView<'_>,
    map: &Map,
    mut output: RgbViewMut<'_>,
    fill: [u8; 3],
) {
    let [g, h, i] = map.rows[2];
    if g == 0.0 && h == 0.0 {
        if i > map.horizon {
            rows::<MIRRORED, true>(source, map, &mut output, fill);
        } else {
            portable::fill_all(output.pixels_mut(), fill);
        }
    } else {
        rows::<MIRRORED, false>(source, map, &mut output, fill);
    }
}

/// As [`warp`]; `AFFINE` when the third homogeneous coordinate is the same everywhere.
#[target_feature(enable = "avx2")]
fn rows<const MIRRORED: bool, const AFFINE: bool>(
    source: RgbView<'_>,
    map: &Map,
    output: &mut RgbViewMut<'_>,
    fill: [u8; 3],
) {
    let width = output.width();
    let sampler = Sampler::new(source, map, fill);
    let row_bytes = width * 3;
    for (i, row) in output.pixels_mut().chunks_exact_mut(row_bytes).enumerate() {
        let [u, v, w] = map.row_starts(i as f64 + 0.5);
        let starts = [_mm256_set1_pd(u), _mm256_set1_pd(v), _mm256_set1_pd(w)];
        let mut j = 0;
        while j < width {
            // The last eight may overlap those before: the same pixels come out again.
            let first = j.min(width - LANES);
            let positions = sampler.positions::<MIRRORED, AFFINE>(&starts, first);
            sampler.write(positions, &mut row[first * 3..(first + LANES) * 3]);
            j += LANES;
        }
    }
}

/// Eight positions in the source, in 1/[`ONE`] pixel, clamped to the pixel centres.
#[derive(Clone, Copy)]
struct Positions {
    x: __m256i,
    y: __m256i,
    /// All ones where the position was in front of the horizon and inside the source or, where that
    /// is mirrored, finite.
    inside: __m256i,
}

/// What stays the same over a warp.
struct Sampler<'a> {
    pixels: &'a [u8],
    row_bytes: usize,
    /// Coefficients of the column, for the three homogeneous coordinates.
    slopes: [__m256d; 3],
    horizon: __m256d,
    size: [__m256d; 2],
    last: [__m256d; 2],
    most: [__m256i; 2],
    fill: __m256i,
}

impl<'a> Sampler<'a> {
    #[target_feature(enable = "avx2")]
    fn new(source: RgbView<'a>, map: &Map, fill: [u8; 3]) -> Self {
        let (width, height) = (source.width(), source.height());
        let one = f64::from(ONE);
        let last = |side: usize| _mm256_set1_pd((side - 1) as f64 * one);
        let most = |side: usize| _mm256_set1_epi32(side as i32 - 2);
        let [a, b, c] = map.rows;
        Self {
            pixels: source.pixels(),
            row_bytes: width * 3,
            slopes: [
                _mm256_set1_pd(a[0]),
                _mm256_set1_pd(b[0]),
                _mm256_set1_pd(c[0]),
            ],
            horizon: _mm256_set1_pd(map.horizon),
            size: [_mm256_set1_pd(map.size[0]), _mm256_set1_pd(map.size[1])],
            last: [last(width), last(height)],
            most: [most(width), most(height)],
            fill: _mm256_set1_epi32(i32::from_le_bytes([fill[0], fill[1], fill[2], 0])),
        }
    }

    /// Positions that columns `first..first + 8` are read from.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn positions<const MIRRORED: bool, const AFFINE: bool>(
        &self,
        starts: &[__m256d; 3],
        first: usize,
    ) -> Positions {
        let first = _mm256_set1_pd(first as f64);
        // In this order, taking the low halves of both gives 0 to 7.
        let near = _mm256_add_pd(first, _mm256_setr_pd(0.5, 1.5, 4.5, 5.5));
        let far = _mm256_add_pd(first, _mm256_setr_pd(2.5, 3.5, 6.5, 7.5));
        let (a, b) = (
            self.four::<MIRRORED, AFFINE>(starts, near),
            self.four::<MIRRORED, AFFINE>(starts, far),
        );
        Positions {
            x: low_halves(a[0], b[0]),
            y: low_halves(a[1], b[1]),
            inside: low_halves(a[2], b[2]),
        }
    }

    /// The rounded (x, y) in the low bits of four columns, and which of them have a place in the
    /// source.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn four<const MIRRORED: bool, const AFFINE: bool>(
        &self,
        starts: &[__m256d; 3],
        x: __m256d,
    ) -> [__m256d; 3] {
        let homogeneous = |k: usize| _mm256_add_pd(_mm256_mul_pd(self.slopes[k], x), starts[k]);
        let w = if AFFINE { starts[2] } else { homogeneous(2) };
        let inverse = _mm256_div_pd(_mm256_set1_pd(1.0), w);
        let zero = _mm256_setzero_pd();
        let axis = |k: usize| {
            let mut at = _mm256_mul_pd(homogeneous(k), inverse);
            let mut inside = _mm256_and_pd(
                _mm256_cmp_pd::<_CMP_GE_OQ>(at, zero),
                _mm256_cmp_pd::<_CMP_LT_OQ>(at, self.size[k]),
            );
            if MIRRORED && _mm256_movemask_pd(inside) != 0b1111 {
                let unfolded = at;
                at = _mm256_blendv_pd(self.mirrored(k, unfolded), unfolded, inside);
                let infinity = _mm256_set1_pd(f64::INFINITY);
                inside = _mm256_cmp_pd::<_CMP_LT_OQ>(magnitude(unfolded), infinity);
            }
            let from_centre = _mm256_sub_pd(at, _mm256_set1_pd(f64::from(ONE / 2)));
            // The second operand wins over NaN.
            let clamped = _mm256_min_pd(_mm256_max_pd(from_centre, zero), self.last[k]);
            (_mm256_add_pd(clamped, _mm256_set1_pd(ROUNDING)), inside)
        };
        let (x, x_inside) = axis(0);
        let (y, y_inside) = axis(1);
        let mut inside = _mm256_and_pd(x_inside, y_inside);
        if !AFFINE {
            inside = _mm256_and_pd(inside, _mm256_cmp_pd::<_CMP_GT_OQ>(w, self.horizon));
        }
        [x, y, inside]
    }

    /// Positions along axis `k` as [`crate::border::mirrored`] folds those that lie outside.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn mirrored(&self, k: usize, at: __m256d) -> __m256d {
        let side = self.size[k];
        let there_and_back = _mm256_add_pd(side, side);
        let times = _mm256_floor_pd(_mm256_div_pd(at, there_and_back));
        let along = _mm256_sub_pd(at, _mm256_mul_pd(there_and_back, times));
        let folded = _mm256_sub_pd(side, magnitude(_mm256_sub_pd(along, side)));
        _mm256_min_pd(_mm256_max_pd(folded, _mm256_setzero_pd()), side)
    }

    /// Writes the eight pixels of `row`, 24 bytes.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn write(&self, at: Positions, row: &mut [u8]) {
        let rgbx = if _mm256_movemask_epi8(at.inside) == 0 {
            self.fill
        } else {
            _mm256_blendv_epi8(self.fill, self.sample(at), at.inside)
        };
        let drop_fourth = _mm256_setr_epi8(
            0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1, //
            0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1,
        );
        let rgb = _mm256_shuffle_epi8(rgbx, drop_fourth);
        let (low, high) = (
            _mm256_castsi256_si128(rgb),
            _mm256_extracti128_si256::<1>(rgb),
        );
        assert!(row.len() >= 24);
        let to = row.as_mut_ptr();
        // SAFETY: the three stores cover bytes 0..16, 12..20 and 20..24 of `row`, which has 24.
        unsafe {
            _mm_storeu_si128(to.cast(), low);
            _mm_storel_epi64(to.add(12).cast(), high);
            to.add(20)
                .cast::<i32>()
                .write_unaligned(_mm_extract_epi32::<2>(high));
        }
    }

    /// The eight colours, as four bytes each, the fourth of no meaning.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn sample(&self, at: Positions) -> __m256i {
        const SHIFT: i32 = BITS as i32;
        let column = _mm256_min_epi32(_mm256_srli_epi32::<SHIFT>(at.x), self.most[0]);
        let row = _mm256_min_epi32(_mm256_srli_epi32::<SHIFT>(at.y), self.most[1]);
        let right = _mm256_sub_epi32(at.x, _mm256_slli_epi32::<SHIFT>(column));
        let down = _mm256_sub_epi32(at.y, _mm256_slli_epi32::<SHIFT>(row));

        let row_bytes = _mm256_set1_epi32(self.row_bytes as i32);
        let column_bytes = _mm256_add_epi32(column, _mm256_slli_epi32::<1>(column));
        let offset = _mm256_add_epi32(_mm256_mullo_epi32(row, row_bytes), column_bytes);
        let mut offsets = [0_u32; LANES];
        // SAFETY: `offsets` has 32 bytes.
        unsafe { _mm256_storeu_si256(offsets.as_mut_ptr().cast(), offset) };

        // Both fit the lower, signed 16 bits, and the upper are zero: one product a lane.
        let half = _mm256_set1_epi32(ONE / 2);
        let product = _mm256_madd_epi16(right, down);
        let both = _mm256_srli_epi32::<SHIFT>(_mm256_add_epi32(product, half));
        let only_right = _mm256_sub_epi32(right, both);
        let only_down = _mm256_sub_epi32(down, both);
        let one = _mm256_set1_epi32(ONE);
        let neither = _mm256_sub_epi32(_mm256_sub_epi32(one, right), only_down);
        let upper = _mm256_or_si256(neither, _mm256_slli_epi32::<16>(only_right));
        let lower = _mm256_or_si256(only_down, _mm256_slli_epi32::<16>(both));

        let pair = |near: usize, far: usize, upper: __m256i, lower: __m256i| {
            self.blend(offsets[near], offsets[far], upper, lower)
        };
        let sums = [
            pair(
                0,
                4,
                _mm256_shuffle_epi32::<0x00>(upper),
                _mm256_shuffle_epi32::<0x00>(lower),
            ),
            pair(
                1,
                5,
                _mm256_shuffle_epi32::<0x55>(upper),
                _mm256_shuffle_epi32::<0x55>(lower),
            ),
            pair(
                2,
                6,
                _mm256_shuffle_epi32::<0xaa>(upper),
                _mm256_shuffle_epi32::<0xaa>(lower),
            ),
            pair(
                3,
                7,
                _mm256_shuffle_epi32::<0xff>(upper),
                _mm256_shuffle_epi32::<0xff>(lower),
            ),
        ];
        _mm256_packus_epi16(
            _mm256_packus_epi32(sums[0], sums[1]),
            _mm256_packus_epi32(sums[2], sums[3]),
        )
    }

    /// The colours of two pixels as `[red, green, blue, _]` in 32 bits, one pixel in each half.
    /// `upper` and `lower` hold the weights of their upper and lower two neighbours.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn blend(&self, near: u32, far: u32, upper: __m256i, lower: __m256i) -> __m256i {
        let rows = _mm256_set_m128i(self.neighbours(far), self.neighbours(near));
        // The two neighbours' values of a channel side by side, widened to 16 bits.
        let from_upper = _mm256_setr_epi8(
            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
        );
        let from_lower = _mm256_setr_epi8(
            10, -1, 13, -1, 11, -1, 14, -1, 12, -1, 15, -1, -1, -1, -1, -1, //
            10, -1, 13, -1, 11, -1, 14, -1, 12, -1, 15, -1, -1, -1, -1, -1,
        );
        let sum = _mm256_add_epi32(
            _mm256_madd_epi16(_mm256_shuffle_epi8(rows, from_upper), upper),
            _mm256_madd_epi16(_mm256_shuffle_epi8(rows, from_lower), lower),
        );
        _mm256_srli_epi32::<{ BITS as i32 }>(sum)
    }

    /// The four neighbours of a pixel: 8 bytes that begin with the upper two, then 8 bytes that end
    /// with the lower two.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn neighbours(&self, offset: u32) -> __m128i {
        let upper = offset as usize;
        let lower = upper + self.row_bytes - 2;
        debug_assert!(lower + 8 <= self.pixels.len());
        // SAFETY: `sample` holds the row to at most height - 2 and the column to at most width - 2,
        // whatever the map, so `lower + 8`, the end of the lower right neighbour, is within the
        // pixels. So is `upper + 8`, which is no more: a row has at least 6 bytes.
        unsafe {
            let from = self.pixels.as_ptr();
            _mm_set_epi64x(
                from.add(lower).cast::<i64>().read_unaligned(),
                from.add(upper).cast::<i64>().read_unaligned(),
            )
        }
    }
}

/// Numbers without their signs.
#[target_feature(enable = "avx2")]
#[inline]
fn magnitude(a: __m256d) -> __m256d {
    _mm256_andnot_pd(_mm256_set1_pd(-0.0), a)
}

/// The low 32 bits of each number of `a` and `b`: `[a0, a1, b0, b1, a2, a3, b2, b3]`.
#[target_feature(enable = "avx2")]
#[inline]
fn low_halves(a: __m256d, b: __m256d) -> __m256i {
    let low = _mm256_shuffle_ps::<0x88>(_mm256_castpd_ps(a), _mm256_castpd_ps(b));
    _mm256_castps_si256(low)
}
