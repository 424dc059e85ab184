//! A folder of image files, of any depth and size.
//!
//! `train/` and `test/` (or `val/`) in it are the splits; without them, the folder is the training
//! split. The folders in a split are its classes, sorted by name; images may lie deeper in them.
//! Without such folders, or with images beside them (as in a folder of photographs), the images
//! have no labels. The layout of Tiny-ImageNet, whose validation labels are in
//! `val_annotations.txt`, is understood.
//!
//! Images are the files named `.jpg`, `.jpeg`, `.jpe`, `.jfif`, `.png`, `.webp`, `.bmp`, `.tif`,
//! `.tiff` and `.gif`, in any case; hidden files and folders are passed over, and so is what
//! systems leave behind (`__MACOSX`, `@eaDir`, ...). Links are followed, but a folder counts once.
//! The order is that of the bytes of the names, folder by folder.
//!
//! The listing of a large folder is kept in the user's cache ([`FolderOptions`]) and used for as
//! long as no folder in it changed.

mod annotations;
mod index;
mod labels;
mod names;
mod options;
mod stamp;
mod tree;
mod walk;

use std::path::Path;
use std::time::SystemTime;

use self::index::Index;
use self::labels::{Labels, labels};
pub use self::options::{FolderOptions, cache_folder};
use self::tree::ImageTree;
use self::walk::walk;
use super::{Payload, RawSample, Source, Split, image_file, no_split};
use crate::error::DataError;

/// Name of the format.
pub const FORMAT: &str = "image-folder";

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
            FolderSource::with_classes(&test, FolderSource::new(&train)?.class_names())?
        }
        (Split::Test, None, Some(test)) => FolderSource::new(&test)?,
        _ => return Err(no_split(folder, split)),
    };
    Ok(Box::new(source))
}

/// Images in a folder, by class and path. It holds the names of the files, and is otherwise as
/// large as the number of folders.
#[derive(Debug)]
pub struct FolderSource {
    tree: ImageTree,
    labels: Labels,
    class_names: Vec<String>,
    max_file_bytes: u64,
    listed: Listed,
}

/// How the images of a folder were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// All folders were as a kept listing says.
    FromIndex,
    /// Every folder was listed.
    Anew {
        /// Why, and why the listing is not kept if it is not.
        note: String,
    },
}

impl FolderSource {
    /// Lists the images in `folder`. Its sub-folders are the classes; without any, or with images
    /// beside them, the images have no labels.
    ///
    /// # Errors
    /// When a folder in it cannot be read, or it holds no image.
    pub fn new(folder: &Path) -> Result<Self, DataError> {
        Self::with_options(folder, None, &FolderOptions::default())
    }

    /// As [`FolderSource::new`], with the classes of another folder, so that the labels of a test
    /// split are those of its training split; without classes, the images have no labels.
    ///
    /// # Errors
    /// As [`FolderSource::new`], and when there is a class that is none of `classes`, or an image
    /// beside class folders.
    pub fn with_classes(folder: &Path, classes: &[String]) -> Result<Self, DataError> {
        Self::with_options(folder, Some(classes), &FolderOptions::default())
    }

    /// As [`FolderSource::new`], or [`FolderSource::with_classes`] with `classes`, in any manner.
    ///
    /// # Errors
    /// As those two.
    pub fn with_options(
        folder: &Path,
        classes: Option<&[String]>,
        options: &FolderOptions,
    ) -> Result<Self, DataError> {
        let (tree, listed) = list(folder, options)?;
        if tree.len() == 0 {
            return Err(DataError::UnknownFormat {
                path: folder.to_path_buf(),
                expected: format!("images ({})", names::EXTENSIONS.join(", ")),
            });
        }
        let (labels, class_names) = labels(folder, &tree, classes)?;
        Ok(Self {
            tree,
            labels,
            class_names,
            max_file_bytes: options.max_file_bytes,
            listed,
        })
    }

    /// How the images were found.
    pub fn listed(&self) -> &Listed {
        &self.listed
    }
}

/// The images below `folder`, from a kept listing if there is one that is true.
fn list(folder: &Path, options: &FolderOptions) -> Result<(ImageTree, Listed), DataError> {
    let start = SystemTime::now();
    let anew = |note: &str| Listed::Anew {
        note: note.to_owned(),
    };
    let Some(index_folder) = &options.index_folder else {
        return Ok((walk(folder)?.tree, anew("no index is kept")));
    };
    let index = Index::of(folder, index_folder).map_err(|error| DataError::io(folder, error))?;
    let reason = match index.load() {
        Ok(tree) => return Ok((tree, Listed::FromIndex)),
        Err(reason) => reason,
    };
    let walked = walk(folder)?;
    let note = if walked.tree.len() < options.index_from {
        index.remove();
        format!("{reason}; a small folder has none")
    } else {
        match index.save(&walked, start, options.settle) {
            Ok(()) => reason,
            Err(problem) => format!("{reason}; {problem}"),
        }
    };
    Ok((walked.tree, anew(&note)))
}

impl Source for FolderSource {
    fn len(&self) -> usize {
        self.tree.len()
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        let len = self.tree.len();
        let path = (self.tree.path(index)).ok_or(DataError::OutOfRange { index, len })?;
        let bytes = image_file::read(&path, self.max_file_bytes)
            .map_err(|problem| image_file::problem(index, &path, problem))?;
        Ok(RawSample {
            name: path.display().to_string(),
            payload: Payload::Encoded(bytes),
            label: self.labels.get(&self.tree, index),
        })
    }

    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        Ok(self.labels.of_all(&self.tree))
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn format(&self) -> &'static str {
        FORMAT
    }
}
