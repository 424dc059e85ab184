//! How long it takes to draw a transformation, and to apply one: `cargo bench -p aet-geometry`.
//!
//! Images are random and every matrix is drawn from its family, a different one each time.

use std::hint::black_box;

use aet_geometry::{Family, Homography, RgbImage, TransformationFamily, warp_into};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const FILL: [u8; 3] = [128, 128, 128];

fn families() -> impl Iterator<Item = Family> {
    Family::KINDS
        .iter()
        .map(|(kind, _)| Family::default_of(kind).expect("every listed family has defaults"))
}

fn noise(rng: &mut ChaCha8Rng, side: usize) -> RgbImage {
    let mut pixels = vec![0; side * side * 3];
    rng.fill_bytes(&mut pixels);
    RgbImage::new(side, side, pixels).expect("the buffer has this size")
}

fn sample(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sample");
    group.throughput(Throughput::Elements(1));
    for family in families() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        group.bench_function(family.name(), |bencher| {
            bencher.iter(|| black_box(family.sample(&mut rng, 32, 32)));
        });
    }
    group.finish();
}

/// One iteration is one image; the throughput is in output pixels.
fn warp(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("warp");
    for side in [32, 96, 224, 512] {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let images: Vec<_> = (0..8).map(|_| noise(&mut rng, side)).collect();
        group.throughput(Throughput::Elements((side * side) as u64));
        for family in families() {
            let maps: Vec<Homography> = (0..256)
                .map(|_| {
                    family
                        .sample(&mut rng, side, side)
                        .source_from_output()
                        .unwrap_or(Homography::IDENTITY)
                })
                .collect();
            let mut output = RgbImage::filled(side, side, FILL);
            let mut turn = 0;
            group.bench_function(BenchmarkId::new(family.name(), side), |bencher| {
                bencher.iter(|| {
                    turn += 1;
                    let source = images[turn % images.len()].view();
                    warp_into(source, &maps[turn % maps.len()], output.view_mut(), FILL);
                    black_box(output.pixels());
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, sample, warp);
criterion_main!(benches);
