//! [`ImageSet`]: a whole set of images, decoded once, in one block of memory.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aet_geometry::{RgbImage, RgbView};

use crate::decode::{decode, fit};
use crate::error::DataError;
use crate::source::Source;

/// Decoded images of one size, with what is known about each of them.
///
/// The lists are as long as the set and the pixels fill it; [`ImageSet::new`] checks that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    /// Height of every image, in pixels.
    pub height: usize,
    /// Width of every image, in pixels.
    pub width: usize,
    /// All pixels, u8 `[count, height, width, 3]`.
    pub pixels: Vec<u8>,
    /// Label of every image, `[count]`; `None` where it has none.
    pub labels: Vec<Option<u32>>,
    /// Where every image came from, `[count]`.
    pub names: Vec<String>,
    /// Name of every class, in the order of the labels; empty for a set without labels.
    pub class_names: Vec<String>,
}

impl ImageSet {
    /// A set of images of `size` (height, width), `pixels` being `[count, height, width, 3]`.
    /// The images are named by their numbers, and so are the classes.
    ///
    /// # Errors
    /// When `pixels` does not hold as many images as there are `labels`.
    pub fn new(
        [height, width]: [usize; 2],
        pixels: Vec<u8>,
        labels: Vec<Option<u32>>,
    ) -> Result<Self, DataError> {
        let expected = labels.len() * height * width * 3;
        if pixels.len() != expected {
            let allowed = format!("{expected} for {} images of {height}x{width}", labels.len());
            return Err(DataError::invalid(
                "the number of bytes",
                pixels.len(),
                allowed,
            ));
        }
        let classes = labels.iter().flatten().max().map_or(0, |&most| most + 1);
        Ok(Self {
            height,
            width,
            pixels,
            names: (0..labels.len()).map(|index| index.to_string()).collect(),
            class_names: (0..classes).map(|class| class.to_string()).collect(),
            labels,
        })
    }

    /// Reads and decodes all of `source`, as [`load_range`](Self::load_range) does a part of it.
    ///
    /// # Errors
    /// As there, and for a source without images.
    pub fn load(
        source: &dyn Source,
        size: Option<[usize; 2]>,
        workers: usize,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, DataError> {
        Self::load_range(source, 0..source.len(), size, workers, progress)
    }

    /// Reads and decodes the images `range` of `source` with `workers` threads (at least one).
    ///
    /// With a `size` (height, width), every image of another size is scaled until it just covers
    /// that size, then cropped in the middle; see [`fit`]. Without one, all images must have
    /// the size of the first. `progress` is told (done, total) of the range now and then, from any
    /// thread, and at the end.
    ///
    /// # Errors
    /// What reading or decoding gives, naming the image and its index (the first one in the set, of
    /// those that were met), images of different sizes, and an empty range.
    pub fn load_range(
        source: &dyn Source,
        range: Range<usize>,
        size: Option<[usize; 2]>,
        workers: usize,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, DataError> {
        let total = range.len();
        if total == 0 {
            return Err(DataError::invalid(
                "the number of images",
                0,
                "at least 1 to load a set",
            ));
        }
        if let Some([height, width]) = size.filter(|size| size.contains(&0)) {
            let found = format!("{height}x{width}");
            return Err(DataError::invalid("the image size", found, "above 0"));
        }
        let first = Decoded::read(source, range.start, size)?;
        let [height, width] = first.size();
        let image_bytes = height * width * 3;
        let mut pixels = vec![0; total * image_bytes];
        let mut facts = vec![(None, String::new()); total];
        let job = Job {
            source,
            size,
            range,
            first: &first,
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            error: Mutex::new(None),
            progress,
        };
        job.run(&mut pixels, &mut facts, workers.max(1));
        if let Some((_, error)) = job
            .error
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            return Err(error);
        }
        progress(total, total);
        let (labels, names) = facts.into_iter().unzip();
        Ok(Self {
            height,
            width,
            pixels,
            labels,
            names,
            class_names: source.class_names().to_vec(),
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Height of every image, in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width of every image, in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Image `index`, u8 `[height, width, 3]`.
    ///
    /// # Panics
    /// When `index` lies outside the set.
    pub fn image(&self, index: usize) -> RgbView<'_> {
        let bytes = self.height * self.width * 3;
        let pixels = &self.pixels[index * bytes..(index + 1) * bytes];
        RgbView::new(self.height, self.width, pixels).expect("cut to the size of an image")
    }

    /// Label of image `index`.
    ///
    /// # Panics
    /// When `index` lies outside the set.
    pub fn label(&self, index: usize) -> Option<u32> {
        self.labels[index]
    }

    /// Where image `index` came from.
    ///
    /// # Panics
    /// When `index` lies outside the set.
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// Whether every image has a label; not so for an empty set.
    pub fn labelled(&self) -> bool {
        !self.is_empty() && self.labels.iter().all(Option::is_some)
    }

    /// A number that tells sets of other pixels, sizes or labels apart (64-bit FNV-1a), so that
    /// results on two sets are not taken for results on one.
    pub fn fingerprint(&self) -> u64 {
        let sizes = [self.height, self.width, self.len()].map(|size| size as u64);
        let labels = self
            .labels
            .iter()
            .map(|l| l.map_or(0, |l| 1 + u64::from(l)));
        let words = sizes.into_iter().chain(labels);
        let bytes = words.flat_map(u64::to_le_bytes);
        bytes
            .chain(self.pixels.iter().copied())
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
    }

    /// A copy of the images `indices`, in that order; an index may come more than once.
    ///
    /// # Panics
    /// When an index lies outside the set.
    pub fn subset(&self, indices: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * self.height * self.width * 3);
        for &index in indices {
            pixels.extend_from_slice(self.image(index).pixels());
        }
        Self {
            height: self.height,
            width: self.width,
            pixels,
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            names: (indices.iter().map(|&index| self.names[index].clone())).collect(),
            class_names: self.class_names.clone(),
        }
    }
}

/// One image, decoded.
struct Decoded {
    name: String,
    label: Option<u32>,
    image: RgbImage,
}

impl Decoded {
    fn read(
        source: &dyn Source,
        index: usize,
        size: Option<[usize; 2]>,
    ) -> Result<Self, DataError> {
        let raw = source.read(index)?;
        let image = decode(raw.payload, index, &raw.name)?;
        let image = match size {
            Some(size) => fit(image, size, index, &raw.name)?,
            None => image,
        };
        Ok(Self {
            name: raw.name,
            label: raw.label,
            image,
        })
    }

    fn size(&self) -> [usize; 2] {
        [self.image.height(), self.image.width()]
    }
}

/// What is known of an image beside its pixels.
type Facts = (Option<u32>, String);

/// Images that a thread takes at a time, so that threads read neighbouring rows of a file.
const BLOCK: usize = 32;

/// The loading of a set, shared by its threads.
struct Job<'a> {
    source: &'a dyn Source,
    size: Option<[usize; 2]>,
    /// Indices that are loaded.
    range: Range<usize>,
    first: &'a Decoded,
    next: AtomicUsize,
    done: AtomicUsize,
    failed: AtomicBool,
    /// The error with the lowest index.
    error: Mutex<Option<(usize, DataError)>>,
    progress: &'a (dyn Fn(usize, usize) + Sync),
}

/// The part of the set that one block of images goes to.
type Block<'a> = Mutex<(&'a mut [u8], &'a mut [Facts])>;

impl Job<'_> {
    fn run(&self, pixels: &mut [u8], facts: &mut [Facts], workers: usize) {
        let [height, width] = self.first.size();
        let block_bytes = (BLOCK * height * width * 3).max(1);
        let blocks: Vec<Block<'_>> = (pixels.chunks_mut(block_bytes))
            .zip(facts.chunks_mut(BLOCK))
            .map(Mutex::new)
            .collect();
        std::thread::scope(|scope| {
            for _ in 1..workers.min(blocks.len()) {
                scope.spawn(|| self.work(&blocks));
            }
            self.work(&blocks);
        });
    }

    /// Takes blocks until none is left or one has failed.
    fn work(&self, blocks: &[Block<'_>]) {
        while !self.failed.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(block) = blocks.get(number) else {
                return;
            };
            let mut block = block.lock().unwrap_or_else(PoisonError::into_inner);
            let (pixels, facts) = &mut *block;
            if let Err((index, error)) = self.fill(self.range.start + number * BLOCK, pixels, facts)
            {
                self.fail(index, error);
                return;
            }
            let done = self.done.fetch_add(facts.len(), Ordering::Relaxed) + facts.len();
            if done < self.range.len() {
                (self.progress)(done, self.range.len());
            }
        }
    }

    fn fill(
        &self,
        start: usize,
        pixels: &mut [u8],
        facts: &mut [Facts],
    ) -> Result<(), (usize, DataError)> {
        let image_bytes = pixels.len() / facts.len();
        for (offset, fact) in facts.iter_mut().enumerate() {
            let index = start + offset;
            let decoded = Decoded::read(self.source, index, self.size)
                .and_then(|decoded| self.same_size(decoded, index))
                .map_err(|error| (index, error))?;
            pixels[offset * image_bytes..][..image_bytes].copy_from_slice(decoded.image.pixels());
            *fact = (decoded.label, decoded.name);
        }
        Ok(())
    }

    fn same_size(&self, decoded: Decoded, index: usize) -> Result<Decoded, DataError> {
        if decoded.size() == self.first.size() {
            return Ok(decoded);
        }
        Err(DataError::MixedSizes {
            first_name: self.first.name.clone(),
            first_size: self.first.size(),
            index,
            size: decoded.size(),
            name: decoded.name,
        })
    }

    fn fail(&self, index: usize, error: DataError) {
        self.failed.store(true, Ordering::Relaxed);
        let mut kept = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|(first, _)| index < *first) {
            *kept = Some((index, error));
        }
    }
}
