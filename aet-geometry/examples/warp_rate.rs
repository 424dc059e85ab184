//! Microseconds that one warp of a random image takes, through a matrix of the family `projective`.
//!
//! usage: warp_rate SIDE [FOLDER]
//!
//! Every call takes another image and another matrix. What is printed, as JSON, is processor time over
//! calls, so that other programs disturb it little: `warp_us` with one colour outside, `mirrored_us`
//! with the image mirrored (its output allocated anew, as the public way to it does), and `copy_us`
//! for a copy of the image in the place of the warp. Linux alone says what is asked for here.
//!
//! With FOLDER, nothing is timed: what a peer needs is written there. `images.bin` holds the images,
//! `[count, side, side, 3]` in u8, `matrices.json` the eight coefficients of `source_from_output` of
//! each matrix, and `warped.bin` for each matrix what comes out, of image number `matrix % images`.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;

use aet_geometry::{
    Border, Family, Homography, RgbImage, Transformation, TransformationFamily, warp, warp_into,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const FILL: [u8; 3] = [128, 128, 128];
const IMAGES: usize = 16;
const MATRICES: usize = 64;
/// Each way is timed over whole passes over the matrices that take at least so long.
const SECONDS: f64 = 0.1;

struct Inputs {
    images: Vec<RgbImage>,
    maps: Vec<Homography>,
}

impl Inputs {
    fn draw(side: usize) -> Result<Self, Box<dyn Error>> {
        let mut rng = ChaCha8Rng::seed_from_u64(side as u64);
        let family = Family::default_of("projective")?;
        let maps = (0..MATRICES).map(|_| {
            let sampled = family.sample(&mut rng, side, side);
            sampled
                .source_from_output()
                .ok_or("a transformation without a matrix")
        });
        let maps = maps.collect::<Result<_, _>>()?;
        let images = (0..IMAGES).map(|_| {
            let mut pixels = vec![0; side * side * 3];
            rng.fill_bytes(&mut pixels);
            RgbImage::new(side, side, pixels)
        });
        let images = images.collect::<Result<_, _>>()?;
        Ok(Self { images, maps })
    }

    fn write(&self, side: usize, folder: &Path) -> Result<(), Box<dyn Error>> {
        let images: Vec<u8> = (self.images.iter())
            .flat_map(|image| image.pixels().to_vec())
            .collect();
        std::fs::write(folder.join("images.bin"), images)?;
        let matrices: Vec<_> = self.maps.iter().map(Homography::coefficients).collect();
        std::fs::write(folder.join("matrices.json"), serde_json::to_vec(&matrices)?)?;
        let warped: Vec<u8> = (self.maps.iter().enumerate())
            .flat_map(|(k, map)| {
                warp(&self.images[k % IMAGES], map, side, side, FILL).into_pixels()
            })
            .collect();
        std::fs::write(folder.join("warped.bin"), warped)?;
        Ok(())
    }

    /// Microseconds of one call of `task`.
    fn time(&self, mut task: impl FnMut(&RgbImage, &Homography)) -> Result<f64, Box<dyn Error>> {
        let mut pass = |number: usize| {
            for (k, map) in self.maps.iter().enumerate() {
                task(&self.images[(k + number) % IMAGES], map);
            }
        };
        pass(0);
        let start = processor_seconds()?;
        let mut passes = 0;
        let mut seconds = 0.0;
        while seconds < SECONDS {
            passes += 1;
            pass(passes);
            seconds = processor_seconds()? - start;
        }
        Ok(seconds / (passes * MATRICES) as f64 * 1e6)
    }
}

/// Seconds that this thread has been on a processor for, up to the last tick of the scheduler.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split(' ').next().unwrap_or_default().parse::<f64>()?;
    Ok(nanoseconds * 1e-9)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let side = arguments
        .next()
        .ok_or("usage: warp_rate SIDE [FOLDER]")?
        .parse()?;
    let inputs = Inputs::draw(side)?;
    if let Some(folder) = arguments.next() {
        return inputs.write(side, Path::new(&folder));
    }
    let mut output = RgbImage::filled(side, side, FILL);
    let warp_us = inputs.time(|image, map| {
        warp_into(image.view(), map, output.view_mut(), FILL);
        black_box(output.pixels());
    })?;
    let mirrored_us = inputs.time(|image, map| {
        let moves = Transformation::from(*map);
        black_box(moves.apply(image.view(), Border::Reflect).pixels());
    })?;
    let copy_us = inputs.time(|image, _| {
        output.pixels_mut().copy_from_slice(image.pixels());
        black_box(output.pixels());
    })?;
    println!(
        "{}",
        serde_json::json!({ "warp_us": warp_us, "mirrored_us": mirrored_us, "copy_us": copy_us })
    );
    Ok(())
}
