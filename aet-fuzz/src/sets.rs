//! Reading all of a set of images, and what must hold of it: [`check`].

use std::path::Path;

use aet_data::decode::decode_with;
use aet_data::{
    DataError, DecodeOptions, LoadOptions, Location, OnError, Payload, RawSample, Source, Split,
    open,
};

use crate::claims::{same, told, words};

/// Images that are read of a set: a damaged count may be large, and its images are at the front.
const MOST_IMAGES: usize = 50;

/// Small, so that no image takes long.
pub(crate) const DECODE: DecodeOptions = DecodeOptions {
    max_pixels: 1 << 20,
    follow_orientation: true,
    cover: None,
};

/// A set as it was read; errors in their words.
#[derive(Debug, PartialEq)]
struct Contents {
    format: &'static str,
    class_names: Vec<String>,
    labels: Vec<Option<u32>>,
    samples: Vec<Result<RawSample, String>>,
}

/// Opens the training split at `path` and reads it, twice.
///
/// # Panics
/// When something does not hold that has to.
pub(crate) fn check(path: &Path) {
    let opened = || open(&Location::Path(path.to_path_buf()), Split::Train);
    check_source(opened);
}

/// As [`check`], for what `open` gives.
pub(crate) fn check_source(open: impl Fn() -> Result<Box<dyn Source>, DataError>) {
    let first = told(open().and_then(|source| contents(source.as_ref())));
    let again = told(open().and_then(|source| contents(source.as_ref())));
    same(&first, &again);
    if let Ok(contents) = first {
        for sample in contents.samples.into_iter().flatten() {
            decode(sample);
        }
    }
}

/// Takes the images at `path` into memory, where each has to be there.
pub(crate) fn check_loading(path: &Path) {
    let Ok(source) = open(&Location::Path(path.to_path_buf()), Split::Train) else {
        return;
    };
    if source.len() > MOST_IMAGES {
        return;
    }
    let options = LoadOptions {
        workers: 1,
        decode: DECODE,
        on_error: OnError::Skip { most: 1.0 },
        ..LoadOptions::default()
    };
    let range = 0..source.len();
    let loaded = aet_data::ImageSet::load_range(source.as_ref(), range, &options, &|_, _| ());
    let Ok(set) = told(loaded) else { return };
    for index in 0..set.len() {
        let image = set.image(index);
        assert_eq!(image.pixels().len(), image.height() * image.width() * 3);
        let read = source.read(index).map(|sample| sample.payload);
        if let (true, Ok(Payload::Pixels(read))) = (set.skips().is_empty(), read) {
            same(&read.pixels(), &image.pixels());
        }
    }
}

fn contents(source: &dyn Source) -> Result<Contents, DataError> {
    let len = source.len();
    assert!(!source.is_empty(), "an open set has an image");
    let beyond = source.read(len);
    assert!(beyond.is_err(), "there is no image {len}");
    let labels = source.labels()?;
    assert_eq!(labels.len(), len);
    check_blocks(source);
    let mut samples = Vec::new();
    for (index, &label) in labels.iter().enumerate().take(MOST_IMAGES) {
        match source.read(index) {
            Ok(sample) => {
                check_sample(&sample, label, source.class_names());
                samples.push(Ok(sample));
            }
            Err(error) if error.is_about_one_image() => samples.push(Err(words(&error))),
            Err(error) => return Err(error),
        }
    }
    Ok(Contents {
        format: source.format(),
        class_names: source.class_names().to_vec(),
        labels,
        samples,
    })
}

fn check_sample(sample: &RawSample, label: Option<u32>, class_names: &[String]) {
    assert_eq!(sample.label, label, "{}", sample.name);
    let known = label.is_none_or(|label| (label as usize) < class_names.len());
    assert!(known, "label {label:?} of {class_names:?}");
    if let Payload::Pixels(image) = &sample.payload {
        let pixels = image.height() * image.width();
        assert!(pixels > 0, "{} has no pixels", sample.name);
        assert_eq!(image.pixels().len(), 3 * pixels);
    }
}

/// Blocks follow each other from the first image to the last.
fn check_blocks(source: &dyn Source) {
    let Some(blocks) = source.blocks() else {
        return;
    };
    assert!(blocks.at_once > 0);
    let mut end = 0;
    for range in blocks.ranges {
        assert_eq!(range.start, end);
        assert!(!range.is_empty());
        end = range.end;
    }
    assert_eq!(end, source.len());
}

fn decode(sample: RawSample) {
    let decoded = told(decode_with(sample.payload, 0, &sample.name, &DECODE));
    if let Ok(image) = decoded {
        assert!(image.height() * image.width() > 0);
    }
}
