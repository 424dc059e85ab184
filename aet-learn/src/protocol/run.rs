//! Carrying a protocol out: for each seed, number of labels and encoder a piece, each of which is
//! handed over as soon as it is found.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use aet_data::{ImageSet, Normalisation};
use burn::tensor::Device;

use super::config::{EncoderKind, Protocol};
use super::record::{Piece, ProtocolRecord, ProtocolResult};
use crate::backbone::{BackboneConfig, Encoder};
use crate::checkpoint;
use crate::error::LearnError;
use crate::probe::{ProbeData, SealedTest, SplitPlan, Study, divide, examine, train_with_labels};
use crate::state::{named_tensors, read_safetensors, to_safetensors, with_named_tensors};

/// What a protocol is carried out on.
#[derive(Debug)]
pub struct ProtocolRun<'a> {
    /// The protocol.
    pub protocol: &'a Protocol,
    /// The pretrained encoder.
    pub trained: &'a Encoder,
    /// The network that it is.
    pub backbone: &'a BackboneConfig,
    /// Labelled training images.
    pub train: &'a Arc<ImageSet>,
    /// Labelled test images.
    pub test: &'a Arc<ImageSet>,
    /// Mean and standard deviation of the channels that the encoder was trained with.
    pub normalisation: &'a Normalisation,
    /// Threads that make batches.
    pub workers: usize,
    /// Where encoders that were trained with labels are kept.
    pub folder: &'a Path,
}

/// How far a protocol has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The piece under way, counted from 0.
    pub piece: usize,
    /// All pieces.
    pub pieces: usize,
    /// The piece in words, such as `seed 1, trained`.
    pub what: String,
    /// Share of the piece that is done.
    pub share: f32,
}

/// Where a piece stands in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    seed: u64,
    labels_per_class: Option<usize>,
    encoder: EncoderKind,
    whole_network: bool,
}

impl Place {
    fn words(self) -> String {
        let labels = self
            .labels_per_class
            .map_or_else(String::new, |count| format!(", {count} labels a class"));
        let whole = match self.whole_network {
            true => ", training the network",
            false => "",
        };
        format!("seed {}{labels}, {}{whole}", self.seed, self.encoder.name())
    }

    /// Name of the file of an encoder that was trained with labels.
    fn file(self) -> String {
        let labels = self
            .labels_per_class
            .map_or_else(|| "all".into(), |count| count.to_string());
        format!("supervised-seed{}-{labels}.safetensors", self.seed)
    }
}

impl ProtocolRun<'_> {
    /// Finds what is missing in `record`, and hands it to `save` after every piece.
    ///
    /// # Errors
    /// When images lack labels, a probe cannot be run or diverges, or the disk refuses.
    pub fn complete(
        &self,
        record: &mut ProtocolRecord,
        save: &mut dyn FnMut(&ProtocolRecord) -> Result<(), LearnError>,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<(), LearnError> {
        let places = self.places();
        for (number, place) in places.iter().enumerate() {
            let done = record.piece(
                place.seed,
                place.labels_per_class,
                place.encoder,
                place.whole_network,
            );
            if done.is_some() {
                continue;
            }
            let mut stand = Progress {
                piece: number,
                pieces: places.len(),
                what: place.words(),
                share: 0.0,
            };
            progress(&stand);
            let piece = self.find(*place, &mut |share| {
                stand.share = share;
                progress(&stand);
            })?;
            record.pieces.push(piece);
            save(record)?;
        }
        Ok(())
    }

    /// All pieces, in the order in which they are found.
    fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for &seed in &self.protocol.seeds {
            for labels_per_class in self.protocol.label_counts() {
                for &encoder in &self.protocol.encoders {
                    let place = |whole_network| Place {
                        seed,
                        labels_per_class,
                        encoder,
                        whole_network,
                    };
                    if encoder == EncoderKind::Supervised {
                        places.push(place(true));
                    }
                    if encoder != EncoderKind::Supervised || self.protocol.probe_supervised {
                        places.push(place(false));
                    }
                }
            }
        }
        places
    }

    fn find(&self, place: Place, progress: &mut dyn FnMut(f32)) -> Result<Piece, LearnError> {
        let started = Instant::now();
        let data = ProbeData {
            train: self.train,
            test: self.test,
            normalisation: self.normalisation,
            augment: &self.protocol.augment,
            workers: self.workers,
            seed: place.seed,
        };
        let (study, test) = divide(
            &data,
            &SplitPlan {
                labels_per_class: place.labels_per_class,
                validation: self.protocol.validation,
                seed: place.seed,
            },
        )?;
        let labels = (&study, &test);
        let results = if place.whole_network {
            vec![self.supervise(place, &data, labels, progress)?]
        } else {
            let encoder = self.encoder(place)?;
            let found = examine(&encoder, &self.protocol.probes, &data, labels, progress)?;
            found.into_iter().map(ProtocolResult::new).collect()
        };
        Ok(Piece {
            seed: place.seed,
            labels_per_class: place.labels_per_class,
            encoder: place.encoder,
            whole_network: place.whole_network,
            seconds: started.elapsed().as_secs_f64(),
            results,
        })
    }

    /// Trains the network with labels, keeps its encoder, and gives its test error.
    fn supervise(
        &self,
        place: Place,
        data: &ProbeData<'_>,
        labels: (&Study, &SealedTest),
        progress: &mut dyn FnMut(f32),
    ) -> Result<ProtocolResult, LearnError> {
        let Some(probe) = &self.protocol.supervised else {
            let message = "the protocol does not say how to train with labels".into();
            return Err(LearnError::Probe { message });
        };
        let random = self.random(place.seed);
        let (result, encoder) = train_with_labels(&random, probe, data, labels, progress)?;
        let bytes = to_safetensors(&named_tensors(&encoder), None)?;
        checkpoint::replace(&self.folder.join(place.file()), &bytes)?;
        Ok(ProtocolResult::new(result))
    }

    fn encoder(&self, place: Place) -> Result<Encoder, LearnError> {
        match place.encoder {
            EncoderKind::Trained => Ok(self.trained.clone()),
            EncoderKind::Random => Ok(self.random(place.seed)),
            EncoderKind::Supervised => {
                let path = self.folder.join(place.file());
                with_named_tensors(self.random(place.seed), &read_safetensors(&path)?)
            }
        }
    }

    fn random(&self, seed: u64) -> Encoder {
        let device: Device = self.trained.device().without_autodiff();
        self.backbone.init(seed, &device)
    }
}
