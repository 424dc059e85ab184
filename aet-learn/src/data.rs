//! Opening the images of an experiment: training and test sets, decoded and in memory.

use std::path::PathBuf;
use std::sync::Arc;

use aet_data::{ImageSet, Location, Source, Split};

use crate::config::DataConfig;
use crate::error::LearnError;

/// Called with the number of decoded images and of all images.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// The decoded images of an experiment.
#[derive(Debug, Clone)]
pub struct Datasets {
    /// Images to train on.
    pub train: Arc<ImageSet>,
    /// Images that training does not see: the test split, or those held out. None where
    /// `hold_out = 0` and the data has no test split.
    pub test: Option<Arc<ImageSet>>,
    /// Name of the format that was detected.
    pub format: String,
    /// Whether the test images were held out of the training split.
    pub held_out: bool,
}

impl Datasets {
    /// Opens and decodes the images that `config` names, with `workers` threads. `seed` chooses the
    /// images that are held out.
    ///
    /// # Errors
    /// When the path is missing, the format is unknown, or an image cannot be read.
    pub fn open(
        config: &DataConfig,
        seed: u64,
        workers: usize,
        progress: Progress<'_>,
    ) -> Result<Self, LearnError> {
        let location = location(config);
        let source = aet_data::open(&location, Split::Train)?;
        let load = |source: &dyn Source| {
            ImageSet::load(source, config.image_size, workers.max(1), progress)
        };
        let all = load(source.as_ref())?;
        let format = source.format().to_string();
        match aet_data::open(&location, Split::Test) {
            Ok(test) => {
                let size = Some([all.height(), all.width()]);
                let test = ImageSet::load(test.as_ref(), size, workers.max(1), progress)?;
                Ok(Self {
                    train: Arc::new(all),
                    test: Some(Arc::new(test)),
                    format,
                    held_out: false,
                })
            }
            Err(error) if error.is_no_split() => Ok(Self::held_out(all, config, seed, format)),
            Err(error) => Err(error.into()),
        }
    }

    /// Splits `all` where the data has no test split.
    fn held_out(all: ImageSet, config: &DataConfig, seed: u64, format: String) -> Self {
        let (train, test) = aet_data::hold_out(all.len(), config.hold_out, seed);
        if test.is_empty() {
            return Self {
                train: Arc::new(all),
                test: None,
                format,
                held_out: false,
            };
        }
        Self {
            train: Arc::new(all.subset(&train)),
            test: Some(Arc::new(all.subset(&test))),
            format,
            held_out: true,
        }
    }
}

/// What `config` names.
pub fn location(config: &DataConfig) -> Location {
    if config.path == "shapes" {
        Location::Shapes(config.shapes.clone())
    } else {
        Location::Path(PathBuf::from(&config.path))
    }
}
