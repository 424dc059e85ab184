//! The binary version of STL-10: `train_X.bin` and `test_X.bin` of 96x96 images, each as a red, a
//! green and a blue plane that go column by column, and `train_y.bin` and `test_y.bin` of labels
//! from 1 to 10, a byte each. `class_names.txt` names the classes; `fold_indices.txt` is not used.
//!
//! The 100,000 images without labels are `unlabeled_X.bin`. They are the training split where that
//! file itself is named in the place of the folder, and of a folder without `train_X.bin`.
//!
//! Images are read from the files when they are asked for; only labels are kept in memory.

use std::path::{Path, PathBuf};

use super::layout::Layout;
use super::positioned::PositionedFile;
use super::{Payload, RawSample, Source, Split, check_index, no_split};
use crate::error::DataError;

/// Name of the format.
pub const FORMAT: &str = "stl10-binary";

const SIDE: usize = 96;
const IMAGE_BYTES: u64 = 3 * (SIDE * SIDE) as u64;
const IMAGES_END: &str = "_X.bin";
const LABELS_END: &str = "_y.bin";
const NAMES_FILE: &str = "class_names.txt";

const CLASSES: [&str; 10] = [
    "airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck",
];

/// Whether a folder with these file names is one of STL-10.
pub(crate) fn matches(names: &[String]) -> bool {
    names.iter().any(|name| is_images(Path::new(name)))
}

/// Whether a file is one of images, by its name.
pub(crate) fn is_images(path: &Path) -> bool {
    ["train_X.bin", "test_X.bin", "unlabeled_X.bin"]
        .into_iter()
        .any(|name| path.file_name().is_some_and(|found| found == name))
}

/// Opens `split` of the set in `folder`.
pub(crate) fn open(folder: &Path, split: Split) -> Result<Box<dyn Source>, DataError> {
    let files: &[&str] = match split {
        Split::Train => &["train_X.bin", "unlabeled_X.bin"],
        Split::Test => &["test_X.bin"],
    };
    let paths = files.iter().map(|name| folder.join(name));
    match paths.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(Box::new(StlSource::new(&path)?)),
        None => Err(no_split(folder, split)),
    }
}

/// Images in one file, in their order.
#[derive(Debug)]
pub struct StlSource {
    images: PositionedFile,
    len: usize,
    /// From 1; `None` where there is no file of labels.
    labels: Option<Vec<u8>>,
    class_names: Vec<String>,
}

impl StlSource {
    /// Opens the file of images at `path`, and reads the labels and class names beside it.
    ///
    /// # Errors
    /// When a file cannot be read, when there are no whole number of images, other than 10 class
    /// names, or not as many labels as images.
    pub fn new(path: &Path) -> Result<Self, DataError> {
        let images = PositionedFile::open(path)?;
        if images.len() % IMAGE_BYTES != 0 {
            let problem = format!(
                "{} bytes are no whole number of images of {IMAGE_BYTES} bytes; \
                 the file is truncated or of another format",
                images.len()
            );
            return Err(DataError::malformed(path, problem));
        }
        let len = (images.len() / IMAGE_BYTES) as usize;
        if len == 0 {
            let path = path.to_path_buf();
            return Err(DataError::Empty { path });
        }
        let labels = labels_beside(path, len)?;
        let class_names = match labels {
            Some(_) => class_names(path)?,
            None => Vec::new(),
        };
        Ok(Self {
            images,
            len,
            labels,
            class_names,
        })
    }
}

impl Source for StlSource {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        check_index(index, self.len)?;
        let name = format!("{}, image {index}", self.images.path().display());
        let label = match &self.labels {
            None => None,
            Some(labels) => match class_of(labels[index]) {
                Some(class) => Some(class),
                None => {
                    let problem = format!("label {} is none of 1 to 10", labels[index]);
                    return Err(DataError::Image {
                        index,
                        name,
                        problem,
                    });
                }
            },
        };
        let image = Layout::planes_by_column([SIDE; 2]).read(&self.images, 0, index)?;
        Ok(RawSample {
            name,
            payload: Payload::Pixels(image),
            label,
        })
    }

    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        Ok(match &self.labels {
            Some(labels) => labels.iter().map(|&label| class_of(label)).collect(),
            None => vec![None; self.len],
        })
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn format(&self) -> &'static str {
        FORMAT
    }
}

/// Labels on disk are from 1 to 10.
fn class_of(label: u8) -> Option<u32> {
    (1..=10).contains(&label).then(|| u32::from(label) - 1)
}

/// `train_y.bin` for `train_X.bin`.
fn labels_beside(path: &Path, len: usize) -> Result<Option<Vec<u8>>, DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(stem) = name.strip_suffix(IMAGES_END) else {
        return Ok(None);
    };
    let file: PathBuf = path.with_file_name(format!("{stem}{LABELS_END}"));
    if !file.exists() {
        return Ok(None);
    }
    let labels = PositionedFile::open(&file)?;
    if labels.len() != len as u64 {
        let problem = format!(
            "{} labels, a byte each, for the {len} images of {name}; fetch both again",
            labels.len()
        );
        return Err(DataError::malformed(&file, problem));
    }
    labels.read(0, labels.len()).map(Some)
}

fn class_names(path: &Path) -> Result<Vec<String>, DataError> {
    let file = path.with_file_name(NAMES_FILE);
    if !file.is_file() {
        return Ok(CLASSES.map(str::to_owned).to_vec());
    }
    super::listed_classes(&file, CLASSES.len())
}
