//! Warps against those of Pillow, stored by `tests/golden/make_golden.py`.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use aet_geometry::{Homography, RgbImage, warp};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    file: String,
    kind: String,
    source: String,
    coefficients: Vec<f64>,
    output: [usize; 2],
    fill: [u8; 3],
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/warp")
}

fn read(name: &str) -> RgbImage {
    let image = image::open(folder().join(name)).unwrap().to_rgb8();
    let (width, height) = image.dimensions();
    RgbImage::new(height as usize, width as usize, image.into_raw()).unwrap()
}

/// The large image that the script makes by the same formula.
fn formula(height: usize, width: usize) -> RgbImage {
    let pixels = (0..height * width * 3)
        .map(|at| {
            let (i, j, c) = (at / (width * 3), at / 3 % width, at % 3);
            ((i * 73 + j * 151 + c * 57 + (i * j) % 97 * 5) % 256) as u8
        })
        .collect();
    RgbImage::new(height, width, pixels).unwrap()
}

fn map(coefficients: &[f64]) -> Homography {
    let mut all = [0.0; 8];
    all[..coefficients.len()].copy_from_slice(coefficients);
    Homography::from_coefficients(all)
}

#[derive(Default)]
struct Count {
    pixels: usize,
    equal: usize,
    near: usize,
}

#[test]
fn warps_are_those_of_pillow_to_one_level() {
    let cases = std::fs::read(folder().join("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&cases).unwrap();
    let mut sources = HashMap::from([("formula_512x512".to_owned(), formula(512, 512))]);
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for case in &cases {
        let source = sources
            .entry(case.source.clone())
            .or_insert_with(|| read(&format!("{}.png", case.source)));
        let [height, width] = case.output;
        let found = warp(source, &map(&case.coefficients), height, width, case.fill);
        let expected = read(&case.file);
        assert_eq!([expected.height(), expected.width()], case.output);
        let count = counts.entry(case.kind.clone()).or_default();
        let pixels = found.pixels().chunks(3).zip(expected.pixels().chunks(3));
        for (found, expected) in pixels {
            let off = (found.iter().zip(expected))
                .map(|(a, b)| a.abs_diff(*b))
                .max()
                .unwrap();
            count.pixels += 1;
            count.equal += usize::from(off == 0);
            count.near += usize::from(off <= 1);
        }
    }
    assert_eq!(cases.len(), 87);
    let total = |of: fn(&Count) -> usize| counts.values().map(of).sum::<usize>() as f64;
    let pixels = total(|count| count.pixels);
    for (kind, count) in &counts {
        let share = |part: usize| part as f64 / count.pixels as f64 * 100.0;
        println!(
            "{kind}: {:.3}% of {} pixels equal, {:.3}% within one level",
            share(count.equal),
            count.pixels,
            share(count.near)
        );
        assert!(count.near as f64 >= 0.999 * count.pixels as f64, "{kind}");
    }
    println!(
        "all: {:.3}% of {pixels} pixels equal",
        total(|count| count.equal) / pixels * 100.0
    );
    assert!(total(|count| count.equal) >= 0.95 * pixels);
}
