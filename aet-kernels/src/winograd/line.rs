//! The transforms of a line of values, one vector of channels each, and their transposes.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over registers: an iterator's closure is not inlined into code for other instructions"
)]

use pulp::Simd;

use super::OUTPUTS;

/// The constants of F(4, 2 P - 1): `P` pairs of points.
struct Points<const P: usize>;

impl<const P: usize> Points<P> {
    /// The points above 0; the kernel of 3 uses the first two.
    const PAIRS: [f32; 3] = [1.0, 2.0, 0.5];

    /// Coefficients 2q of the product of `x^2 - a^2` over all pairs but `left_out`.
    const fn product(left_out: usize) -> [f32; 4] {
        let mut result = [1.0, 0.0, 0.0, 0.0];
        let mut pair = 0;
        while pair < P {
            if pair != left_out {
                let square = Self::PAIRS[pair] * Self::PAIRS[pair];
                let mut q = 3;
                while q > 0 {
                    result[q] = result[q - 1] - square * result[q];
                    q -= 1;
                }
                result[0] *= -square;
            }
            pair += 1;
        }
        result
    }

    /// Over all pairs.
    const ALL: [f32; 4] = Self::product(P);
    /// Over all but one.
    const OTHERS: [[f32; 4]; 3] = [Self::product(0), Self::product(1), Self::product(2)];
}

/// `G`, `[tile, side]`: the kernel's polynomial at every point, over the product of the point's
/// distances to the others.
pub fn kernel_matrix(side: usize) -> Vec<Vec<f64>> {
    let pairs = side.div_ceil(2);
    let mut points = vec![0.0];
    for pair in &Points::<3>::PAIRS[..pairs] {
        points.extend([f64::from(*pair), -f64::from(*pair)]);
    }
    let mut rows: Vec<Vec<f64>> = points
        .iter()
        .map(|point| {
            let others = points.iter().filter(|other| *other != point);
            let distance: f64 = others.map(|other| point - other).product();
            (0..side as i32).map(|k| point.powi(k) / distance).collect()
        })
        .collect();
    rows.push(
        (0..side)
            .map(|k| f64::from(u8::from(k + 1 == side)))
            .collect(),
    );
    rows
}

/// `B^T x`, from `N = 2 P + 2` inputs to as many products.
#[inline(always)]
pub(super) fn input<S: Simd, const P: usize, const N: usize>(
    simd: S,
    x: [S::f32s; N],
) -> [S::f32s; N] {
    let mut out = [simd.splat_f32s(0.0); N];
    let (mut zero, mut infinity) = (x[2 * P], x[2 * P + 1]);
    for q in 0..P {
        let factor = simd.splat_f32s(Points::<P>::ALL[q]);
        zero = simd.mul_add_e_f32s(factor, x[2 * q], zero);
        infinity = simd.mul_add_e_f32s(factor, x[2 * q + 1], infinity);
    }
    out[0] = zero;
    out[N - 1] = infinity;
    for pair in 0..P {
        let (mut even, mut odd) = (x[2 * P], x[2 * P - 1]);
        for q in 0..P - 1 {
            let factor = simd.splat_f32s(Points::<P>::OTHERS[pair][q]);
            even = simd.mul_add_e_f32s(factor, x[2 + 2 * q], even);
            odd = simd.mul_add_e_f32s(factor, x[1 + 2 * q], odd);
        }
        let a = Points::<P>::PAIRS[pair];
        out[1 + 2 * pair] = simd.mul_add_e_f32s(simd.splat_f32s(a), odd, even);
        out[2 + 2 * pair] = simd.mul_add_e_f32s(simd.splat_f32s(-a), odd, even);
    }
    out
}

/// `B x`, the transpose of [`input`].
#[inline(always)]
pub(super) fn input_back<S: Simd, const P: usize, const N: usize>(
    simd: S,
    x: [S::f32s; N],
) -> [S::f32s; N] {
    let mut out = [simd.splat_f32s(0.0); N];
    out[2 * P] = x[0];
    out[2 * P + 1] = x[N - 1];
    for q in 0..P {
        let factor = simd.splat_f32s(Points::<P>::ALL[q]);
        out[2 * q] = simd.mul_add_e_f32s(factor, x[0], out[2 * q]);
        out[2 * q + 1] = simd.mul_add_e_f32s(factor, x[N - 1], out[2 * q + 1]);
    }
    for pair in 0..P {
        let a = simd.splat_f32s(Points::<P>::PAIRS[pair]);
        let (plus, minus) = (x[1 + 2 * pair], x[2 + 2 * pair]);
        let even = simd.add_f32s(plus, minus);
        let odd = simd.mul_f32s(a, simd.sub_f32s(plus, minus));
        out[2 * P] = simd.add_f32s(out[2 * P], even);
        out[2 * P - 1] = simd.add_f32s(out[2 * P - 1], odd);
        for q in 0..P - 1 {
            let factor = simd.splat_f32s(Points::<P>::OTHERS[pair][q]);
            out[2 + 2 * q] = simd.mul_add_e_f32s(factor, even, out[2 + 2 * q]);
            out[1 + 2 * q] = simd.mul_add_e_f32s(factor, odd, out[1 + 2 * q]);
        }
    }
    out
}

/// `A^T x`, from products to outputs.
#[inline(always)]
pub(super) fn output<S: Simd, const P: usize, const N: usize>(
    simd: S,
    x: [S::f32s; N],
) -> [S::f32s; OUTPUTS] {
    let mut out = [x[0], simd.splat_f32s(0.0), simd.splat_f32s(0.0), x[N - 1]];
    for pair in 0..P {
        let a = Points::<P>::PAIRS[pair];
        let (plus, minus) = (x[1 + 2 * pair], x[2 + 2 * pair]);
        let even = simd.add_f32s(plus, minus);
        let odd = simd.sub_f32s(plus, minus);
        out[0] = simd.add_f32s(out[0], even);
        out[1] = simd.mul_add_e_f32s(simd.splat_f32s(a), odd, out[1]);
        out[2] = simd.mul_add_e_f32s(simd.splat_f32s(a * a), even, out[2]);
        out[3] = simd.mul_add_e_f32s(simd.splat_f32s(a * a * a), odd, out[3]);
    }
    out
}

/// `A x`, the transpose of [`output`].
#[inline(always)]
pub(super) fn output_back<S: Simd, const P: usize, const N: usize>(
    simd: S,
    x: [S::f32s; OUTPUTS],
) -> [S::f32s; N] {
    let mut out = [x[0]; N];
    out[N - 1] = x[3];
    for pair in 0..P {
        let a = Points::<P>::PAIRS[pair];
        let even = simd.mul_add_e_f32s(simd.splat_f32s(a * a), x[2], x[0]);
        let odd = simd.mul_add_e_f32s(simd.splat_f32s(a * a), x[3], x[1]);
        out[1 + 2 * pair] = simd.mul_add_e_f32s(simd.splat_f32s(a), odd, even);
        out[2 + 2 * pair] = simd.mul_add_e_f32s(simd.splat_f32s(-a), odd, even);
    }
    out
}
