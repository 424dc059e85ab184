//! A folder of JPEG and PNG files: one sub-folder a class, sorted by name, or files without labels
//! directly in it.
//!
//! `train/` and `test/` (or `val/`) in it are the splits; without them, the folder is the training
//! split. Files may lie deeper inside a class folder. The layout of Tiny-ImageNet, whose
//! validation labels are in `val_annotations.txt`, is understood.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Payload, RawSample, Source, Split, file_names, no_split};
use crate::error::DataError;

/// Name of the format.
pub const FORMAT: &str = "image-folder";

const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];
const ANNOTATIONS: &str = "val_annotations.txt";

/// Opens `split` of the set in `folder`.
pub(crate) fn open(folder: &Path, split: Split) -> Result<Box<dyn Source>, DataError> {
    let subfolder = |split: Split| {
        let mut names = split.names_on_disk().iter();
        names.find_map(|name| Some(folder.join(name)).filter(|path| path.is_dir()))
    };
    let (train, test) = (subfolder(Split::Train), subfolder(Split::Test));
    let source = match (split, train, test) {
        (Split::Train, Some(train), _) => FolderSource::new(&train)?,
        (Split::Train, None, None) => FolderSource::new(folder)?,
        (Split::Test, Some(train), Some(test)) => {
            FolderSource::with_classes(&test, &class_folders(&train)?)?
        }
        (Split::Test, None, Some(test)) => FolderSource::new(&test)?,
        _ => return Err(no_split(folder, split)),
    };
    Ok(Box::new(source))
}

/// Images in a folder, by class and path.
#[derive(Debug)]
pub struct FolderSource {
    images: Vec<(PathBuf, Option<u32>)>,
    class_names: Vec<String>,
}

impl FolderSource {
    /// Lists the images in `folder`. Its sub-folders are the classes; without any, the images have
    /// no labels.
    ///
    /// # Errors
    /// When the folder cannot be read, holds no image, or holds images beside class folders.
    pub fn new(folder: &Path) -> Result<Self, DataError> {
        let classes = match annotations(folder)? {
            Some(labels) => {
                let mut classes: Vec<String> = labels.into_values().collect();
                classes.sort_unstable();
                classes.dedup();
                classes
            }
            None => class_folders(folder)?,
        };
        Self::with_classes(folder, &classes)
    }

    /// As [`FolderSource::new`], with the classes of another folder, so that the labels of a test
    /// split are those of its training split.
    ///
    /// # Errors
    /// As [`FolderSource::new`], and when there is a class that is none of `classes`.
    pub fn with_classes(folder: &Path, classes: &[String]) -> Result<Self, DataError> {
        let images = match annotations(folder)? {
            Some(labels) => annotated(folder, classes, &labels)?,
            None => by_folder(folder, classes)?,
        };
        if images.is_empty() {
            return Err(DataError::UnknownFormat {
                path: folder.to_path_buf(),
                expected: "JPEG or PNG images, Parquet files, or CIFAR binary files".to_owned(),
            });
        }
        Ok(Self {
            images,
            class_names: classes.to_vec(),
        })
    }
}

impl Source for FolderSource {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        let len = self.images.len();
        let (path, label) = (self.images.get(index)).ok_or(DataError::OutOfRange { index, len })?;
        let bytes = std::fs::read(path).map_err(|error| DataError::io(path, error))?;
        Ok(RawSample {
            name: path.display().to_string(),
            payload: Payload::Encoded(bytes),
            label: *label,
        })
    }

    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        Ok(self.images.iter().map(|(_, label)| *label).collect())
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn format(&self) -> &'static str {
        FORMAT
    }
}

/// The sub-folders of `folder` that hold images, sorted by name.
fn class_folders(folder: &Path) -> Result<Vec<String>, DataError> {
    let mut classes = Vec::new();
    for name in file_names(folder)? {
        let path = folder.join(&name);
        if path.is_dir() && !images_below(&path)?.is_empty() {
            classes.push(name);
        }
    }
    Ok(classes)
}

fn by_folder(folder: &Path, classes: &[String]) -> Result<Vec<(PathBuf, Option<u32>)>, DataError> {
    let mut images = Vec::new();
    let mut loose = None;
    for name in file_names(folder)? {
        let path = folder.join(&name);
        if !path.is_dir() {
            if is_image(&path) {
                loose.get_or_insert(images.len());
                images.push((path, None));
            }
            continue;
        }
        let found = images_below(&path)?;
        if found.is_empty() {
            continue;
        }
        let label = label_of(&name, classes, &path)?;
        images.extend(found.into_iter().map(|path| (path, Some(label))));
    }
    let labelled = images.iter().any(|(_, label)| label.is_some());
    match loose.filter(|_| labelled) {
        Some(at) => Err(DataError::malformed(
            &images[at].0,
            "this image lies beside class folders; move it into one of them",
        )),
        None => Ok(images),
    }
}

fn label_of(name: &str, classes: &[String], path: &Path) -> Result<u32, DataError> {
    match classes.iter().position(|class| class == name) {
        Some(label) => Ok(label as u32),
        None => Err(DataError::malformed(
            path,
            format!("class {name} is not in the training split"),
        )),
    }
}

/// File name to class, from the annotations of Tiny-ImageNet, if they are there: a line an image,
/// fields parted by tabs, the file first and the class second.
fn annotations(folder: &Path) -> Result<Option<HashMap<String, String>>, DataError> {
    let path = folder.join(ANNOTATIONS);
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(|error| DataError::io(&path, error))?;
    let mut labels = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let mut fields = line.split('\t').map(str::to_owned);
        let (Some(file), Some(class)) = (fields.next(), fields.next()) else {
            let problem = format!(
                "line {}: not a file and a class, parted by a tab",
                number + 1
            );
            return Err(DataError::malformed(&path, problem));
        };
        labels.insert(file, class);
    }
    Ok(Some(labels))
}

fn annotated(
    folder: &Path,
    classes: &[String],
    labels: &HashMap<String, String>,
) -> Result<Vec<(PathBuf, Option<u32>)>, DataError> {
    let with_label = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(class) = labels.get(name.as_ref()) else {
            let problem = format!("not in {ANNOTATIONS}");
            return Err(DataError::malformed(&path, problem));
        };
        let label = label_of(class, classes, &path)?;
        Ok((path, Some(label)))
    };
    images_below(folder)?.into_iter().map(with_label).collect()
}

/// All images in `folder` and the folders in it, sorted folder by folder.
fn images_below(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut images = Vec::new();
    for name in file_names(folder)? {
        let path = folder.join(name);
        if path.is_dir() {
            images.extend(images_below(&path)?);
        } else if is_image(&path) {
            images.push(path);
        }
    }
    Ok(images)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension
        .is_some_and(|found| (EXTENSIONS.iter()).any(|known| known.eq_ignore_ascii_case(found)))
}
