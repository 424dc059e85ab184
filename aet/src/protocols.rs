//! Protocols that the binary carries. Each is a file in `protocols/` and one row in [`PROTOCOLS`].

use std::path::Path;

use aet_learn::backbone::BackboneConfig;
use aet_learn::protocol::Protocol;
use toml::{Table, Value};

use crate::failure::usage;
use crate::preset::did_you_mean;

/// One protocol that the binary carries.
#[derive(Debug)]
pub struct Shipped {
    /// Its name, which is that of its file.
    pub name: &'static str,
    /// Its TOML.
    pub text: &'static str,
}

macro_rules! protocol {
    ($name:literal) => {
        Shipped {
            name: $name,
            text: include_str!(concat!("../../protocols/", $name, ".toml")),
        }
    };
}

/// Every protocol.
pub const PROTOCOLS: &[Shipped] = &[
    protocol!("quick"),
    protocol!("cifar10-paper"),
    protocol!("cifar10-cpu"),
    protocol!("cifar10-few-labels"),
    protocol!("per-block"),
    protocol!("finetune"),
    protocol!("imagenet-alexnet-linear"),
    protocol!("imagenet-alexnet-nonlinear"),
    protocol!("places205-alexnet-linear"),
];

impl Shipped {
    /// What the protocol says about itself, in a line.
    pub fn description(&self) -> String {
        let table: Table = self.text.parse().unwrap_or_default();
        let line = table.get("description").and_then(Value::as_str);
        line.unwrap_or_default().to_string()
    }
}

/// The protocol called `name`, or in the file `name`, with `changes` (`key=value`), for `backbone`.
///
/// # Errors
/// A usage error when there is none (with the nearest name), or when it cannot be.
pub fn find(name: &str, changes: &[String], backbone: &BackboneConfig) -> anyhow::Result<Protocol> {
    if let Some(shipped) = PROTOCOLS.iter().find(|shipped| shipped.name == name) {
        return Ok(Protocol::parse(name, shipped.text, changes, backbone)?);
    }
    let path = Path::new(name);
    if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        let text = std::fs::read_to_string(path)
            .map_err(|error| usage(format!("cannot read the protocol {name}: {error}")))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        return Ok(Protocol::parse(&stem, &text, changes, backbone)?);
    }
    let names: Vec<&str> = PROTOCOLS.iter().map(|shipped| shipped.name).collect();
    Err(usage(format!(
        "there is no protocol {name:?}{}; protocols are {}, or the path of a .toml file",
        did_you_mean(name, &names),
        names.join(", ")
    )))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use aet_learn::protocol::ProtocolConfig;

    /// For a network that has its taps.
    fn fitting(shipped: &Shipped) -> BackboneConfig {
        let kind = match shipped.name.contains("alexnet") {
            true => "alexnet",
            false => "nin",
        };
        toml::from_str(&format!("kind = \"{kind}\"")).unwrap()
    }

    #[test]
    fn every_protocol_parses_and_says_what_it_is_for() {
        for shipped in PROTOCOLS {
            let protocol = find(shipped.name, &[], &fitting(shipped)).unwrap();
            assert!(!protocol.probes.is_empty(), "{}", shipped.name);
            assert!(!shipped.description().is_empty(), "{}", shipped.name);
            for key in ["# Goal", "# Command", "# Expected", "# Time"] {
                assert!(shipped.text.contains(key), "{}: {key}", shipped.name);
            }
        }
    }

    #[test]
    fn every_protocol_in_the_folder_is_carried() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocols");
        let files = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(files, PROTOCOLS.len());
    }

    /// What is run during training by default is what `quick` runs.
    #[test]
    fn online_probes_are_those_of_protocol_quick() {
        let backbone = BackboneConfig::default();
        let quick = find("quick", &[], &backbone).unwrap();
        let text = crate::preset::Preset::find("smoke").unwrap().text;
        let experiment = aet_learn::config::ExperimentConfig::parse(text, "smoke", &[]).unwrap();
        let experiment = experiment.resolve().unwrap();
        let config: &ProtocolConfig = &quick;
        assert_eq!(config.probes, experiment.evaluation.online);
    }

    /// The published probes: 0.1 until epoch 100, 0.01 until 150, then 0.001; batches of 128.
    #[test]
    fn the_papers_probes_are_trained_as_published() {
        let protocol = find("cifar10-paper", &[], &BackboneConfig::default()).unwrap();
        let trained: Vec<_> = protocol.probes.iter().skip(1).collect();
        assert_eq!(trained.len(), 4);
        for probe in trained {
            let training = &probe.training;
            assert_eq!((training.epochs, training.batch_size), (200, 128));
            assert_eq!((training.rate, training.factor), (0.1, 0.1));
            assert_eq!(training.milestones, [0.5, 0.75]);
            assert!(training.augment);
        }
    }

    #[test]
    fn an_unknown_protocol_offers_the_nearest() {
        let error = find("cifar-paper", &[], &BackboneConfig::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("did you mean \"cifar10-paper\"?")
        );
    }
}
