//! A protocol as TOML says it ([`ProtocolConfig`]), and checked for a network ([`Protocol`]).

use std::ops::Deref;

use aet_data::Augment;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::backbone::{BackboneConfig, find_tap};
use crate::config::{apply_overrides, one_line};
use crate::error::ConfigError;
use crate::probe::ProbeConfig;

/// How encoders are judged. Each field is a table or a key of the TOML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtocolConfig {
    /// What it is for, in a line.
    #[serde(default)]
    pub description: String,
    /// Seeds of the probes, the splits, and the random and supervised encoders: each is a repetition
    /// of the whole.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// Labelled images of each class; the protocol is repeated for each number. Empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels_per_class: Vec<usize>,
    /// Share of the labelled images that is set aside to choose on, where a probe leaves something
    /// open.
    #[serde(default = "default_validation")]
    pub validation: f64,
    /// The encoders that are judged.
    #[serde(default = "default_encoders")]
    pub encoders: Vec<EncoderKind>,
    /// The data that it is defined on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataClaim>,
    /// Random changes made to training images by probes that have `augment = true`.
    #[serde(default)]
    pub augment: Augment,
    /// How the same network is trained with labels, for the encoder `supervised`: the probe that is
    /// trained with it, the encoder thawed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervised: Option<ProbeConfig>,
    /// Whether the probes are run on the supervised encoder too, or only the whole network's error is
    /// shown.
    #[serde(default = "yes")]
    pub probe_supervised: bool,
    /// The probes.
    pub probes: Vec<ProbeConfig>,
    /// Published figures, to be shown beside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Published>,
}

fn one_seed() -> Vec<u64> {
    vec![1]
}

fn yes() -> bool {
    true
}

fn default_validation() -> f64 {
    0.1
}

fn default_encoders() -> Vec<EncoderKind> {
    vec![EncoderKind::Random, EncoderKind::Trained]
}

/// An encoder that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderKind {
    /// The same network with random weights: the lower bound.
    Random,
    /// The pretrained encoder.
    Trained,
    /// The same network trained with labels from scratch: the upper bound.
    Supervised,
}

impl EncoderKind {
    /// Its name in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Trained => "trained",
            Self::Supervised => "supervised",
        }
    }
}

/// The data that a protocol is defined on. Other data can be used; the table then says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataClaim {
    /// Its name.
    pub name: String,
    /// Number of classes.
    pub classes: usize,
    /// Training images.
    pub train: usize,
    /// Test images.
    pub test: usize,
    /// Height and width of an image, in pixels.
    pub image_size: [usize; 2],
}

/// A published figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The probe's method as tables name it, such as `conv`.
    pub method: String,
    /// The tap; absent where it does not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tap: Option<String>,
    /// Labelled images of each class; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels_per_class: Option<usize>,
    /// What was judged, such as `AET-project`.
    pub encoder: String,
    /// Test error, in per cent.
    pub error: f64,
    /// Where it was published.
    pub source: String,
}

/// A checked protocol for one network.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    config: ProtocolConfig,
    name: String,
    reductions: Vec<String>,
}

impl Deref for Protocol {
    type Target = ProtocolConfig;

    fn deref(&self) -> &ProtocolConfig {
        &self.config
    }
}

impl Protocol {
    /// Reads TOML, applies `overrides` (`key=value`), and checks everything for `backbone`.
    ///
    /// The table `training` holds what all probes are trained with; a probe's own `training` goes
    /// over it. A probe with `tap = "*"` stands for one at every tap of the network.
    ///
    /// # Errors
    /// When the text is not TOML, a key is unknown, or a value is of the wrong type or out of its
    /// range.
    pub fn parse(
        name: &str,
        text: &str,
        overrides: &[String],
        backbone: &BackboneConfig,
    ) -> Result<Self, ConfigError> {
        let origin = format!("protocol {name}");
        let fail = |error: toml::de::Error| ConfigError::Toml {
            origin: origin.clone(),
            message: one_line(error.message()),
        };
        let shipped: Table = text.parse().map_err(fail)?;
        let mut table = shipped.clone();
        apply_overrides(&mut table, overrides)?;
        let mut reductions = Vec::new();
        differences("", &shipped, &table, &mut reductions);
        let config: ProtocolConfig = Value::Table(with_shared_training(table))
            .try_into()
            .map_err(fail)?;
        let protocol = Self {
            config: at_every_tap(config, backbone),
            name: name.into(),
            reductions,
        };
        protocol.check(backbone)?;
        Ok(protocol)
    }

    fn check(&self, backbone: &BackboneConfig) -> Result<(), ConfigError> {
        if !(0.0..1.0).contains(&self.validation) {
            let range = "at least 0 and less than 1";
            return Err(ConfigError::range("validation", range, self.validation));
        }
        if self.seeds.is_empty() {
            return Err(ConfigError::range("seeds", "at least one seed", "[]"));
        }
        if self.labels_per_class.contains(&0) {
            return Err(ConfigError::range("labels_per_class", "at least 1", 0));
        }
        let taps = backbone.taps();
        for probe in self.probes.iter().chain(&self.supervised) {
            probe.validate()?;
            find_tap(&taps, &probe.tap)?;
            if probe.chooses() && self.validation == 0.0 {
                let range = "above 0, since a probe leaves something open to be chosen";
                return Err(ConfigError::range("validation", range, 0));
            }
        }
        if self.encoders.contains(&EncoderKind::Supervised) && self.supervised.is_none() {
            let range = "without \"supervised\" where the table supervised is missing";
            return Err(ConfigError::range("encoders", range, "supervised"));
        }
        // Records are JSON, which has no other numbers.
        let mut errors = self.published.iter().map(|figure| figure.error);
        if let Some(error) = errors.find(|error| !error.is_finite()) {
            return Err(ConfigError::range("published.error", "finite", error));
        }
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it differs from what was shipped under its name, a key a line.
    pub fn reductions(&self) -> &[String] {
        &self.reductions
    }

    /// The numbers of labels of each class that it is repeated for; None for all.
    pub fn label_counts(&self) -> Vec<Option<usize>> {
        match self.labels_per_class.as_slice() {
            [] => vec![None],
            counts => counts.iter().copied().map(Some).collect(),
        }
    }

    /// The whole of it, every value spelt out.
    pub fn config(&self) -> &ProtocolConfig {
        &self.config
    }
}

/// Takes the table `training` out of `table` and puts it under that of every probe.
fn with_shared_training(mut table: Table) -> Table {
    let Some(Value::Table(shared)) = table.remove("training") else {
        return table;
    };
    let share = |probe: &mut Value| {
        let Value::Table(probe) = probe else { return };
        let own = probe.remove("training");
        let mut training = shared.clone();
        if let Some(Value::Table(own)) = own {
            training.extend(own);
        }
        let trained = probe
            .get("method")
            .and_then(|method| method.get("kind"))
            .and_then(Value::as_str)
            .is_some_and(|kind| kind != "knn" && kind != "logistic");
        if trained {
            probe.insert("training".into(), Value::Table(training));
        }
    };
    if let Some(Value::Array(probes)) = table.get_mut("probes") {
        probes.iter_mut().for_each(share);
    }
    if let Some(supervised) = table.get_mut("supervised") {
        share(supervised);
    }
    table
}

/// `config` with each probe of tap `*` once for every tap of `backbone`.
fn at_every_tap(mut config: ProtocolConfig, backbone: &BackboneConfig) -> ProtocolConfig {
    let taps = backbone.taps();
    let each = |probe: ProbeConfig| -> Vec<ProbeConfig> {
        if probe.tap != "*" {
            return vec![probe];
        }
        let at = |tap: &crate::backbone::Tap| ProbeConfig {
            tap: tap.name.clone(),
            ..probe.clone()
        };
        taps.iter().map(at).collect()
    };
    config.probes = config.probes.into_iter().flat_map(each).collect();
    if let (Some(probe), Some(last)) = (&mut config.supervised, taps.last())
        && probe.tap == "*"
    {
        probe.tap.clone_from(&last.name);
    }
    for probe in config.probes.iter_mut().chain(&mut config.supervised) {
        probe.settle_tap(backbone);
    }
    config
}

/// Notes every key in which `table` differs from `shipped`, as `key 40 instead of 200`.
fn differences(path: &str, shipped: &Table, table: &Table, found: &mut Vec<String>) {
    for (key, value) in table {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        match (shipped.get(key), value) {
            (Some(old), new) if old == new => {}
            (Some(Value::Table(old)), Value::Table(new)) => differences(&path, old, new, found),
            (Some(Value::Array(old)), Value::Array(new))
                if old.len() == new.len() && old.iter().all(Value::is_table) =>
            {
                for (place, (old, new)) in old.iter().zip(new).enumerate() {
                    if let (Value::Table(old), Value::Table(new)) = (old, new) {
                        differences(&format!("{path}.{place}"), old, new, found);
                    }
                }
            }
            (Some(old), new) => found.push(format!("{path} {new} instead of {old}")),
            (None, new) => found.push(format!("{path} {new}")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::probe::HeadTraining;

    const TEXT: &str = r#"
        validation = 0.2
        [training]
        epochs = 200
        augment = true
        [[probes]]
        tap = "*"
        method = { kind = "fc", layers = 1 }
        training = { rate = 0.02 }
        [[probes]]
        method = { kind = "knn" }
        choose = { neighbours = [1, 5] }
    "#;

    fn parse(overrides: &[&str]) -> Result<Protocol, ConfigError> {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        Protocol::parse("test", TEXT, &overrides, &BackboneConfig::default())
    }

    #[test]
    fn shared_training_goes_under_that_of_each_trained_probe() {
        let protocol = parse(&[]).unwrap();
        assert_eq!(protocol.probes.len(), 5);
        let first = &protocol.probes[0].training;
        assert_eq!((first.epochs, first.rate), (200, 0.02));
        assert!(first.augment);
        assert_eq!(protocol.probes[4].training, HeadTraining::default());
        assert!(protocol.reductions().is_empty());
    }

    #[test]
    fn a_star_stands_for_every_tap() {
        let protocol = parse(&[]).unwrap();
        let taps: Vec<&str> = protocol.probes.iter().map(|p| p.tap.as_str()).collect();
        assert_eq!(taps, ["block1", "block2", "block3", "block4", "block2"]);
    }

    #[test]
    fn changes_are_named_with_what_they_replaced() {
        let changes = [
            "training.epochs=40",
            "probes.0.training.rate=0.1",
            "seeds=[1,2]",
        ];
        let protocol = parse(&changes).unwrap();
        assert_eq!(
            protocol.reductions(),
            [
                "probes.0.training.rate 0.1 instead of 0.02",
                "seeds [1, 2]",
                "training.epochs 40 instead of 200"
            ]
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        for (change, expected) in [
            ("validation=1.0", "validation = 1"),
            ("validation=0.0", "leaves something open"),
            ("validation=0.0", "validation"),
            ("seeds=[]", "seeds"),
            ("encoders=[\"supervised\"]", "supervised"),
            ("probes.1.tap=block9", "block9"),
            ("probes.7.tap=block1", "probes has 2"),
            ("training.epoch=3", "epoch"),
            (
                "published=[{method=\"knn\",encoder=\"AET\",source=\"none\",error=nan}]",
                "finite",
            ),
        ] {
            let message = parse(&[change]).map_or_else(|e| e.to_string(), |_| "taken".into());
            assert!(message.contains(expected), "{change}: {message}");
        }
    }
}
