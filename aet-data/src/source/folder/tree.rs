//! The images of a tree of folders in little memory: a table of folders, runs of images that lie
//! in one folder, and a block of names; no path is kept whole.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::names::{Names, name_of};

/// The folder that the tree starts from.
pub(super) const ROOT: usize = 0;

/// Neighbouring images that lie in one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) folder: usize,
    /// Number of the first image after it.
    pub(super) end: usize,
}

/// Images of a tree, in the order of their names, folder by folder.
#[derive(Debug)]
pub(super) struct ImageTree {
    root: PathBuf,
    /// The folder around each folder but the root, whose number is lower.
    parents: Vec<usize>,
    /// The name of each folder but the root.
    folder_names: Names,
    runs: Vec<Run>,
    image_names: Names,
}

impl ImageTree {
    /// Puts a tree together; `None` if the parts do not fit each other.
    pub(super) fn new(
        root: &Path,
        parents: Vec<usize>,
        folder_names: Vec<u8>,
        runs: Vec<Run>,
        image_names: Vec<u8>,
    ) -> Option<Self> {
        let folder_names = Names::new(folder_names)?;
        let image_names = Names::new(image_names)?;
        // Folder `at + 1` has parent `parents[at]`.
        let ordered = parents.iter().enumerate().all(|(at, &parent)| parent <= at);
        let rising = runs.windows(2).all(|pair| pair[0].end < pair[1].end);
        let first = runs.first().is_none_or(|run| run.end > 0);
        let known = runs.iter().all(|run| run.folder <= parents.len());
        let complete = runs.last().map_or(0, |run| run.end) == image_names.len();
        let named = folder_names.len() == parents.len();
        (ordered && rising && first && known && complete && named).then(|| Self {
            root: root.to_path_buf(),
            parents,
            folder_names,
            runs,
            image_names,
        })
    }

    /// Number of images.
    pub(super) fn len(&self) -> usize {
        self.image_names.len()
    }

    /// Number of folders, the root among them; some may hold no image.
    pub(super) fn folders(&self) -> usize {
        self.parents.len() + 1
    }

    /// The folder that image `index` lies in.
    pub(super) fn folder_of(&self, index: usize) -> Option<usize> {
        let run = self.runs.partition_point(|run| run.end <= index);
        self.runs.get(run).map(|run| run.folder)
    }

    /// The name of image `index`.
    pub(super) fn name(&self, index: usize) -> Option<&[u8]> {
        self.image_names.get(index)
    }

    /// The path of image `index`.
    pub(super) fn path(&self, index: usize) -> Option<PathBuf> {
        let mut path = self.folder_path(self.folder_of(index)?);
        path.push(name_of(self.name(index)?));
        Some(path)
    }

    /// The folder around a folder; `None` for the root.
    pub(super) fn parent(&self, folder: usize) -> Option<usize> {
        self.parents.get(folder.checked_sub(1)?).copied()
    }

    /// The name of a folder; `None` for the root.
    pub(super) fn folder_name(&self, folder: usize) -> Option<&[u8]> {
        self.folder_names.get(folder.checked_sub(1)?)
    }

    /// The path of a folder.
    pub(super) fn folder_path(&self, folder: usize) -> PathBuf {
        let chain = std::iter::successors(Some(folder), |&folder| self.parent(folder));
        let mut names: Vec<&[u8]> = chain.filter_map(|at| self.folder_name(at)).collect();
        names.reverse();
        let mut path = self.root.clone();
        path.extend(names.into_iter().map(name_of));
        path
    }

    /// Neighbouring images that lie in one folder: the folder, and the images.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        self.runs.iter().scan(0, |start, run| {
            let images = *start..run.end;
            *start = run.end;
            Some((run.folder, images))
        })
    }

    /// What [`ImageTree::new`] takes, beside the root: parents, names of folders, runs, names of
    /// images.
    pub(super) fn parts(&self) -> (&[usize], &[u8], &[Run], &[u8]) {
        let (folders, images) = (self.folder_names.bytes(), self.image_names.bytes());
        (&self.parents, folders, &self.runs, images)
    }
}
