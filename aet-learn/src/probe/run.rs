//! Running probes on an encoder, and on two encoders side by side.

use super::examine::Examination;
use super::labels::Labels;
use super::split::{SealedTest, SplitPlan, Study};
use super::{Comparison, ProbeConfig, ProbeData, ProbeResult};
use crate::backbone::Encoder;
use crate::error::LearnError;

/// Share of the labelled images that is set aside where probes leave something open and nobody says
/// how many.
const VALIDATION: f64 = 0.1;

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
    let probes = std::slice::from_ref(probe);
    Ok(run_probes(encoder, probes, data, progress)?.remove(0))
}

/// Runs `probes` with all labels, a tenth of them set aside while choosing where something is left
/// open. Those that read the same features share them, which saves most of the time.
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
    let (study, test) = divide(data, &standard_split(data, probes))?;
    examine(encoder, probes, data, (&study, &test), progress)
}

/// All labels; a tenth of them set aside if a probe leaves something open.
pub fn standard_split(data: &ProbeData<'_>, probes: &[ProbeConfig]) -> SplitPlan {
    let open = probes.iter().any(ProbeConfig::chooses);
    SplitPlan {
        labels_per_class: None,
        validation: if open { VALIDATION } else { 0.0 },
        seed: data.seed,
    }
}

/// Divides the labels of `data` into what may be studied and the sealed test.
///
/// # Errors
/// When images lack labels, training and test images differ in their classes, or there are fewer
/// labels than `plan` asks for.
pub fn divide(data: &ProbeData<'_>, plan: &SplitPlan) -> Result<(Study, SealedTest), LearnError> {
    let labels = Labels::of(data)?;
    Ok((Study::new(&labels, plan)?, SealedTest::new(&labels)))
}

/// [`run_probes`] with labels that were divided before.
///
/// # Errors
/// Those of [`run_probe`].
pub fn examine(
    encoder: &Encoder,
    probes: &[ProbeConfig],
    data: &ProbeData<'_>,
    (study, test): (&Study, &SealedTest),
    progress: &mut dyn FnMut(f32),
) -> Result<Vec<ProbeResult>, LearnError> {
    let found = Examination::new(encoder, data, study, test).run(probes, progress)?;
    Ok(found.into_iter().map(|(result, _)| result).collect())
}

/// Trains `encoder` and the head of `probe` on the labels, and gives the trained encoder, frozen,
/// beside what the whole network achieves.
///
/// # Errors
/// Those of [`run_probe`].
pub fn train_with_labels(
    encoder: &Encoder,
    probe: &ProbeConfig,
    data: &ProbeData<'_>,
    (study, test): (&Study, &SealedTest),
    progress: &mut dyn FnMut(f32),
) -> Result<(ProbeResult, Encoder), LearnError> {
    let probe = ProbeConfig {
        thaw: true,
        ..probe.clone()
    };
    let probes = std::slice::from_ref(&probe);
    let mut found = Examination::new(encoder, data, study, test).run(probes, progress)?;
    let (result, classifier) = found.remove(0);
    let trained = classifier.and_then(|classifier| classifier.encoder);
    Ok((result, trained.unwrap_or_else(|| encoder.clone())))
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
