//! The numbers that transformations are written in. A family writes the matrix of its transformation
//! once, for any [`Scalar`]: with `f64` it is what images are warped by, with columns of a tensor
//! gradients flow through it.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number, or many numbers side by side.
pub trait Scalar:
    Clone
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The constant `value`, in as many numbers as `self` is.
    #[must_use]
    fn constant(&self, value: f64) -> Self;

    /// Its sine, of radians.
    #[must_use]
    fn sin(self) -> Self;

    /// Its cosine, of radians.
    #[must_use]
    fn cos(self) -> Self;

    /// The direction of `(cos, sin)` on the unit circle; (0, 0) may become anything finite.
    fn direction(cos: Self, sin: Self) -> [Self; 2];

    /// `self + value`.
    #[must_use]
    fn plus(self, value: f64) -> Self {
        let value = self.constant(value);
        self + value
    }

    /// `self * value`.
    #[must_use]
    fn times(self, value: f64) -> Self {
        let value = self.constant(value);
        self * value
    }
}

impl Scalar for f64 {
    fn constant(&self, value: f64) -> Self {
        value
    }

    fn sin(self) -> Self {
        f64::sin(self)
    }

    fn cos(self) -> Self {
        f64::cos(self)
    }

    /// As `atan2` would read it: (0, 0) is no rotation.
    fn direction(cos: Self, sin: Self) -> [Self; 2] {
        let length = cos.hypot(sin);
        if length > 0.0 {
            [cos / length, sin / length]
        } else {
            [1.0, 0.0]
        }
    }
}

/// A 3x3 matrix, row by row.
pub type Matrix<S> = [[S; 3]; 3];

/// The matrix that leaves everything in place, in numbers like `like`.
pub fn identity<S: Scalar>(like: &S) -> Matrix<S> {
    std::array::from_fn(|row| {
        std::array::from_fn(|column| like.constant(f64::from(u8::from(row == column))))
    })
}

/// The matrix product `a b`: what `b` does, and then `a`.
pub fn product<S: Scalar>(a: &Matrix<S>, b: &Matrix<S>) -> Matrix<S> {
    std::array::from_fn(|row| {
        std::array::from_fn(|column| {
            let [x, y, z] = &a[row];
            x.clone() * b[0][column].clone()
                + y.clone() * b[1][column].clone()
                + z.clone() * b[2][column].clone()
        })
    })
}
