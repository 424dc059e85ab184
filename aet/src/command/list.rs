//! `aet list`: everything that the binary knows, from the constants of the libraries.

use aet_data::FORMATS;
use aet_geometry::Family;
use aet_learn::backbone::BACKBONES;
use aet_learn::objective::OBJECTIVES;
use aet_learn::optim::OPTIMIZERS;
use aet_learn::probe::PROBES;
use aet_learn::schedule::SCHEDULES;
use clap::Args;
use serde_json::{Map, Value, json};

use crate::output::{print, print_json};
use crate::preset::PRESETS;
use crate::protocols::PROTOCOLS;
use crate::table::text_list;

/// List every preset, protocol, format, family, backbone, objective, schedule and probe
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet list
  aet list --json | jq -r '.presets[].name'")]
pub struct ListArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// One kind of thing: its plural, how it is chosen, and its members with a line on each.
struct Section {
    plural: &'static str,
    chosen_by: &'static str,
    members: Vec<(String, String)>,
}

/// Prints the list.
///
/// # Errors
/// When stdout is closed.
pub fn run(args: &ListArgs) -> anyhow::Result<()> {
    let sections = sections();
    if args.json {
        return print_json(&as_json(&sections));
    }
    let texts: Vec<String> = sections
        .iter()
        .map(|section| {
            let members = text_list(&section.members);
            format!("{} ({})\n{members}", section.plural, section.chosen_by)
        })
        .collect();
    print(&texts.join("\n"))
}

fn sections() -> Vec<Section> {
    let presets = PRESETS
        .iter()
        .map(|preset| (preset.name.to_string(), preset.description()))
        .collect();
    vec![
        Section {
            plural: "presets",
            chosen_by: "aet pretrain --preset NAME",
            members: presets,
        },
        Section {
            plural: "protocols",
            chosen_by: "aet probe RUN --protocol NAME",
            members: PROTOCOLS
                .iter()
                .map(|protocol| (protocol.name.to_string(), protocol.description()))
                .collect(),
        },
        section("formats", "told from the path", FORMATS),
        section("families", "--set transformation.kind=NAME", Family::KINDS),
        section("backbones", "--set backbone.kind=NAME", BACKBONES),
        section("objectives", "--set objective.kind=NAME", OBJECTIVES),
        section("optimizers", "--set optimizer.kind=NAME", OPTIMIZERS),
        section("schedules", "--set schedule.kind=NAME", SCHEDULES),
        section("probes", "aet probe RUN --probe NAME", PROBES),
    ]
}

fn section(
    plural: &'static str,
    chosen_by: &'static str,
    members: &[(&'static str, &'static str)],
) -> Section {
    let members = members
        .iter()
        .map(|(name, line)| (name.to_string(), line.to_string()));
    Section {
        plural,
        chosen_by,
        members: members.collect(),
    }
}

fn as_json(sections: &[Section]) -> Value {
    let mut object = Map::new();
    for section in sections {
        let members = section
            .members
            .iter()
            .map(|(name, line)| json!({ "name": name, "line": line }))
            .collect();
        object.insert(section.plural.into(), Value::Array(members));
    }
    Value::Object(object)
}
