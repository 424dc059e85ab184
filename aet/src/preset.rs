//! Presets: experiments that the binary carries. Each is a file in `presets/` and one row in
//! [`PRESETS`]. Also the way from a preset, a file and `--set` to a checked experiment.

use std::path::Path;

use aet_learn::ConfigError;
use aet_learn::config::{Experiment, ExperimentConfig};
use anyhow::Context;
use toml::{Table, Value};

use crate::failure::usage;

/// The preset that runs when none is named.
pub const DEFAULT: &str = "smoke";

/// One experiment that the binary carries.
#[derive(Debug)]
pub struct Preset {
    /// Its name, which is that of its file.
    pub name: &'static str,
    /// Its TOML.
    pub text: &'static str,
}

macro_rules! preset {
    ($name:literal) => {
        Preset {
            name: $name,
            text: include_str!(concat!("../../presets/", $name, ".toml")),
        }
    };
}

/// Every preset.
pub const PRESETS: &[Preset] = &[
    preset!("smoke"),
    preset!("shapes"),
    preset!("photos-resnet18-cpu"),
    preset!("tiny-imagenet-resnet18-cpu"),
    preset!("cifar10-nin-projective"),
    preset!("cifar10-nin-affine"),
    preset!("cifar10-nin-projective-cpu"),
    preset!("cifar10-nin-aed-cpu"),
    preset!("cifar10-nin-rotnet-cpu"),
    preset!("generator"),
    preset!("cifar10-lgan"),
    preset!("cifar10-lgan-cpu"),
];

/// What a user says about an experiment, weakest first.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// Name of the preset.
    pub preset: &'a str,
    /// A TOML file whose keys go over the preset's.
    pub config: Option<&'a Path>,
    /// `key=value` changes that go over both.
    pub changes: &'a [String],
}

impl Preset {
    /// The preset called `name`.
    ///
    /// # Errors
    /// A usage error that lists the presets and offers the nearest name.
    pub fn find(name: &str) -> anyhow::Result<&'static Self> {
        if let Some(found) = PRESETS.iter().find(|preset| preset.name == name) {
            return Ok(found);
        }
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        Err(usage(format!(
            "there is no preset {name:?}{}; presets are {}",
            did_you_mean(name, &names),
            names.join(", ")
        )))
    }

    /// What the preset says about itself, in a line.
    pub fn description(&self) -> String {
        let table: Table = self.text.parse().unwrap_or_default();
        let line = table.get("description").and_then(Value::as_str);
        line.unwrap_or_default().to_string()
    }
}

impl Request<'_> {
    /// The experiment as asked for, checked: the preset, then the file, then the changes.
    ///
    /// # Errors
    /// When the preset or the file is not there, a key is unknown, or a value cannot be.
    pub fn resolve(&self) -> anyhow::Result<Experiment> {
        let preset = Preset::find(self.preset)?;
        let preset_origin = format!("preset {}", preset.name);
        let Some(path) = self.config else {
            return Ok(self.parse(preset.text, &preset_origin)?.resolve()?);
        };
        let origin = path.display().to_string();
        let text = read_config(path)?;
        let mut table = parse_table(preset.text, &preset_origin)?;
        merge(&mut table, experiment_in(parse_table(&text, &origin)?));
        let merged = toml::to_string(&table).context("cannot merge the configuration")?;
        Ok(self.parse(&merged, &origin)?.resolve()?)
    }

    /// The experiment of `text` with the changes. A refusal names the change that is to blame: the
    /// one without which there is none.
    fn parse(&self, text: &str, origin: &str) -> Result<ExperimentConfig, ConfigError> {
        let error = match ExperimentConfig::parse(text, origin, self.changes) {
            Err(ConfigError::Toml { origin, message }) => (origin, message),
            outcome => return outcome,
        };
        let (mut origin, message) = error;
        for index in 0..self.changes.len() {
            let mut others = self.changes.to_vec();
            let change = others.remove(index);
            if ExperimentConfig::parse(text, &origin, &others).is_ok() {
                origin = format!("--set {change}");
                break;
            }
        }
        Err(ConfigError::Toml { origin, message })
    }
}

/// `; did you mean ...` when one of `known` is near `name`, else nothing.
pub fn did_you_mean(name: &str, known: &[&str]) -> String {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, nearest)| {
            format!("; did you mean {nearest:?}?")
        })
}

fn read_config(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        usage(format!(
            "cannot read the configuration {}: {error}",
            path.display()
        ))
    })
}

/// The experiment in a file: the whole of it, or that part of a `run.toml`.
fn experiment_in(mut file: Table) -> Table {
    match file.remove("experiment") {
        Some(Value::Table(experiment)) if file.contains_key("run") => experiment,
        Some(other) => {
            file.insert("experiment".into(), other);
            file
        }
        None => file,
    }
}

fn parse_table(text: &str, origin: &str) -> anyhow::Result<Table> {
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(0, |span| {
            1 + text[..span.start.min(text.len())].matches('\n').count()
        });
        usage(format!("{origin}, line {line}: {}", error.message()))
    })
}

/// Puts every key of `over` into `base`. Tables are merged, except that a table which says another
/// `kind` takes the place of the old one, whose keys belong to the old kind.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new))
                if new
                    .get("kind")
                    .is_none_or(|kind| old.get("kind") == Some(kind)) =>
            {
                merge(old, new);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use aet_learn::optim::OptimizerConfig;

    fn resolve(preset: &str, changes: &[&str]) -> anyhow::Result<Experiment> {
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        Request {
            preset,
            config: None,
            changes: &changes,
        }
        .resolve()
    }

    #[test]
    fn every_file_of_presets_is_in_the_table() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../presets");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "toml")
            })
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let names: BTreeSet<String> = PRESETS.iter().map(|p| p.name.to_string()).collect();
        assert_eq!(files, names);
    }

    #[test]
    fn every_preset_resolves_and_says_what_it_is_for() {
        for preset in PRESETS {
            let experiment = resolve(preset.name, &[]).unwrap();
            assert_eq!(experiment.description, preset.description());
            assert!(experiment.description.len() > 20, "{}", preset.name);
            for part in ["# Goal ", "# Command ", "# Expected ", "# Time "] {
                assert!(preset.text.contains(part), "{} lacks {part}", preset.name);
            }
        }
    }

    #[test]
    fn released_presets_carry_the_released_recipe() {
        for name in ["cifar10-nin-projective", "cifar10-nin-affine"] {
            let experiment = resolve(name, &[]).unwrap();
            assert_eq!(experiment.training.epochs, 1500);
            assert_eq!(experiment.training.batch_size, 512);
            assert_eq!(experiment.augment.crop_padding, 4);
            assert!(experiment.augment.horizontal_flip);
            assert_eq!(experiment.warp.fill, [128; 3]);
            assert_eq!(experiment.optimizer, OptimizerConfig::default());
            for (epoch, rate) in [(0, 0.1), (240, 0.02), (800, 0.00016), (1250, 0.00008)] {
                let found = experiment.schedule.rate(epoch * 97, 97, 1500);
                assert!((found - rate).abs() < 1e-12, "epoch {epoch}: {found}");
            }
        }
    }

    #[test]
    fn the_cpu_preset_changes_only_size_rate_and_length() {
        let shared = [
            "backbone.width=1.0",
            "training.batch_size=512",
            "training.epochs=1500",
            "schedule.kind=constant",
            "schedule.rate=0.1",
            "evaluation.eval_every=0",
            "evaluation.probes=[]",
            "description=x",
        ];
        let cpu = resolve("cifar10-nin-projective-cpu", &shared).unwrap();
        assert_eq!(cpu, resolve("cifar10-nin-projective", &shared).unwrap());
    }

    #[test]
    fn unknown_presets_name_the_nearest_and_all_others() {
        let message = Preset::find("smok").unwrap_err().to_string();
        assert!(message.contains("did you mean \"smoke\"?"), "{message}");
        assert!(message.contains("cifar10-nin-affine"), "{message}");
    }

    #[test]
    fn a_file_goes_over_the_preset_and_changes_go_over_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.toml");
        let text = "[training]\nepochs = 3\nbatch_size = 32\n[schedule]\nkind = \"constant\"\nrate = 0.5\n";
        std::fs::write(&path, text).unwrap();
        let changes = ["training.epochs=4".to_string()];
        let experiment = Request {
            preset: "smoke",
            config: Some(&path),
            changes: &changes,
        }
        .resolve()
        .unwrap();
        assert_eq!(experiment.training.epochs, 4);
        assert_eq!(experiment.training.batch_size, 32);
        assert!((experiment.schedule.peak_rate() - 0.5).abs() < 1e-12);
        assert_eq!(experiment.transformation.name(), "projective");
    }

    #[test]
    fn the_file_of_a_run_gives_its_experiment_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        let original = resolve("cifar10-nin-affine", &["seed=9"]).unwrap();
        let mut file = Table::new();
        file.insert("run".into(), Value::Table(Table::new()));
        let experiment = original.to_toml().unwrap().parse::<Table>().unwrap();
        file.insert("experiment".into(), Value::Table(experiment));
        std::fs::write(&path, toml::to_string(&file).unwrap()).unwrap();
        let request = Request {
            preset: "smoke",
            config: Some(&path),
            changes: &[],
        };
        assert_eq!(request.resolve().unwrap(), original);
    }

    #[test]
    fn the_change_that_is_to_blame_is_named() {
        let changes = [
            "seed=3",
            "training.epoch=3",
            "schedule.kind=constant",
            "schedule.rate=1",
        ];
        let message = resolve("smoke", &changes).unwrap_err().to_string();
        assert!(message.starts_with("--set training.epoch=3: "), "{message}");
    }

    #[test]
    fn a_broken_file_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.toml");
        std::fs::write(&path, "seed = 1\n[training\n").unwrap();
        let request = Request {
            preset: "smoke",
            config: Some(&path),
            changes: &[],
        };
        let message = request.resolve().unwrap_err().to_string();
        assert!(message.contains("my.toml, line 2: "), "{message}");
    }
}
