//! [`Homography`]: a projective map of the plane as a 3x3 matrix in `f64`.
//!
//! Coordinates are continuous pixels: x right, y down, the image spans `[0, width] x [0, height]`,
//! and the centre of pixel (row i, column j) is `(j + 0.5, i + 0.5)`.

use std::ops::Mul;

use thiserror::Error;

/// How small, against the terms that it is the sum of, the third homogeneous coordinate may be
/// before a point counts as lying on the horizon. Sums of three `f64` terms carry about 4e-16.
pub(crate) const HORIZON_RELATIVE: f64 = 1e-12;

/// How small a determinant may be, against the terms that it is the sum of, before the matrix counts
/// as singular.
const SINGULAR_RELATIVE: f64 = 1e-13;

/// How small the area of a triangle may be, against the two products that it is the difference of,
/// before its corners count as lying on a line.
const COLLINEAR_RELATIVE: f64 = 1e-12;

/// Why a homography could not be made.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum HomographyError {
    /// The matrix has no inverse.
    #[error("the homography has no inverse: its determinant is {determinant:e}")]
    Singular {
        /// The determinant of the matrix as it stands.
        determinant: f64,
    },
    /// No invertible homography with 1 at the bottom right maps one set of four points to the
    /// other: three of the points of one set lie on a line, two coincide, or the origin would go to
    /// infinity.
    #[error(
        "no homography maps {from:?} to {to:?}: three points of a set lie on a line, two coincide, or the origin goes to infinity"
    )]
    DegeneratePoints {
        /// The points that were to be mapped.
        from: Box<[[f64; 2]; 4]>,
        /// The points that they were to be mapped to.
        to: Box<[[f64; 2]; 4]>,
    },
    /// A coordinate or a coefficient is NaN or infinite.
    #[error("a homography cannot be made from a number that is not finite")]
    NotFinite,
}

/// A projective map of the plane: `[x, y, 1]` as a column goes to `rows * [x, y, 1]`, divided by
/// its third component.
///
/// Points whose third component is positive lie in front of the horizon; [`apply`](Self::apply)
/// gives nothing for the others. Inverses and products keep the sign, so that a map and its inverse
/// agree on which points are in front.
///
/// Maps are named `to_from`: `source_from_output` takes a point of the output to the point of the
/// source that it is read from.
///
/// ```
/// use aet_geometry::Homography;
/// # fn main() -> Result<(), aet_geometry::HomographyError> {
/// // A quarter turn about the centre of a 32x32 image, then a shift of 3 pixels to the right.
/// let turn = Homography::rotation(std::f64::consts::FRAC_PI_2).about([16.0, 16.0]);
/// let moved_from_original = Homography::translation(3.0, 0.0) * turn;
///
/// let [x, y] = moved_from_original.apply([0.0, 0.0]).expect("in front of the horizon");
/// assert!((x - 35.0).abs() < 1e-12 && y.abs() < 1e-12);
///
/// let original_from_moved = moved_from_original.inverse()?;
/// let [x, y] = original_from_moved.apply([x, y]).expect("in front of the horizon");
/// assert!(x.abs() < 1e-12 && y.abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Homography {
    rows: [[f64; 3]; 3],
}

impl Homography {
    /// The map that moves nothing.
    pub const IDENTITY: Self = Self {
        rows: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    };

    /// Wraps a matrix, row by row.
    ///
    /// Any numbers are taken; [`inverse`](Self::inverse) and [`apply`](Self::apply) tell where they
    /// make no sense.
    pub const fn from_rows(rows: [[f64; 3]; 3]) -> Self {
        Self { rows }
    }

    /// The matrix, row by row.
    pub const fn rows(&self) -> [[f64; 3]; 3] {
        self.rows
    }

    /// Moves every point by (`x_px`, `y_px`).
    pub const fn translation(x_px: f64, y_px: f64) -> Self {
        Self::from_rows([[1.0, 0.0, x_px], [0.0, 1.0, y_px], [0.0, 0.0, 1.0]])
    }

    /// Scales about the origin, by `x` along the x axis and by `y` along the y axis.
    pub const fn scaling(x: f64, y: f64) -> Self {
        Self::from_rows([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]])
    }

    /// Rotates about the origin, from the x axis towards the y axis: clockwise as seen, since y
    /// points down.
    pub fn rotation(angle_rad: f64) -> Self {
        let (sin, cos) = angle_rad.sin_cos();
        Self::from_rows([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    }

    /// The same map with `centre` in the part of the origin: a rotation about the origin becomes a
    /// rotation about `centre`.
    pub fn about(self, centre: [f64; 2]) -> Self {
        let [x, y] = centre;
        Self::translation(x, y) * self * Self::translation(-x, -y)
    }

    /// The map that does `other` first and then `self`: the matrix product `self * other`.
    pub fn compose(&self, other: &Self) -> Self {
        let (a, b) = (&self.rows, &other.rows);
        let mut rows = [[0.0; 3]; 3];
        for (row, a) in rows.iter_mut().zip(a) {
            for (j, value) in row.iter_mut().enumerate() {
                *value = a[0] * b[0][j] + a[1] * b[1][j] + a[2] * b[2][j];
            }
        }
        Self::from_rows(rows)
    }

    /// The inverse map.
    ///
    /// # Errors
    /// [`HomographyError::Singular`] when the determinant is zero to rounding, or not finite.
    pub fn inverse(&self) -> Result<Self, HomographyError> {
        let m = &self.rows;
        // cofactor[i][j] belongs to m[i][j]; the cyclic indices carry the sign.
        let cofactor = |i: usize, j: usize| {
            let (r, s) = ((i + 1) % 3, (i + 2) % 3);
            let (c, d) = ((j + 1) % 3, (j + 2) % 3);
            m[r][c] * m[s][d] - m[r][d] * m[s][c]
        };
        let cofactors: [[f64; 3]; 3] =
            std::array::from_fn(|i| std::array::from_fn(|j| cofactor(i, j)));
        let terms: [f64; 3] = std::array::from_fn(|j| m[0][j] * cofactors[0][j]);
        let determinant = terms[0] + terms[1] + terms[2];
        let size = permanent_of_magnitudes(m);
        let enough = determinant.abs() > SINGULAR_RELATIVE * size;
        let rows = std::array::from_fn(|i| std::array::from_fn(|j| cofactors[j][i] / determinant));
        if !(enough && all_finite(&rows)) {
            return Err(HomographyError::Singular { determinant });
        }
        Ok(Self { rows })
    }

    /// Where `point` goes, or nothing when it lies on or behind the horizon, or when the result is
    /// not finite.
    ///
    /// On the horizon is where the third homogeneous coordinate is at most 1e-12 of the sum of the
    /// magnitudes of its three terms.
    #[inline]
    pub fn apply(&self, point: [f64; 2]) -> Option<[f64; 2]> {
        let [x, y] = point;
        let [first, second, third] = &self.rows;
        let terms = [third[0] * x, third[1] * y, third[2]];
        let w = terms[0] + terms[1] + terms[2];
        let size = terms[0].abs() + terms[1].abs() + terms[2].abs();
        // So written that NaN counts as on the horizon.
        let in_front = w > HORIZON_RELATIVE * size;
        if !in_front {
            return None;
        }
        let to = [
            (first[0] * x + first[1] * y + first[2]) / w,
            (second[0] * x + second[1] * y + second[2]) / w,
        ];
        (to[0].is_finite() && to[1].is_finite()).then_some(to)
    }

    /// The homography that maps `from[i]` to `to[i]` for each of four points, with 1 at the bottom
    /// right.
    ///
    /// A homography is fixed by what it does to a frame of four points. Any four points are the
    /// frame of a triangle (points 0, 1, 2) and weights of its corners that sum to point 3; the
    /// weights are ratios of triangle areas, so the map is written down from them, without solving
    /// the usual eight equations, and the points are degenerate exactly when
    /// one of the areas is zero.
    ///
    /// # Errors
    /// [`HomographyError::DegeneratePoints`] when three points of one set lie on a line (or two
    /// coincide), or when the map would need a 0 at the bottom right (it takes the origin to
    /// infinity); [`HomographyError::NotFinite`] when a coordinate is NaN or infinite.
    ///
    /// ```
    /// use aet_geometry::Homography;
    /// # fn main() -> Result<(), aet_geometry::HomographyError> {
    /// let corners = [[0.0, 0.0], [32.0, 0.0], [32.0, 32.0], [0.0, 32.0]];
    /// let moved = [[2.0, -1.0], [30.0, 3.0], [33.0, 28.0], [-2.0, 31.0]];
    /// let source_from_output = Homography::from_point_pairs(&moved, &corners)?;
    /// let [x, y] = source_from_output.apply([33.0, 28.0]).expect("in front of the horizon");
    /// assert!((x - 32.0).abs() < 1e-9 && (y - 32.0).abs() < 1e-9);
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_point_pairs(
        from: &[[f64; 2]; 4],
        to: &[[f64; 2]; 4],
    ) -> Result<Self, HomographyError> {
        if !(from.iter().chain(to)).flatten().all(|v| v.is_finite()) {
            return Err(HomographyError::NotFinite);
        }
        let degenerate = || HomographyError::DegeneratePoints {
            from: Box::new(*from),
            to: Box::new(*to),
        };
        let areas = triangle_areas(from).ok_or_else(degenerate)?;
        let to_areas = triangle_areas(to).ok_or_else(degenerate)?;
        let weights = [
            to_areas[0] / areas[0],
            to_areas[1] / areas[1],
            to_areas[2] / areas[2],
        ];

        // With the first point of each set as origin, where `first` and `second` are the
        // barycentric coordinates that belong to the points 1 and 2, times their triangle's area.
        let relative = |points: &[[f64; 2]; 4], i: usize| {
            [points[i][0] - points[0][0], points[i][1] - points[0][1]]
        };
        let ([x1, y1], [x2, y2]) = (relative(from, 1), relative(from, 2));
        let ([u1, v1], [u2, v2]) = (relative(to, 1), relative(to, 2));
        let (first, second) = ([y2, -x2], [-y1, x1]);
        let row = |by_first: f64, by_second: f64, constant: f64| {
            [
                by_first * first[0] + by_second * second[0],
                by_first * first[1] + by_second * second[1],
                constant,
            ]
        };
        let map = Self::translation(to[0][0], to[0][1])
            * Self::from_rows([
                row(u1 * weights[1], u2 * weights[2], 0.0),
                row(v1 * weights[1], v2 * weights[2], 0.0),
                row(
                    weights[1] - weights[0],
                    weights[2] - weights[0],
                    weights[0] * areas[3],
                ),
            ])
            * Self::translation(-from[0][0], -from[0][1]);

        let [g, h, i] = map.rows[2];
        let size = (g * from[0][0]).abs() + (h * from[0][1]).abs() + (weights[0] * areas[3]).abs();
        let map = Self::from_coefficients(map.coefficients());
        if i.abs() <= HORIZON_RELATIVE * size || !all_finite(&map.rows) {
            return Err(degenerate());
        }
        Ok(map)
    }

    /// Whether straight division is never needed: the last row is `[0, 0, c]` with `c` not zero.
    pub fn is_affine(&self) -> bool {
        let [g, h, i] = self.rows[2];
        g == 0.0 && h == 0.0 && i != 0.0
    }

    /// The first eight entries `[a, b, c, d, e, f, g, h]`, row by row, of the matrix scaled so that
    /// its bottom-right entry is 1.
    ///
    /// Not finite when that entry is 0. When it is negative, the scaled matrix has front and back
    /// of the horizon swapped.
    pub fn coefficients(&self) -> [f64; 8] {
        let [[a, b, c], [d, e, f], [g, h, i]] = self.rows;
        [a, b, c, d, e, f, g, h].map(|value| value / i)
    }

    /// The matrix with these first eight entries, row by row, and 1 at the bottom right. The same
    /// numbers as the `data` of Pillow's `Image.transform(size, PERSPECTIVE, data)`.
    pub const fn from_coefficients(coefficients: [f64; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = coefficients;
        Self::from_rows([[a, b, c], [d, e, f], [g, h, 1.0]])
    }
}

impl Mul for Homography {
    type Output = Self;

    /// As [`Homography::compose`].
    fn mul(self, other: Self) -> Self {
        self.compose(&other)
    }
}

fn all_finite(rows: &[[f64; 3]; 3]) -> bool {
    rows.iter().flatten().all(|value| value.is_finite())
}

/// The sum of the magnitudes of the six products that a determinant is made of: what its rounding
/// error is proportional to.
fn permanent_of_magnitudes(m: &[[f64; 3]; 3]) -> f64 {
    let term = |a: usize, b: usize, c: usize| (m[0][a] * m[1][b] * m[2][c]).abs();
    term(0, 1, 2) + term(0, 2, 1) + term(1, 0, 2) + term(1, 2, 0) + term(2, 0, 1) + term(2, 1, 0)
}

/// The signed areas (doubled) of the four triangles that leave out point 0, 1, 2 or 3, the first
/// three with the sign that makes `areas[3] * p3 = areas[0] * p0 + areas[1] * p1 + areas[2] * p2`
/// in homogeneous coordinates. Nothing when one is zero to rounding.
fn triangle_areas(points: &[[f64; 2]; 4]) -> Option<[f64; 4]> {
    let area = |i: usize, j: usize, k: usize| {
        let [x, y] = points[i];
        let a = [points[j][0] - x, points[j][1] - y];
        let b = [points[k][0] - x, points[k][1] - y];
        let (left, right) = (a[0] * b[1], a[1] * b[0]);
        let area = left - right;
        let enough = area.abs() > COLLINEAR_RELATIVE * (left.abs() + right.abs());
        enough.then_some(area)
    };
    Some([
        area(3, 1, 2)?,
        area(0, 3, 2)?,
        area(0, 1, 3)?,
        area(0, 1, 2)?,
    ])
}
