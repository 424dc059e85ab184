//! [`ImageSet`]: a set of images that batches are made of, with what is known about each of them.

use std::ops::Range;
use std::sync::Arc;

use aet_geometry::{RgbImage, RgbView};

use crate::decode::DecodeOptions;
use crate::error::DataError;
use crate::load::load;
use crate::skip::{OnError, SkipLog};
use crate::source::{Blocks, Source};
use crate::store::{Kept, Pixels, Places, Store, Streamed};

/// How the images of a source are taken into a set.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadOptions {
    /// Height and width of an item in pixels; none where all images have the same.
    pub size: Option<[usize; 2]>,
    /// Pixels of the shorter side that images are kept at, proportions and all, so that crops of
    /// `size` can be taken from them; none to keep them at `size` exactly, see
    /// [`fit`](crate::decode::fit). Smaller images stay as they are.
    pub shorter_side: Option<usize>,
    /// Whether items show small parts of images that are decoded when they are read
    /// (`augment.resized_crop`), so that they need the full scale.
    pub zooms: bool,
    /// Threads that read and decode; at least one does.
    pub workers: usize,
    /// How they are decoded, but for `cover`, which follows from the other options.
    pub decode: DecodeOptions,
    /// What happens with images that cannot be used.
    pub on_error: OnError,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            size: None,
            shorter_side: None,
            zooms: false,
            workers: 2,
            decode: DecodeOptions::default(),
            on_error: OnError::Fail,
        }
    }
}

impl LoadOptions {
    /// How images are decoded of which all is brought to these sizes.
    pub(crate) fn decoding(&self) -> DecodeOptions {
        DecodeOptions {
            cover: self.shorter_side.map(|side| [side; 2]).or(self.size),
            ..self.decode
        }
    }
}

/// Told (done, total) now and then, from any thread.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Images with their labels and names: decoded and in memory, in a mapped file, or decoded whenever
/// they are read. Items made of them have one size; the images themselves may differ.
#[derive(Debug, Clone)]
pub struct ImageSet {
    /// Height of an item, in pixels.
    pub height: usize,
    /// Width of an item, in pixels.
    pub width: usize,
    /// Label of every image, `[count]`; `None` where it has none.
    pub labels: Vec<Option<u32>>,
    /// Where every image came from, `[count]`; empty where only the source knows.
    pub names: Vec<String>,
    /// Name of every class, in the order of the labels; empty for a set without labels.
    pub class_names: Vec<String>,
    store: Store,
    /// Which images of the store; all in their order where there is no list.
    rows: Option<Arc<Vec<usize>>>,
    skips: Arc<SkipLog>,
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
        let kept = Kept {
            pixels: Pixels::Memory(Arc::new(pixels)),
            places: Places::Same([height, width]),
        };
        let facts = Facts {
            names: (0..labels.len()).map(|index| index.to_string()).collect(),
            class_names: (0..classes).map(|class| class.to_string()).collect(),
            labels,
        };
        let skips = Arc::new(SkipLog::new(OnError::Fail, facts.labels.len()));
        Ok(Self::of_kept([height, width], kept, facts, skips))
    }

    /// Items of `size` (height, width) made of decoded images.
    pub(crate) fn of_kept(
        [height, width]: [usize; 2],
        kept: Kept,
        facts: Facts,
        skips: Arc<SkipLog>,
    ) -> Self {
        Self {
            height,
            width,
            labels: facts.labels,
            names: facts.names,
            class_names: facts.class_names,
            store: Store::Kept(kept),
            rows: None,
            skips,
        }
    }

    /// Reads and decodes all of `source` at one `size` with `workers` threads, as
    /// [`load_range`](Self::load_range) does a part of it. Any image that cannot be used is an error.
    ///
    /// # Errors
    /// As there, and for a source without images.
    pub fn load(
        source: &dyn Source,
        size: Option<[usize; 2]>,
        workers: usize,
        progress: Progress<'_>,
    ) -> Result<Self, DataError> {
        let options = LoadOptions {
            size,
            workers,
            ..LoadOptions::default()
        };
        Self::load_range(source, 0..source.len(), &options, progress)
    }

    /// Reads and decodes the images `range` of `source`.
    ///
    /// `progress` is told (done, total) of the range now and then, from any thread, and at the end.
    ///
    /// # Errors
    /// What reading or decoding gives, naming the image and its index (the first one in the set, of
    /// those that were met), where it is not to be skipped; images of different sizes where no size
    /// is named; and an empty range, or one of which nothing is left.
    pub fn load_range(
        source: &dyn Source,
        range: Range<usize>,
        options: &LoadOptions,
        progress: Progress<'_>,
    ) -> Result<Self, DataError> {
        let skips = Arc::new(SkipLog::new(options.on_error, range.len()));
        load(source, range, options, &skips, progress)
    }

    /// As [`load_range`](Self::load_range), for one range of several: what is left out is noted in
    /// `skips`, which counts over all of them. None where nothing is left of the range.
    ///
    /// # Errors
    /// As there, but for a range of which nothing is left.
    pub fn load_part(
        source: &dyn Source,
        range: Range<usize>,
        options: &LoadOptions,
        skips: &Arc<SkipLog>,
    ) -> Result<Option<Self>, DataError> {
        match load(source, range, options, skips, &|_, _| ()) {
            Ok(set) => Ok(Some(set)),
            Err(DataError::NothingLeft { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The images of `source`, each decoded whenever it is read: memory is taken for labels alone,
    /// 8 bytes an image.
    ///
    /// # Errors
    /// When there is no image, labels cannot be read, or no size is named and the first image, which
    /// is asked for it, cannot be decoded.
    pub fn stream(source: Arc<dyn Source>, options: &LoadOptions) -> Result<Self, DataError> {
        if source.is_empty() {
            return Err(DataError::invalid(
                "the number of images",
                0,
                "at least 1 to stream a set",
            ));
        }
        let labels = source.labels()?;
        let class_names = source.class_names().to_vec();
        let skips = Arc::new(SkipLog::new(options.on_error, labels.len()));
        let decode = match options.zooms {
            true => options.decode,
            false => options.decoding(),
        };
        let store = Store::Streamed(Streamed { source, decode });
        let [height, width] = match options.size {
            Some(size) => checked_size(size)?,
            None => {
                let mut buffer = RgbImage::filled(0, 0, [0; 3]);
                let first = store.read(0, &mut buffer)?;
                [first.height(), first.width()]
            }
        };
        Ok(Self {
            height,
            width,
            labels,
            names: Vec::new(),
            class_names,
            store,
            rows: None,
            skips,
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

    /// Height of an item, in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width of an item, in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height and width of an item, in pixels.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// Whether images are decoded whenever they are read.
    pub fn is_streamed(&self) -> bool {
        matches!(self.store, Store::Streamed(_))
    }

    /// Image `index`, u8 `[height, width, 3]` at the size that it is kept at; one that has to be
    /// decoded goes into `buffer`.
    ///
    /// # Errors
    /// When it cannot be read or decoded, or lies outside the set.
    pub fn read<'a>(
        &'a self,
        index: usize,
        buffer: &'a mut RgbImage,
    ) -> Result<RgbView<'a>, DataError> {
        let row = self.row(index).ok_or(DataError::OutOfRange {
            index,
            len: self.len(),
        })?;
        self.store.read(row, buffer)
    }

    /// Image `index` of a set that is in memory or mapped, u8 `[height, width, 3]`.
    ///
    /// # Panics
    /// When `index` lies outside the set, or its images are decoded whenever they are read.
    pub fn image(&self, index: usize) -> RgbView<'_> {
        let Store::Kept(kept) = &self.store else {
            panic!("the images of this set are decoded whenever they are read");
        };
        let row = self.row(index).filter(|_| index < self.len());
        row.and_then(|row| kept.image(row))
            .expect("the index lies inside the set")
    }

    /// Which image of the store is image `index`.
    fn row(&self, index: usize) -> Option<usize> {
        match &self.rows {
            None => Some(index),
            Some(rows) => rows.get(index).copied(),
        }
    }

    /// Label of image `index`.
    ///
    /// # Panics
    /// When `index` lies outside the set.
    pub fn label(&self, index: usize) -> Option<u32> {
        self.labels[index]
    }

    /// Where image `index` came from. Where only the source knows, it is asked; an image that it
    /// cannot read has its number for a name.
    pub fn name(&self, index: usize) -> String {
        if let Some(name) = self.names.get(index) {
            return name.clone();
        }
        let asked = match (&self.store, self.row(index)) {
            (Store::Streamed(streamed), Some(row)) => streamed.source.read(row).ok(),
            _ => None,
        };
        asked.map_or_else(|| index.to_string(), |sample| sample.name)
    }

    /// Whether every image has a label; not so for an empty set.
    pub fn labelled(&self) -> bool {
        !self.is_empty() && self.labels.iter().all(Option::is_some)
    }

    /// Runs of neighbouring images that are best read together; none where any image is as near as
    /// any other.
    pub(crate) fn blocks(&self) -> Option<Blocks> {
        match (&self.store, &self.rows) {
            (Store::Streamed(streamed), None) => streamed.source.blocks(),
            (Store::Streamed(streamed), Some(rows)) => streamed.source.blocks()?.of(rows),
            (Store::Kept(_), _) => None,
        }
    }

    /// What was left out so far: when the set was loaded, or of one whose images are decoded when
    /// they are read, since then; the indices are those of the source.
    pub fn skips(&self) -> &SkipLog {
        &self.skips
    }

    /// Notes that image `index` cannot be used.
    ///
    /// # Errors
    /// `error` where it is not to be skipped, or too many are.
    pub fn skip(&self, index: usize, error: DataError) -> Result<(), DataError> {
        self.skips.skip(self.row(index).unwrap_or(index), error)
    }

    /// The images that nothing is known against: without those that could not be used when they
    /// were read.
    pub fn without_skipped(&self) -> Self {
        if !self.is_streamed() || self.skips.is_empty() {
            return self.clone();
        }
        let usable = |index: &usize| {
            let row = self.row(*index).unwrap_or(*index);
            !self.skips.contains(row)
        };
        let left: Vec<usize> = (0..self.len()).filter(usable).collect();
        self.subset(&left)
    }

    /// A number that tells sets of other pixels, sizes or labels apart (64-bit FNV-1a), so that
    /// results on two sets are not taken for results on one. Of images that are not in memory it
    /// takes the number, the labels and a sample of 64.
    ///
    /// # Errors
    /// When an image has to be read and cannot.
    pub fn fingerprint(&self) -> Result<u64, DataError> {
        let sizes = [self.height, self.width, self.len()].map(|size| size as u64);
        let labels = (self.labels.iter()).map(|l| l.map_or(0, |l| 1 + u64::from(l)));
        let mut hash = Fnv::default();
        for word in sizes.into_iter().chain(labels) {
            hash.add(&word.to_le_bytes());
        }
        let stride = match self.store {
            Store::Kept(_) => 1,
            Store::Streamed(_) => self.len().div_ceil(64).max(1),
        };
        let mut buffer = RgbImage::filled(0, 0, [0; 3]);
        for index in (0..self.len()).step_by(stride) {
            match self.read(index, &mut buffer) {
                Ok(image) => hash.add(image.pixels()),
                Err(error) => self.skip(index, error)?,
            }
        }
        Ok(hash.0)
    }

    /// The images `indices`, in that order; an index may come more than once. Pixels are shared
    /// with this set.
    ///
    /// # Panics
    /// When an index lies outside the set.
    pub fn subset(&self, indices: &[usize]) -> Self {
        let row = |index: &usize| {
            assert!(*index < self.len(), "the index lies inside the set");
            self.row(*index).unwrap_or(*index)
        };
        let named = !self.names.is_empty();
        Self {
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            names: (indices.iter().filter(|_| named))
                .map(|&index| self.names[index].clone())
                .collect(),
            class_names: self.class_names.clone(),
            store: self.store.clone(),
            rows: Some(Arc::new(indices.iter().map(row).collect())),
            skips: Arc::clone(&self.skips),
            ..*self
        }
    }
}

/// Sets are equal whose items are: labels, names, classes and pixels. Sets whose images are decoded
/// when they are read are never equal.
impl PartialEq for ImageSet {
    fn eq(&self, other: &Self) -> bool {
        let kept = !self.is_streamed() && !other.is_streamed();
        kept && self.size() == other.size()
            && self.labels == other.labels
            && self.names == other.names
            && self.class_names == other.class_names
            && (0..self.len()).all(|index| {
                let (one, other) = (self.image(index), other.image(index));
                [one.height(), one.width()] == [other.height(), other.width()]
                    && one.pixels() == other.pixels()
            })
    }
}

/// What is known of images beside their pixels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub labels: Vec<Option<u32>>,
    pub names: Vec<String>,
    pub class_names: Vec<String>,
}

/// `size`, if an image can have it.
pub(crate) fn checked_size(size: [usize; 2]) -> Result<[usize; 2], DataError> {
    if size.contains(&0) {
        let found = format!("{}x{}", size[0], size[1]);
        return Err(DataError::invalid("the image size", found, "above 0"));
    }
    Ok(size)
}

/// The hash of Fowler, Noll and Vo, 64 bits.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
