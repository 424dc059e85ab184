//! A listed tree kept on disk, so that a large folder is listed once.
//!
//! A file holds the tree and the [`Stamp`] of every folder in it. It counts only while all stamps
//! are as they were, which costs one question to the system a folder and none a file; anything
//! wrong with it is a reason to list the tree again, never an error.
//!
//! The file: 8 bytes that name format and version, the 64-bit xxHash of the rest (little-endian),
//! a [`Head`] as postcard writes it, and the names of images with a zero byte after each.

use std::borrow::Cow;
use std::hash::Hasher;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use super::names::bytes_of;
use super::stamp::Stamp;
use super::tree::{ImageTree, Run};
use super::walk::Walked;
use crate::source::image_file;

/// Format and version.
const MAGIC: &[u8; 8] = b"aetlist\x01";
const HASH_BYTES: usize = size_of::<u64>();
/// The largest file that is read.
const MOST_BYTES: u64 = 1 << 33;

/// All but the names of images.
#[derive(Serialize, Deserialize)]
struct Head<'a> {
    /// Canonical path of the root, as two paths can have one hash.
    root: Cow<'a, [u8]>,
    stamps: Cow<'a, [Option<Stamp>]>,
    parents: Cow<'a, [usize]>,
    folder_names: Cow<'a, [u8]>,
    runs: Cow<'a, [Run]>,
}

/// Where the listing of one tree is kept.
pub(super) struct Index {
    file: PathBuf,
    root: PathBuf,
    canonical: Vec<u8>,
}

impl Index {
    /// The index of `root` among those in `folder`, which need not exist.
    pub(super) fn of(root: &Path, folder: &Path) -> io::Result<Self> {
        let canonical = std::fs::canonicalize(root)?;
        let canonical = bytes_of(canonical.as_os_str()).into_owned();
        let name = format!("{:016x}.index", XxHash64::oneshot(0, &canonical));
        Ok(Self {
            file: folder.join(name),
            root: root.to_path_buf(),
            canonical,
        })
    }

    /// The tree, if it is as it was.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn load(&self) -> Result<ImageTree, String> {
        if !self.file.exists() {
            return Err("no index".to_owned());
        }
        let broken = |problem: &str| format!("index {}: {problem}", self.file.display());
        let content =
            image_file::read(&self.file, MOST_BYTES).map_err(|problem| broken(&problem))?;
        let (tree, stamps) = self.decode(content).map_err(broken)?;
        let changed = (stamps.par_iter().enumerate())
            .find_first(|(folder, stamp)| Stamp::at(&tree.folder_path(*folder)) != **stamp);
        match changed {
            Some((folder, _)) => {
                let path = tree.folder_path(folder);
                Err(format!("{} changed", path.display()))
            }
            None => Ok(tree),
        }
    }

    /// Keeps a tree that was listed from `start` on, unless one of its folders changed less than
    /// `settle` before that.
    ///
    /// # Errors
    /// Why it is not kept.
    pub(super) fn save(
        &self,
        walked: &Walked,
        start: SystemTime,
        settle: Duration,
    ) -> Result<(), String> {
        let mut stamps = walked.stamps.iter().flatten();
        if !stamps.all(|stamp| stamp.is_settled(start, settle)) {
            return Err("no index was written: a folder changed just before".to_owned());
        }
        let fail = |error: &dyn std::fmt::Display| {
            format!("no index was written: {}: {error}", self.file.display())
        };
        let head = self.head(walked);
        let head = postcard::to_stdvec(&head).map_err(|error| fail(&error))?;
        let (_, _, _, names) = walked.tree.parts();
        self.write(&[&head, names]).map_err(|error| fail(&error))
    }

    /// Removes the file, if there is one.
    pub(super) fn remove(&self) {
        // A file that cannot be removed is found out of date again.
        let _ = std::fs::remove_file(&self.file);
    }

    fn head<'a>(&'a self, walked: &'a Walked) -> Head<'a> {
        let (parents, folder_names, runs, _) = walked.tree.parts();
        Head {
            root: Cow::Borrowed(&self.canonical),
            stamps: Cow::Borrowed(&walked.stamps),
            parents: Cow::Borrowed(parents),
            folder_names: Cow::Borrowed(folder_names),
            runs: Cow::Borrowed(runs),
        }
    }

    /// Writes under another name, then renames, so that no reader sees a part. A file that a
    /// crash left torn has a wrong hash.
    fn write(&self, parts: &[&[u8]]) -> io::Result<()> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        if let Some(folder) = self.file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!("{}-{number}.part", std::process::id());
        let unfinished = self.file.with_extension(unfinished);
        let write = || {
            let mut file = std::fs::File::create(&unfinished)?;
            file.write_all(MAGIC)?;
            file.write_all(&hash(parts).to_le_bytes())?;
            parts.iter().try_for_each(|part| file.write_all(part))?;
            drop(file);
            std::fs::rename(&unfinished, &self.file)
        };
        write().inspect_err(|_| {
            let _ = std::fs::remove_file(&unfinished);
        })
    }

    fn decode(&self, content: Vec<u8>) -> Result<(ImageTree, Vec<Option<Stamp>>), &'static str> {
        let rest = content.strip_prefix(MAGIC);
        let rest = rest.ok_or("written by another version, or no index")?;
        let (expected, rest) = rest.split_first_chunk::<HASH_BYTES>().ok_or("cut short")?;
        if hash(&[rest]) != u64::from_le_bytes(*expected) {
            return Err("damaged");
        }
        let broken = "holds no tree";
        let (head, names) = postcard::take_from_bytes::<Head>(rest).map_err(|_| broken)?;
        if *head.root != *self.canonical {
            return Err("of another folder");
        }
        if head.stamps.len() != head.parents.len() + 1 {
            return Err(broken);
        }
        let (parents, folders) = (head.parents.into_owned(), head.folder_names.into_owned());
        let runs = head.runs.into_owned();
        let tree = ImageTree::new(&self.root, parents, folders, runs, names.to_vec());
        Ok((tree.ok_or(broken)?, head.stamps.into_owned()))
    }
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = XxHash64::with_seed(0);
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::super::walk::walk;
    use super::*;

    fn small() -> (tempfile::TempDir, Index, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("set");
        for name in [
            "b/2.jpg",
            "b/deep/1.png",
            "b/3.jpg",
            "a/1.jpg",
            "c/none.txt",
        ] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        let index = Index::of(&root, &folder.path().join("cache")).unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        let walked = walk(&root).unwrap();
        index.save(&walked, later, Duration::ZERO).unwrap();
        let content = std::fs::read(&index.file).unwrap();
        (folder, index, content)
    }

    /// `content` with its hash set right, so that what lies behind the hash is read.
    fn with_right_hash(mut content: Vec<u8>) -> Vec<u8> {
        let start = MAGIC.len() + HASH_BYTES;
        if content.len() >= start {
            let right = hash(&[&content[start..]]).to_le_bytes();
            content[MAGIC.len()..start].copy_from_slice(&right);
        }
        content
    }

    #[test]
    fn an_index_holds_the_tree_that_was_listed() {
        let (_folder, index, content) = small();
        let (tree, stamps) = index.decode(content).unwrap();
        let walked = walk(&index.root).unwrap();
        assert_eq!(tree.parts(), walked.tree.parts());
        assert_eq!(stamps, walked.stamps);
        assert_eq!(index.load().unwrap().parts(), walked.tree.parts());
        assert_eq!((tree.len(), tree.folders()), (4, 5));
    }

    #[test]
    fn an_index_that_is_cut_short_is_refused_at_any_length() {
        let (_folder, index, content) = small();
        for kept in 0..content.len() {
            assert!(index.decode(content[..kept].to_vec()).is_err(), "{kept}");
            // Only names of images can be cut away behind a right hash, and their number is known.
            let cut = with_right_hash(content[..kept].to_vec());
            assert!(index.decode(cut).is_err(), "{kept}");
        }
    }

    #[test]
    fn an_index_of_another_folder_is_refused() {
        let (folder, index, content) = small();
        let other = Index::of(folder.path(), &folder.path().join("cache")).unwrap();
        assert_ne!(other.file, index.file);
        assert_eq!(other.decode(content).unwrap_err(), "of another folder");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn damage_is_found_by_the_hash_and_stopped_behind_it(
            flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        ) {
            let (_folder, index, content) = small();
            let mut damaged = content.clone();
            for (at, flip) in flips {
                let at = at.index(damaged.len());
                damaged[at] ^= flip;
            }
            if damaged != content {
                prop_assert!(index.decode(damaged.clone()).is_err());
            }
            if let Ok((tree, stamps)) = index.decode(with_right_hash(damaged)) {
                prop_assert_eq!(tree.folders(), stamps.len());
                for at in 0..tree.len() {
                    let path = tree.path(at).unwrap();
                    prop_assert!(path.starts_with(&index.root));
                    let climbs = |part| part == std::path::Component::ParentDir;
                    prop_assert!(!path.components().any(climbs));
                }
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (_folder, index, _) = small();
            let mut content = MAGIC.to_vec();
            content.extend([0; HASH_BYTES]);
            content.append(&mut bytes);
            let _ = index.decode(with_right_hash(content));
        }
    }
}
