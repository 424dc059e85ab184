//! Random crop with padding, the way torchvision's `RandomCrop(size, padding)` cuts it: black
//! rows and columns around the image, then a window of the image's own size.

use aet_geometry::{RgbView, RgbViewMut};

use super::flip;

/// Writes the window of `image` that starts at `[down, right]` pixels (negative: above or to the
/// left of the image), mirrored left to right if `flipped`, into `output` of the same size.
/// What lies outside the image is black.
///
/// # Panics
/// When the sizes differ.
pub fn crop_into(
    image: RgbView<'_>,
    [down, right]: [isize; 2],
    flipped: bool,
    mut output: RgbViewMut<'_>,
) {
    let (height, width) = (image.height(), image.width());
    assert_eq!(
        [height, width],
        [output.height(), output.width()],
        "a crop is as large as its image"
    );
    let row_bytes = width * 3;
    if row_bytes == 0 {
        return;
    }
    let source = image.pixels();
    let [first, end] = overlap(width, right);
    let from = (first as isize + right).max(0) as usize * 3;
    let count = (end - first) * 3;
    let to = if flipped { width - end } else { first } * 3;
    for (row, written) in output.pixels_mut().chunks_exact_mut(row_bytes).enumerate() {
        let Some(start) = row_start(row, down, height, row_bytes).filter(|_| count > 0) else {
            written.fill(0);
            continue;
        };
        let read = &source[start + from..start + from + count];
        written[..to].fill(0);
        written[to + count..].fill(0);
        let written = &mut written[to..to + count];
        if flipped {
            flip::mirror_row_into(read, written);
        } else {
            written.copy_from_slice(read);
        }
    }
}

/// The positions `[first, end)` in `0..length` that stay inside it when moved by `shift`.
fn overlap(length: usize, shift: isize) -> [usize; 2] {
    let length = length as isize;
    let first = (-shift).clamp(0, length);
    let end = (length - shift).clamp(first, length);
    [first as usize, end as usize]
}

/// Where the image row read for output row `row` starts, if it lies inside the image.
fn row_start(row: usize, down: isize, height: usize, row_bytes: usize) -> Option<usize> {
    row.checked_add_signed(down)
        .filter(|&read| read < height)
        .map(|read| read * row_bytes)
}
