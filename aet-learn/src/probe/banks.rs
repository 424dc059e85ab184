//! The frozen features that probes of one encoder share: each place of the encoder is read once, and
//! kept while there is room.

use std::sync::Arc;

use aet_data::ImageSet;

use super::ProbeData;
use crate::backbone::{Encoder, Tap};
use crate::embed::{ExtractOptions, FeatureBank, Pooling, extract};
use crate::error::LearnError;

/// Bytes of features that are kept at a time, at most; a bank that is larger than that is not read
/// as a whole.
pub const KEPT_BYTES: usize = 6 << 30;

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Test,
}

type Key = (Part, Tap, Pooling);

/// The features of one encoder.
pub(super) struct Banks<'a> {
    encoder: &'a Encoder,
    data: &'a ProbeData<'a>,
    kept: Vec<(Key, Arc<FeatureBank>)>,
}

impl<'a> Banks<'a> {
    pub fn new(encoder: &'a Encoder, data: &'a ProbeData<'a>) -> Self {
        Self {
            encoder,
            data,
            kept: Vec::new(),
        }
    }

    /// The features of a whole part, in its order.
    pub fn get(
        &mut self,
        part: Part,
        tap: &Tap,
        pooling: Pooling,
    ) -> Result<Arc<FeatureBank>, LearnError> {
        let key = (part, tap.clone(), pooling);
        if let Some((_, bank)) = self.kept.iter().find(|(known, _)| *known == key) {
            return Ok(Arc::clone(bank));
        }
        let bank = Arc::new(self.read(self.set(part), tap, pooling)?);
        self.kept.push((key, Arc::clone(&bank)));
        while self.kept.len() > 1 && self.kept_bytes() > KEPT_BYTES {
            self.kept.remove(0);
        }
        Ok(bank)
    }

    /// The features of some images, which are not kept.
    pub fn read(
        &self,
        set: &Arc<ImageSet>,
        tap: &Tap,
        pooling: Pooling,
    ) -> Result<FeatureBank, LearnError> {
        let options = ExtractOptions {
            normalisation: self.data.normalisation.clone(),
            framing: self.data.augment.still(),
            pooling,
            workers: self.data.workers,
            ..ExtractOptions::default()
        };
        extract(self.encoder, tap, set, &options, &mut |_, _| ())
    }

    /// Channels, height and width of the features of one image.
    pub fn shape(&self, tap: &Tap, pooling: Pooling) -> Result<[usize; 3], LearnError> {
        let first = Arc::new(self.data.test.subset(&[0]));
        Ok(self.read(&first, tap, pooling)?.shape)
    }

    /// Whether the features of a whole part can be kept.
    pub fn fits(&self, part: Part, shape: [usize; 3]) -> bool {
        let numbers: usize = shape.iter().product();
        numbers * self.set(part).len() * size_of::<f32>() <= KEPT_BYTES
    }

    fn set(&self, part: Part) -> &'a Arc<ImageSet> {
        match part {
            Part::Train => self.data.train,
            Part::Test => self.data.test,
        }
    }

    fn kept_bytes(&self) -> usize {
        let numbers: usize = self.kept.iter().map(|(_, bank)| bank.features.len()).sum();
        numbers * size_of::<f32>()
    }
}
