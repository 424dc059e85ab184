//! An ensemble of transformations (EnAET, arXiv 1911.09265, section 3): several families in one run,
//! each with a copy t(x) of the image, a decoder and a weight of its own, on one encoder.

use std::sync::Arc;

use aet_data::{Augment, EnsemblePipeline, ItemPipeline};
use aet_geometry::{Family, TransformationFamily};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::aet::{Aet, AetConfig};
use super::estimate::Answer;
use super::siamese::global_average;
use super::{Decoder, Objective, ObjectiveOutput, Pretext, Task, Trivial, Yardstick};
use crate::backbone::Encoder;
use crate::batch::{Batch, PairBatch};
use crate::border::Framing;
use crate::config::Experiment;
use crate::error::{ConfigError, LearnError};

/// Names of the members' figures; there are no more members.
const MSE: [&str; 8] = [
    "mse_1", "mse_2", "mse_3", "mse_4", "mse_5", "mse_6", "mse_7", "mse_8",
];

/// One family of an ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Where its transformations come from.
    pub transformation: Family,
    /// What its loss is multiplied by, above 0.
    #[serde(default = "one")]
    pub weight: f64,
    /// How its decoder's answer is held against the transformation.
    #[serde(default)]
    pub aet: AetConfig,
}

fn one() -> f64 {
    1.0
}

/// The ensemble objective. The experiment's own `transformation` plays no part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnsembleConfig {
    /// The families, from 1 to 8.
    pub members: Vec<Member>,
}

impl Default for EnsembleConfig {
    /// The released projective family, and colours.
    fn default() -> Self {
        let member = |transformation| Member {
            transformation,
            weight: one(),
            aet: AetConfig::default(),
        };
        let families = [
            Family::Projective(aet_geometry::Projective::default()),
            Family::Colour(aet_geometry::Colour::default()),
        ];
        Self {
            members: families.map(member).into(),
        }
    }
}

impl Pretext for EnsembleConfig {
    fn settle(&mut self, _family: &Family) {
        for member in &mut self.members {
            member.aet.settle(&member.transformation);
        }
    }

    fn validate(&self, _family: &Family) -> Result<(), ConfigError> {
        if !(1..=MSE.len()).contains(&self.members.len()) {
            let range = "from 1 to 8 families";
            let found = self.members.len();
            return Err(ConfigError::range("objective.members", range, found));
        }
        for member in &self.members {
            member.transformation.validate()?;
            member.aet.validate(&member.transformation)?;
            ConfigError::check_above_zero("objective.members.weight", member.weight)?;
        }
        Ok(())
    }

    fn label(&self, _experiment: &Experiment) -> String {
        let names: Vec<&str> = self
            .members
            .iter()
            .map(|m| m.transformation.name())
            .collect();
        format!("ensemble {}", names.join(" + "))
    }

    fn task(&self, _experiment: &Experiment) -> String {
        let names: Vec<&str> = self
            .members
            .iter()
            .map(|m| m.transformation.name())
            .collect();
        format!("{} transformations", names.join(" and "))
    }

    fn families<'a>(&'a self, _experiment: &'a Experiment) -> Vec<&'a Family> {
        self.members.iter().map(|m| &m.transformation).collect()
    }

    fn pipeline(&self, experiment: &Experiment, augment: Augment) -> Arc<dyn ItemPipeline> {
        let families = self
            .members
            .iter()
            .map(|member| member.transformation.clone());
        Arc::new(EnsemblePipeline {
            augment,
            families: families.collect(),
            border: experiment.warp.host_border(),
            normalisation: experiment.data.normalisation.clone(),
        })
    }

    fn yardstick(&self) -> Yardstick {
        Yardstick {
            metric: "mse",
            trivial: Trivial::MeanTarget,
        }
    }

    fn target_names(&self, _experiment: &Experiment) -> Vec<String> {
        let families = self.members.iter().map(|member| &member.transformation);
        let named = families.flat_map(|family| {
            let names = family.target_names().into_iter();
            names.map(move |name| format!("{}.{name}", family.name()))
        });
        named.collect()
    }

    fn init(&self, task: &Task<'_>, seed: u64, device: &Device) -> Result<Objective, LearnError> {
        let members = self.members.iter().enumerate().map(|(place, member)| {
            let task = Task {
                family: &member.transformation,
                ..task.clone()
            };
            Aet::of_member(&member.aet, &task, (seed, place as u64), device)
        });
        Ok(Objective::Ensemble(Ensemble {
            members: members.collect(),
            weights: self.members.iter().map(|member| member.weight).collect(),
        }))
    }
}

/// The decoders of an ensemble.
#[derive(Module, Debug)]
pub struct Ensemble {
    /// One for each family.
    pub members: Vec<Aet>,
    #[module(skip)]
    weights: Vec<f64>,
}

impl Ensemble {
    /// Each member's answer, with the pair that it is about.
    fn answers(&self, encoder: &Encoder, batch: &Batch) -> Vec<(Answer, PairBatch)> {
        let views = batch.views.len();
        let all = Tensor::cat(batch.views.clone(), 0);
        let all = match self.members.first() {
            Some(member) => member.framing().seen(all),
            None => all,
        };
        let features = encoder.forward_views(all, views, encoder.last_tap());
        let features = global_average(features).chunk(views, 0);
        let mut start = 0;
        let members = self.members.iter().enumerate();
        members
            .map(|(place, member)| {
                let length = member.target_len();
                let pair = PairBatch {
                    original: batch.views[0].clone(),
                    transformed: batch.views[place + 1].clone(),
                    // A family without parameters has no target to look at.
                    target: match length {
                        0 => batch.target.clone(),
                        _ => batch.target.clone().narrow(1, start, length),
                    },
                };
                start += length;
                let both = vec![features[0].clone(), features[place + 1].clone()];
                (member.decode(Tensor::cat(both, 1)), pair)
            })
            .collect()
    }
}

/// What `of` each member's answer, side by side.
fn side_by_side(answers: Vec<(Answer, PairBatch)>, of: fn(&Answer) -> Tensor<2>) -> Tensor<2> {
    Tensor::cat(answers.iter().map(|(answer, _)| of(answer)).collect(), 1)
}

impl Decoder for Ensemble {
    /// The weighted sum of the members' losses; beside it `mse`, the mean squared error over the
    /// components of all targets, and that of each member.
    fn loss(&self, encoder: &Encoder, batch: &Batch) -> ObjectiveOutput {
        let device = batch.target.device();
        let mut loss = Tensor::<1>::zeros([1], &device);
        let mut sum = Tensor::<1>::zeros([1], &device);
        let mut components = 0;
        let mut parts = Vec::new();
        for (place, (answer, pair)) in self.answers(encoder, batch).into_iter().enumerate() {
            let judged = self.members[place].judge(&answer, &pair);
            loss = loss + judged.loss * self.weights[place];
            let length = self.members[place].target_len();
            for (name, value) in judged.parts {
                if name == "mse" {
                    sum = sum + value.clone() * length as f64;
                    components += length;
                    parts.push((MSE[place], value));
                }
            }
        }
        parts.insert(0, ("mse", sum / components.max(1) as f64));
        ObjectiveOutput { loss, parts }
    }

    fn predict(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        side_by_side(self.answers(encoder, batch), Answer::best)
    }

    fn expect(&self, encoder: &Encoder, batch: &Batch) -> Tensor<2> {
        side_by_side(self.answers(encoder, batch), Answer::mean)
    }

    fn set_framing(&mut self, framing: Framing) {
        for member in &mut self.members {
            member.set_framing(framing);
        }
    }
}
