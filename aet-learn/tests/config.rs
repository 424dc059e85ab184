//! Experiments as text: what is read, what overrides do, and what is refused in one clear line.
#![allow(clippy::unwrap_used, missing_docs)]

use aet_learn::config::{Experiment, ExperimentConfig};
use aet_learn::error::ConfigError;

const TOML: &str = "[transformation]\nkind = \"projective\"\ncorner_shift = 0.1\n";

fn resolve(changes: &[&str]) -> Result<Experiment, ConfigError> {
    let changes: Vec<String> = changes.iter().map(|change| change.to_string()).collect();
    ExperimentConfig::parse(TOML, "test.toml", &changes)?.resolve()
}

fn refusal(change: &str) -> String {
    let message = resolve(&[change]).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

#[test]
fn overrides_reach_nested_keys_and_take_bare_words_as_strings() {
    let experiment = resolve(&[
        "training.epochs=7",
        "backbone.kind=nin",
        "backbone.width=0.5",
        "data.path=some/folder",
    ])
    .unwrap();
    assert_eq!(experiment.training.epochs, 7);
    assert_eq!(experiment.data.path, "some/folder");
}

#[test]
fn changing_a_kind_drops_the_keys_of_the_old_kind() {
    let experiment =
        resolve(&["transformation.kind=affine", "transformation.shear_deg=10"]).unwrap();
    assert_eq!(experiment.transformation.name(), "affine");
}

#[test]
fn changing_a_kind_keeps_what_was_changed_before_it() {
    let hidden = ["objective.hidden=7", "objective.kind=avt"];
    let swapped = ["objective.kind=avt", "objective.hidden=7"];
    let found = resolve(&hidden).unwrap();
    assert_eq!(found, resolve(&swapped).unwrap());
    assert_ne!(found, resolve(&hidden[1..]).unwrap());
    // The new kind has no such key, which is said and not passed over.
    let message = resolve(&["objective.loss=matrix", "objective.kind=avt"]).unwrap_err();
    assert!(message.to_string().contains("loss"), "{message}");
}

#[test]
fn a_resolved_experiment_survives_its_own_toml() {
    let experiment = resolve(&["seed=3", "schedule.kind=constant", "schedule.rate=0.1"]).unwrap();
    let text = experiment.to_toml().unwrap();
    let again = ExperimentConfig::parse(&text, "again", &[]).unwrap();
    assert_eq!(again.resolve().unwrap(), experiment);
}

#[test]
fn unknown_keys_are_named() {
    for (change, word) in [
        ("training.epoch=7", "epoch"),
        ("trainng.epochs=7", "trainng"),
        ("transformation.corners=1", "corners"),
        ("optimizer.momentun=0.9", "momentun"),
        ("objective.los=matrix", "los"),
        ("backbone.depth=3", "depth"),
    ] {
        assert!(
            refusal(change).contains(word),
            "{change}: {}",
            refusal(change)
        );
    }
}

#[test]
fn impossible_ranges_name_the_key_the_range_and_the_value() {
    for (change, key, value) in [
        ("backbone.blocks=6", "backbone.blocks", "6"),
        ("backbone.width=0", "backbone.width", "0"),
        ("training.epochs=0", "training.epochs", "0"),
        ("training.batch_size=1", "training.batch_size", "1"),
        ("optimizer.momentum=1", "optimizer.momentum", "1"),
        ("optimizer.weight_decay=-1", "optimizer.weight_decay", "-1"),
        ("data.hold_out=1.5", "data.hold_out", "1.5"),
        ("data.image_size=[2,2]", "data.image_size", "[2, 2]"),
        ("schedule={kind=\"cosine\",rate=-1}", "schedule.rate", "-1"),
    ] {
        let message = refusal(change);
        assert!(
            message.contains(key) && message.contains(value),
            "{message}"
        );
    }
    assert!(refusal("transformation.scale=[1.2,0.8]").contains("scale"));
}

#[test]
fn an_unknown_tap_lists_those_that_there_are() {
    let message = refusal("evaluation.probes=[{tap=\"block9\",method={kind=\"knn\"}}]");
    assert!(
        message.contains("block1, block2, block3, block4"),
        "{message}"
    );
}

#[test]
fn probes_that_are_not_named_read_a_tap_that_the_backbone_has() {
    for (kind, tap) in [
        ("nin", "block2"),
        ("alexnet", "conv4"),
        ("resnet", "stage3"),
    ] {
        let experiment = resolve(&[&format!("backbone.kind={kind}")]).unwrap();
        let probes = &experiment.evaluation.probes;
        assert!(!probes.is_empty());
        assert!(probes.iter().all(|probe| probe.tap == tap), "{kind}");
    }
    let knn = "evaluation.probes=[{method={kind=\"knn\"}}]";
    let named = resolve(&["backbone.kind=resnet", knn]).unwrap();
    assert_eq!(named.evaluation.probes[0].tap, "stage3");
}

#[test]
fn sizes_of_backbones_out_of_range_name_the_key() {
    let cases = [
        ("backbone={kind=\"resnet\",depth=101}", "backbone.depth"),
        ("backbone={kind=\"resnet\",width=0.0}", "backbone.width"),
        ("backbone={kind=\"alexnet\",width=17.0}", "backbone.width"),
        ("backbone={kind=\"resnet\",stem=\"large\"}", "large"),
        ("backbone={kind=\"alexnet\",depth=18}", "depth"),
    ];
    for (change, word) in cases {
        let message = refusal(change);
        assert!(message.contains(word), "{change}: {message}");
    }
}
