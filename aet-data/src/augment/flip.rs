//! Horizontal flip: left and right change places, one row at a time.

/// Writes the pixels of the row `read` in reverse order into `written`; both are `[width, 3]`.
///
/// # Panics
/// When the lengths differ.
pub fn mirror_row_into(read: &[u8], written: &mut [u8]) {
    assert_eq!(read.len(), written.len(), "a mirrored row keeps its length");
    let pixels = read.chunks_exact(3);
    for (to, from) in written.chunks_exact_mut(3).rev().zip(pixels) {
        to.copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_change_places_and_channels_do_not() {
        let mut written = [0; 9];
        mirror_row_into(&[1, 2, 3, 4, 5, 6, 7, 8, 9], &mut written);
        assert_eq!(written, [7, 8, 9, 4, 5, 6, 1, 2, 3]);
    }
}
