//! What a user writes: experiments and protocols.

use aet_learn::backbone::{AlexNetConfig, BackboneConfig};
use aet_learn::config::ExperimentConfig;
use aet_learn::protocol::{Protocol, ProtocolConfig};

use crate::claims::{same, told};
use crate::parts::parted;

/// An experiment, and changes to it, one a line. A checked one is the same after it is written.
pub(crate) fn experiment(input: &[u8]) {
    let Some((text, changes)) = text_and_changes(input) else {
        return;
    };
    let read = told(ExperimentConfig::parse(text, "input", &changes));
    let Ok(experiment) = read.and_then(|config| told(config.resolve())) else {
        return;
    };
    let written = told(experiment.to_toml()).expect("a checked experiment can be written");
    let again = ExperimentConfig::parse(&written, "written", &[]);
    let again = told(again.and_then(ExperimentConfig::resolve));
    same(&Ok(experiment), &again);
}

/// A protocol, and changes to it, one a line, for two networks. A record keeps it as it is.
pub(crate) fn protocol(input: &[u8]) {
    let Some((text, changes)) = text_and_changes(input) else {
        return;
    };
    let alexnet = BackboneConfig::AlexNet(AlexNetConfig::default());
    for backbone in [BackboneConfig::default(), alexnet] {
        let Ok(protocol) = told(Protocol::parse("input", text, &changes, &backbone)) else {
            continue;
        };
        assert!(!protocol.label_counts().is_empty());
        let written = serde_json::to_string(protocol.config()).expect("a protocol can be written");
        let again = told(serde_json::from_str::<ProtocolConfig>(&written));
        same(&Ok(protocol.config().clone()), &again);
    }
}

fn text_and_changes(input: &[u8]) -> Option<(&str, Vec<String>)> {
    let [text, changes] = parted(input);
    let text = std::str::from_utf8(text?).ok()?;
    let changes = std::str::from_utf8(changes.unwrap_or_default()).ok()?;
    Some((text, changes.lines().map(str::to_owned).collect()))
}
