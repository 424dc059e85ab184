//! Files of every format, damaged at random: whatever they hold, opening and reading them ends, in
//! pixels or in an error, and never in a panic.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use aet_data::decode::{DecodeOptions, decode_with};
use aet_data::random::{ItemRng, Purpose, below, generator};
use aet_data::{DataError, Location, Source, Split, open};
use rand::Rng;
use support::written::WRITTEN;
use tempfile::TempDir;

/// Damaged files of each format. `AET_MUTATIONS` asks for more of them.
fn mutations() -> u64 {
    let asked = std::env::var("AET_MUTATIONS").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(150)
}

/// `bytes` with one to eight kinds of damage.
fn damaged(bytes: &[u8], rng: &mut ItemRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=below(rng, 8) {
        if bytes.is_empty() {
            break;
        }
        let at = below(rng, bytes.len());
        let length = 1 + below(rng, 16.min(bytes.len() - at));
        match below(rng, 7) {
            0 => bytes[at] ^= 1 << below(rng, 8),
            1 => rng.fill_bytes(&mut bytes[at..at + length]),
            2 => bytes[at..at + length].fill([0, 0x7f, 0x80, 0xff][below(rng, 4)]),
            3 => bytes.truncate(at),
            4 => {
                bytes.drain(at..at + length);
            }
            5 => {
                let copied = bytes[at..at + length].to_vec();
                let to = below(rng, bytes.len());
                bytes.splice(to..to, copied);
            }
            _ => {
                // The largest number of four or eight bytes, in either order, or that number less one.
                let size = [4, 8][below(rng, 2)].min(bytes.len() - at);
                bytes[at..at + size].fill(0xff);
                bytes[at] = bytes[at].wrapping_sub(below(rng, 2) as u8);
            }
        }
    }
    bytes
}

/// Opens a split and reads all of it, or what is wrong with it.
fn read_all(source: Result<Box<dyn Source>, DataError>) -> Result<(), DataError> {
    let source = source?;
    let options = DecodeOptions {
        max_pixels: 1 << 20,
        ..DecodeOptions::default()
    };
    source.labels()?;
    // A damaged count may be large; its images are at the front.
    for index in 0..source.len().min(50) {
        match source.read(index) {
            Ok(sample) => {
                let _ = decode_with(sample.payload, index, &sample.name, &options);
            }
            Err(error) if error.is_about_one_image() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[test]
fn damaged_files_end_in_pixels_or_an_error() {
    for (number, format) in WRITTEN.iter().enumerate() {
        let folder = TempDir::new().unwrap();
        (format.write)(folder.path());
        let path = folder.path().join(format.file);
        let whole = std::fs::read(&path).unwrap();
        let mut errors = 0;
        for mutation in 0..mutations() {
            let mut rng = generator(mutation, number as u64, 0, Purpose::Noise);
            std::fs::write(&path, damaged(&whole, &mut rng)).unwrap();
            let start = Instant::now();
            let location = Location::Path(folder.path().to_path_buf());
            if let Err(error) = read_all(open(&location, Split::Train)) {
                errors += 1;
                assert!(!error.to_string().is_empty());
            }
            let taken = start.elapsed();
            let most = Duration::from_secs(20);
            assert!(
                taken < most,
                "{} mutation {mutation}: {taken:?}",
                format.name
            );
        }
        println!(
            "{}: {errors} of {} damaged files refused",
            format.name,
            mutations()
        );
    }
}
