//! One benchmark a stage of the pair path: decode, crop and flip, sample, warp, normalise, and the
//! whole batch with 0, 1 and 2 workers. Random images, real matrices, throughput in images.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::io::Cursor;
use std::sync::Arc;

use aet_data::decode::{decode, fit};
use aet_data::random::{Purpose, generator};
use aet_data::{
    Augment, AugmentBuffers, EpochPlan, ImageSet, ItemContext, ItemPipeline, Loader, Normalisation,
    Order, PairPipeline, Payload, ShapesConfig, Share, Source,
};
use aet_geometry::{Family, Homography, RgbImage, TransformationFamily, warp_into};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rand::Rng;

const COUNT: usize = 1_024;
const SIDE: usize = 32;

fn noise(height: usize, width: usize) -> RgbImage {
    let mut image = RgbImage::filled(height, width, [0; 3]);
    generator(1, 0, 0, Purpose::Noise).fill_bytes(image.pixels_mut());
    image
}

fn set() -> Arc<ImageSet> {
    let pixels = noise(COUNT * SIDE, SIDE).into_pixels();
    Arc::new(ImageSet::new([SIDE, SIDE], pixels, vec![None; COUNT]).unwrap())
}

fn pairs() -> PairPipeline {
    PairPipeline {
        augment: Augment {
            crop_padding: 4,
            horizontal_flip: true,
            ..Augment::none()
        },
        family: Family::default_of("projective").unwrap(),
        border: [128; 3].into(),
        normalisation: Normalisation::default(),
    }
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for side in [32_u32, 256] {
        // Smooth, so that it takes about as many bytes as a photograph.
        let pixels = (0..side * side).flat_map(|at| {
            let (row, column) = (at / side * 255 / side, at % side * 255 / side);
            [row as u8, column as u8, (row / 2 + column / 2) as u8]
        });
        let image = image::RgbImage::from_raw(side, side, pixels.collect()).unwrap();
        let mut bytes = Cursor::new(Vec::new());
        image
            .write_to(&mut bytes, image::ImageFormat::Jpeg)
            .unwrap();
        let bytes = bytes.into_inner();
        group.bench_function(format!("jpeg {side}x{side}"), |bencher| {
            bencher.iter(|| decode(Payload::Encoded(bytes.clone()), 0, "").unwrap());
        });
    }
    let photo = noise(375, 500);
    group.bench_function("fit 375x500 to 224x224", |bencher| {
        let fit = |image| fit(image, [224, 224], 0, "").unwrap();
        bencher.iter_batched(|| photo.clone(), fit, BatchSize::SmallInput);
    });
    let config = ShapesConfig::default();
    let shapes = aet_data::source::shapes::ShapesSource::new(&config, aet_data::Split::Train);
    let mut index = 0;
    group.bench_function("generate a shape", |bencher| {
        bencher.iter(|| {
            index = (index + 1) % shapes.len();
            shapes.read(index).unwrap()
        });
    });
    group.finish();
}

fn stages(criterion: &mut Criterion) {
    let (set, pipeline) = (set(), pairs());
    let mut image = noise(SIDE, SIDE);
    let mut view = vec![0.0; 3 * SIDE * SIDE];
    let mut buffers = AugmentBuffers::default();
    let normaliser = pipeline.normalisation.prepare();
    let rng = |index: usize, purpose| generator(1, 0, index as u64, purpose);
    let sample =
        |index: usize| (pipeline.family).sample(&mut rng(index, Purpose::Transform), SIDE, SIDE);
    let maps: Vec<_> = (0..COUNT).map(sample).collect();
    let mut group = criterion.benchmark_group("stage 32x32");
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("crop and flip", |bencher| {
        bencher.iter(|| {
            for index in 0..COUNT {
                let mut rng = rng(index, Purpose::Augment);
                let output = image.view_mut();
                (pipeline.augment)
                    .apply_into(set.image(index), &mut rng, &mut buffers, output)
                    .unwrap();
                black_box(&mut image);
            }
        });
    });
    group.bench_function("sample projective", |bencher| {
        bencher.iter(|| (0..COUNT).for_each(|index| drop(black_box(sample(index)))));
    });
    group.bench_function("warp", |bencher| {
        bencher.iter(|| {
            for (index, sampled) in maps.iter().enumerate() {
                let map = &sampled.source_from_output().unwrap_or(Homography::IDENTITY);
                warp_into(set.image(index), map, image.view_mut(), [128; 3]);
                black_box(&mut image);
            }
        });
    });
    group.bench_function("normalise", |bencher| {
        bencher.iter(|| {
            for index in 0..COUNT {
                normaliser.apply_into(set.image(index), &mut view);
                black_box(&mut view);
            }
        });
    });
    let mut warped = view.clone();
    let mut target = vec![0.0; pipeline.target_len()];
    let mut context = ItemContext::new(1, 0, 0);
    group.bench_function("pair", |bencher| {
        bencher.iter(|| {
            for index in 0..COUNT {
                context.set_index(index);
                let views = &mut [view.as_mut_slice(), warped.as_mut_slice()];
                pipeline
                    .make(set.image(index), &mut context, views, &mut target)
                    .unwrap();
                black_box(views);
            }
        });
    });
    group.finish();
}

fn batches(criterion: &mut Criterion) {
    let (set, pipeline) = (set(), Arc::new(pairs()));
    let mut group = criterion.benchmark_group("batches of 128 pairs 32x32");
    group.throughput(Throughput::Elements(COUNT as u64));
    for workers in [0, 1, 2] {
        let mut epoch = 0;
        group.bench_function(format!("{workers} workers"), |bencher| {
            bencher.iter(|| {
                epoch += 1;
                let plan = EpochPlan {
                    seed: 1,
                    epoch,
                    batch_size: 128,
                    order: Order::Shuffled,
                    drop_last: false,
                    first_step: 0,
                    share: Share::WHOLE,
                };
                let made = Loader::epoch(set.clone(), pipeline.clone(), plan, workers).unwrap();
                let recycler = made.recycler();
                made.for_each(|batch| recycler.recycle(black_box(batch.unwrap())));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decoding, stages, batches);
criterion_main!(benches);
