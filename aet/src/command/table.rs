//! `aet table`: the tables of a document, from the records of protocols.

use std::path::PathBuf;
use std::time::Duration;

use aet_learn::protocol::{ProtocolRecord, Published};
use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::RunsArgs;
use crate::failure::usage;
use crate::output::{print, print_json, write_whole};
use crate::progress::clock;
use crate::records::records_at;
use crate::scoreboard::Scoreboard;

/// What stands around the tables in a document.
const BEGIN: &str = "<!-- aet table: begin -->";
const END: &str = "<!-- aet table: end -->";

/// Render tables from what protocols found on many runs
///
/// Takes the records that `aet probe RUN --protocol NAME` leaves in each run. Runs of one experiment
/// that differ in their seeds alone become one table of means and deviations. With --into, the
/// tables replace what stands between the lines `<!-- aet table: begin -->` and
/// `<!-- aet table: end -->` of a document.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet table                                        every run in runs/
  aet table docs/records --into docs/reproduction.md")]
pub struct TableArgs {
    /// Records, folders of records, runs, or folders of runs [default: the folder of runs]
    places: Vec<PathBuf>,
    /// Document to put the tables into, between its two marks
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
    /// Only this protocol
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
    #[command(flatten)]
    runs: RunsArgs,
    /// Print one JSON object instead of Markdown
    #[arg(long, conflicts_with = "into")]
    json: bool,
}

/// Renders.
///
/// # Errors
/// When there is no record, one cannot be read, or the document lacks its marks.
pub fn run(args: &TableArgs) -> anyhow::Result<()> {
    let places = match args.places.as_slice() {
        [] => std::slice::from_ref(&args.runs.runs),
        places => places,
    };
    let mut records = Vec::new();
    for place in places {
        if !place.exists() {
            return Err(usage(format!("there is no {}", place.display())));
        }
        records.extend(records_at(place)?);
    }
    if let Some(protocol) = &args.protocol {
        records.retain(|record| record.protocol == *protocol);
    }
    if records.is_empty() {
        let places: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
        return Err(usage(format!(
            "there is no record of a protocol in {}; aet probe RUN --protocol NAME makes one",
            places.join(", ")
        )));
    }
    let groups = groups(&records);
    if args.json {
        let tables: Vec<Value> = groups.iter().map(|group| json_of(group)).collect();
        return print_json(&json!({ "tables": tables }));
    }
    let texts: Vec<String> = groups.iter().map(|group| markdown_of(group)).collect();
    let text = texts.join("\n");
    match &args.into {
        None => print(&text),
        Some(path) => {
            let document = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let Some(document) = between_marks(&document, &text) else {
                return Err(usage(format!(
                    "{} lacks the lines {BEGIN} and {END}, between which tables are put",
                    path.display()
                )));
            };
            write_whole(path, document.as_bytes())?;
            print(&format!("{}  {} tables", path.display(), groups.len()))
        }
    }
}

/// Records that belong into one table: the same protocol on the same experiment but for its seed.
fn groups(records: &[ProtocolRecord]) -> Vec<Vec<&ProtocolRecord>> {
    let mut groups: Vec<Vec<&ProtocolRecord>> = Vec::new();
    for record in records {
        let alike = |group: &&mut Vec<&ProtocolRecord>| {
            let (one, other) = (&group[0].subject, &record.subject);
            group[0].definition == record.definition
                && group[0].protocol == record.protocol
                && one.preset == other.preset
                && one.method == other.method
                && one.backbone == other.backbone
                && one.epochs == other.epochs
                && one.fingerprints[1] == other.fingerprints[1]
        };
        match groups.iter_mut().find(alike) {
            Some(group) => group.push(record),
            None => groups.push(vec![record]),
        }
    }
    groups
}

/// The heading, the remarks and the table of a group.
fn markdown_of(group: &[&ProtocolRecord]) -> String {
    let first = group[0];
    let subject = &first.subject;
    let mut text = format!(
        "### {} on {}: {}, {}, {} epochs\n\n",
        first.protocol, subject.data, subject.preset, subject.method, subject.epochs
    );
    text.push_str(&format!("{}.\n\n", first.definition.description));
    let runs: Vec<String> = group
        .iter()
        .map(|record| format!("{} (seed {})", record.subject.run, record.subject.seed))
        .collect();
    let seeds: Vec<String> = first.definition.seeds.iter().map(u64::to_string).collect();
    let seconds: f64 = group
        .iter()
        .flat_map(|record| &record.pieces)
        .map(|piece| piece.seconds)
        .sum();
    text.push_str(&format!(
        "`{}`, {}, {}, {} in all. Runs {}; protocol seeds {}. {} training and {} test images of {}x{}. \
         Test error in per cent, after the last epoch or the one chosen on validation images; mean \
         and standard deviation over runs and seeds, and in brackets the 95% bootstrap interval \
         over test images.\n\n",
        subject.command,
        subject.day,
        subject.machine,
        clock(Duration::from_secs_f64(seconds.max(0.0))),
        runs.join(", "),
        seeds.join(", "),
        subject.train_images,
        subject.test_images,
        subject.image_size[0],
        subject.image_size[1],
    ));
    for remark in first.remarks() {
        text.push_str(&format!("- {remark}\n"));
    }
    if !text.ends_with("\n\n") {
        text.push('\n');
    }
    text.push_str(&Scoreboard::of(group).grid().to_markdown());
    text.push_str(&sources(&first.definition.published));
    text
}

/// Where the published figures come from.
fn sources(published: &[Published]) -> String {
    let mut sources: Vec<&str> = published
        .iter()
        .map(|figure| figure.source.as_str())
        .collect();
    sources.sort_unstable();
    sources.dedup();
    match sources.as_slice() {
        [] => String::new(),
        sources => format!(
            "\nPublished figures are those of other networks, trained for longer, on the original \
             pixels: {}.\n",
            sources.join("; ")
        ),
    }
}

fn json_of(group: &[&ProtocolRecord]) -> Value {
    let first = group[0];
    json!({
        "protocol": first.protocol,
        "reductions": first.reductions,
        "remarks": first.remarks(),
        "subjects": group.iter().map(|record| &record.subject).collect::<Vec<_>>(),
        "rows": Scoreboard::of(group).json(),
    })
}

/// `document` with `text` between its marks; None where it lacks them.
fn between_marks(document: &str, text: &str) -> Option<String> {
    let start = document.find(BEGIN)? + BEGIN.len();
    let end = start + document[start..].find(END)?;
    Some(format!(
        "{}\n\n{}\n\n{}",
        &document[..start],
        text.trim(),
        &document[end..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_replace_what_stands_between_the_marks_and_nothing_else() {
        let document = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let once = between_marks(&document, "new").unwrap_or_default();
        assert_eq!(once, format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(between_marks(&once, "new"), Some(once));
        assert_eq!(between_marks("no marks", "new"), None);
    }
}
