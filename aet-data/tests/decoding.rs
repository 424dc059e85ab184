//! Decoding: every format and colour kind against Pillow, files that are cut short, broken, of a
//! claimed size, or no images at all.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::io::Cursor;

use aet_data::decode::{decode, decode_with, fit, size_of};
use aet_data::{DataError, DecodeOptions, Payload};
use aet_geometry::RgbImage;
use image::{DynamicImage, ImageFormat};
use serde::Deserialize;
use support::{full_message, marked};

/// What Pillow gives for a file of `fixtures/decoding`.
#[derive(Deserialize)]
struct Expected {
    size: [usize; 2],
    rgb: String,
}

impl Expected {
    fn image(&self) -> RgbImage {
        let byte = |at: usize| u8::from_str_radix(&self.rgb[at..at + 2], 16).unwrap();
        let pixels = (0..self.rgb.len()).step_by(2).map(byte).collect();
        RgbImage::new(self.size[0], self.size[1], pixels).unwrap()
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/decoding/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

/// All files of `fixtures/decoding`.
fn fixtures() -> Vec<(String, Vec<u8>, RgbImage)> {
    let expected: BTreeMap<String, Expected> =
        serde_json::from_slice(&fixture("expected.json")).unwrap();
    let files = expected.into_iter();
    files
        .map(|(name, expected)| (name.clone(), fixture(&name), expected.image()))
        .collect()
}

fn decoded(bytes: &[u8]) -> Result<RgbImage, DataError> {
    decode(Payload::Encoded(bytes.to_vec()), 3, "a picture")
}

fn with(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, DataError> {
    decode_with(Payload::Encoded(bytes.to_vec()), 3, "a picture", options)
}

fn failure_of(bytes: &[u8]) -> String {
    full_message(&decoded(bytes).unwrap_err())
}

/// (the largest difference of any byte, the mean of all).
fn difference(left: &RgbImage, right: &RgbImage) -> (u8, f64) {
    let size = |image: &RgbImage| [image.height(), image.width()];
    assert_eq!(size(left), size(right));
    let pairs = left.pixels().iter().zip(right.pixels());
    let all: Vec<u8> = pairs.map(|(a, b)| a.abs_diff(*b)).collect();
    let sum: f64 = all.iter().map(|&value| f64::from(value)).sum();
    (
        all.iter().copied().max().unwrap_or(0),
        sum / all.len() as f64,
    )
}

/// Most that a byte may differ from Pillow's, by the name of the file. Lossy formats leave the
/// rounding of their transforms and the upsampling of colour to the decoder.
fn tolerance(name: &str) -> u8 {
    match name.rsplit_once('.').unwrap() {
        (kind, "jpg") if kind.starts_with("orientation") => 3,
        (_, "jpg") => 6,
        ("lossy" | "lossy-alpha", "webp") => 3,
        // Pillow takes the high byte of 16 bits of colour, others the nearest.
        ("rgb-16-bits" | "rgba-16-bits", "png") => 1,
        // Pillow rounds the product of ink and black, `image` cuts it off.
        ("cmyk", "tif") => 1,
        _ => 0,
    }
}

#[test]
fn every_kind_of_file_decodes_to_what_pillow_gives() {
    let mut wrong = Vec::new();
    for (name, bytes, expected) in fixtures() {
        match decoded(&bytes) {
            Ok(image) => {
                let (most, mean) = difference(&image, &expected);
                println!("{name}: at most {most}, {mean:.3} in the mean");
                if most > tolerance(&name) {
                    wrong.push(format!("{name} differs by {most}"));
                }
            }
            Err(error) => wrong.push(format!("{name}: {}", full_message(&error))),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_size_of_every_kind_of_file_is_in_its_header() {
    for (name, bytes, _) in fixtures() {
        let options = DecodeOptions {
            follow_orientation: false,
            ..DecodeOptions::default()
        };
        let image = with(&bytes, &options).unwrap();
        let size = size_of(&Payload::Encoded(bytes), 0, &name).unwrap();
        assert_eq!(size, [image.height(), image.width()], "{name}");
    }
    let broken = size_of(&Payload::Encoded(b"some notes".to_vec()), 4, "notes.txt");
    let message = full_message(&broken.unwrap_err());
    assert_eq!(message, "image 4 (notes.txt): this is text, not an image");
}

/// `picture` in every colour kind of the `image` crate.
fn colour_kinds() -> Vec<DynamicImage> {
    let picture = marked(9, 14, 2);
    let rgb = image::RgbImage::from_raw(14, 9, picture.into_pixels()).unwrap();
    let rgb = DynamicImage::ImageRgb8(rgb);
    vec![
        rgb.to_luma8().into(),
        rgb.to_luma_alpha8().into(),
        rgb.to_rgba8().into(),
        rgb.to_luma16().into(),
        rgb.to_luma_alpha16().into(),
        rgb.to_rgb16().into(),
        rgb.to_rgba16().into(),
        rgb.to_rgb32f().into(),
        rgb.to_rgba32f().into(),
        rgb,
    ]
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Option<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).ok()?;
    Some(bytes.into_inner())
}

const LOSSLESS: [ImageFormat; 5] = [
    ImageFormat::Png,
    ImageFormat::WebP,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
    ImageFormat::Gif,
];

#[test]
fn every_colour_kind_that_can_be_written_decodes_to_what_was_written() {
    let mut written = 0;
    for format in LOSSLESS {
        for image in colour_kinds() {
            let Some(bytes) = encoded(&image, format) else {
                continue;
            };
            written += 1;
            let expected = image.to_rgb8();
            let what = format!("{:?} as {format:?}", image.color());
            let found = decoded(&bytes).unwrap_or_else(|e| panic!("{what}: {}", full_message(&e)));
            assert_eq!(found.pixels(), expected.as_raw(), "{what}");
        }
    }
    assert!(written >= 25, "{written} files");
}

#[test]
fn every_file_cut_short_at_any_length_is_an_error_or_the_whole_picture() {
    let mut wrong = Vec::new();
    for (name, bytes, _) in fixtures() {
        let whole = decoded(&bytes).unwrap();
        let mut errors = 0;
        for length in 0..bytes.len() {
            match decoded(&bytes[..length]) {
                Ok(image) if image == whole => {}
                Ok(_) => wrong.push(format!("{name} cut at {length} of {}", bytes.len())),
                Err(_) => errors += 1,
            }
        }
        assert!(errors * 4 > bytes.len(), "{name}: {errors} errors");
    }
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

#[test]
fn files_with_wrong_bytes_give_an_error_or_an_image_but_no_panic() {
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    let options = DecodeOptions {
        max_pixels: 100_000,
        ..DecodeOptions::default()
    };
    for (_, bytes, _) in fixtures() {
        for _ in 0..rounds() {
            let mut broken = bytes.clone();
            for _ in 0..1 + random(4) {
                let at = random(broken.len());
                match random(3) {
                    0 => broken[at] = random(256) as u8,
                    1 => broken[at] ^= 1 << random(8),
                    _ => {
                        broken.drain(at..(at + 1 + random(9)).min(broken.len()));
                    }
                }
                if broken.is_empty() {
                    break;
                }
            }
            if let Ok(image) = with(&broken, &options) {
                assert!(image.height() * image.width() <= 100_000);
            }
        }
    }
}

/// Broken copies of every file; `AET_FUZZ` makes them more.
fn rounds() -> usize {
    let more = std::env::var("AET_FUZZ").ok();
    more.and_then(|text| text.parse().ok()).unwrap_or(40)
}

#[test]
fn a_thumbnail_is_not_taken_for_the_end_of_its_image() {
    let bytes = fixture("thumbnail.jpg");
    let end = |window: &[u8]| window == [0xff, 0xd9];
    let thumbnail_end = bytes.windows(2).position(end).unwrap();
    assert!(thumbnail_end < bytes.len() / 2);
    let message = failure_of(&bytes[..bytes.len() - 2]);
    assert!(message.contains("image 3 (a picture)"), "{message}");
    assert!(
        message.contains("the file ends before the image does"),
        "{message}"
    );
}

/// A PNG header of this size, with nothing behind it.
fn claimed_png(height: u32, width: u32) -> Vec<u8> {
    let small = encoded(&colour_kinds()[0], ImageFormat::Png).unwrap();
    let mut bytes = small[..33].to_vec();
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    bytes.extend_from_slice(&small[33..]);
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

/// A file of `fixtures/decoding` with other bytes at some places.
fn patched(name: &str, patches: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = fixture(name);
    for (at, patch) in patches {
        bytes[*at..at + patch.len()].copy_from_slice(patch);
    }
    bytes
}

/// A small file of every format but WebP, whose header claims a size.
fn claimed(height: u16, width: u16) -> Vec<(&'static str, Vec<u8>)> {
    let (high, wide) = (height.to_be_bytes(), width.to_be_bytes());
    let (low, narrow) = (height.to_le_bytes(), width.to_le_bytes());
    let jpeg = fixture("420.jpg");
    let frame = jpeg.windows(2).position(|at| at == [0xff, 0xc0]).unwrap();
    let jpeg = patched("420.jpg", &[(frame + 5, &high), (frame + 7, &wide)]);
    // In TIFF, the rows of a strip grow too, so that the number of strips stays right.
    let tiff = patched("rgb-raw.tif", &[(30, &low), (18, &narrow), (102, &low)]);
    vec![
        ("JPEG", jpeg),
        ("TIFF", tiff),
        ("PNG", claimed_png(height.into(), width.into())),
        ("GIF", patched("palette.gif", &[(8, &low), (6, &narrow)])),
        ("BMP", patched("rgb.bmp", &[(22, &low), (18, &narrow)])),
    ]
}

#[test]
fn a_size_that_a_header_claims_is_checked_before_anything_else() {
    for (format, bytes) in claimed(50_000, 60_000) {
        let message = failure_of(&bytes);
        for part in [
            "image 3",
            "50000x60000",
            "100000000 pixels",
            "raise max_pixels",
        ] {
            assert!(message.contains(part), "{format}: {message}");
        }
    }
}

#[test]
fn a_webp_file_of_the_largest_size_is_refused_by_its_header() {
    // A lossless image: 14 bits of width - 1, 14 of height - 1, behind a signature.
    let bytes = patched("lossless.webp", &[(21, &[0xfe, 0xbf, 0xff, 0x0f])]);
    let message = failure_of(&bytes);
    assert!(
        message.contains("16383x16383 (height x width)"),
        "{message}"
    );
    assert!(message.contains("raise max_pixels"), "{message}");
    // Metadata that claims 4 GB, and a file that claims to be longer than it is.
    let exif = fixture("orientation-8.webp");
    let chunk = exif.windows(4).position(|at| at == b"EXIF").unwrap();
    for at in [4, chunk + 4] {
        let bytes = patched("orientation-8.webp", &[(at, &[0xf0, 0xff, 0xff, 0xff])]);
        let message = failure_of(&bytes);
        assert!(message.contains("ends before the image does"), "{message}");
    }
}

#[test]
fn an_image_without_pixels_is_an_error() {
    for (format, bytes) in claimed(0, 13) {
        let message = failure_of(&bytes);
        assert!(
            message.contains("image 3 (a picture)"),
            "{format}: {message}"
        );
    }
}

#[test]
fn more_memory_than_the_size_explains_is_refused() {
    // A small screen, and a frame of 65,000 x 65,000 on it.
    let mut bytes = fixture("palette.gif");
    let frame = bytes.iter().position(|&byte| byte == 0x2c).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xe8, 0xfd, 0xe8, 0xfd]);
    let message = failure_of(&bytes);
    assert!(message.contains("image 3 (a picture)"), "{message}");
}

#[test]
fn the_limit_is_the_last_size_that_is_allowed() {
    for (name, bytes, expected) in fixtures() {
        let pixels = (expected.height() * expected.width()) as u64;
        let options = |max_pixels| DecodeOptions {
            max_pixels,
            ..DecodeOptions::default()
        };
        assert!(with(&bytes, &options(pixels)).is_ok(), "{name}");
        let message = full_message(&with(&bytes, &options(pixels - 1)).unwrap_err());
        assert!(message.contains("max_pixels"), "{name}: {message}");
    }
}

#[test]
fn an_orientation_is_left_alone_on_request() {
    let options = DecodeOptions {
        follow_orientation: false,
        ..DecodeOptions::default()
    };
    let upright = with(&fixture("orientation-1.jpg"), &options).unwrap();
    for value in 2..=8 {
        let bytes = fixture(&format!("orientation-{value}.jpg"));
        assert_eq!(with(&bytes, &options).unwrap(), upright, "{value}");
        let followed = decoded(&bytes).unwrap();
        assert_ne!(followed, upright, "{value}");
        let turned = followed.height() == upright.width();
        assert_eq!(turned, value >= 5, "{value}");
    }
}

/// A photograph of `size` (height, width): smooth, and large enough for reduced scales.
fn photograph([height, width]: [usize; 2]) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let wave = |at: u32, length: f32| 110.0 + 90.0 * (at as f32 / length).sin();
        image::Rgb([
            wave(x, 29.0) as u8,
            wave(y, 17.0) as u8,
            wave(x + y, 41.0) as u8,
        ])
    });
    encoded(&picture.into(), ImageFormat::Jpeg).unwrap()
}

/// The sizes (height, width) at which a photograph of 199x301 is decoded for what `covers` ask for.
fn decoded_for(covers: &[usize]) -> Vec<[usize; 2]> {
    let photograph = photograph([199, 301]);
    let whole = decoded(&photograph).unwrap();
    let sizes = covers.iter().map(|&side| {
        let options = DecodeOptions {
            cover: Some([side / 2, side]),
            ..DecodeOptions::default()
        };
        let image = with(&photograph, &options).unwrap();
        let size = [image.height(), image.width()];
        let expected = fit(whole.clone(), size, 0, "the whole").unwrap();
        let (most, mean) = difference(&image, &expected);
        assert!(most <= 24 && mean < 4.0, "{size:?}: {most}, {mean}");
        size
    });
    sizes.collect()
}

#[test]
#[cfg(feature = "libjpeg-turbo")]
fn photographs_are_decoded_at_the_smallest_scale_that_has_twice_what_is_asked_for() {
    let found = decoded_for(&[1, 12, 13, 25, 26, 50, 51, 300]);
    let [eighth, quarter, half, whole] = [[25, 38], [50, 76], [100, 151], [199, 301]];
    assert_eq!(
        found,
        [eighth, eighth, quarter, quarter, half, half, whole, whole]
    );
}

#[test]
#[cfg(not(feature = "libjpeg-turbo"))]
fn photographs_are_decoded_at_their_full_scale() {
    assert_eq!(decoded_for(&[1, 50]), [[199, 301]; 2]);
}

#[test]
fn palette_tiff_without_its_colours_or_with_other_pixels_is_an_error() {
    let name = "palette-4-bits-little.tif";
    let tag_at = |tag: u16| {
        let entry = [tag.to_le_bytes(), 3_u16.to_le_bytes()].concat();
        let bytes = fixture(name);
        let at = bytes.windows(4).position(|found| found == entry);
        at.unwrap()
    };
    let colours = tag_at(320);
    let missing = failure_of(&patched(name, &[(colours, &[0x41])]));
    assert!(
        missing.contains("320") || missing.contains("ColorMap"),
        "{missing}"
    );
    let few = failure_of(&patched(name, &[(colours + 4, &[47])]));
    assert!(
        few.ends_with("it has 47 numbers for its colours, where pixels of 4 bits need 48"),
        "{few}"
    );
    let wide = failure_of(&patched(name, &[(tag_at(258) + 8, &[16])]));
    assert!(wide.ends_with("convert it to PNG"), "{wide}");
    let options = DecodeOptions {
        max_pixels: 9 * 13 - 1,
        ..DecodeOptions::default()
    };
    let large = full_message(&with(&fixture(name), &options).unwrap_err());
    assert!(large.contains("max_pixels"), "{large}");
}

#[test]
fn what_is_no_image_is_named() {
    let cases: [(&[u8], &str); 16] = [
        (b"", "the file is empty"),
        (&[0; 4000], "nothing but zeros"),
        (b"<!DOCTYPE html><html>not found</html>", "HTML"),
        (b"\n<HTML><body>404</body></HTML>", "HTML"),
        (b"some notes\non the pictures", "this is text, not an image"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "git lfs pull",
        ),
        (
            b"\0\0\0\x18ftypheic\0\0\0\0",
            "this is HEIC, which aet does not read; convert it to JPEG",
        ),
        (
            b"\0\0\0\x1cftypavif\0\0\0\0",
            "this is AVIF, which aet does not read",
        ),
        (
            b"<?xml version=\"1.0\"?>\n<svg width=\"3\"/>",
            "this is SVG, which aet does not read",
        ),
        (b"%PDF-1.7\n", "this is PDF, which aet does not read"),
        (
            b"\0\0\0\x18ftypmp42\0\0\0\0",
            "a video (MP4 or QuickTime), not an image",
        ),
        (b"RIFF\0\0\0\0AVI LIST", "a video (AVI), not an image"),
        (b"\xff\x0a\x01\x02", "this is JPEG XL"),
        (b"PK\x03\x04\x14\0", "a ZIP archive"),
        (
            b"\x91\x02\x03\xff\xff\x80",
            "no image of a format that aet reads",
        ),
        (b"\xff\xd8", "no image of a format that aet reads"),
    ];
    for (bytes, words) in cases {
        let error = decoded(bytes).unwrap_err();
        assert!(error.is_about_one_image());
        let message = full_message(&error);
        assert!(message.starts_with("image 3 (a picture)"), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn what_no_decoder_here_does_is_said_with_a_way_out() {
    // CIE L*a*b* of 8 bits in the place of a palette.
    let palette = fixture("palette-4-bits-little.tif");
    let tag = [6, 1, 3, 0, 1, 0, 0, 0, 3];
    let at = palette.windows(tag.len()).position(|found| found == tag);
    let message = failure_of(&patched(
        "palette-4-bits-little.tif",
        &[(at.unwrap() + 8, &[8])],
    ));
    assert!(message.starts_with("image 3 (a picture)"), "{message}");
    assert!(message.contains("Tiff"), "{message}");
    assert!(message.ends_with("convert it to PNG"), "{message}");
}

#[test]
fn options_are_read_from_a_table_that_may_be_empty() {
    let options: DecodeOptions = serde_json::from_str("{}").unwrap();
    assert_eq!(options, DecodeOptions::default());
    let options: DecodeOptions = serde_json::from_str(r#"{"max_pixels": 7}"#).unwrap();
    assert_eq!(options.max_pixels, 7);
    assert!(options.follow_orientation);
    assert!(serde_json::from_str::<DecodeOptions>(r#"{"max_pixel": 7}"#).is_err());
}

#[test]
fn pixels_need_no_decoding_and_an_image_of_the_size_no_fitting() {
    let picture = marked(5, 7, 1);
    let pixels = decode(Payload::Pixels(picture.clone()), 0, "pixels").unwrap();
    assert_eq!(pixels, picture);
    assert_eq!(fit(pixels, [5, 7], 0, "pixels").unwrap(), picture);
    let error = fit(picture, [5, 0], 4, "some pixels").unwrap_err();
    let message = full_message(&error);
    assert!(
        message.starts_with("image 4 (some pixels) cannot be resized"),
        "{message}"
    );
    assert!(
        message.contains("5x7 pixels (height x width) cannot become 5x0"),
        "{message}"
    );
}
