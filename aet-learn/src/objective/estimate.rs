//! What a decoder of transformations answers with: a target, or several of which each has a chance.
//!
//! Where images are compared (AET, section 3.4), the distance of t(x) and its estimate's image is flat
//! between quarter turns: gradients of one estimate never come from one to the next, and end where all
//! of the image is out of sight. So the decoder has a candidate near each anchor of the family
//! ([`anchors`](aet_geometry::TransformationFamily::anchors)) and tells how likely each is.

use aet_geometry::{Family, TransformationFamily};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

use super::siamese::End;

/// The farthest that a component of a lone candidate is from its anchor, in deviations of a target.
const FARTHEST: f64 = 3.0;

/// The same of one among several: within it 99% of projective maps have all coefficients but the last
/// two, of which 95% are; beyond it a map may take the image out of sight, whose copy, of one colour,
/// is nearer to most transformed images than a wrong candidate.
const NEAR: f64 = 1.0;

/// What the decoder's outputs count for homographies, whose likelihood is steep, as one deviation of a
/// coefficient moves all of the image far: for a lone candidate, for up to [`FEW`] and for more. Among
/// candidates chances have to be learnt before offsets, which otherwise settle on what a wrong candidate
/// costs least with. Splines and kernels learn less with less than 1. Measured on 4,577 CIFAR-10 images,
/// 360 steps at 0.1:
/// - a lone projective map comes to 0.58, 0.60 and 0.78 of the identity's squared distance with 0.1, 0.03
///   and 0.02;
/// - four come to 0.63, 0.68 and 0.69 with 0.03, 0.02 and 0.01, corners off by 24, 20 and 20 px;
/// - eight affine ones, with hidden units and absolute differences, to 0.73, 0.78, 0.78 and 0.80 with 0.02,
///   0.01, 0.005 and 0, corners off by 32, 22, 22 and 23 px.
const SLOPES: [f64; 3] = [0.1, 0.02, 0.005];

/// The candidates of a family with quarter turns; one that turns by any angle has twice as many.
const FEW: usize = 4;

/// How outputs of a linear layer become an [`Answer`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidates {
    /// Targets of one length, each with a candidate near it; none for one candidate that may be
    /// anything.
    anchors: Vec<Vec<f32>>,
    /// What each component ends in, before its anchor is added.
    end: End,
    slope: f64,
    target_len: usize,
}

impl Candidates {
    /// One candidate, in the range of the family's targets.
    pub(super) fn one(family: &Family) -> Self {
        Self {
            anchors: Vec::new(),
            end: End::of_family(family),
            slope: 1.0,
            target_len: family.target_len(),
        }
    }

    /// A candidate near each of `anchors`, targets of the family.
    pub(super) fn near(family: &Family, anchors: Vec<Vec<f32>>) -> Self {
        let (bound, slope) = match anchors.len() {
            0 | 1 => (FARTHEST, SLOPES[0]),
            2..=FEW => (NEAR, SLOPES[1]),
            _ => (NEAR, SLOPES[2]),
        };
        let end = match End::of_family(family) {
            End::Linear => End::Tanh(bound),
            end => end,
        };
        let slope = if family.is_homography() { slope } else { 1.0 };
        Self {
            anchors,
            end,
            slope,
            target_len: family.target_len(),
        }
    }

    fn count(&self) -> usize {
        self.anchors.len().max(1)
    }

    /// Outputs that the linear layer has: the candidates one after the other, then a score for each if
    /// they are several.
    pub(super) fn outputs(&self) -> usize {
        let count = self.count();
        let scores = if count > 1 { count } else { 0 };
        count * self.target_len + scores
    }

    /// Outputs `[batch, outputs]` as an answer.
    pub(super) fn answer(&self, outputs: Tensor<2>) -> Answer {
        let [batch, _] = outputs.dims();
        let (count, length) = (self.count(), self.target_len);
        let log_chances = (count > 1).then(|| {
            let scores = outputs.clone().narrow(1, count * length, count);
            log_softmax(scores, 1)
        });
        let device = outputs.device();
        let mut targets = self
            .end
            .of(outputs.narrow(1, 0, count * length) * self.slope);
        if !self.anchors.is_empty() {
            let anchors = TensorData::new(self.anchors.concat(), [1, count * length]);
            targets = targets + Tensor::from_data(anchors, &device);
        }
        Answer {
            targets: targets.reshape([batch, count, length]),
            log_chances,
        }
    }
}

/// What a decoder says of a batch.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// Normalised targets, `[batch, candidates, target length]`.
    targets: Tensor<3>,
    /// The logarithm of how likely each is, `[batch, candidates]`; none where there is one.
    log_chances: Option<Tensor<2>>,
}

impl Answer {
    /// Normalised targets `[batch, target length]`, each without an alternative.
    pub(super) fn certain(targets: Tensor<2>) -> Self {
        Self {
            targets: targets.unsqueeze_dim(1),
            log_chances: None,
        }
    }

    /// How many candidates there are.
    pub(super) fn candidates(&self) -> usize {
        let [_, candidates, _] = self.targets.dims();
        candidates
    }

    /// Targets of all candidates, those of the first for the whole batch, then those of the next,
    /// `[candidates * batch, target length]`.
    pub(super) fn all(&self) -> Tensor<2> {
        let [batch, candidates, length] = self.targets.dims();
        let by_candidate = self.targets.clone().swap_dims(0, 1);
        by_candidate.reshape([candidates * batch, length])
    }

    /// The target that is most likely, `[batch, target length]`.
    pub(super) fn best(&self) -> Tensor<2> {
        let [batch, _, length] = self.targets.dims();
        let Some(log_chances) = &self.log_chances else {
            return self.targets.clone().reshape([batch, length]);
        };
        let place = log_chances.clone().argmax(1).reshape([batch, 1, 1]);
        let place = place.expand([batch, 1, length]);
        self.targets
            .clone()
            .gather(1, place)
            .reshape([batch, length])
    }

    /// The mean of the targets by their chances, `[batch, target length]`.
    pub(super) fn mean(&self) -> Tensor<2> {
        let [batch, candidates, length] = self.targets.dims();
        let Some(log_chances) = &self.log_chances else {
            return self.targets.clone().reshape([batch, length]);
        };
        let chances = log_chances.clone().exp().reshape([batch, candidates, 1]);
        let sum = (self.targets.clone() * chances).sum_dim(1);
        sum.reshape([batch, length])
    }

    /// The mean over the batch of what values of all candidates, `[candidates * batch]` in the order of
    /// [`all`](Self::all), are for the most likely ones.
    pub(super) fn of_best(&self, values: Tensor<1>) -> Tensor<1> {
        match &self.log_chances {
            None => values.mean(),
            Some(log_chances) => {
                let best = log_chances.clone().argmax(1);
                self.by_image(values).gather(1, best).mean()
            }
        }
    }

    /// Values of all candidates, `[candidates * batch]` in the order of [`all`](Self::all), as `[batch,
    /// candidates]`.
    fn by_image(&self, values: Tensor<1>) -> Tensor<2> {
        let [batch, candidates, _] = self.targets.dims();
        values.reshape([candidates, batch]).transpose()
    }

    /// Distances of all candidates, `[candidates * batch]` in the order of [`all`](Self::all), as one
    /// number: their mean for a lone candidate; for several the mean over the batch of -log E
    /// exp(-distance / T), with the expectation over candidates by their chances, and T the image's
    /// among `temperatures`, `[batch]`. It is the likelihood of a mixture (Bishop 1994), and T times it
    /// the expected distance where T is high; where it is low, candidates learn from what they are
    /// right for alone, and chances which one that is.
    pub(super) fn energy(&self, distances: Tensor<1>, temperatures: Tensor<1>) -> Tensor<1> {
        let Some(log_chances) = &self.log_chances else {
            return distances.mean();
        };
        let colder = self.by_image(distances) / temperatures.unsqueeze_dim(1);
        let exponents = log_chances.clone() - colder;
        let largest = exponents.clone().detach().max_dim(1);
        let sums = (exponents - largest.clone()).exp().sum_dim(1).log() + largest;
        -sums.mean()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::state::host_values;

    const SIZE: [usize; 2] = [24, 32];

    fn tensor<const N: usize>(values: &[f32], shape: [usize; N]) -> Tensor<N> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    }

    #[test]
    fn candidates_are_near_the_anchors_and_no_further_than_allowed() {
        for (kind, count) in [
            ("projective", 4),
            ("rotation", 8),
            ("dihedral", 8),
            ("scaling", 1),
        ] {
            let family = Family::default_of(kind).unwrap();
            let candidates = Candidates::near(&family, family.anchors(SIZE));
            assert_eq!(candidates.count(), count, "{kind}");
            let anchors = family.anchors(SIZE).concat();
            let answer = |value: f32| {
                let outputs = candidates.outputs();
                let answer = candidates.answer(tensor(&vec![value; outputs], [1, outputs]));
                host_values(answer.all())
            };
            assert_eq!(answer(0.0), anchors, "{kind}");
            let bound = if count == 1 { FARTHEST } else { NEAR } as f32;
            for (far, anchor) in answer(1e6).iter().zip(&anchors) {
                assert!(
                    (far - anchor).abs() <= bound + 1e-6,
                    "{kind}: {far} {anchor}"
                );
            }
        }
        let family = Family::default_of("projective").unwrap();
        let mut anchors = family.anchors(SIZE);
        assert_eq!(
            Candidates::near(&family, anchors.clone()).outputs(),
            4 * 8 + 4
        );
        anchors.truncate(1);
        assert_eq!(Candidates::near(&family, anchors).outputs(), 8);
        assert_eq!(Candidates::one(&family).outputs(), 8);
    }

    #[test]
    fn values_count_by_the_chances_of_their_candidates() {
        let answer = Answer {
            targets: tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [2, 2, 2]),
            log_chances: Some(tensor(&[0.25, 0.75, 0.9, 0.1], [2, 2]).log()),
        };
        assert_eq!(host_values(answer.best()), [3.0, 4.0, 5.0, 6.0]);
        for (found, expected) in host_values(answer.mean()).iter().zip([2.5, 3.5, 5.2, 6.2]) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
        // Both first candidates, then both second ones.
        assert_eq!(
            host_values(answer.all()),
            [1.0, 2.0, 5.0, 6.0, 3.0, 4.0, 7.0, 8.0]
        );
        let values = tensor(&[10.0, 20.0, 30.0, 40.0], [4]);
        let best = host_values(answer.of_best(values.clone()))[0];
        assert!((best - (30.0 + 20.0) / 2.0).abs() < 1e-5, "{best}");
        let energy = |temperature: f32| {
            let found = answer.energy(values.clone(), tensor(&[temperature; 2], [2]));
            host_values(found)[0]
        };
        let expected = (0.25 * 10.0 + 0.75 * 30.0 + 0.9 * 20.0 + 0.1 * 40.0) / 2.0;
        assert!((1e3 * energy(1e3) - expected).abs() < 0.1, "{expected}");
        // Both first candidates are nearer.
        let nearest = (10.0 - 0.25_f32.ln() + 20.0 - 0.9_f32.ln()) / 2.0;
        assert!((energy(1.0) - nearest).abs() < 1e-4, "{nearest}");
        let lone = Answer::certain(tensor(&[1.0, 2.0], [2, 1]));
        let distances = tensor(&[4.0, 8.0], [2]);
        let found = host_values(lone.energy(distances, tensor(&[0.1; 2], [2])));
        assert_eq!(found, [6.0]);
    }
}
