//! How long it takes to open a folder of very many images, and how much memory.
//!
//! usage: `million_files generate <folder> <images> <class folders>` writes small JPEG files that
//! all differ; `million_files open <folder>` prints how the images were found, the seconds that
//! took, the seconds for 1,000 of them to be read in random order, and the most memory in use
//! (Linux). `AET_CACHE_DIR` says where the listing is kept; set to nothing, it is not.

#[path = "support/memory.rs"]
mod memory;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use aet_data::Source;
use aet_data::random::{Purpose, generator, permutation};
use aet_data::source::folder::FolderSource;
use image::codecs::jpeg::JpegEncoder;
use memory::peak_mib;
use rayon::prelude::*;

const SIDE: u32 = 8;
const READ: usize = 1_000;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["generate", folder, images, classes] => {
            generate(Path::new(folder), images.parse()?, classes.parse()?)
        }
        ["open", folder] => open(Path::new(folder)),
        _ => Err("usage: million_files generate FOLDER IMAGES CLASSES | open FOLDER".into()),
    }
}

fn generate(folder: &Path, images: u64, classes: u64) -> Result<(), Box<dyn Error + Send + Sync>> {
    (0..classes.max(1)).into_par_iter().try_for_each(|class| {
        let folder = folder.join(format!("class{class:04}"));
        std::fs::create_dir_all(&folder)?;
        for image in (class..images).step_by(classes.max(1) as usize) {
            std::fs::write(folder.join(format!("{image:08}.jpg")), jpeg(image)?)?;
        }
        Ok(())
    })
}

/// An image whose pixels spell its number.
fn jpeg(number: u64) -> Result<Vec<u8>, image::ImageError> {
    // A number is 64 bits, and there are 64 pixels.
    let pixels: Vec<u8> = (0..u64::from(SIDE * SIDE))
        .map(|bit| if number >> bit & 1 == 1 { 224 } else { 32 })
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
    encoder.encode(&pixels, SIDE, SIDE, image::ExtendedColorType::L8)?;
    Ok(bytes)
}

fn open(folder: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let start = Instant::now();
    let source = FolderSource::new(folder)?;
    let opened = start.elapsed().as_secs_f64();
    let memory = peak_mib();
    let start = Instant::now();
    let labels = source.labels()?;
    let labelled = start.elapsed().as_secs_f64();
    let order = permutation(&mut generator(1, 0, 0, Purpose::Shuffle), source.len());
    let start = Instant::now();
    for &index in order.iter().take(READ) {
        source.read(index)?;
    }
    let read = start.elapsed().as_secs_f64();
    println!("{:?}", source.listed());
    println!(
        "{} images of {} classes: opened in {opened:.3} s with at most {memory} MiB; {} labels in \
         {labelled:.3} s; {READ} images read in {read:.3} s",
        source.len(),
        source.class_names().len(),
        labels.len(),
    );
    Ok(())
}
