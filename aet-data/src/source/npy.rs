//! NumPy arrays: images as unsigned bytes, `[count, height, width, 3]`, `[count, 3, height, width]`
//! or grey `[count, height, width]`, and labels `[count]` of any whole numbers, or none.
//!
//! In a folder, the training split is `train_images.npy` with `train_labels.npy`, `x_train.npy`
//! with `y_train.npy`, or `images.npy` with `labels.npy` in `train/`; the test split likewise. A
//! folder with `images.npy` alone is a training split. Of a file that is named itself, the labels
//! are looked for beside it in the same way.
//!
//! Images are read from the file when they are asked for; only labels are kept in memory.

mod header;

use std::path::{Path, PathBuf};

use self::header::{Header, Number};
use super::layout::Layout;
use super::positioned::PositionedFile;
use super::{
    MOST_CLASSES, Payload, RawSample, Source, Split, check_index, class_of, no_split,
    numbered_classes,
};
use crate::error::DataError;

/// Name of the format.
pub const FORMAT: &str = "npy";

/// Names that a file of images goes by, with `train` for `{}`.
const IMAGES: [&str; 4] = ["{}_images.npy", "x_{}.npy", "X_{}.npy", "{}/images.npy"];
const IMAGES_ALONE: &str = "images.npy";

/// The file of images of `split` in `folder`.
fn file_of(folder: &Path, split: Split) -> Option<PathBuf> {
    let patterns = split.names_on_disk().iter().flat_map(|name| {
        let file = move |pattern: &str| folder.join(pattern.replace("{}", name));
        IMAGES.into_iter().map(file)
    });
    patterns.into_iter().find(|path| path.is_file())
}

/// Whether `folder` is one of NumPy arrays.
pub(crate) fn matches(folder: &Path) -> bool {
    file_of(folder, Split::Train).is_some()
        || file_of(folder, Split::Test).is_some()
        || folder.join(IMAGES_ALONE).is_file()
}

/// Opens `split` of the set in `folder`.
pub(crate) fn open(folder: &Path, split: Split) -> Result<Box<dyn Source>, DataError> {
    let alone = || Some(folder.join(IMAGES_ALONE)).filter(|path| path.is_file());
    let found = match split {
        Split::Train => file_of(folder, split).or_else(alone),
        Split::Test => file_of(folder, split),
    };
    match found {
        Some(path) => Ok(Box::new(NpySource::new(&path)?)),
        None => Err(no_split(folder, split)),
    }
}

/// Images of one array, in their order.
#[derive(Debug)]
pub struct NpySource {
    images: PositionedFile,
    /// Where the first image starts.
    start: u64,
    len: usize,
    layout: Layout,
    labels: Option<Vec<i64>>,
    class_names: Vec<String>,
}

impl NpySource {
    /// Reads the header of the array of images at `path`, and the labels beside it.
    ///
    /// # Errors
    /// When a file cannot be read, is no array or is cut short, when the images are other than
    /// unsigned bytes or of another shape, or when there are not as many labels as images.
    pub fn new(path: &Path) -> Result<Self, DataError> {
        let images = PositionedFile::open(path)?;
        let header = Header::read(&images)?;
        let (len, layout) =
            layout_of(&header).map_err(|problem| DataError::malformed(path, problem))?;
        if len == 0 {
            let path = path.to_path_buf();
            return Err(DataError::Empty { path });
        }
        let labels = match labels_beside(path) {
            Some(file) => Some(read_labels(&file, len)?),
            None => None,
        };
        let classes = labels.iter().flatten();
        let classes = classes.filter_map(|&label| class_of(label, MOST_CLASSES).ok()?);
        let class_names = numbered_classes(classes);
        Ok(Self {
            images,
            start: header.start,
            len,
            layout,
            labels,
            class_names,
        })
    }
}

impl Source for NpySource {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        check_index(index, self.len)?;
        let name = format!("{}, image {index}", self.images.path().display());
        let label = match &self.labels {
            None => None,
            Some(labels) => {
                class_of(labels[index], MOST_CLASSES).map_err(|problem| DataError::Image {
                    index,
                    name: name.clone(),
                    problem,
                })?
            }
        };
        let image = self.layout.read(&self.images, self.start, index)?;
        Ok(RawSample {
            name,
            payload: Payload::Pixels(image),
            label,
        })
    }

    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        let class = |&label: &i64| class_of(label, MOST_CLASSES).unwrap_or(None);
        Ok(match &self.labels {
            Some(labels) => labels.iter().map(class).collect(),
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

/// Number of images, and the layout of one.
fn layout_of(header: &Header) -> Result<(usize, Layout), String> {
    if header.number != Number::Unsigned(1) {
        let kind = &header.descr;
        return Err(format!(
            "images of type {kind} are not read; save them as uint8"
        ));
    }
    if header.fortran_order {
        let problem = "its pixels are in Fortran order, scattered over the file; \
                       save numpy.ascontiguousarray of it";
        return Err(problem.to_owned());
    }
    if header.shape.contains(&0) {
        // The other lengths may be of any size then, as there is no byte to hold against them.
        return match header.shape.first() {
            Some(0) => Ok((0, Layout::grey([0, 0]))),
            _ => Err(format!("its shape is {:?}, without pixels", header.shape)),
        };
    }
    let (len, layout) = match header.shape.as_slice() {
        &[len, height, width, 3] => (len, Layout::pixels([height, width])),
        &[len, 3, height, width] => (len, Layout::planes([height, width])),
        &[len, height, width] | &[len, height, width, 1] | &[len, 1, height, width] => {
            (len, Layout::grey([height, width]))
        }
        shape => {
            return Err(format!(
                "its shape is {shape:?}, not [count, height, width, 3], \
                 [count, 3, height, width] or [count, height, width]"
            ));
        }
    };
    Ok((len, layout))
}

/// `train_labels.npy` for `train_images.npy`, `y_train.npy` for `x_train.npy`, if it is there.
fn labels_beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let labels = match name.strip_prefix(['x', 'X']) {
        Some(rest) if rest.starts_with('_') => format!("y{rest}"),
        _ => name.replace("images", "labels"),
    };
    let file = path.with_file_name(&labels);
    (labels != name && file.is_file()).then_some(file)
}

fn read_labels(path: &Path, len: usize) -> Result<Vec<i64>, DataError> {
    let file = PositionedFile::open(path)?;
    let header = Header::read(&file)?;
    if !matches!(header.shape.as_slice(), [count] | [count, 1] if *count == len) {
        let problem = format!(
            "its shape is {:?} for {len} images; save one label an image",
            header.shape
        );
        return Err(DataError::malformed(path, problem));
    }
    let bytes = file.read(header.start, file.len() - header.start)?;
    let (number, kind) = (header.number, &header.descr);
    let labels = number.read_all(&bytes, header.big_endian);
    labels.ok_or_else(|| {
        let problem = format!("labels of type {kind} are not read; save whole numbers");
        DataError::malformed(path, problem)
    })
}
