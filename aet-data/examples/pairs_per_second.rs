//! How many pairs a second the loader makes on one core: random crop with padding 4, flip,
//! projective transformation, bilinear warp, two normalised f32 views and the target, in batches
//! of 512 in the calling thread (0 workers). Prints `<number> pairs/s`; what is spent on each
//! stage goes to stderr with `--stages`.
//!
//! usage: `pairs_per_second <set: path or shapes> <count> [--stages]`

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use aet_data::random::{Purpose, generator};
use aet_data::{
    Augment, EpochPlan, ImageSet, Loader, Location, Normalisation, Order, PairPipeline, Split,
};
use aet_geometry::{Family, Homography, RgbImage, TransformationFamily, warp_into};

const BATCH_SIZE: usize = 512;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, count, options @ ..] = arguments.as_slice() else {
        return Err("usage: pairs_per_second <set: path or shapes> <count> [--stages]".into());
    };
    let location: Location = path.parse()?;
    let count: usize = count.parse()?;
    let source = aet_data::open(&location, Split::Train)?;
    let set = Arc::new(ImageSet::load(source.as_ref(), None, 2, &|_, _| {})?);
    let pairs = Arc::new(PairPipeline {
        augment: Augment {
            crop_padding: 4,
            horizontal_flip: true,
        },
        family: Family::default_of("projective")?,
        border: [128; 3].into(),
        normalisation: Normalisation::default(),
    });
    // The first batch is not timed: it pays for the memory that the others use again.
    make(&set, &pairs, BATCH_SIZE)?;
    let start = Instant::now();
    let made = make(&set, &pairs, count)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{:.0} pairs/s", made as f64 / seconds);
    if options.iter().any(|option| option == "--stages") {
        stages(&set, &pairs);
    }
    Ok(())
}

/// Makes at least `count` pairs, in whole batches, and gives their number.
fn make(
    set: &Arc<ImageSet>,
    pairs: &Arc<PairPipeline>,
    count: usize,
) -> Result<usize, Box<dyn Error>> {
    let mut made = 0;
    for epoch in 0.. {
        let plan = EpochPlan {
            seed: 1,
            epoch,
            batch_size: BATCH_SIZE,
            order: Order::Shuffled,
            drop_last: false,
            first_step: 0,
        };
        let batches = Loader::epoch(Arc::clone(set), Arc::clone(pairs) as _, plan, 0)?;
        let recycler = batches.recycler();
        for batch in batches {
            made += batch.len();
            recycler.recycle(black_box(batch));
            if made >= count {
                return Ok(made);
            }
        }
    }
    Ok(made)
}

/// Times each stage of the pair path by itself.
fn stages(set: &ImageSet, pairs: &PairPipeline) {
    let (height, width) = (set.height(), set.width());
    let mut image = RgbImage::filled(height, width, [0; 3]);
    let mut warped = image.clone();
    let mut view = vec![0.0; 3 * height * width];
    let normaliser = pairs.normalisation.prepare();
    let maps: Vec<_> = (0..set.len() as u64)
        .map(|index| {
            pairs.family.sample(
                &mut generator(1, 0, index, Purpose::Transform),
                height,
                width,
            )
        })
        .collect();
    let time = |name: &str, stage: &mut dyn FnMut(usize)| {
        let start = Instant::now();
        for index in 0..set.len() {
            stage(index);
        }
        let nanoseconds = start.elapsed().as_nanos() as f64 / set.len() as f64;
        eprintln!("{name:<12} {nanoseconds:>8.0} ns");
    };
    time("generator", &mut |index| {
        black_box(aet_data::random::unit(&mut generator(
            1,
            0,
            index as u64,
            Purpose::Augment,
        )));
    });
    time("crop, flip", &mut |index| {
        let mut rng = generator(1, 0, index as u64, Purpose::Augment);
        pairs
            .augment
            .apply_into(set.image(index), &mut rng, image.view_mut());
        black_box(&mut image);
    });
    time("sample", &mut |index| {
        let mut rng = generator(1, 0, index as u64, Purpose::Transform);
        black_box(pairs.family.sample(&mut rng, height, width));
    });
    time("warp", &mut |index| {
        let map = &maps[index]
            .source_from_output()
            .unwrap_or(Homography::IDENTITY);
        warp_into(set.image(index), map, warped.view_mut(), [128; 3]);
        black_box(&mut warped);
    });
    time("normalise", &mut |index| {
        normaliser.apply_into(set.image(index), &mut view);
        black_box(&mut view);
    });
}
