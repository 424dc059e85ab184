//! Where images come from: [`Source`], one implementation a format, and [`open`], which tells the
//! format from what is at a path.
//!
//! A format is one file here, one row of [`FORMATS`], and one arm in [`open`]. What formats share:
//! reads of any place in a file (`positioned`), the order of bytes in raw pixels (`layout`), data
//! that is unpacked before it is read (`unpack`), splits in several files (`shards`), and images in
//! files of their own (`image_file`).

pub mod cifar;
pub mod decoded;
pub mod folder;
mod image_file;
mod layout;
pub mod list;
pub mod npy;
pub mod parquet;
mod positioned;
mod recent;
pub mod shapes;
mod shards;
pub mod stl;
pub mod svhn;
mod unpack;
pub mod webdataset;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aet_geometry::RgbImage;

use crate::error::DataError;
use crate::random::{Purpose, generator, permutation};
use crate::set::LoadOptions;
use crate::store::Kept;
pub use shapes::ShapesConfig;

/// What one image of a set is made of before decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawSample {
    /// Where it came from: a path, or a file and the row in it.
    pub name: String,
    /// The image.
    pub payload: Payload,
    /// Its class, if known.
    pub label: Option<u32>,
}

/// An image before decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// The bytes of an image file of any format that is decoded; see [`decode`](crate::decode).
    Encoded(Vec<u8>),
    /// Pixels that need no decoding.
    Pixels(RgbImage),
}

/// A set of images, read by index, from any thread.
pub trait Source: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there is no image.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Image `index`, from 0.
    ///
    /// # Errors
    /// When the image cannot be read, or `index` lies outside the set.
    fn read(&self, index: usize) -> Result<RawSample, DataError>;

    /// Label of every image, `[count]`; `None` where it has none, or one that cannot be used, which
    /// [`read`](Self::read) then says. A format that can tell labels without reading the images
    /// does; the others read all of them.
    ///
    /// # Errors
    /// When the set cannot be read.
    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        let label = |index| match self.read(index) {
            Ok(sample) => Ok(sample.label),
            Err(error) if error.is_about_one_image() => Ok(None),
            Err(error) => Err(error),
        };
        (0..self.len()).map(label).collect()
    }

    /// Runs of neighbouring images that are read at one go, such as the row groups of a file; `None`
    /// where any image is as near as any other. A reader that wants images in random order goes
    /// through a few blocks at a time.
    fn blocks(&self) -> Option<Blocks> {
        None
    }

    /// Height and width of an item, the decoded images and their names, of a source that has them as
    /// `options` ask for, so that they need not be read.
    fn kept(&self, _options: &LoadOptions) -> Option<([usize; 2], Kept, Vec<String>)> {
        None
    }

    /// Name of every class, in the order of the labels; empty for a set without labels.
    fn class_names(&self) -> &[String];

    /// Name of the format, as in [`FORMATS`].
    fn format(&self) -> &'static str;
}

/// Images that are best read together; see [`Source::blocks`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    /// The blocks, one after the other from the first image to the last.
    pub ranges: Vec<Range<usize>>,
    /// Blocks that may be read from in turns without reading any of them twice.
    pub at_once: usize,
}

impl Blocks {
    /// The same blocks of a part of the set: of the images `rows`, by their places in that list. A
    /// list that is not in rising order has none.
    pub(crate) fn of(&self, rows: &[usize]) -> Option<Self> {
        if !rows.is_sorted() {
            return None;
        }
        let place = |row: usize| rows.partition_point(|known| *known < row);
        let ranges = (self.ranges.iter()).map(|range| place(range.start)..place(range.end));
        Some(Self {
            ranges: ranges.filter(|range| !range.is_empty()).collect(),
            at_once: self.at_once,
        })
    }
}

impl fmt::Debug for dyn Source + '_ {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} images", self.format(), self.len())
    }
}

/// The formats: name, and one line about each.
pub const FORMATS: &[(&str, &str)] = &[
    (
        parquet::FORMAT,
        "Hugging Face Parquet, train-*.parquet and test-*.parquet (in data/ too), or one file",
    ),
    (
        webdataset::FORMAT,
        "WebDataset, train-*.tar and test-*.tar or val-*.tar, plain or .tar.gz or .tgz, or one file",
    ),
    (
        stl::FORMAT,
        "STL-10 binary version, train_X.bin and test_X.bin; unlabeled_X.bin where it is named itself",
    ),
    (
        svhn::FORMAT,
        "SVHN cropped digits, train_32x32.mat and test_32x32.mat, or one file",
    ),
    (
        cifar::FORMAT_10,
        "CIFAR-10 binary version, data_batch_*.bin and test_batch.bin, or one file",
    ),
    (
        cifar::FORMAT_100,
        "CIFAR-100 binary version, train.bin and test.bin, fine labels, or one file",
    ),
    (
        npy::FORMAT,
        "NumPy arrays, train_images.npy with train_labels.npy, x_train.npy with y_train.npy, or one file",
    ),
    (
        list::FORMAT,
        "text files of paths and labels, train.txt and test.txt or val.txt (.csv, .tsv, .lst), or one file",
    ),
    (
        folder::FORMAT,
        "image files, one sub-folder a class, or none or files beside them for no labels, in train/ and test/ or val/, or one set",
    ),
    (
        decoded::FORMAT,
        "decoded images that `aet cache` wrote, train.aetset and test.aetset, or one file",
    ),
    (
        shapes::FORMAT,
        "built-in generated images of 10 shapes, 32x32; named `shapes` in the place of a path",
    ),
];

/// What a user names: a path, whose format is detected, or the built-in shapes.
///
/// As text, `shapes` is the latter; for a folder of that name, write `./shapes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// The built-in generated set.
    Shapes(ShapesConfig),
    /// A file or folder.
    Path(PathBuf),
}

impl FromStr for Location {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            shapes::FORMAT => Self::Shapes(ShapesConfig::default()),
            path => Self::Path(PathBuf::from(path)),
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shapes(_) => formatter.write_str(shapes::FORMAT),
            Self::Path(path) => path.display().fmt(formatter),
        }
    }
}

/// Part of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// Images to train on.
    Train,
    /// Images to test on; a validation split counts as one where there is no other.
    Test,
}

impl Split {
    /// `train` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// The names that this split goes by on disk, best first.
    pub(crate) fn names_on_disk(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train"],
            Self::Test => &["test", "val", "valid", "validation"],
        }
    }
}

/// Opens one split of the set at `location`.
///
/// A single file is the training split, whatever its name, and has no test split, so that no image
/// is ever trained and tested on; nor has a folder of images without `train/` and `test/` in it.
///
/// Where a folder could be of several formats, it is of the first of these: decoded, Parquet, WebDataset,
/// STL-10, SVHN, CIFAR, NumPy arrays, lists, image folder. (A folder with lists and with a
/// sub-folder `train/`, `test/` or `val/` is an image folder; name one of the lists to read it. Likewise,
/// archives beside folders of images are what these came in; name one to read it.)
///
/// # Errors
/// When nothing there looks like a set, the split is missing
/// ([`is_no_split`](DataError::is_no_split)), or a file in it is broken.
pub fn open(location: &Location, split: Split) -> Result<Box<dyn Source>, DataError> {
    let path = match location {
        Location::Shapes(config) => return shapes::open(config, split),
        Location::Path(path) => path,
    };
    let metadata = std::fs::metadata(path).map_err(|error| DataError::io(path, error))?;
    if metadata.is_file() {
        return open_file(path, split);
    }
    if !metadata.is_dir() {
        // The error that says what it is.
        positioned::open_regular(path)?;
    }
    let names = file_names(path)?;
    if decoded::matches(&names) {
        return decoded::open(path, split);
    }
    if let Some(shards) = parquet::find(path, &names)? {
        let shards = shards.of(path, split)?;
        return Ok(Box::new(parquet::ParquetSource::new(&shards)?));
    }
    if let Some(shards) = webdataset::find(path, &names)? {
        let shards = shards.of(path, split)?;
        return Ok(Box::new(webdataset::WebDatasetSource::new(&shards)?));
    }
    if stl::matches(&names) {
        return stl::open(path, split);
    }
    if svhn::matches(&names) {
        return svhn::open(path, split);
    }
    if let Some(kind) = cifar::kind_of(&names) {
        return cifar::open(path, kind, &names, split);
    }
    if npy::matches(path) {
        return npy::open(path, split);
    }
    if list::matches(path, &names) {
        return list::open(path, &names, split);
    }
    folder::open(path, split).map_err(with_all_formats)
}

/// Adds the names of all formats to what was expected of a folder in which nothing was found.
fn with_all_formats(error: DataError) -> DataError {
    let DataError::UnknownFormat { path, expected } = error else {
        return error;
    };
    let names = FORMATS.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    DataError::UnknownFormat {
        path,
        expected: format!("{expected}; the formats are {}", names.join(", ")),
    }
}

fn open_file(path: &Path, split: Split) -> Result<Box<dyn Source>, DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let extension = path.extension().and_then(|extension| extension.to_str());
    let open: fn(&Path) -> Result<Box<dyn Source>, DataError> = match extension {
        Some("parquet") => |path| {
            Ok(Box::new(parquet::ParquetSource::new(
                &[path.to_path_buf()],
            )?))
        },
        Some("aetset") => |path| Ok(Box::new(decoded::DecodedSource::new(path)?)),
        _ if webdataset::is_shard(&name) => |path| {
            Ok(Box::new(webdataset::WebDatasetSource::new(&[
                path.to_path_buf()
            ])?))
        },
        Some("bin") if stl::is_images(path) => |path| Ok(Box::new(stl::StlSource::new(path)?)),
        Some("bin") => |path| Ok(Box::new(cifar::CifarSource::from_file(path)?)),
        Some("mat") => |path| Ok(Box::new(svhn::SvhnSource::new(path)?)),
        Some("npy") => |path| Ok(Box::new(npy::NpySource::new(path)?)),
        _ if list::is_list(path) => |path| Ok(Box::new(list::ListSource::new(path)?)),
        _ => {
            return Err(DataError::UnknownFormat {
                path: path.to_path_buf(),
                expected: EXPECTED_FILES.to_owned(),
            });
        }
    };
    match split {
        Split::Train => open(path),
        Split::Test => Err(no_split(path, split)),
    }
}

const EXPECTED_FILES: &str = "a .parquet file, a .tar, .tar.gz or .tgz file of WebDataset, a .bin \
    file of CIFAR or STL-10, a .mat file of SVHN, a .npy file, a .txt, .csv, .tsv or .lst file of \
    paths, or a folder";

/// The names of what is in the folder `path`, sorted, without hidden ones.
pub(crate) fn file_names(path: &Path) -> Result<Vec<String>, DataError> {
    let fail = |error| DataError::io(path, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') {
            names.push(name.into_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The error for a split that is not at `path`.
pub(crate) fn no_split(path: &Path, split: Split) -> DataError {
    let hint = match split {
        Split::Train => "there are only test images here; name the folder or file above or beside",
        Split::Test => "hold out a share of the training images, or add a test split",
    };
    DataError::NoSplit {
        path: path.to_path_buf(),
        split: split.name(),
        hint: hint.to_owned(),
    }
}

/// The name numbers that stand in for class names: "0", "1", ...
pub(crate) fn numbered_classes(labels: impl Iterator<Item = u32>) -> Vec<String> {
    let count = labels.max().map_or(0, |most| most + 1);
    (0..count).map(|class| class.to_string()).collect()
}

/// Refuses an index that lies outside a set of `len` images.
pub(crate) fn check_index(index: usize, len: usize) -> Result<(), DataError> {
    match index < len {
        true => Ok(()),
        false => Err(DataError::OutOfRange { index, len }),
    }
}

/// Labels from here on are taken for a mistake where no class names say otherwise.
pub(crate) const MOST_CLASSES: usize = 1 << 20;

/// The class that a number on disk stands for; a -1 stands for none.
pub(crate) fn class_of(number: i64, classes: usize) -> Result<Option<u32>, String> {
    match u32::try_from(number) {
        Ok(label) if (label as usize) < classes => Ok(Some(label)),
        Err(_) if number == -1 => Ok(None),
        _ => Err(no_class(number, classes)),
    }
}

/// What is wrong with a label that stands for no class.
pub(crate) fn no_class(number: i64, classes: usize) -> String {
    match classes.checked_sub(1) {
        Some(last) => {
            format!("label {number} is none of the {classes} classes, from 0 to {last}")
        }
        None => format!("label {number} in a set without classes"),
    }
}

/// The `count` class names in a text file, one a line.
pub(crate) fn listed_classes(path: &Path, count: usize) -> Result<Vec<String>, DataError> {
    let text = std::fs::read_to_string(path).map_err(|error| DataError::io(path, error))?;
    let names: Vec<String> = (text.lines().map(str::trim))
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    if names.len() != count {
        let problem = format!(
            "{} class names, not {count}; write one a line, or remove the file",
            names.len()
        );
        return Err(DataError::malformed(path, problem));
    }
    Ok(names)
}

/// Splits `count` images in two where there is no test split: (training, test) indices, both in
/// rising order. The test part holds `share` of them, rounded (a share outside `[0, 1]` counts as
/// the nearer end), chosen at random by `seed`.
pub fn hold_out(count: usize, share: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let held = (count as f64 * share.clamp(0.0, 1.0)).round() as usize;
    let mut order = permutation(&mut generator(seed, 0, 0, Purpose::HoldOut), count);
    let mut train = order.split_off(held.min(count));
    order.sort_unstable();
    train.sort_unstable();
    (train, order)
}
