//! `shapes`: a built-in set of generated images, so that everything can be tried without data.
//!
//! 32x32 RGB images of textured, lit shapes in ten classes. It is meant as an honest small
//! benchmark: only the outline tells the class, at any size, place, colour, texture and light (see
//! `scene`), classes come in equal numbers and cover equal areas. Nearest neighbours on raw
//! pixels get most images wrong; a trained network gets most right.
//!
//! Image `index` depends on (seed, split, index) alone. All arithmetic is in f64 with correctly
//! rounded operations, and trigonometry from `libm`, so that the bytes are the same on every
//! platform; a test pins them.

mod draw;
mod scene;
pub mod silhouette;
mod texture;

use aet_geometry::RgbImage;
use serde::{Deserialize, Serialize};

use self::scene::{SIDE, Scene};
use super::{Payload, RawSample, Source, Split, check_index};
use crate::error::DataError;
use crate::random::{Purpose, generator};

/// Name of the format.
pub const FORMAT: &str = "shapes";

/// How many images there are, and which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShapesConfig {
    /// Images in the training split.
    pub train: usize,
    /// Images in the test split.
    pub test: usize,
    /// Another seed gives other images.
    pub seed: u64,
}

impl Default for ShapesConfig {
    fn default() -> Self {
        Self {
            train: 10_000,
            test: 2_000,
            seed: 0,
        }
    }
}

/// Opens a split; one of 0 images counts as missing.
pub(crate) fn open(config: &ShapesConfig, split: Split) -> Result<Box<dyn Source>, DataError> {
    let source = ShapesSource::new(config, split);
    if source.len() == 0 {
        return Err(DataError::NoSplit {
            path: FORMAT.into(),
            split: split.name(),
            hint: format!("its configuration asks for 0 {} images", split.name()),
        });
    }
    Ok(Box::new(source))
}

/// One split of the generated images, which are made when they are read. The label of image
/// `index` is `index % 10`.
#[derive(Debug)]
pub struct ShapesSource {
    len: usize,
    seed: u64,
    split: Split,
    class_names: Vec<String>,
}

impl ShapesSource {
    /// The images of `split`.
    pub fn new(config: &ShapesConfig, split: Split) -> Self {
        Self {
            len: match split {
                Split::Train => config.train,
                Split::Test => config.test,
            },
            seed: config.seed,
            split,
            class_names: silhouette::ALL
                .map(|shape| shape.name().to_owned())
                .to_vec(),
        }
    }
}

impl Source for ShapesSource {
    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        check_index(index, self.len)?;
        let label = index % silhouette::ALL.len();
        let stream = match self.split {
            Split::Train => 0,
            Split::Test => 1,
        };
        let mut rng = generator(self.seed, stream, index as u64, Purpose::Shapes);
        let pixels = Scene::sample(&mut rng, silhouette::ALL[label]).paint(&mut rng);
        let image = RgbImage::new(SIDE, SIDE, pixels)
            .map_err(|error| DataError::malformed(FORMAT.as_ref(), error.to_string()))?;
        Ok(RawSample {
            name: format!("{FORMAT}/{}/{index}", self.split.name()),
            payload: Payload::Pixels(image),
            label: Some(label as u32),
        })
    }

    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        let class = |index| Some((index % silhouette::ALL.len()) as u32);
        Ok((0..self.len).map(class).collect())
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn format(&self) -> &'static str {
        FORMAT
    }
}
