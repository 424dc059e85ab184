//! Running probes on an encoder, and on two encoders side by side.

use std::time::Instant;

use aet_data::ViewPipeline;
use aet_data::random::{Purpose, generator};

use super::conv::ConvHead;
use super::fc::FcHead;
use super::head::{Augmented, Fit, HeadTraining, Training, fit};
use super::labels::{Labelled, Labels};
use super::{Comparison, Pooling, ProbeConfig, ProbeData, ProbeMethod, ProbeResult, knn};
use crate::backbone::{Encoder, Tap};
use crate::embed::{ExtractOptions, FeatureBank, FrozenEncoder, extract};
use crate::error::LearnError;

/// Share of a probe's progress that reading features counts for.
const READING: f32 = 0.5;

/// Runs `probe` on the frozen features of `encoder`, which is left as it is.
///
/// `progress` is called with the share that is done.
///
/// # Errors
/// When the probe's values are impossible or its tap does not exist, images lack labels, training
/// and test images differ in their classes, or the probe's own training diverges.
pub fn run_probe(
    encoder: &Encoder,
    probe: &ProbeConfig,
    data: &ProbeData<'_>,
    progress: &mut dyn FnMut(f32),
) -> Result<ProbeResult, LearnError> {
    Bench::new(encoder, data)?.run(probe, progress)
}

/// Runs `probes` one after the other. Neighbours in the list that read the same features share
/// them, which saves most of the time.
///
/// `progress` is called with the share of all of them that is done.
///
/// # Errors
/// Those of [`run_probe`].
pub fn run_probes(
    encoder: &Encoder,
    probes: &[ProbeConfig],
    data: &ProbeData<'_>,
    progress: &mut dyn FnMut(f32),
) -> Result<Vec<ProbeResult>, LearnError> {
    let mut bench = Bench::new(encoder, data)?;
    let count = probes.len() as f32;
    probes
        .iter()
        .enumerate()
        .map(|(done, probe)| bench.run(probe, &mut |share| progress((done as f32 + share) / count)))
        .collect()
}

/// Runs `probes` on a trained and on a random encoder: the same images, order and first weights for
/// both, so that only the encoders differ.
///
/// `progress` is called with the share of all of it that is done.
///
/// # Errors
/// Those of [`run_probe`].
pub fn compare(
    trained: &Encoder,
    random: &Encoder,
    probes: &[ProbeConfig],
    data: &ProbeData<'_>,
    progress: &mut dyn FnMut(f32),
) -> Result<Vec<Comparison>, LearnError> {
    let trained = run_probes(trained, probes, data, &mut |share| progress(share / 2.0))?;
    let random = run_probes(random, probes, data, &mut |share| {
        progress(0.5 + share / 2.0)
    })?;
    Ok(trained
        .into_iter()
        .zip(random)
        .map(|(trained, random)| Comparison { trained, random })
        .collect())
}

/// An encoder with the images that it is judged on.
struct Bench<'a> {
    encoder: &'a Encoder,
    data: &'a ProbeData<'a>,
    labels: Labels,
    /// The features that the last probe read.
    features: Option<Features>,
}

/// Features read at one tap.
struct Features {
    tap: Tap,
    pooling: Pooling,
    test: FeatureBank,
    /// None while only probes that embed their training images themselves have asked.
    train: Option<FeatureBank>,
}

impl<'a> Bench<'a> {
    fn new(encoder: &'a Encoder, data: &'a ProbeData<'a>) -> Result<Self, LearnError> {
        Ok(Self {
            encoder,
            data,
            labels: Labels::of(data)?,
            features: None,
        })
    }

    fn run(
        &mut self,
        probe: &ProbeConfig,
        progress: &mut dyn FnMut(f32),
    ) -> Result<ProbeResult, LearnError> {
        let started = Instant::now();
        probe.validate()?;
        let tap = self.encoder.tap(&probe.tap)?;
        let features = self.read(probe, tap, progress)?;
        let judged = self.judge(probe, &features, &mut |share| {
            progress(READING + (1.0 - READING) * share)
        });
        self.features = Some(features);
        let (error, errors_per_epoch) = match judged? {
            Judged::Once(error) => (error, Vec::new()),
            Judged::EachEpoch(errors) => (errors.last().copied().unwrap_or(1.0), errors),
        };
        let best = errors_per_epoch.iter().copied().reduce(f64::min);
        let best_epoch = errors_per_epoch.iter().position(|e| Some(*e) == best);
        let epochs = errors_per_epoch.len() as u64;
        Ok(ProbeResult {
            probe: probe.label(),
            tap: probe.tap.clone(),
            pooling: probe.pooling,
            error,
            best_error: best,
            best_epoch: best_epoch.map(|epoch| epoch as u64),
            epochs: (epochs > 0).then_some(epochs),
            errors_per_epoch,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// The features that `probe` needs: those of the last probe where they are the same, else read
    /// from the images.
    fn read(
        &mut self,
        probe: &ProbeConfig,
        tap: &Tap,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Features, LearnError> {
        let options = ExtractOptions {
            normalisation: self.data.normalisation.clone(),
            pooling: probe.pooling,
            workers: self.data.workers,
            ..ExtractOptions::default()
        };
        let total = (self.data.test.len() + self.data.train.len()) as f32;
        let mut read = |set, before: usize| {
            let mut advance = |done: usize, _| progress(READING * (before + done) as f32 / total);
            extract(self.encoder, tap, set, &options, &mut advance)
        };
        let kept = self.features.take();
        let kept = kept.filter(|kept| kept.tap == *tap && kept.pooling == probe.pooling);
        let mut features = match kept {
            Some(kept) => kept,
            None => Features {
                tap: tap.clone(),
                pooling: probe.pooling,
                test: read(self.data.test, 0)?,
                train: None,
            },
        };
        let augmented = probe
            .method
            .training()
            .is_some_and(|training| training.augment);
        if features.train.is_none() && !augmented {
            features.train = Some(read(self.data.train, self.data.test.len())?);
        }
        Ok(features)
    }

    fn judge(
        &self,
        probe: &ProbeConfig,
        features: &Features,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Judged, LearnError> {
        let frozen = FrozenEncoder::new(self.encoder, &features.tap, features.pooling);
        let device = frozen.device().clone();
        let test = Labelled {
            features: &features.test,
            labels: &self.labels.test,
        };
        let train = features.train.as_ref().map(|features| Labelled {
            features,
            labels: &self.labels.train,
        });
        let pipeline = ViewPipeline {
            augment: self.data.augment.clone(),
            normalisation: self.data.normalisation.clone(),
        };
        let training = |config: &HeadTraining| match train {
            Some(train) if !config.augment => Training::Cached(train),
            _ => Training::Augmented(Augmented {
                encoder: &frozen,
                set: self.data.train,
                pipeline: &pipeline,
                labels: &self.labels.train,
                workers: self.data.workers,
            }),
        };
        let task = |config: &HeadTraining| Fit {
            training: training(config),
            test,
            classes: self.labels.classes,
            seed: self.data.seed,
            device: device.clone(),
        };
        let mut rng = generator(self.data.seed, 0, 0, Purpose::Probe);
        let shape = features.test.shape;
        let (classes, tracked) = (self.labels.classes, device.clone().autodiff());
        match &probe.method {
            ProbeMethod::Knn(config) => {
                let train = train.ok_or_else(|| LearnError::Probe {
                    message: "nearest neighbours need the features of the training images".into(),
                })?;
                knn::error_share(config, train, test, progress).map(Judged::Once)
            }
            ProbeMethod::Fc(config) => {
                let head = FcHead::new(config, shape, classes, &mut rng, &tracked);
                let config = config.training();
                fit(head, &config, &task(&config), progress).map(Judged::EachEpoch)
            }
            ProbeMethod::Conv(config) => {
                let head = ConvHead::new(shape[0], classes, &mut rng, &tracked);
                let config = config.training();
                fit(head, &config, &task(&config), progress).map(Judged::EachEpoch)
            }
        }
    }
}

/// What a probe's method found.
enum Judged {
    /// A single error.
    Once(f64),
    /// The error after each epoch.
    EachEpoch(Vec<f64>),
}
