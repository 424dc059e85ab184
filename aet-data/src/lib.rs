//! Image sources, decoding, augmentation and the deterministic pair loader.
//!
//! The data path of this crate, one module an arrow:
//!
//! 1. [`source`]: reads an image by its index, encoded or as pixels, from files of any of the
//!    [`FORMATS`] or a generator of shapes;
//! 2. [`set`]: the images of a set ([`ImageSet`]), decoded once and kept, or decoded whenever they are
//!    read;
//! 3. [`augment`]: crops, flips, colours;
//! 4. [`pipeline`]: what an item becomes, such as a pair of views and the transformation between
//!    them ([`PairPipeline`]);
//! 5. [`loader`]: batches of an epoch, made by worker threads ([`Loader`], [`HostBatch`]).
//!
//! Everything random is drawn from generators made by [`random`], which depend on (seed, epoch,
//! index, purpose) alone.
//!
//! ```
//! use std::sync::Arc;
//! use aet_data::{
//!     Augment, EpochPlan, ImageSet, Loader, Location, Normalisation, Order, PairPipeline,
//!     Share, ShapesConfig, Split,
//! };
//! use aet_geometry::Family;
//!
//! let location = Location::Shapes(ShapesConfig { train: 20, ..ShapesConfig::default() });
//! let source = aet_data::open(&location, Split::Train)?;
//! let set = Arc::new(ImageSet::load(source.as_ref(), None, 1, &|_, _| {})?);
//! let pairs = Arc::new(PairPipeline {
//!     augment: Augment { crop_padding: 4, horizontal_flip: true, ..Augment::none() },
//!     family: Family::default_of("projective")?,
//!     border: [0; 3].into(),
//!     normalisation: Normalisation::default(),
//! });
//! let plan = EpochPlan {
//!     seed: 1,
//!     epoch: 0,
//!     batch_size: 8,
//!     order: Order::Shuffled,
//!     drop_last: true,
//!     first_step: 0,
//!     share: Share::WHOLE,
//! };
//! for batch in Loader::epoch(set, pairs, plan, 1)? {
//!     let batch = batch?;
//!     assert_eq!(batch.view_shape, [8, 3, 32, 32]);
//!     assert_eq!(batch.views.len(), 2);
//!     assert_eq!(batch.targets.len(), 8 * 8);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod augment;
pub mod batch;
pub mod decode;
pub mod error;
mod load;
pub mod loader;
pub mod normalise;
mod order;
pub mod pipeline;
pub mod random;
pub mod resample;
pub mod set;
pub mod skip;
pub mod source;
pub mod store;

pub use augment::{Augment, AugmentBuffers, CropPlace, ResizedCrop};
pub use batch::HostBatch;
pub use decode::DecodeOptions;
pub use error::DataError;
pub use loader::{EpochBatches, EpochPlan, Loader, Recycler, Share, steps_per_epoch};
pub use normalise::Normalisation;
pub use order::Order;
pub use pipeline::{
    Alteration, AlteredPipeline, EnsemblePipeline, ItemContext, ItemPipeline, PairPipeline,
    PairPlan, QuarterTurnPipeline, RebuildPipeline, ViewPipeline,
};
pub use resample::{Region, ResampleError, Resampler};
pub use set::{ImageSet, LoadOptions};
pub use skip::{OnError, SkipLog, Skipped};
pub use source::{
    FORMATS, Location, Payload, RawSample, ShapesConfig, Source, Split, hold_out, open,
};
