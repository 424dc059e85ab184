//! Encoded images, and sets that were decoded once.

use std::path::Path;

use aet_data::source::decoded as sets;
use aet_data::{DataError, LoadOptions, Payload, RawSample, Source};
use tempfile::TempDir;

use super::Seed;
use super::damage::{instead, of_any_file, over, seed};
use super::support::{marked, png};

/// A GIF of one pixel.
pub const PIXEL: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// The images that the tests of decoding read, and damaged ones.
pub fn encoded() -> Vec<Seed> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../aet-data/tests/fixtures/decoding"
    );
    let mut seeds: Vec<Seed> = (std::fs::read_dir(Path::new(folder)).unwrap())
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| !name.ends_with(".json") && !name.ends_with(".py"))
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .filter(|(_, bytes)| bytes.len() < 1100)
        .collect();
    let image = png(&marked(5, 7, 0));
    // Width and height lie behind the mark of the file and that of the first chunk.
    seeds.push(seed(
        "sides-largest",
        over(&image, 16, &[0x7f, 255, 255, 255, 0x7f, 255, 255, 255]),
    ));
    seeds.push(seed("no-pixels", over(&image, 16, &[0; 8])));
    seeds.push(seed("pixel", PIXEL));
    seeds.push(seed("text", "no image"));
    seeds.push(seed("page", "<!doctype html><html></html>"));
    seeds.push(seed("svg", "<svg xmlns='http://www.w3.org/2000/svg'/>"));
    seeds.push(seed("zeros", [0; 64]));
    seeds.push(seed("video", b"\0\0\0\x20ftypisom"));
    seeds.extend(of_any_file(&image));
    seeds
}

/// Images in memory, of these heights and widths.
struct InMemory {
    sizes: Vec<[usize; 2]>,
    class_names: Vec<String>,
}

impl Source for InMemory {
    fn len(&self) -> usize {
        self.sizes.len()
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        let [height, width] = self.sizes[index];
        Ok(RawSample {
            name: format!("image {index}"),
            payload: Payload::Pixels(marked(height, width, index)),
            label: Some(index as u32),
        })
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn format(&self) -> &'static str {
        "in memory"
    }
}

/// A decoded set of images of these sizes.
fn written(sizes: &[[usize; 2]], options: &LoadOptions) -> Vec<u8> {
    let source = InMemory {
        sizes: sizes.to_vec(),
        class_names: ["ant", "bee"].map(str::to_owned).to_vec(),
    };
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("train.aetset");
    sets::write(&source, options, &path, &mut |_, _| ()).unwrap();
    std::fs::read(path).unwrap()
}

/// Seeds of decoded sets.
pub fn decoded() -> Vec<Seed> {
    let valid = written(&[[2, 3]; 2], &LoadOptions::default());
    let cropped = LoadOptions {
        size: Some([2; 2]),
        shorter_side: Some(2),
        ..LoadOptions::default()
    };
    let of_sizes = written(&[[2, 3], [4, 2]], &cropped);
    let count = |count: &[u8]| instead(&valid, b"\"count\":2", &[b"\"count\":", count].concat());
    let pixels = |bytes: &[u8]| {
        instead(
            &valid,
            b"\"pixel_bytes\":36",
            &[b"\"pixel_bytes\":", bytes].concat(),
        )
    };
    let mut seeds = vec![
        seed("of-one-size", valid.clone()),
        seed("of-sizes", of_sizes.clone()),
        seed("count-0", count(b"0")),
        seed("count-largest", count(b"18446744073709551615")),
        seed("pixels-largest", pixels(b"18446744073709551615")),
        seed(
            "size-largest",
            instead(
                &valid,
                b"\"same\":[2,3]",
                b"\"same\":[4294967296,4294967296]",
            ),
        ),
        seed(
            "size-0",
            instead(&valid, b"\"same\":[2,3]", b"\"same\":[0,3]"),
        ),
        seed(
            "a-place-outside",
            over(&of_sizes, 4096 + 18 + 24 + 8, &[255; 8]),
        ),
        seed("label-2", over(&valid, 4096 + 36, &[2, 0, 0, 0])),
        seed("header-place-largest", over(&valid, 8, &[255; 8])),
        seed("header-place-0", over(&valid, 8, &[0; 8])),
    ];
    seeds.extend(of_any_file(&valid).into_iter().skip(3));
    seeds.push(seed("cut-within-its-start", &valid[..12]));
    seeds
}
