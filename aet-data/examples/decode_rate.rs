//! Milliseconds that decoding takes an image, on one thread: at full scale, and where less is enough
//! (JPEG with the feature `libjpeg-turbo`).
//!
//! usage: `decode_rate <folder of images> [sides]`: each of the sides is one that images have to cover, as
//! `augment.resize` asks for. Files are read before; the median of 5 rounds, in which all take turns.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use aet_data::decode::decode_into;
use aet_data::source::{Payload, RawSample};
use aet_data::{DecodeOptions, Split};
use aet_geometry::RgbImage;

const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: decode_rate <folder of images> [sides]")?;
    let sides: Vec<usize> = arguments
        .map(|side| side.parse())
        .collect::<Result<_, _>>()?;
    let source = aet_data::open(&path.parse()?, Split::Train)?;
    let samples: Vec<RawSample> = (0..source.len())
        .map(|index| source.read(index))
        .collect::<Result<_, _>>()?;
    let covers: Vec<Option<usize>> = [None]
        .into_iter()
        .chain(sides.into_iter().map(Some))
        .collect();
    let mut times = vec![Vec::new(); covers.len()];
    let mut image = RgbImage::filled(0, 0, [0; 3]);
    for _ in 0..ROUNDS {
        for (times, cover) in times.iter_mut().zip(&covers) {
            let options = DecodeOptions {
                cover: cover.map(|side| [side; 2]),
                ..DecodeOptions::default()
            };
            let payloads: Vec<(Payload, &str)> = samples
                .iter()
                .map(|sample| (sample.payload.clone(), sample.name.as_str()))
                .collect();
            let start = Instant::now();
            for (index, (payload, name)) in payloads.into_iter().enumerate() {
                decode_into(payload, index, name, &options, &mut image)?;
                black_box(image.pixels());
            }
            times.push(start.elapsed().as_secs_f64() * 1e3 / samples.len() as f64);
        }
    }
    for (times, cover) in times.iter_mut().zip(&covers) {
        times.sort_by(f64::total_cmp);
        let what = cover.map_or("full scale".to_owned(), |side| format!("for {side} pixels"));
        let (median, least, most) = (times[ROUNDS / 2], times[0], times[ROUNDS - 1]);
        println!("{what}: {median:.2} ms an image ({least:.2} to {most:.2})");
    }
    Ok(())
}
