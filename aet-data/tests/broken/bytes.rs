//! Pieces of image files: headers that lie, data that unpacks without end.

use std::io::{Cursor, Write};

use aet_geometry::RgbImage;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::{DynamicImage, ImageFormat};

use crate::support::{marked, png};

/// Bytes that a trap unpacks to: more than a test may take.
pub const TRAP: usize = 200 << 20;

/// A file of `fixtures/decoding`.
pub fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/decoding/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

/// A picture of 40x56 pixels in `format`.
pub fn picture(format: ImageFormat) -> Vec<u8> {
    let pixels = marked(40, 56, 3).into_pixels();
    let image = image::RgbImage::from_raw(56, 40, pixels).unwrap();
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image)
        .write_to(&mut bytes, format)
        .unwrap();
    bytes.into_inner()
}

/// The first half.
pub fn half(bytes: Vec<u8>) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

/// All but the last `count` bytes.
pub fn without_last(count: usize, bytes: Vec<u8>) -> Vec<u8> {
    bytes[..bytes.len() - count].to_vec()
}

/// `bytes` with other ones at some places.
pub fn patched(mut bytes: Vec<u8>, patches: &[(usize, &[u8])]) -> Vec<u8> {
    for (at, patch) in patches {
        bytes[*at..at + patch.len()].copy_from_slice(patch);
    }
    bytes
}

/// Where `wanted` lies in `bytes`.
pub fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    let mut windows = bytes.windows(wanted.len());
    windows.position(|window| window == wanted).unwrap()
}

/// A JPEG whose frame header claims `height` x `width`.
pub fn jpeg_claiming(height: u16, width: u16) -> Vec<u8> {
    let jpeg = fixture("420.jpg");
    let frame = find(&jpeg, &[0xff, 0xc0]);
    let (height, width) = (height.to_be_bytes(), width.to_be_bytes());
    patched(jpeg, &[(frame + 5, &height), (frame + 7, &width)])
}

/// A JPEG whose frame is of another kind, as its marker says.
pub fn jpeg_of_kind(marker: u8) -> Vec<u8> {
    let jpeg = fixture("420.jpg");
    let frame = find(&jpeg, &[0xff, 0xc0]);
    patched(jpeg, &[(frame + 1, &[marker])])
}

/// A JPEG without its segments of one kind.
pub fn jpeg_without(marker: u8) -> Vec<u8> {
    let mut jpeg = fixture("420.jpg");
    while let Some(at) = jpeg.windows(2).position(|pair| pair == [0xff, marker]) {
        let length = usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        jpeg.drain(at..at + 2 + length);
    }
    jpeg
}

/// A JPEG with an EXIF block of these bytes in front.
pub fn jpeg_with_exif(exif: &[u8]) -> Vec<u8> {
    let jpeg = fixture("420.jpg");
    let block = [b"Exif\0\0", exif].concat();
    let length = (block.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &block, &jpeg[2..]].concat()
}

/// An EXIF block of one entry: an orientation of this value.
pub fn orientation(value: u16) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend(value.to_le_bytes());
    exif.extend([0; 6]);
    exif
}

/// A chunk of a PNG file.
pub fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [kind.as_slice(), data].concat();
    let length = (data.len() as u32).to_be_bytes();
    let sum = crc32(&named).to_be_bytes();
    [&length[..], &named, &sum].concat()
}

/// A PNG file of `height` x `width` 8-bit pixels of this colour type, of these chunks.
pub fn png_of([height, width]: [u32; 2], colour: u8, chunks: &[Vec<u8>]) -> Vec<u8> {
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = [sides, vec![8, colour, 0, 0, 0]].concat();
    let magic = b"\x89PNG\r\n\x1a\n".to_vec();
    let end = chunk(b"IEND", &[]);
    [magic, chunk(b"IHDR", &header), chunks.concat(), end].concat()
}

/// The small good PNG with one more chunk behind its header.
pub fn png_with(extra: Vec<u8>) -> Vec<u8> {
    let small = png(&marked(5, 7, 3));
    [&small[..33], &extra, &small[33..]].concat()
}

/// `count` zeros, compressed by zlib.
pub fn packed_zeros(count: usize) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
    let block = vec![0; 1 << 20];
    for _ in 0..count >> 20 {
        packer.write_all(&block).unwrap();
    }
    packer.write_all(&block[..count & ((1 << 20) - 1)]).unwrap();
    packer.finish().unwrap()
}

/// Some 8 MB of zeros a round, compressed by the LZW of TIFF.
pub fn lzw_zeros(rounds: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    for _ in 0..rounds {
        bits.push(256, 9);
        bits.push(0, 9);
        // Every code stands for a run that is one longer than the last one.
        for code in 258..4094_u32 {
            let width = match code {
                ..511 => 9,
                511..1023 => 10,
                1023..2047 => 11,
                _ => 12,
            };
            bits.push(code, width);
        }
    }
    bits.push(256, 12);
    bits.push(257, 9);
    bits.bytes()
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    kept: u32,
    count: u32,
}

impl Bits {
    /// Adds the lowest `width` bits of `code`, the highest first.
    fn push(&mut self, code: u32, width: u32) {
        self.kept = self.kept << width | code;
        self.count += width;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.kept >> self.count) as u8);
        }
        self.kept &= (1 << self.count) - 1;
    }

    fn bytes(mut self) -> Vec<u8> {
        self.bytes.push((self.kept << (8 - self.count)) as u8);
        self.bytes
    }
}

/// A TIFF file of one strip of 8-bit grey pixels, with other entries where `changes` has them.
pub fn tiff(
    [height, width]: [u32; 2],
    compression: u32,
    strip: &[u8],
    changes: &[(u16, u32)],
) -> Vec<u8> {
    let changed = |tag: u16, value: u32| {
        let change = changes.iter().find(|(changed, _)| *changed == tag);
        (tag, change.map_or(value, |(_, value)| *value))
    };
    let entries = [
        changed(256, width),
        changed(257, height),
        changed(258, 8),
        changed(259, compression),
        changed(262, 1),
        changed(273, 8),
        changed(277, 1),
        changed(278, height),
        changed(279, strip.len() as u32),
    ];
    let mut bytes = b"II*\0".to_vec();
    bytes.extend((8 + strip.len() as u32).to_le_bytes());
    bytes.extend(strip);
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend([4, 0, 1, 0, 0, 0]);
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes
}

/// A grey picture of these pixels, kept for its size alone.
pub fn grey_image(height: usize, width: usize) -> RgbImage {
    RgbImage::filled(height, width, [90; 3])
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}
