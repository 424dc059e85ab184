//! The centred part of an image that transformed copies read from inside the image.

use rand::Rng;

use crate::family::{Family, TransformationFamily};

/// Transformations of each family that a window is found by.
const DRAWS: usize = 256;

/// The share of them that must read all of the window from inside the image.
const ENOUGH: f64 = 0.95;

/// The least side of a window, in pixels and as one part in so many of the image's side.
const LEAST: [usize; 2] = [8, 4];

/// A centred part of an image, in whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows above it, and below it.
    pub top: usize,
    /// Columns to its left, and to its right.
    pub left: usize,
    /// Its height.
    pub height: usize,
    /// Its width.
    pub width: usize,
}

/// The window of some families, and how well it keeps what it is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowFit {
    /// The window.
    pub window: Window,
    /// The share of transformations that read all of it from inside the image; of several families
    /// the least.
    pub inside: f64,
}

impl WindowFit {
    /// Whether as many transformations read it from inside as should: not so where it would have to
    /// be smaller than a window may be.
    pub fn holds(&self) -> bool {
        self.inside >= ENOUGH
    }
}

impl Window {
    /// The largest centred window of an image of `size` (height, width) that at least 95% of 256
    /// transformations of every family read from inside the image alone; at the least 8 pixels and a
    /// quarter of each side. Height and width are the same share of those of the image, up to whole
    /// pixels.
    ///
    /// What comes out depends on families, size and the generator's output alone.
    pub fn fit<R: Rng + ?Sized>(families: &[&Family], size: [usize; 2], rng: &mut R) -> WindowFit {
        let margins = margins(size);
        let most = margins.len() - 1;
        let needed: Vec<Vec<usize>> = families
            .iter()
            .map(|family| needed_margins(family, size, &margins, rng))
            .collect();
        let enough = (ENOUGH * DRAWS as f64).ceil() as usize;
        let chosen = needed.iter().map(|sorted| sorted[enough - 1]).max();
        let chosen = chosen.unwrap_or(0).min(most);
        let inside = needed.iter().map(|sorted| {
            let held = sorted.partition_point(|margin| *margin <= chosen);
            held as f64 / DRAWS as f64
        });
        let [top, left] = margins[chosen];
        WindowFit {
            window: Self {
                top,
                left,
                height: size[0] - 2 * top,
                width: size[1] - 2 * left,
            },
            inside: inside.fold(1.0, f64::min),
        }
    }

    /// Height and width, in pixels.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }
}

/// Rows above and columns left of every window that may be, from the whole image inwards.
fn margins([height, width]: [usize; 2]) -> Vec<[usize; 2]> {
    let shorter = height.min(width).max(1);
    let [least_px, part] = LEAST;
    let fits = |side: usize, margin: usize| side >= 2 * margin + least_px.max(side.div_ceil(part));
    let inwards = (0..shorter).map(|margin| {
        let share = |side: usize| (margin * side + shorter / 2) / shorter;
        [share(height), share(width)]
    });
    // The whole image is a window, however small it is.
    let all = inwards.take_while(|[top, left]| {
        [*top, *left] == [0, 0] || (fits(height, *top) && fits(width, *left))
    });
    all.collect()
}

/// For each of some transformations the number of the first of `margins` whose window it reads from
/// inside, or their count where there is none; in increasing order.
fn needed_margins<R: Rng + ?Sized>(
    family: &Family,
    [height, width]: [usize; 2],
    margins: &[[usize; 2]],
    rng: &mut R,
) -> Vec<usize> {
    // The first window that leaves out what is so near to a side.
    let leaves_out =
        |axis: usize, from_side: usize| margins.partition_point(|m| m[axis] <= from_side);
    let mut needed: Vec<usize> = (0..DRAWS)
        .map(|_| {
            let sampled = family.sample(rng, height, width);
            let inside = sampled.transformation.reads_inside(height, width);
            let outside = inside.iter().enumerate().filter(|(_, inside)| !**inside);
            let margins = outside.map(|(at, _)| {
                let (row, column) = (at / width, at % width);
                let above = leaves_out(0, row.min(height - 1 - row));
                above.min(leaves_out(1, column.min(width - 1 - column)))
            });
            margins.max().unwrap_or(0)
        })
        .collect();
    needed.sort_unstable();
    needed
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{Colour, Compose, Translation};

    fn fit(families: &[&Family], size: [usize; 2]) -> WindowFit {
        Window::fit(families, size, &mut ChaCha8Rng::seed_from_u64(3))
    }

    fn shifts(translation: f64) -> Family {
        Family::Translation(Translation { translation })
    }

    #[test]
    fn the_window_of_shifts_leaves_out_as_much_as_nearly_all_of_them_move() {
        // Of two shifts up to 0.2 * 40 px the larger is below 7.8 px in 95 of 100 draws, and a
        // pixel's centre is half a pixel inside.
        let found = fit(&[&shifts(0.2)], [40, 40]);
        assert!((7..=8).contains(&found.window.top), "{found:?}");
        assert_eq!(found.window.top, found.window.left);
        assert_eq!(found.window.size(), [40 - 2 * found.window.top; 2]);
        assert!(found.holds() && found.inside < 1.0 + 1e-9);
    }

    #[test]
    fn an_oblong_image_has_an_oblong_window() {
        let found = fit(&[&shifts(0.2)], [20, 60]).window;
        assert_eq!(found.left, 3 * found.top);
        assert_eq!(found.size(), [20 - 2 * found.top, 60 - 2 * found.left]);
    }

    #[test]
    fn what_reads_nothing_from_outside_is_shown_whole() {
        for kind in ["colour", "blur", "dihedral"] {
            let family = Family::default_of(kind).unwrap();
            let found = fit(&[&family], [32, 32]);
            assert_eq!(found.window.size(), [32, 32], "{kind}");
            assert!(found.holds());
        }
        assert_eq!(fit(&[], [5, 7]).window.size(), [5, 7]);
    }

    #[test]
    fn colours_and_blurs_take_nothing_off_a_window() {
        let moves = shifts(0.2);
        let families = vec![
            Family::Colour(Colour::default()),
            moves.clone(),
            Family::default_of("blur").unwrap(),
        ];
        let composed = fit(&[&Family::Compose(Compose { families })], [40, 40]);
        // Other draws, as colours take some numbers of the generator.
        let alone = fit(&[&moves], [40, 40]);
        assert!(composed.window.top.abs_diff(alone.window.top) <= 1);
    }

    #[test]
    fn of_several_families_the_widest_decides() {
        let (near, far) = (shifts(0.05), shifts(0.25));
        let both = fit(&[&near, &far], [40, 40]);
        assert!(both.window.top >= fit(&[&far], [40, 40]).window.top - 1);
        assert!(both.window.top > fit(&[&near], [40, 40]).window.top + 5);
    }

    #[test]
    fn a_family_that_is_too_wide_gets_the_least_window_which_does_not_hold() {
        for (size, least) in [([32, 32], 8), ([64, 64], 16), ([9, 9], 9)] {
            let found = fit(&[&shifts(0.9)], size);
            assert_eq!(found.window.size(), [least; 2]);
            assert!(!found.holds(), "{found:?}");
        }
    }

    #[test]
    fn every_family_has_a_window_with_the_default_ranges() {
        for (kind, _) in Family::KINDS {
            let family = Family::default_of(kind).unwrap();
            let found = fit(&[&family], [32, 32]);
            println!("{kind}: {found:?}");
            assert!(found.window.height >= 8);
        }
    }
}
