//! Image files that are cut short, damaged, lie about themselves, or are no images.

use image::ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};

use super::Case;
use super::bytes::{
    chunk, find, fixture, grey_image, half, jpeg_of_kind, jpeg_with_exif, jpeg_without,
    orientation, packed_zeros, patched, picture, png_of, tiff, without_last,
};
use crate::support::{marked, png};

/// What is said of a file that is cut short.
macro_rules! cut {
    ($file:literal) => {
        concat!(
            "image 0 (",
            $file,
            "): the file ends before the image does; fetch or copy it again"
        )
    };
}

pub fn cases() -> Vec<Case> {
    [no_images(), cut_short(), damaged(), odd()]
        .into_iter()
        .flatten()
        .collect()
}

/// What is no image at all.
fn no_images() -> Vec<Case> {
    vec![
        Case::skipped(
            "empty-file",
            "a file of no bytes",
            ("broken.jpg", Vec::new),
            "image 0 (broken.jpg): the file is empty; remove it, or get it again",
        ),
        Case::skipped(
            "zeros",
            "4,000 zero bytes, as a crash of the system leaves them",
            ("broken.jpg", || vec![0; 4000]),
            "image 0 (broken.jpg): the file holds nothing but zeros; fetch or copy it again",
        ),
        Case::skipped(
            "text",
            "text named `.jpg`",
            ("broken.jpg", || b"notes on the pictures\n".to_vec()),
            "image 0 (broken.jpg): this is text, not an image",
        ),
        Case::skipped(
            "html",
            "an HTML page named `.jpg`",
            ("broken.jpg", || b"<!DOCTYPE html><html>404</html>".to_vec()),
            "image 0 (broken.jpg): this is HTML (a page in the place of a download?), not an image",
        ),
        Case::skipped(
            "git-lfs-pointer",
            "a pointer of Git LFS in the place of the image",
            ("broken.jpg", || {
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n".to_vec()
            }),
            "image 0 (broken.jpg): this is a pointer of Git LFS (`git lfs pull` fetches the file)",
        ),
        Case::skipped(
            "heic",
            "a HEIC picture of a telephone",
            ("broken.jpg", || b"\0\0\0\x18ftypheic\0\0\0\0".to_vec()),
            "image 0 (broken.jpg): this is HEIC, which aet does not read; convert it to JPEG or PNG",
        ),
        Case::skipped(
            "svg",
            "an SVG drawing",
            ("broken.png", || b"<?xml version=\"1.0\"?>\n<svg/>".to_vec()),
            "image 0 (broken.png): this is SVG, which aet does not read; convert it to JPEG or PNG",
        ),
        Case::skipped(
            "video",
            "a video named `.gif`",
            ("broken.gif", || b"\0\0\0\x18ftypmp42\0\0\0\0".to_vec()),
            "image 0 (broken.gif): this is a video (MP4 or QuickTime), not an image",
        ),
        Case::skipped(
            "random-bytes",
            "bytes that are of no known kind",
            ("broken.bmp", || b"\x91\x02\x03\xff\xff\x80\x07".repeat(40)),
            "image 0 (broken.bmp): this is no image of a format that aet reads \
             (JPEG, PNG, WebP, BMP, TIFF, GIF)",
        ),
        Case::read(
            "png-named-jpg",
            "a PNG file named `.jpg`",
            ("broken.jpg", || picture(Png)),
            "the first bytes tell the format, not the name",
        ),
        Case::read(
            "jpeg-named-png",
            "a JPEG file named `.png`",
            ("broken.png", || picture(Jpeg)),
            "the first bytes tell the format, not the name",
        ),
    ]
}

fn cut_short() -> Vec<Case> {
    vec![
        Case::skipped(
            "jpeg-cut-in-header",
            "the first 30 bytes of a JPEG file",
            ("broken.jpg", || picture(Jpeg)[..30].to_vec()),
            cut!("broken.jpg"),
        ),
        Case::skipped(
            "jpeg-cut-in-half",
            "the first half of a JPEG file",
            ("broken.jpg", || half(picture(Jpeg))),
            cut!("broken.jpg"),
        ),
        Case::skipped(
            "jpeg-without-end",
            "a JPEG file without its last 2 bytes",
            ("broken.jpg", || without_last(2, picture(Jpeg))),
            cut!("broken.jpg"),
        ),
        Case::skipped(
            "jpeg-cut-behind-thumbnail",
            "a JPEG file with a whole thumbnail, cut short behind it",
            ("broken.jpg", || without_last(2, fixture("thumbnail.jpg"))),
            cut!("broken.jpg"),
        ),
        Case::skipped(
            "png-cut-in-header",
            "the first 20 bytes of a PNG file",
            ("broken.png", || picture(Png)[..20].to_vec()),
            cut!("broken.png"),
        ),
        Case::skipped(
            "png-cut-in-half",
            "the first half of a PNG file",
            ("broken.png", || half(picture(Png))),
            cut!("broken.png"),
        ),
        Case::skipped(
            "webp-cut-in-half",
            "the first half of a WebP file",
            ("broken.webp", || half(picture(WebP))),
            cut!("broken.webp"),
        ),
        Case::skipped(
            "gif-cut-in-half",
            "the first half of a GIF file",
            ("broken.gif", || half(picture(Gif))),
            "image 0 (broken.gif) cannot be decoded; fetch or copy it again, or convert it to PNG: …Unexpected End of File",
        ),
        Case::skipped(
            "tiff-cut-in-half",
            "the first half of a TIFF file, without its directory",
            ("broken.tif", || half(picture(Tiff))),
            cut!("broken.tif"),
        ),
        Case::skipped(
            "bmp-cut-in-half",
            "the first half of a BMP file",
            ("broken.bmp", || half(picture(Bmp))),
            cut!("broken.bmp"),
        ),
        Case::skipped(
            "webp-metadata-past-the-end",
            "a WebP file whose EXIF block claims 4 GB",
            ("broken.webp", || {
                let webp = fixture("orientation-8.webp");
                let at = find(&webp, b"EXIF") + 4;
                patched(webp, &[(at, &[0xf0, 0xff, 0xff, 0xff])])
            }),
            cut!("broken.webp"),
        ),
    ]
}

fn damaged() -> Vec<Case> {
    vec![
        Case::skipped(
            "png-wrong-sum",
            "a flipped bit in the pixels of a PNG file, so that their checksum is wrong",
            ("broken.png", || {
                let png = picture(Png);
                let at = find(&png, b"IDAT") + 40;
                let flipped = [png[at] ^ 1];
                patched(png, &[(at, &flipped)])
            }),
            "image 0 (broken.png) cannot be decoded; fetch or copy it again, or convert it to PNG: …",
        ),
        Case::skipped(
            "png-wrong-header-sum",
            "a PNG header with a wrong checksum",
            ("broken.png", || {
                patched(picture(Png), &[(29, &[1, 2, 3, 4])])
            }),
            "image 0 (broken.png) cannot be decoded; fetch or copy it again, or convert it to PNG: …CRC error…",
        ),
        Case::skipped(
            "png-without-palette",
            "a PNG file of palette colours without a palette",
            ("broken.png", || {
                png_of([5, 7], 3, &[chunk(b"IDAT", &packed_zeros(5 * 8))])
            }),
            "image 0 (broken.png) cannot be decoded; fetch or copy it again, or convert it to PNG: …Missing palette…",
        ),
        Case::read(
            "jpeg-missing-data",
            "a JPEG file that lacks a piece of its coded pixels",
            ("broken.jpg", || {
                let mut jpeg = picture(Jpeg);
                let end = jpeg.len();
                jpeg.drain(end - 60..end - 2);
                jpeg
            }),
            "what is missing is filled, as other readers do it; a missing end is what tells",
        ),
        Case::skipped(
            "jpeg-without-quantisation",
            "a JPEG file without its quantisation tables",
            ("broken.jpg", || jpeg_without(0xdb)),
            "image 0 (broken.jpg) cannot be decoded; fetch or copy it again, or convert it to PNG: …",
        ),
        Case::skipped(
            "jpeg-lossless",
            "a lossless JPEG file, as scanners of hospitals make them",
            ("broken.jpg", || jpeg_of_kind(0xc3)),
            "image 0 (broken.jpg): this is a lossless JPEG, which aet does not read; convert it to PNG",
        ),
        Case::skipped(
            "jpeg-arithmetic",
            "a JPEG file of arithmetic coding",
            ("broken.jpg", || jpeg_of_kind(0xc9)),
            "image 0 (broken.jpg): this is a JPEG of arithmetic coding, which aet does not read; convert it to PNG",
        ),
        Case::skipped(
            "gif-damaged-data",
            "nonsense in the coded pixels of a GIF file",
            ("broken.gif", || {
                let gif = fixture("palette.gif");
                let at = find(&gif, b"\x2c") + 14;
                patched(gif, &[(at, &[0xff; 20])])
            }),
            "image 0 (broken.gif) cannot be decoded; fetch or copy it again, or convert it to PNG: …",
        ),
        Case::skipped(
            "webp-damaged-data",
            "nonsense in the coded pixels of a WebP file",
            ("broken.webp", || {
                let webp = fixture("lossless.webp");
                patched(webp, &[(28, &[0xff; 24])])
            }),
            "image 0 (broken.webp) cannot be decoded; fetch or copy it again, or convert it to PNG: …",
        ),
        Case::skipped(
            "tiff-directory-past-the-end",
            "a TIFF file whose directory lies behind its end",
            ("broken.tif", || {
                patched(picture(Tiff), &[(4, &[0xff, 0xff, 0xff, 0x7f])])
            }),
            cut!("broken.tif"),
        ),
        Case::skipped(
            "tiff-strip-past-the-end",
            "a TIFF file whose pixels are said to take 4 GB",
            ("broken.tif", || {
                tiff([5, 7], 1, &[90; 35], &[(279, u32::MAX)])
            }),
            "image 0 (broken.tif): decoding it takes far more memory than its size explains; it is broken, or made to do harm",
        ),
    ]
}

/// What is unusual, and read all the same or named.
fn odd() -> Vec<Case> {
    vec![
        Case::read(
            "exif-orientation-99",
            "a JPEG file with an EXIF orientation of 99, which there is not",
            ("broken.jpg", || jpeg_with_exif(&orientation(99))),
            "an orientation that does not exist turns nothing",
        ),
        Case::read(
            "exif-cut-short",
            "a JPEG file with half an EXIF block",
            ("broken.jpg", || jpeg_with_exif(&orientation(6)[..13])),
            "EXIF that cannot be read says nothing",
        ),
        Case::read(
            "exif-past-the-end",
            "a JPEG file whose EXIF directory lies behind its end",
            ("broken.jpg", || {
                jpeg_with_exif(b"II*\0\xff\xff\xff\xff\x01\0")
            }),
            "EXIF that cannot be read says nothing",
        ),
        Case::read(
            "cmyk-jpeg",
            "a JPEG file of CMYK inks",
            ("broken.jpg", || fixture("cmyk.jpg")),
            "converted without a profile, as Pillow does it",
        ),
        Case::read(
            "sixteen-bit-png",
            "a PNG file of 16 bits a channel",
            ("broken.png", || fixture("rgb-16-bits.png")),
            "scaled to 8 bits",
        ),
        Case::skipped(
            "palette-tiff-with-few-colours",
            "a TIFF file of palette colours that names fewer of them than its pixels can",
            ("broken.tif", || {
                let tiff = fixture("palette-4-bits-little.tif");
                let colours = find(&tiff, &[64, 1, 3, 0]);
                patched(tiff, &[(colours + 4, &[45])])
            }),
            "image 0 (broken.tif): it has 45 numbers for its colours, where pixels of 4 bits need 48",
        ),
        Case::skipped(
            "lab-tiff",
            "a TIFF file of CIE L*a*b* colours",
            ("broken.tif", || {
                let tiff = fixture("palette-4-bits-little.tif");
                let kind = find(&tiff, &[6, 1, 3, 0]);
                patched(tiff, &[(kind + 8, &[8])])
            }),
            "image 0 (broken.tif): …; convert it to PNG",
        ),
        Case::read(
            "palette-tiff",
            "a TIFF file of palette colours",
            ("broken.tif", || fixture("palette.tif")),
            "they are looked up",
        ),
        Case::read(
            "animated-gif",
            "an animation in a GIF file",
            ("broken.gif", || fixture("animated.gif")),
            "its first frame",
        ),
        Case::read(
            "animated-webp",
            "an animation in a WebP file",
            ("broken.webp", || fixture("animated.webp")),
            "its first frame",
        ),
        Case::read(
            "several-pages-tiff",
            "a TIFF file of several pages",
            ("broken.tif", || fixture("several-pages.tif")),
            "its first page",
        ),
        Case::read(
            "jpeg-trailing-half-image",
            "a JPEG file with half of another one behind its end",
            ("broken.jpg", || fixture("trailing-half-image.jpg")),
            "what follows the end of the image is left alone",
        ),
        Case::read(
            "one-row-of-65535",
            "an image of 1x65535 pixels",
            ("broken.png", || png(&grey_image(1, 65_535))),
            "its middle is what a crop shows",
        ),
        Case::read(
            "one-pixel",
            "an image of one pixel",
            ("broken.png", || png(&marked(1, 1, 3))),
            "it is scaled up",
        ),
    ]
}
