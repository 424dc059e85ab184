//! [`DataError`]: everything that data on disk, or a request about it, can do wrong.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::skip::Skipped;

/// What went wrong with a set of images. Messages name the file, and the index inside it where
/// there is one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Nothing at this path looks like a set of images.
    #[error("{}: no image set found here; expected {expected}", path.display())]
    UnknownFormat {
        /// File or folder.
        path: PathBuf,
        /// What was looked for.
        expected: String,
    },
    /// The set exists, but not this part of it.
    #[error("{} has no {split} split: {hint}", path.display())]
    NoSplit {
        /// File or folder.
        path: PathBuf,
        /// `train` or `test`.
        split: &'static str,
        /// What to do about it.
        hint: String,
    },
    /// The set is there, but holds no image.
    #[error("{} holds no image; fetch it again, or name what holds some", path.display())]
    Empty {
        /// File or folder.
        path: PathBuf,
    },
    /// A file is not what its format says: size, columns, labels, metadata.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// A Parquet file could not be opened or decoded.
    #[error("{}{}: broken Parquet file; fetch or copy it again", path.display(), in_group(*row_group))]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The row group, where it is known.
        row_group: Option<usize>,
        /// What the decoder said.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A row of a Parquet file cannot be used.
    #[error("{}, row group {row_group}, row {row} of the file: {problem}", path.display())]
    ParquetRow {
        /// The file.
        path: PathBuf,
        /// Row group, from 0.
        row_group: usize,
        /// Row in the whole file, from 0.
        row: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// One image of a set cannot be used, for a reason that its first bytes, its size, its length or
    /// its label give, rather than a decoder.
    #[error("image {index} ({name}): {problem}")]
    Image {
        /// Index in the set.
        index: usize,
        /// Where the image came from.
        name: String,
        /// What is wrong with it, and what to do about it.
        problem: String,
    },
    /// An encoded image could not be decoded.
    #[error(
        "image {index} ({name}) cannot be decoded; fetch or copy it again, or convert it to PNG"
    )]
    Decode {
        /// Index in the set.
        index: usize,
        /// Where the image came from.
        name: String,
        /// What the decoder said.
        #[source]
        source: image::ImageError,
    },
    /// An image could not be resized.
    #[error("image {index} ({name}) cannot be resized: {problem}")]
    Resize {
        /// Index in the set.
        index: usize,
        /// Where the image came from.
        name: String,
        /// Why.
        problem: String,
    },
    /// More images of a set could not be used than may be left out.
    #[error(
        "{skipped} of {total} images cannot be used, and no more than a share of {most} may be left \
         out (most_skipped); the last one"
    )]
    TooManyBroken {
        /// Images that could not be used.
        skipped: usize,
        /// Images of the set.
        total: usize,
        /// The largest share that may be left out.
        most: f64,
        /// What is wrong with the last of them.
        #[source]
        source: Box<DataError>,
    },
    /// Every image of a set was left out.
    #[error(
        "none of the images can be used ({} were left out); the first one: {}",
        skipped.len(), skipped.first().map_or("", |first| first.error.as_str())
    )]
    NothingLeft {
        /// The images that were left out, and why.
        skipped: Vec<Skipped>,
    },
    /// Two images of a set differ in size, and no common size was asked for.
    #[error(
        "images differ in size: {first_name} is {}x{} but {name} (index {index}) is {}x{} \
         (height x width); name a size to bring all of them to it",
        first_size[0], first_size[1], size[0], size[1]
    )]
    MixedSizes {
        /// Name of image 0.
        first_name: String,
        /// Its height and width in pixels.
        first_size: [usize; 2],
        /// Index of the other image.
        index: usize,
        /// Its name.
        name: String,
        /// Its height and width in pixels.
        size: [usize; 2],
    },
    /// An index past the end of a set was asked for.
    #[error("index {index} lies outside a set of {len} images")]
    OutOfRange {
        /// The index asked for.
        index: usize,
        /// Images in the set.
        len: usize,
    },
    /// A request that cannot be met, such as a share outside its range.
    #[error("{name} is {value}, but must be {allowed}")]
    Invalid {
        /// What was set.
        name: &'static str,
        /// To which value.
        value: String,
        /// What would do.
        allowed: String,
    },
}

impl DataError {
    /// Whether the set is there, but not the split that was asked for, so that a part of the
    /// other split can be [held out](crate::hold_out).
    pub fn is_no_split(&self) -> bool {
        matches!(self, Self::NoSplit { .. })
    }

    /// Whether one image of a set is at fault, so that a reader can go on without it: it cannot be
    /// read, decoded or resized, or its label is out of range. Everything else is about the whole
    /// set, or about the request.
    pub fn is_about_one_image(&self) -> bool {
        matches!(
            self,
            Self::Image { .. }
                | Self::Decode { .. }
                | Self::Resize { .. }
                | Self::ParquetRow { .. }
        )
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn malformed(path: &Path, problem: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_path_buf(),
            problem: problem.into(),
        }
    }

    pub(crate) fn invalid(
        name: &'static str,
        value: impl ToString,
        allowed: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            name,
            value: value.to_string(),
            allowed: allowed.into(),
        }
    }
}

fn in_group(row_group: Option<usize>) -> String {
    row_group.map_or_else(String::new, |group| format!(", row group {group}"))
}
