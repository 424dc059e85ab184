//! Which class each image of a tree belongs to.

use std::collections::HashMap;
use std::path::Path;

use super::annotations::{ANNOTATIONS, annotations};
use super::names::text;
use super::tree::{ImageTree, ROOT};
use crate::error::DataError;

/// The labels of a tree.
#[derive(Debug)]
pub(super) enum Labels {
    /// No image has one.
    None,
    /// That of the images in each folder; what stands for a folder without images means nothing.
    OfFolders(Vec<u32>),
    /// That of each image.
    OfImages(Vec<u32>),
}

impl Labels {
    /// The label of image `index`.
    pub(super) fn get(&self, tree: &ImageTree, index: usize) -> Option<u32> {
        match self {
            Self::None => None,
            Self::OfFolders(labels) => labels.get(tree.folder_of(index)?).copied(),
            Self::OfImages(labels) => labels.get(index).copied(),
        }
    }

    /// The label of every image, `[count]`.
    pub(super) fn of_all(&self, tree: &ImageTree) -> Vec<Option<u32>> {
        match self {
            Self::None => vec![None; tree.len()],
            Self::OfFolders(labels) => {
                let runs = tree.runs().flat_map(|(folder, images)| {
                    let label = labels.get(folder).copied();
                    std::iter::repeat_n(label, images.len())
                });
                runs.collect()
            }
            Self::OfImages(labels) => labels.iter().copied().map(Some).collect(),
        }
    }
}

/// Labels of the images of `folder`, and the names of the classes: `classes` if they are given.
///
/// # Errors
/// When a class is none of `classes`, images lie beside the folders of such classes, or the
/// annotations are broken or lack an image.
pub(super) fn labels(
    folder: &Path,
    tree: &ImageTree,
    classes: Option<&[String]>,
) -> Result<(Labels, Vec<String>), DataError> {
    match annotations(folder)? {
        Some(found) => by_annotation(tree, &found, classes),
        None => by_folder(tree, classes),
    }
}

fn by_folder(
    tree: &ImageTree,
    classes: Option<&[String]>,
) -> Result<(Labels, Vec<String>), DataError> {
    let names = || classes.unwrap_or_default().to_vec();
    let loose = tree.runs().find(|(folder, _)| *folder == ROOT);
    let class_folders = class_folders(tree);
    if class_folders.is_empty() || classes.is_some_and(<[String]>::is_empty) {
        return Ok((Labels::None, names()));
    }
    match (loose, classes) {
        (Some(_), None) => return Ok((Labels::None, Vec::new())),
        (Some((_, images)), Some(_)) => {
            let path = tree.path(images.start).unwrap_or_default();
            let problem = "this image lies beside class folders; move it into one of them";
            return Err(DataError::malformed(&path, problem));
        }
        (None, _) => {}
    }
    let found: Vec<String> = (class_folders.iter())
        .map(|&class| text(tree.folder_name(class).unwrap_or_default()))
        .collect();
    let mut labels = vec![0; tree.folders()];
    let known = classes.map(numbered);
    for (at, (&class, name)) in class_folders.iter().zip(&found).enumerate() {
        labels[class] = match &known {
            Some(known) => label_of(name, known, &tree.folder_path(class))?,
            None => at as u32,
        };
    }
    // A folder comes after the one around it.
    for folder in 1..labels.len() {
        match tree.parent(folder) {
            Some(parent) if parent != ROOT => labels[folder] = labels[parent],
            _ => {}
        }
    }
    let names = if classes.is_some() { names() } else { found };
    Ok((Labels::OfFolders(labels), names))
}

/// The folders in the root with images in them, however deep, in the order of their names.
fn class_folders(tree: &ImageTree) -> Vec<usize> {
    let mut top: Vec<usize> = (0..tree.folders()).collect();
    for folder in 1..top.len() {
        match tree.parent(folder) {
            Some(parent) if parent != ROOT => top[folder] = top[parent],
            _ => {}
        }
    }
    let mut classes: Vec<usize> = tree.runs().map(|(folder, _)| top[folder]).collect();
    classes.retain(|&class| class != ROOT);
    classes.dedup();
    classes
}

fn by_annotation(
    tree: &ImageTree,
    annotations: &HashMap<String, String>,
    classes: Option<&[String]>,
) -> Result<(Labels, Vec<String>), DataError> {
    let classes = classes.map_or_else(
        || {
            let mut classes: Vec<String> = annotations.values().cloned().collect();
            classes.sort_unstable();
            classes.dedup();
            classes
        },
        <[String]>::to_vec,
    );
    let known = numbered(&classes);
    let label = |index: usize| {
        let path = || tree.path(index).unwrap_or_default();
        let name = text(tree.name(index).unwrap_or_default());
        let Some(class) = annotations.get(&name) else {
            return Err(DataError::malformed(
                &path(),
                format!("not in {ANNOTATIONS}; add a line for it, or move it away"),
            ));
        };
        label_of(class, &known, &path())
    };
    let labels = (0..tree.len()).map(label).collect::<Result<_, _>>()?;
    Ok((Labels::OfImages(labels), classes))
}

fn numbered(classes: &[String]) -> HashMap<&str, u32> {
    let classes = classes.iter().zip(0..);
    classes
        .map(|(class, label)| (class.as_str(), label))
        .collect()
}

fn label_of(name: &str, known: &HashMap<&str, u32>, path: &Path) -> Result<u32, DataError> {
    known.get(name).copied().ok_or_else(|| {
        DataError::malformed(
            path,
            format!("class {name} is not in the training split; add it there, or take it out here"),
        )
    })
}
