//! Images: encoded in a file, and decoded in a set.

use aet_data::decode::{decode_with, fit};
use aet_data::{DecodeOptions, Payload};
use aet_geometry::RgbImage;

use crate::claims::{same, told};
use crate::parts::put;
use crate::place::Place;
use crate::sets::{self, DECODE};

/// A GIF of one pixel, for what names an image.
pub(crate) const PIXEL: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// An encoded image.
pub(crate) fn encoded(input: &[u8]) {
    let decoded = |options: &DecodeOptions| {
        let payload = Payload::Encoded(input.to_vec());
        told(decode_with(payload, 0, "input", options))
    };
    let first = decoded(&DECODE);
    same(&first, &decoded(&DECODE));
    let stored = decoded(&DecodeOptions {
        follow_orientation: false,
        ..DECODE
    });
    let (Ok(image), Ok(stored)) = (&first, &stored) else {
        // Whether an image can be decoded does not depend on how it is held.
        return same(&first, &stored);
    };
    check_image(image);
    check_image(stored);
    let sides = |image: &RgbImage| {
        let (height, width) = (image.height(), image.width());
        [height.min(width), height.max(width)]
    };
    same(&sides(image), &sides(stored));
    if let Ok(fitted) = told(fit(image.clone(), [7, 9], 0, "input")) {
        same(&[fitted.height(), fitted.width()], &[7, 9]);
    }
}

fn check_image(image: &RgbImage) {
    let pixels = image.height() * image.width();
    assert!(pixels > 0 && pixels as u64 <= DECODE.max_pixels);
    assert_eq!(image.pixels().len(), 3 * pixels);
}

/// A set that was decoded once.
pub(crate) fn decoded(input: &[u8]) {
    static PLACE: Place = Place::empty();
    PLACE.with(|folder| {
        put(&folder.join("train.aetset"), Some(input));
        sets::check(folder);
        sets::check_loading(folder);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_that_others_name_is_one() {
        let payload = Payload::Encoded(PIXEL.to_vec());
        let image = told(decode_with(payload, 0, "pixel", &DECODE));
        assert_eq!(image.map(RgbImage::into_pixels), Ok(vec![255, 0, 0]));
    }
}
