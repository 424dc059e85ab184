//! Image files that lie: sizes that headers claim, and small files that unpack to much.

use super::Case;
use super::bytes::{
    TRAP, chunk, find, fixture, jpeg_claiming, lzw_zeros, packed_zeros, patched, png_of, png_with,
    tiff,
};

pub fn cases() -> Vec<Case> {
    [sizes(), traps()].into_iter().flatten().collect()
}

/// Sizes that headers claim.
fn sizes() -> Vec<Case> {
    vec![
        Case::skipped(
            "png-of-60000x60000",
            "a PNG file of 100 bytes whose header claims 60000x60000 pixels",
            ("broken.png", || {
                png_of([60_000; 2], 2, &[chunk(b"IDAT", &[1])])
            }),
            "image 0 (broken.png): it is 60000x60000 (height x width), more than the 100000000 \
             pixels that max_pixels allows; raise max_pixels if this is a true image",
        ),
        Case::skipped(
            "png-of-the-largest-size",
            "a PNG header that claims 2147483647x2147483647 pixels",
            ("broken.png", || {
                png_of([i32::MAX as u32; 2], 6, &[chunk(b"IDAT", &[1])])
            }),
            "image 0 (broken.png): decoding it takes far more memory than its size explains; it is broken, or made to do harm",
        ),
        Case::skipped(
            "jpeg-of-65535x65535",
            "a JPEG header that claims 65535x65535 pixels",
            ("broken.jpg", || jpeg_claiming(65_535, 65_535)),
            "image 0 (broken.jpg): it is 65535x65535 (height x width), more than…max_pixels",
        ),
        Case::skipped(
            "gif-of-65535x65535",
            "a GIF header that claims 65535x65535 pixels",
            ("broken.gif", || {
                patched(fixture("palette.gif"), &[(6, &[0xff; 4])])
            }),
            "image 0 (broken.gif): it is 65535x65535 (height x width), more than…max_pixels",
        ),
        Case::skipped(
            "gif-frame-of-65000x65000",
            "a GIF file of a small screen with a frame of 65000x65000 pixels",
            ("broken.gif", || {
                let gif = fixture("palette.gif");
                let at = find(&gif, b"\x2c") + 5;
                patched(gif, &[(at, &[0xe8, 0xfd, 0xe8, 0xfd])])
            }),
            "image 0 (broken.gif): decoding it takes far more memory than its size explains; it is broken, or made to do harm",
        ),
        Case::skipped(
            "bmp-of-1073741824x1073741824",
            "a BMP header that claims 1073741824x1073741824 pixels",
            ("broken.bmp", || {
                patched(fixture("rgb.bmp"), &[(18, &[0, 0, 0, 64, 0, 0, 0, 64])])
            }),
            "image 0 (broken.bmp) cannot be decoded; fetch or copy it again, or convert it to PNG: …",
        ),
        Case::skipped(
            "tiff-of-60000x60000",
            "a TIFF file of 150 bytes that claims 60000x60000 pixels",
            ("broken.tif", || tiff([60_000; 2], 1, &[90; 35], &[])),
            "image 0 (broken.tif): it is 60000x60000 (height x width), more than…max_pixels",
        ),
        Case::skipped(
            "webp-of-16383x16383",
            "a WebP header that claims 16383x16383 pixels",
            ("broken.webp", || {
                patched(fixture("lossless.webp"), &[(21, &[0xfe, 0xbf, 0xff, 0x0f])])
            }),
            "image 0 (broken.webp): it is 16383x16383 (height x width), more than…max_pixels",
        ),
        Case::skipped(
            "png-of-few-pixels-of-many",
            "a PNG header that claims 3000x3000 pixels, which is allowed, and data for 35",
            ("broken.png", || {
                png_of([3000; 2], 2, &[chunk(b"IDAT", &packed_zeros(35))])
            }),
            "image 0 (broken.png) cannot be decoded; fetch or copy it again, or convert it to PNG: …not have enough data…",
        ),
        Case::skipped(
            "png-of-0x0",
            "a PNG file of no pixels",
            ("broken.png", || {
                png_of([0, 0], 2, &[chunk(b"IDAT", &packed_zeros(0))])
            }),
            "image 0 (broken.png) cannot be decoded; fetch or copy it again, or convert it to PNG: …",
        ),
        Case::skipped(
            "jpeg-of-height-0",
            "a JPEG file of 0x13 pixels",
            ("broken.jpg", || jpeg_claiming(0, 13)),
            "image 0 (broken.jpg) cannot be decoded; fetch or copy it again, or convert it to PNG: …",
        ),
        Case::skipped(
            "bmp-of-height-0",
            "a BMP file of 0x13 pixels",
            ("broken.bmp", || {
                patched(fixture("rgb.bmp"), &[(22, &[0; 4])])
            }),
            "image 0 (broken.bmp): …; convert it to PNG",
        ),
    ]
}

/// Small files that unpack to much.
fn traps() -> Vec<Case> {
    vec![
        Case::read(
            "png-pixels-without-end",
            "a PNG file of 5x7 pixels whose data unpacks to 200 MiB",
            ("broken.png", || {
                png_of([5, 7], 0, &[chunk(b"IDAT", &packed_zeros(TRAP))])
            }),
            "no more is unpacked than the pixels take",
        ),
        Case::read(
            "png-text-without-end",
            "a PNG file with a comment that unpacks to 200 MiB",
            ("broken.png", || {
                let text = [b"Comment\0\0".as_slice(), &packed_zeros(TRAP)].concat();
                png_with(chunk(b"zTXt", &text))
            }),
            "comments are not unpacked",
        ),
        Case::read(
            "png-international-text-without-end",
            "a PNG file with a comment in UTF-8 that unpacks to 200 MiB",
            ("broken.png", || {
                let text = [b"Comment\0\x01\0\0\0".as_slice(), &packed_zeros(TRAP)].concat();
                png_with(chunk(b"iTXt", &text))
            }),
            "comments are not unpacked",
        ),
        Case::read(
            "png-profile-without-end",
            "a PNG file with a colour profile that unpacks to 200 MiB",
            ("broken.png", || {
                let profile = [b"sRGB\0\0".as_slice(), &packed_zeros(TRAP)].concat();
                png_with(chunk(b"iCCP", &profile))
            }),
            "colour profiles are not used",
        ),
        Case::read(
            "tiff-deflate-without-end",
            "a TIFF file of 5x7 pixels whose deflated strip unpacks to 200 MiB",
            ("broken.tif", || tiff([5, 7], 8, &packed_zeros(TRAP), &[])),
            "no more is unpacked than the pixels take",
        ),
        Case::read(
            "tiff-lzw-without-end",
            "a TIFF file of 5x7 pixels whose LZW strip unpacks to 200 MB",
            ("broken.tif", || tiff([5, 7], 5, &lzw_zeros(25), &[])),
            "no more is unpacked than the pixels take",
        ),
    ]
}
