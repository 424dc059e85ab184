//! Pairs a second on one core, for `scripts/compare_pairs.py`: as in the AET paper on CIFAR-10, from
//! images in memory, or with `--photos` from encoded photographs, each decoded for its pair.
//!
//! usage: pairs_per_second <set: path or shapes> <count> [--photos] [--stages]
//!
//! Prints what it reached, from the wall clock. With `--stages`, also what each stage of a pair costs
//! by itself, to stderr.

#[path = "support/pairs.rs"]
mod pairs;

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use aet_data::decode::decode;
use aet_data::random::{Purpose, generator};
use aet_data::{
    Augment, AugmentBuffers, EpochPlan, ImageSet, Loader, Location, Order, PairPipeline, Share,
    Source, Split,
};
use aet_geometry::{Homography, RgbImage, TransformationFamily, warp_into};
use pairs::{pairs, photographs};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, count, options @ ..] = arguments.as_slice() else {
        return Err(
            "usage: pairs_per_second <set: path or shapes> <count> [--photos] [--stages]".into(),
        );
    };
    let has = |name: &str| options.iter().any(|option| option == name);
    let location: Location = path.parse()?;
    let count: usize = count.parse()?;
    let source: Arc<dyn Source> = aet_data::open(&location, Split::Train)?.into();
    let work = if has("--photos") {
        Work::photos(Arc::clone(&source))?
    } else {
        Work::cifar(source.as_ref())?
    };
    // The first batch is not timed: it pays for the memory that the others use again.
    work.make(work.batch_size)?;
    let start = Instant::now();
    let made = work.make(count)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{:.0} pairs/s", made as f64 / seconds);
    if has("--stages") {
        work.stages(source.as_ref())?;
    }
    Ok(())
}

/// What is made, and of what.
struct Work {
    set: Arc<ImageSet>,
    pairs: Arc<PairPipeline>,
    batch_size: usize,
}

impl Work {
    /// Pairs of 32x32, of images in memory: crop with padding 4, flip.
    fn cifar(source: &dyn Source) -> Result<Self, Box<dyn Error>> {
        let augment = Augment {
            crop_padding: 4,
            horizontal_flip: true,
            ..Augment::none()
        };
        Ok(Self {
            set: Arc::new(ImageSet::load(source, None, 2, &|_, _| {})?),
            pairs: pairs(augment)?,
            batch_size: 512,
        })
    }

    /// Pairs of photographs, decoded one by one.
    fn photos(source: Arc<dyn Source>) -> Result<Self, Box<dyn Error>> {
        let (set, pairs) = photographs(source)?;
        Ok(Self {
            set,
            pairs,
            batch_size: 20,
        })
    }

    /// Makes at least `count` pairs, in whole batches, and gives their number.
    fn make(&self, count: usize) -> Result<usize, Box<dyn Error>> {
        let mut made = 0;
        for epoch in 0.. {
            let plan = EpochPlan {
                seed: 1,
                epoch,
                batch_size: self.batch_size,
                order: Order::Shuffled,
                drop_last: false,
                first_step: 0,
                share: Share::WHOLE,
            };
            let batches = Loader::epoch(Arc::clone(&self.set), self.pairs.clone(), plan, 0)?;
            let recycler = batches.recycler();
            for batch in batches {
                let batch = batch?;
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
    fn stages(&self, source: &dyn Source) -> Result<(), Box<dyn Error>> {
        let [height, width] = self.set.size();
        let encoded: Vec<_> = (0..source.len().min(1000))
            .map(|index| source.read(index))
            .collect::<Result<_, _>>()?;
        let mut decoded = Vec::with_capacity(encoded.len());
        time("decode", encoded.len(), &mut |index| {
            let sample = &encoded[index];
            decoded.extend(decode(sample.payload.clone(), index, &sample.name));
        });
        let mut image = RgbImage::filled(height, width, [0; 3]);
        let mut warped = image.clone();
        let mut view = vec![0.0; 3 * height * width];
        let mut buffers = AugmentBuffers::default();
        let normaliser = self.pairs.normalisation.prepare();
        let rng = |index: usize, purpose| generator(1, 0, index as u64, purpose);
        let sample = |index: usize| {
            let mut rng = rng(index, Purpose::Transform);
            self.pairs.family.sample(&mut rng, height, width)
        };
        let maps: Vec<_> = (0..decoded.len()).map(sample).collect();
        time("augment", decoded.len(), &mut |index| {
            let (mut rng, output) = (rng(index, Purpose::Augment), image.view_mut());
            let view = decoded[index].view();
            let done = (self.pairs.augment).apply_into(view, &mut rng, &mut buffers, output);
            black_box(done.is_ok());
        });
        time("sample", decoded.len(), &mut |index| {
            black_box(sample(index));
        });
        time("warp", decoded.len(), &mut |index| {
            let map = maps[index].source_from_output();
            let map = map.unwrap_or(Homography::IDENTITY);
            warp_into(image.view(), &map, warped.view_mut(), [128; 3]);
            black_box(&mut warped);
        });
        time("normalise x2", decoded.len(), &mut |_| {
            for _ in 0..2 {
                normaliser.apply_into(image.view(), &mut view);
                black_box(&mut view);
            }
        });
        Ok(())
    }
}

fn time(name: &str, count: usize, stage: &mut dyn FnMut(usize)) {
    let start = Instant::now();
    (0..count).for_each(stage);
    let microseconds = start.elapsed().as_secs_f64() * 1e6 / count.max(1) as f64;
    eprintln!("{name:<12} {microseconds:>9.2} us");
}
