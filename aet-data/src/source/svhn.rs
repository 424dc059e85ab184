//! SVHN, house numbers, cropped digits: `train_32x32.mat` and `test_32x32.mat`, MATLAB files with
//! `X`, the pixels `[32, 32, 3, count]` column by column, and `y`, labels from 1 to 10, where 10
//! stands for the digit 0.
//!
//! `extra_32x32.mat`, 531,131 easier digits, is the training split where the file itself is named.
//! Compressed pixels are unpacked once into a file without a name, so that memory holds only the
//! labels.

mod mat;

use std::io::Read;
use std::path::Path;

use self::mat::Variable;
use super::layout::Layout;
use super::positioned::PositionedFile;
use super::unpack::unpack;
use super::{Payload, RawSample, Source, Split, no_split};
use crate::error::DataError;

/// Name of the format.
pub const FORMAT: &str = "svhn-mat";

const SIDE: usize = 32;
const IMAGE_BYTES: u64 = 3 * (SIDE * SIDE) as u64;
/// More images than this are taken for a mistake.
const MOST_IMAGES: u64 = 1 << 22;

fn file_of(split: Split) -> &'static str {
    match split {
        Split::Train => "train_32x32.mat",
        Split::Test => "test_32x32.mat",
    }
}

/// Whether a folder with these file names is one of SVHN.
pub(crate) fn matches(names: &[String]) -> bool {
    (names.iter()).any(|name| name == file_of(Split::Train) || name == file_of(Split::Test))
}

/// Opens `split` of the set in `folder`.
pub(crate) fn open(folder: &Path, split: Split) -> Result<Box<dyn Source>, DataError> {
    let path = folder.join(file_of(split));
    if !path.is_file() {
        return Err(no_split(folder, split));
    }
    Ok(Box::new(SvhnSource::new(&path)?))
}

/// Digits in one file, in their order.
#[derive(Debug)]
pub struct SvhnSource {
    images: PositionedFile,
    /// Where the first image starts.
    start: u64,
    /// As in the file.
    labels: Vec<i64>,
    class_names: Vec<String>,
}

impl SvhnSource {
    /// Reads the labels in the file at `path`, and finds or unpacks its pixels.
    ///
    /// # Errors
    /// When the file cannot be read, is no MATLAB file of version 5 to 7, lacks `X` or `y`, or they
    /// are of another shape.
    pub fn new(path: &Path) -> Result<Self, DataError> {
        let (mut images, mut labels) = (None, None);
        mat::read(path, &mut |variable, data| {
            match variable.name.as_str() {
                "X" => images = Some(read_images(path, variable, data)?),
                "y" => labels = Some(read_labels(path, variable, data)?),
                _ => {}
            }
            Ok(())
        })?;
        let lacks =
            |name| DataError::malformed(path, format!("there is no variable `{name}` in it"));
        let (count, images, start) = images.ok_or_else(|| lacks("X"))?;
        let labels = labels.ok_or_else(|| lacks("y"))?;
        if count != labels.len() as u64 {
            let problem = format!("`y` holds {} labels for {count} images", labels.len());
            return Err(DataError::malformed(path, problem));
        }
        if count == 0 {
            let path = path.to_path_buf();
            return Err(DataError::Empty { path });
        }
        Ok(Self {
            images,
            start,
            labels,
            class_names: (0..10).map(|digit| digit.to_string()).collect(),
        })
    }
}

impl Source for SvhnSource {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        let len = self.labels.len();
        let label = *(self.labels.get(index)).ok_or(DataError::OutOfRange { index, len })?;
        let name = format!("{}, image {index}", self.images.path().display());
        let Some(digit) = digit_of(label) else {
            let problem = format!("label {label} is none of 1 to 10");
            return Err(DataError::Image {
                index,
                name,
                problem,
            });
        };
        let image = Layout::planes_by_column([SIDE; 2]).read(&self.images, self.start, index)?;
        Ok(RawSample {
            name,
            payload: Payload::Pixels(image),
            label: Some(digit),
        })
    }

    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        Ok(self.labels.iter().map(|&label| digit_of(label)).collect())
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn format(&self) -> &'static str {
        FORMAT
    }
}

/// A 10 stands for 0; some copies of the set hold the 0 itself.
fn digit_of(label: i64) -> Option<u32> {
    match label {
        0 | 10 => Some(0),
        1..=9 => Some(label as u32),
        _ => None,
    }
}

/// Number of images, and the file and the place in it that they start at.
fn read_images(
    path: &Path,
    variable: &Variable,
    data: &mut dyn Read,
) -> Result<(u64, PositionedFile, u64), DataError> {
    let count = match variable.shape.as_slice() {
        // MATLAB drops a last dimension of 1.
        [32, 32, 3] => 1,
        &[32, 32, 3, count] if count <= MOST_IMAGES => count,
        shape => {
            let problem =
                format!("`X` is {shape:?}, not [32, 32, 3, count] with at most {MOST_IMAGES}");
            return Err(DataError::malformed(path, problem));
        }
    };
    if variable.kind != mat::UINT8 || variable.bytes != count * IMAGE_BYTES {
        let problem = "`X` holds other than one byte (uint8) a value";
        return Err(DataError::malformed(path, problem));
    }
    let (file, start) = match variable.offset {
        Some(offset) => (PositionedFile::open(path)?, offset),
        None => (unpack(data, path)?, 0),
    };
    match file.len() >= start + variable.bytes {
        true => Ok((count, file, start)),
        false => Err(DataError::malformed(path, "it is cut short within `X`")),
    }
}

fn read_labels(
    path: &Path,
    variable: &Variable,
    data: &mut dyn Read,
) -> Result<Vec<i64>, DataError> {
    let count: u64 = variable
        .shape
        .iter()
        .fold(1, |all, &one| all.saturating_mul(one));
    let is_line = variable.shape.iter().filter(|&&length| length != 1).count() <= 1;
    if !is_line || count > MOST_IMAGES {
        let problem = format!("`y` is {:?}, not [count, 1]", variable.shape);
        return Err(DataError::malformed(path, problem));
    }
    mat::numbers(variable, count, data)
        .map_err(|problem| DataError::malformed(path, format!("`y`: {problem}")))
}
