//! The binary version of CIFAR-10 and CIFAR-100: records of one label byte (CIFAR-100: coarse,
//! then fine), then 1,024 red, 1,024 green and 1,024 blue bytes, row-major.
//!
//! A file may hold any number of records. CIFAR-100 gives its fine labels.

use std::path::{Path, PathBuf};

use super::layout::Layout;
use super::positioned::PositionedFile;
use super::{
    Payload, RawSample, Source, Split, check_index, image_file, listed_classes, no_class, no_split,
};
use crate::error::DataError;

/// Name of the format with 10 classes.
pub const FORMAT_10: &str = "cifar10-binary";
/// Name of the format with 100 classes.
pub const FORMAT_100: &str = "cifar100-binary";

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

const CIFAR_10_CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// Which of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CifarKind {
    /// 10 classes, 3,073 bytes a record.
    Ten,
    /// 100 classes, 3,074 bytes a record.
    Hundred,
}

impl CifarKind {
    fn label_bytes(self) -> usize {
        match self {
            Self::Ten => 1,
            Self::Hundred => 2,
        }
    }

    fn record_bytes(self) -> usize {
        self.label_bytes() + 3 * PLANE
    }

    fn classes(self) -> usize {
        match self {
            Self::Ten => 10,
            Self::Hundred => 100,
        }
    }

    /// The class that the label bytes of a record stand for: the last of them.
    fn class_of(self, labels: &[u8]) -> Option<u32> {
        let label = labels.last().copied().map(u32::from);
        label.filter(|&label| (label as usize) < self.classes())
    }

    fn names_file(self) -> &'static str {
        match self {
            Self::Ten => "batches.meta.txt",
            Self::Hundred => "fine_label_names.txt",
        }
    }

    fn is_part_of(self, split: Split, name: &str) -> bool {
        match (self, split) {
            (Self::Ten, Split::Train) => name.starts_with("data_batch_") && name.ends_with(".bin"),
            (Self::Ten, Split::Test) => name == "test_batch.bin",
            (Self::Hundred, Split::Train) => name == "train.bin",
            (Self::Hundred, Split::Test) => name == "test.bin",
        }
    }
}

/// The set that a folder with these file names holds, if it holds one.
pub(crate) fn kind_of(names: &[String]) -> Option<CifarKind> {
    [CifarKind::Ten, CifarKind::Hundred]
        .into_iter()
        .find(|kind| {
            names.iter().any(|name| {
                kind.is_part_of(Split::Train, name) || kind.is_part_of(Split::Test, name)
            })
        })
}

/// Opens the files of `split` in `folder`, which holds the files `names`.
pub(crate) fn open(
    folder: &Path,
    kind: CifarKind,
    names: &[String],
    split: Split,
) -> Result<Box<dyn Source>, DataError> {
    let parts = names.iter().filter(|name| kind.is_part_of(split, name));
    let paths: Vec<PathBuf> = parts.map(|name| folder.join(name)).collect();
    if paths.is_empty() {
        return Err(no_split(folder, split));
    }
    Ok(Box::new(CifarSource::new(kind, &paths)?))
}

/// Images in one or more binary files, in the order of the files and their records.
#[derive(Debug)]
pub struct CifarSource {
    kind: CifarKind,
    files: Vec<BatchFile>,
    len: usize,
    class_names: Vec<String>,
}

#[derive(Debug)]
struct BatchFile {
    path: PathBuf,
    /// Index of its first record in the set.
    first: usize,
    bytes: Vec<u8>,
}

impl CifarSource {
    /// Reads the files at `paths`, and the class names beside the first of them.
    ///
    /// # Errors
    /// When a file cannot be read, has more than 1 GiB or is no whole number of records, when there
    /// is no record in any of them, or when there is a file of class names with too few in it.
    pub fn new(kind: CifarKind, paths: &[PathBuf]) -> Result<Self, DataError> {
        let mut files = Vec::with_capacity(paths.len());
        let mut len = 0;
        for path in paths {
            let bytes = whole_file(path)?;
            let record = kind.record_bytes();
            if bytes.len() % record != 0 {
                let problem = format!(
                    "{} bytes are no whole number of records of {record} bytes; \
                     the file is truncated or of another format",
                    bytes.len()
                );
                return Err(DataError::malformed(path, problem));
            }
            let first = len;
            len += bytes.len() / record;
            files.push(BatchFile {
                path: path.clone(),
                first,
                bytes,
            });
        }
        let path = paths.first().cloned().unwrap_or_default();
        if len == 0 {
            return Err(DataError::Empty { path });
        }
        Ok(Self {
            kind,
            files,
            len,
            class_names: class_names(kind, &path)?,
        })
    }

    /// Reads one file, telling the kind from its size (from its name where both would do).
    ///
    /// # Errors
    /// As [`CifarSource::new`].
    pub fn from_file(path: &Path) -> Result<Self, DataError> {
        let metadata = std::fs::metadata(path).map_err(|error| DataError::io(path, error))?;
        let fits = |kind: CifarKind| metadata.len() % kind.record_bytes() as u64 == 0;
        let named_100 =
            (path.file_name()).is_some_and(|name| name == "train.bin" || name == "test.bin");
        let kind = match (fits(CifarKind::Ten), fits(CifarKind::Hundred)) {
            (false, true) => CifarKind::Hundred,
            (true, false) => CifarKind::Ten,
            _ if named_100 => CifarKind::Hundred,
            _ => CifarKind::Ten,
        };
        Self::new(kind, &[path.to_path_buf()])
    }
}

impl Source for CifarSource {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        check_index(index, self.len)?;
        let after = self.files.partition_point(|file| file.first <= index);
        let file = &self.files[after - 1];
        let number = index - file.first;
        let record = self.kind.record_bytes();
        let (labels, planes) =
            file.bytes[number * record..][..record].split_at(self.kind.label_bytes());
        let name = format!("{}, record {number}", file.path.display());
        let Some(label) = self.kind.class_of(labels) else {
            let (label, classes) = (labels[labels.len() - 1], self.kind.classes());
            let problem = no_class(label.into(), classes);
            return Err(DataError::Image {
                index,
                name,
                problem,
            });
        };
        let image = (Layout::planes([SIDE; 2]).image(planes.to_vec()))
            .map_err(|problem| DataError::malformed(&file.path, problem))?;
        Ok(RawSample {
            name,
            payload: Payload::Pixels(image),
            label: Some(label),
        })
    }

    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        let of_file = |file: &BatchFile| {
            let records = file.bytes.chunks_exact(self.kind.record_bytes());
            let labels = records.map(|record| &record[..self.kind.label_bytes()]);
            labels.map(|labels| self.kind.class_of(labels)).collect()
        };
        let labels: Vec<Vec<Option<u32>>> = self.files.iter().map(of_file).collect();
        Ok(labels.concat())
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn format(&self) -> &'static str {
        match self.kind {
            CifarKind::Ten => FORMAT_10,
            CifarKind::Hundred => FORMAT_100,
        }
    }
}

/// The bytes of a file of records.
fn whole_file(path: &Path) -> Result<Vec<u8>, DataError> {
    let file = PositionedFile::open(path)?;
    let (bytes, most) = (file.len(), image_file::MOST_BYTES);
    if bytes > most {
        let problem = format!("{bytes} bytes, but at most {most} are read; split it");
        return Err(DataError::malformed(path, problem));
    }
    file.read(0, bytes)
}

/// The names in the text file beside `path`; where there is none, those of CIFAR-10, or numbers.
fn class_names(kind: CifarKind, path: &Path) -> Result<Vec<String>, DataError> {
    let file = path.with_file_name(kind.names_file());
    if !file.is_file() {
        return Ok(match kind {
            CifarKind::Ten => CIFAR_10_CLASSES.map(str::to_owned).to_vec(),
            CifarKind::Hundred => (0..100).map(|class| class.to_string()).collect(),
        });
    }
    listed_classes(&file, kind.classes())
}
