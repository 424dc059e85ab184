//! Writes the corpora that fuzzing starts from: `cargo run -p aet-fuzz --example seeds`.
//!
//! They are valid files of every format and damaged ones, always the same. What else is in a
//! folder, such as inputs that fuzzing found, stays there.
#![allow(clippy::unwrap_used)]

mod archives;
mod arrays;
mod damage;
mod images;
mod learned;
mod listings;
mod tables;
mod texts;

#[path = "../../../aet-data/tests/support/mod.rs"]
mod support;

use std::path::Path;

/// An input: the name of its file, and its bytes.
pub type Seed = (String, Vec<u8>);

/// What makes the seeds of a target.
type Maker = fn() -> Vec<Seed>;

/// Every target with its maker.
const MAKERS: [(&str, Maker); 22] = [
    ("annotations", listings::annotations),
    ("cifar10", arrays::cifar10),
    ("cifar100", arrays::cifar100),
    ("decoded", images::decoded),
    ("experiment", texts::experiment),
    ("generator", learned::generator),
    ("image", images::encoded),
    ("index", listings::index),
    ("list", listings::list),
    ("metrics", texts::metrics),
    ("npy", arrays::npy),
    ("optimizer", learned::optimizer),
    ("parquet", tables::parquet),
    ("progress", texts::progress),
    ("protocol", texts::protocol),
    ("record", texts::record),
    ("run_file", texts::run_file),
    ("stl", arrays::stl),
    ("svhn", arrays::svhn),
    ("tar", archives::plain),
    ("tar_gz", archives::packed),
    ("weights", learned::weights),
];

fn main() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut all = 0;
    for (target, make) in MAKERS {
        let folder = corpora.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        let (mut files, mut bytes) = (0, 0);
        for (name, content) in make() {
            std::fs::write(folder.join(name), &content).unwrap();
            files += 1;
            bytes += content.len();
        }
        println!("{target}: {files} files, {bytes} bytes");
        all += bytes;
    }
    println!("{all} bytes");
}
