//! Opening the images of an experiment: training and test sets, decoded and in memory, or decoded
//! whenever they are read.

use std::path::PathBuf;
use std::sync::Arc;

use aet_data::set::Progress;
use aet_data::{Augment, ImageSet, LoadOptions, Location, SkipLog, Source, Split};

use crate::config::{Access, DataConfig};
use crate::error::LearnError;

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
    /// Opens the images that `config` names, and decodes them unless they are to be decoded whenever
    /// they are read; `augment` says what crops are taken of them. `seed` chooses the images that are
    /// held out.
    ///
    /// # Errors
    /// When the path is missing, the format is unknown, or an image cannot be read.
    pub fn open(
        config: &DataConfig,
        augment: &Augment,
        seed: u64,
        progress: Progress<'_>,
    ) -> Result<Self, LearnError> {
        let location = location(config);
        let source: Arc<dyn Source> = aet_data::open(&location, Split::Train)?.into();
        let mut options = config.load_options(augment, rayon::current_num_threads());
        let format = source.format().to_string();
        let all = take(config, source, &options, progress)?;
        match aet_data::open(&location, Split::Test) {
            Ok(test) => {
                options.size = Some(all.size());
                let test = take(config, test.into(), &options, progress)?;
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

    /// The images that nothing is known against; see [`ImageSet::without_skipped`].
    pub fn without_skipped(&self) -> Self {
        let usable = |set: &Arc<ImageSet>| Arc::new(set.without_skipped());
        Self {
            train: usable(&self.train),
            test: self.test.as_ref().map(usable),
            ..self.clone()
        }
    }

    /// What was left out so far of each source of images, by the split that it is.
    pub fn skips(&self) -> impl Iterator<Item = (&'static str, &SkipLog)> {
        // Images that were held out come from one source with the others.
        let test = self.test.iter().filter(|_| !self.held_out);
        let sets = [("train", &self.train)].into_iter();
        let sets = sets.chain(test.map(|test| ("test", test)));
        sets.map(|(split, set)| (split, set.skips()))
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

/// The images of `source`, in memory or not.
fn take(
    config: &DataConfig,
    source: Arc<dyn Source>,
    options: &LoadOptions,
    progress: Progress<'_>,
) -> Result<ImageSet, LearnError> {
    let streams = match config.access {
        Access::Memory => false,
        Access::Stream => true,
        Access::Auto => match options.size {
            // A source of one size is as large as its pixels.
            None => false,
            Some(size) => kept_bytes(source.len(), size, options) > config.memory_mib << 20,
        },
    };
    Ok(match streams {
        true => ImageSet::stream(source, options)?,
        false => ImageSet::load_range(source.as_ref(), 0..source.len(), options, progress)?,
    })
}

/// About how many bytes the decoded images take: with whole proportions, the longer side is taken for
/// 4/3 of the shorter one.
fn kept_bytes(count: usize, [height, width]: [usize; 2], options: &LoadOptions) -> u64 {
    let pixels = match options.shorter_side {
        Some(side) => side * side * 4 / 3,
        None => height * width,
    };
    (count as u64).saturating_mul(3 * pixels as u64)
}

/// What `config` names.
pub fn location(config: &DataConfig) -> Location {
    if config.path == "shapes" {
        Location::Shapes(config.shapes.clone())
    } else {
        Location::Path(PathBuf::from(&config.path))
    }
}
