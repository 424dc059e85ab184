//! Lists a tree of folders: level by level, the folders of a level in parallel, every folder once.
//!
//! Links are followed after all that is reached without them, so that a folder counts where it
//! really lies; one that was listed under another path is not listed again, which also ends cycles.

use std::collections::HashSet;
use std::fs::DirEntry;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::names::{bytes_of, is_image, is_passed_over, name_of};
use super::stamp::{Identity, Stamp, examine};
use super::tree::{ImageTree, ROOT, Run};
use crate::error::DataError;

/// A tree, and the state that each of its folders was in just before it was listed; `None` where a
/// link leads nowhere.
pub(super) struct Walked {
    pub(super) tree: ImageTree,
    pub(super) stamps: Vec<Option<Stamp>>,
}

/// Lists the tree below `root`.
///
/// # Errors
/// When a folder in it cannot be read.
pub(super) fn walk(root: &Path) -> Result<Walked, DataError> {
    std::fs::metadata(root).map_err(|error| DataError::io(root, error))?;
    let mut walk = Walk {
        stamps: vec![None],
        listings: vec![Listing::default()],
        folders: vec![(ROOT, root.to_path_buf())],
        ..Walk::default()
    };
    loop {
        let level = match walk.folders.is_empty() {
            true => std::mem::take(&mut walk.links),
            false => std::mem::take(&mut walk.folders),
        };
        if level.is_empty() {
            break;
        }
        walk.visit(level)?;
    }
    let (runs, images) = in_order(&walk.listings);
    let tree = ImageTree::new(root, walk.parents, walk.names, runs, images);
    let problem = "the system gave a name that no file can have";
    Ok(Walked {
        tree: tree.ok_or_else(|| DataError::malformed(root, problem))?,
        stamps: walk.stamps,
    })
}

/// Number and path of a folder.
type Place = (usize, PathBuf);

#[derive(Default)]
struct Walk {
    /// Parent of each folder but the root.
    parents: Vec<usize>,
    /// Name of each folder but the root, with a zero byte after it.
    names: Vec<u8>,
    stamps: Vec<Option<Stamp>>,
    listings: Vec<Listing>,
    seen: HashSet<Identity>,
    /// Folders to list next.
    folders: Vec<Place>,
    /// Links to folders, to be followed when there are no folders left.
    links: Vec<Place>,
}

/// What one folder holds.
#[derive(Default)]
struct Listing {
    /// Names of images, sorted, with a zero byte after each.
    images: Vec<u8>,
    count: usize,
    children: Vec<Child>,
}

/// A folder in a folder.
struct Child {
    folder: usize,
    /// How many bytes of names and how many images come before it.
    before: (usize, usize),
}

/// What the walk has to do with an entry.
#[derive(Clone, Copy)]
enum Kind {
    Image,
    Folder,
    LinkedFolder,
    DeadLink,
}

/// An entry that is no image: its name, its kind, and what comes before it.
type Found = (Vec<u8>, Kind, (usize, usize));

impl Walk {
    fn visit(&mut self, level: Vec<Place>) -> Result<(), DataError> {
        let states = in_parallel(&level, |path| gone_is_none(path, examine(path)))?;
        let mut fresh = Vec::new();
        for (place, state) in level.into_iter().zip(states) {
            let Some((stamp, identity)) = state else {
                continue;
            };
            self.stamps[place.0] = Some(stamp);
            if self.seen.insert(identity) {
                fresh.push(place);
            }
        }
        let listings = in_parallel(&fresh, list)?;
        for (place, (listing, found)) in fresh.iter().zip(listings) {
            self.listings[place.0] = listing;
            for (name, kind, before) in found {
                self.add(place, &name, kind, before);
            }
        }
        Ok(())
    }

    fn add(&mut self, parent: &Place, name: &[u8], kind: Kind, before: (usize, usize)) {
        self.parents.push(parent.0);
        self.names.extend_from_slice(name);
        self.names.push(0);
        let folder = self.parents.len();
        self.stamps.push(None);
        self.listings.push(Listing::default());
        self.listings[parent.0]
            .children
            .push(Child { folder, before });
        let path = || parent.1.join(name_of(name));
        match kind {
            Kind::Folder => self.folders.push((folder, path())),
            Kind::LinkedFolder => self.links.push((folder, path())),
            Kind::Image | Kind::DeadLink => {}
        }
    }
}

/// Does the same for every place; the error is that of the first place that has one.
fn in_parallel<T: Send>(
    places: &[Place],
    work: impl Fn(&Path) -> Result<T, DataError> + Sync,
) -> Result<Vec<T>, DataError> {
    let done: Vec<Result<T, DataError>> = places.par_iter().map(|(_, path)| work(path)).collect();
    done.into_iter().collect()
}

/// What went while the tree was listed is no error.
fn gone_is_none<T>(path: &Path, result: io::Result<T>) -> Result<Option<T>, DataError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DataError::io(path, error)),
    }
}

/// Lists one folder.
fn list(path: &Path) -> Result<(Listing, Vec<Found>), DataError> {
    let mut names = Vec::new();
    let mut entries: Vec<(Range<usize>, Kind)> = Vec::new();
    let Some(folder) = gone_is_none(path, std::fs::read_dir(path))? else {
        return Ok(Default::default());
    };
    for entry in folder {
        let entry = entry.map_err(|error| DataError::io(path, error))?;
        let name = entry.file_name();
        let name = bytes_of(&name);
        if is_passed_over(&name) {
            continue;
        }
        if let Some(kind) = kind_of(&entry, &name) {
            let start = names.len();
            names.extend_from_slice(&name);
            entries.push((start..names.len(), kind));
        }
    }
    entries.sort_unstable_by(|(one, _), (other, _)| names[one.clone()].cmp(&names[other.clone()]));
    let mut listing = Listing::default();
    listing.images.reserve_exact(names.len() + entries.len());
    let mut found = Vec::new();
    for (range, kind) in entries {
        let name = &names[range];
        if let Kind::Image = kind {
            listing.images.extend_from_slice(name);
            listing.images.push(0);
            listing.count += 1;
        } else {
            let before = (listing.images.len(), listing.count);
            found.push((name.to_vec(), kind, before));
        }
    }
    Ok((listing, found))
}

/// What an entry is; `None` for what is neither image nor folder. Whatever is named as an image
/// and is no folder counts as one, so that reading it says what is wrong with it.
fn kind_of(entry: &DirEntry, name: &[u8]) -> Option<Kind> {
    // An entry whose kind the system does not tell went while it was listed.
    let kind = entry.file_type().ok()?;
    if kind.is_dir() {
        return Some(Kind::Folder);
    }
    let image = is_image(name).then_some(Kind::Image);
    if !kind.is_symlink() {
        return image;
    }
    match std::fs::metadata(entry.path()) {
        Ok(target) if target.is_dir() => Some(Kind::LinkedFolder),
        Ok(_) => image,
        Err(_) => image.or(Some(Kind::DeadLink)),
    }
}

/// The images of all folders, in the order of their names and of the names of folders between
/// them: runs, and the names.
fn in_order(listings: &[Listing]) -> (Vec<Run>, Vec<u8>) {
    let mut names = Vec::with_capacity(listings.iter().map(|listing| listing.images.len()).sum());
    let mut runs: Vec<Run> = Vec::new();
    let mut count = 0;
    // Folders that are open, and how many of the folders in each were entered.
    let mut open = vec![(ROOT, 0_usize)];
    while let Some((folder, entered)) = open.pop() {
        let listing = &listings[folder];
        let done = entered
            .checked_sub(1)
            .map(|last| listing.children[last].before);
        let (from, images_from) = done.unwrap_or_default();
        let child = listing.children.get(entered);
        let end = (listing.images.len(), listing.count);
        let (to, images_to) = child.map_or(end, |child| child.before);
        names.extend_from_slice(&listing.images[from..to]);
        count += images_to - images_from;
        match runs.last_mut() {
            _ if images_from == images_to => {}
            Some(run) if run.folder == folder => run.end = count,
            _ => runs.push(Run { folder, end: count }),
        }
        if let Some(child) = child {
            open.push((folder, entered + 1));
            open.push((child.folder, 0));
        }
    }
    (runs, names)
}
