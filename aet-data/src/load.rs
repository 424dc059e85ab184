//! Reading and decoding a source once, with several threads, into an [`ImageSet`].

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aet_geometry::RgbImage;

use crate::decode::{decode_with, scaled};
use crate::error::DataError;
use crate::resample::{Region, Resampler, resized};
use crate::set::{Facts, ImageSet, LoadOptions, Progress, checked_size};
use crate::skip::SkipLog;
use crate::source::Source;
use crate::store::{Kept, Pixels, Places, bytes_of};

/// Images that a thread takes at a time, so that threads read neighbouring rows of a file.
const BLOCK: usize = 32;

/// [`ImageSet::load_range`].
pub(crate) fn load(
    source: &dyn Source,
    range: Range<usize>,
    options: &LoadOptions,
    skips: &Arc<SkipLog>,
    progress: Progress<'_>,
) -> Result<ImageSet, DataError> {
    let total = range.len();
    if total == 0 {
        let allowed = "at least 1 to load a set";
        return Err(DataError::invalid("the number of images", 0, allowed));
    }
    options.size.map(checked_size).transpose()?;
    let whole = total == source.len();
    if let Some((size, kept, names)) = whole.then(|| source.kept(options)).flatten() {
        let facts = Facts {
            labels: source.labels()?,
            names,
            class_names: source.class_names().to_vec(),
        };
        progress(total, total);
        return Ok(ImageSet::of_kept(size, kept, facts, Arc::clone(skips)));
    }
    let job = Job {
        source,
        options,
        range,
        skips,
        blocks: (0..total.div_ceil(BLOCK))
            .map(|_| Mutex::default())
            .collect(),
        next: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
        error: Mutex::new(None),
        progress,
    };
    job.run(options.workers.max(1));
    let error = job.error.into_inner();
    if let Some((_, error)) = error.unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    progress(total, total);
    let blocks = job.blocks.into_iter();
    let blocks = blocks.map(|block| block.into_inner().unwrap_or_else(PoisonError::into_inner));
    gather(blocks.collect(), source, options, skips)
}

/// One image, decoded.
#[derive(Debug)]
struct Loaded {
    index: usize,
    name: String,
    label: Option<u32>,
    size: [usize; 2],
}

/// Some neighbouring images.
#[derive(Debug, Default)]
struct Block {
    images: Vec<Loaded>,
    /// Their pixels, one image after the other.
    pixels: Vec<u8>,
}

/// The loading of a set, shared by its threads.
struct Job<'a> {
    source: &'a dyn Source,
    options: &'a LoadOptions,
    /// Indices that are loaded.
    range: Range<usize>,
    skips: &'a SkipLog,
    blocks: Vec<Mutex<Block>>,
    next: AtomicUsize,
    done: AtomicUsize,
    failed: AtomicBool,
    /// The error with the lowest index.
    error: Mutex<Option<(usize, DataError)>>,
    progress: Progress<'a>,
}

impl Job<'_> {
    fn run(&self, workers: usize) {
        std::thread::scope(|scope| {
            for _ in 1..workers.min(self.blocks.len()) {
                scope.spawn(|| self.work());
            }
            self.work();
        });
    }

    /// Takes blocks until none is left or one has failed.
    fn work(&self) {
        while !self.failed.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = self.blocks.get(number) else {
                return;
            };
            let first = self.range.start + number * BLOCK;
            let indices = first..(first + BLOCK).min(self.range.end);
            let count = indices.len();
            match self.block(indices) {
                Ok(block) => *place.lock().unwrap_or_else(PoisonError::into_inner) = block,
                Err((index, error)) => return self.fail(index, error),
            }
            let done = self.done.fetch_add(count, Ordering::Relaxed) + count;
            if done < self.range.len() {
                (self.progress)(done, self.range.len());
            }
        }
    }

    fn block(&self, indices: Range<usize>) -> Result<Block, (usize, DataError)> {
        let mut block = Block::default();
        let mut resampler = Resampler::default();
        for index in indices {
            match self.image(index, &mut resampler) {
                Ok((loaded, image)) => {
                    block.pixels.extend_from_slice(image.pixels());
                    block.images.push(loaded);
                }
                Err(error) => self.skips.skip(index, error).map_err(|e| (index, e))?,
            }
        }
        Ok(block)
    }

    fn image(
        &self,
        index: usize,
        resampler: &mut Resampler,
    ) -> Result<(Loaded, RgbImage), DataError> {
        let sample = self.source.read(index)?;
        let name = sample.name;
        let image = decode_with(sample.payload, index, &name, &self.options.decoding())?;
        let source = [image.height(), image.width()];
        let (region, size) = match (self.options.shorter_side, self.options.size) {
            // A smaller image stays as it is.
            (Some(side), _) if source[0].min(source[1]) > side => {
                (Region::whole(source), resized(source, side))
            }
            (None, Some(size)) => (Region::centre(source, size), size),
            _ => (Region::whole(source), source),
        };
        let image = scaled(resampler, image, (region, size), (index, &name))?;
        let loaded = Loaded {
            index,
            name,
            label: sample.label,
            size: [image.height(), image.width()],
        };
        Ok((loaded, image))
    }

    fn fail(&self, index: usize, error: DataError) {
        self.failed.store(true, Ordering::Relaxed);
        let mut kept = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|(first, _)| index < *first) {
            *kept = Some((index, error));
        }
    }
}

/// The set of all that was loaded.
fn gather(
    blocks: Vec<Block>,
    source: &dyn Source,
    options: &LoadOptions,
    skips: &Arc<SkipLog>,
) -> Result<ImageSet, DataError> {
    let mut images = blocks.iter().flat_map(|block| &block.images);
    let Some(first) = images.next() else {
        let skipped = skips.list();
        return Err(DataError::NothingLeft { skipped });
    };
    let other = images.find(|image| image.size != first.size);
    let size = match (options.size, other) {
        (Some(size), _) => size,
        (None, None) => first.size,
        (None, Some(other)) => {
            return Err(DataError::MixedSizes {
                first_name: first.name.clone(),
                first_size: first.size,
                index: other.index,
                name: other.name.clone(),
                size: other.size,
            });
        }
    };
    let same = other.is_none().then_some(first.size);
    let mut facts = Facts {
        class_names: source.class_names().to_vec(),
        ..Facts::default()
    };
    let mut pixels = Vec::with_capacity(blocks.iter().map(|block| block.pixels.len()).sum());
    let mut places = Vec::new();
    for block in blocks {
        let mut start = pixels.len();
        for image in block.images {
            if same.is_none() {
                places.push((start, image.size));
                start += bytes_of(image.size);
            }
            facts.labels.push(image.label);
            facts.names.push(image.name);
        }
        pixels.extend_from_slice(&block.pixels);
    }
    let kept = Kept {
        pixels: Pixels::Memory(Arc::new(pixels)),
        places: same.map_or(Places::Each(places), Places::Same),
    };
    Ok(ImageSet::of_kept(size, kept, facts, Arc::clone(skips)))
}
