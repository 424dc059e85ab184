//! An epoch over more encoded images than fit into memory: its speed beside that of the decoder alone on
//! as many threads, and the most memory in use.
//!
//! usage: `large_epoch generate <folder of images> <shards> <GiB>` packs copies of the images, in an order
//! drawn at random, into WebDataset shards of 256 MiB until there are so many GiB; `large_epoch run <set>
//! <threads>` makes the pairs of one epoch (shorter side to 256, random crop of 224x224, flip, projective
//! transformation), shuffled; `large_epoch decode <set> <threads>` decodes its images and makes nothing of
//! them. To hold it to a limit: `ulimit -v 1048576` before.

#[path = "support/memory.rs"]
mod memory;
#[path = "support/pairs.rs"]
mod pairs;

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use aet_data::decode::decode_into;
use aet_data::random::{Purpose, below, generator};
use aet_data::source::{Payload, RawSample};
use aet_data::{
    DataError, DecodeOptions, EpochPlan, ItemContext, ItemPipeline, Loader, Location, Order, Share,
    Source, Split,
};
use aet_geometry::{RgbImage, RgbView};
use memory::peak_mib;
use pairs::photographs;

const SHARD_BYTES: u64 = 256 << 20;
const BATCH_SIZE: usize = 32;
/// Images that the decoder is timed with, by itself.
const TIMED: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["generate", images, shards, gib] => generate(images, Path::new(shards), gib.parse()?),
        ["run", set, threads] => run(set, threads.parse()?, true),
        ["decode", set, threads] => run(set, threads.parse()?, false),
        _ => Err(
            "usage: large_epoch generate IMAGES SHARDS GIB | run SET THREADS | decode SET THREADS"
                .into(),
        ),
    }
}

fn generate(images: &str, shards: &Path, gib: f64) -> Result<(), Box<dyn Error>> {
    let source = aet_data::open(&images.parse()?, Split::Train)?;
    let all: Vec<RawSample> = (0..source.len())
        .map(|index| source.read(index))
        .collect::<Result<_, _>>()?;
    std::fs::create_dir_all(shards)?;
    let mut rng = generator(1, 0, 0, Purpose::Shuffle);
    let (mut left, mut number) = ((gib * (1_u64 << 30) as f64) as u64, 0_u64);
    for shard in 0.. {
        if left == 0 {
            break;
        }
        let file = File::create(shards.join(format!("train-{shard:05}.tar")))?;
        let mut archive = tar::Builder::new(BufWriter::new(file));
        let (mut room, whole) = (SHARD_BYTES.min(left), SHARD_BYTES.min(left));
        while room > 0 {
            let sample = &all[below(&mut rng, all.len())];
            let Payload::Encoded(bytes) = &sample.payload else {
                return Err(format!("{} is not encoded", sample.name).into());
            };
            add(&mut archive, &format!("{number:08}.jpg"), bytes)?;
            let label = sample.label.unwrap_or_default().to_string();
            add(&mut archive, &format!("{number:08}.cls"), label.as_bytes())?;
            number += 1;
            // Two headers, the image to the next 512 bytes, and the label.
            room = room.saturating_sub(1536 + bytes.len() as u64 / 512 * 512 + 512);
        }
        archive.finish()?;
        left -= whole;
    }
    println!("{number} images in {}", shards.display());
    Ok(())
}

fn add(
    archive: &mut tar::Builder<BufWriter<File>>,
    name: &str,
    bytes: &[u8],
) -> Result<(), Box<dyn Error>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, bytes)?;
    Ok(())
}

/// An epoch of pairs, or of images that are decoded and not used.
fn run(set: &str, threads: usize, of_pairs: bool) -> Result<(), Box<dyn Error>> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()?;
    let location: Location = set.parse()?;
    let start = Instant::now();
    let source: Arc<dyn Source> = aet_data::open(&location, Split::Train)?.into();
    println!(
        "{} images opened in {:.1} s",
        source.len(),
        start.elapsed().as_secs_f64()
    );
    let alone = decoder_alone(source.as_ref(), threads)?;
    let (set, pairs) = photographs(source)?;
    let pipeline: Arc<dyn ItemPipeline> = if of_pairs { pairs } else { Arc::new(Unused) };
    let plan = EpochPlan {
        seed: 1,
        epoch: 0,
        batch_size: BATCH_SIZE,
        order: Order::Shuffled,
        drop_last: false,
        first_step: 0,
        share: Share::WHOLE,
    };
    let start = Instant::now();
    let batches = Loader::epoch(set, pipeline, plan, threads)?;
    let recycler = batches.recycler();
    let mut made = 0;
    for batch in batches {
        let batch = batch?;
        made += batch.len();
        recycler.recycle(black_box(batch));
    }
    let rate = made as f64 / start.elapsed().as_secs_f64();
    let what = if of_pairs { "pairs" } else { "decoded images" };
    println!(
        "{made} {what} in {:.1} s, {rate:.0} a second with {threads} threads; the decoder alone {alone:.0} a \
         second with as many ({:.2}); at most {} MiB",
        start.elapsed().as_secs_f64(),
        rate / alone,
        peak_mib(),
    );
    Ok(())
}

/// Items of which one pixel is kept.
struct Unused;

impl ItemPipeline for Unused {
    fn views(&self) -> usize {
        1
    }

    fn target_len(&self) -> usize {
        0
    }

    fn view_size(&self, _height: usize, _width: usize) -> [usize; 2] {
        [1, 1]
    }

    fn make(
        &self,
        image: RgbView<'_>,
        _context: &mut ItemContext,
        views: &mut [&mut [f32]],
        _target: &mut [f32],
    ) -> Result<(), String> {
        for (value, byte) in views[0].iter_mut().zip(image.pixels()) {
            *value = f32::from(*byte);
        }
        Ok(())
    }
}

/// Images a second that so many threads decode from memory.
fn decoder_alone(source: &dyn Source, threads: usize) -> Result<f64, Box<dyn Error>> {
    let mut rng = generator(2, 0, 0, Purpose::Shuffle);
    let count = TIMED.min(source.len());
    let samples: Vec<RawSample> = (0..count)
        .map(|_| source.read(below(&mut rng, source.len())))
        .collect::<Result<_, _>>()?;
    let mut parts: Vec<Vec<RawSample>> = (0..threads).map(|_| Vec::new()).collect();
    for (place, sample) in samples.into_iter().enumerate() {
        parts[place % threads].push(sample);
    }
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(|| decode_all(part)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| match thread.join() {
                Ok(decoded) => decoded.map_err(|error| error.to_string()),
                Err(_) => Err("a thread panicked".to_owned()),
            })
    })?;
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

fn decode_all(samples: Vec<RawSample>) -> Result<(), DataError> {
    let mut image = RgbImage::filled(0, 0, [0; 3]);
    for RawSample { name, payload, .. } in samples {
        decode_into(payload, 0, &name, &DecodeOptions::default(), &mut image)?;
        black_box(image.pixels());
    }
    Ok(())
}
