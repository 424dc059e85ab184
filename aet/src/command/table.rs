//! `aet table`: the tables of a document, from the records of protocols.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use aet_learn::protocol::{ProtocolRecord, Published};
use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::RunsArgs;
use crate::failure::usage;
use crate::methods::Methods;
use crate::output::{print, print_json, write_whole};
use crate::progress::clock;
use crate::records::records_at;
use crate::scoreboard::Scoreboard;

/// What stands around the tables in a document, before and behind.
fn marks(name: Option<&str>) -> [String; 2] {
    let name = name.map_or_else(String::new, |name| format!(" {name}"));
    ["begin", "end"].map(|side| format!("<!-- aet table{name}: {side} -->"))
}

/// Render tables from what protocols found on many runs
///
/// Takes the records that `aet probe RUN --protocol NAME` leaves in each run. Runs of one experiment
/// that differ in their seeds alone become one table of means and deviations. With --methods, all
/// runs that a protocol judged on the same images become one table, a row for each method of
/// pretraining. With --into, the tables replace what stands between the lines
/// `<!-- aet table: begin -->` and `<!-- aet table: end -->` of a document, or, with --mark NAME,
/// `<!-- aet table NAME: begin -->` and `<!-- aet table NAME: end -->`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet table                                        every run in runs/
  aet table docs/records --into docs/reproduction.md
  aet table runs/ --protocol cifar10-cpu --methods  methods of pretraining side by side")]
pub struct TableArgs {
    /// Records, folders of records, runs, or folders of runs [default: the folder of runs]
    places: Vec<PathBuf>,
    /// Document to put the tables into, between its two marks
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
    /// Name of the marks, where a document has several
    #[arg(long, value_name = "NAME", requires = "into")]
    mark: Option<String>,
    /// Only this protocol
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
    /// One table of methods side by side instead of one for each
    #[arg(long)]
    methods: bool,
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
    let groups = match args.methods {
        true => groups(&records, of_one_setting),
        false => groups(&records, of_one_experiment),
    };
    if args.json {
        let tables = groups.iter().map(|group| match args.methods {
            true => json!({ "protocol": group[0].protocol, "rows": Methods::of(group).json() }),
            false => json_of(group),
        });
        return print_json(&json!({ "tables": tables.collect::<Vec<Value>>() }));
    }
    let texts = groups.iter().map(|group| match args.methods {
        true => methods_markdown(group),
        false => markdown_of(group),
    });
    let texts: Vec<String> = texts.collect();
    let text = texts.join("\n");
    match &args.into {
        None => print(&text),
        Some(path) => {
            let document = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let [begin, end] = marks(args.mark.as_deref());
            let Some(document) = between_marks(&document, [&begin, &end], &text) else {
                return Err(usage(format!(
                    "{} lacks the lines {begin} and {end}, between which tables are put",
                    path.display()
                )));
            };
            write_whole(path, document.as_bytes())?;
            print(&format!("{}  {} tables", path.display(), groups.len()))
        }
    }
}

/// Records by the table that they belong into: that of the first record that they are `alike` to.
fn groups(
    records: &[ProtocolRecord],
    alike: fn(&ProtocolRecord, &ProtocolRecord) -> bool,
) -> Vec<Vec<&ProtocolRecord>> {
    let mut groups: Vec<Vec<&ProtocolRecord>> = Vec::new();
    for record in records {
        match groups.iter_mut().find(|group| alike(group[0], record)) {
            Some(group) => group.push(record),
            None => groups.push(vec![record]),
        }
    }
    groups
}

/// Whether two records are of one protocol on one experiment but for its seed.
fn of_one_experiment(one: &ProtocolRecord, other: &ProtocolRecord) -> bool {
    one.definition == other.definition
        && one.subject.preset == other.subject.preset
        && one.subject.method == other.subject.method
        && of_one_setting(one, other)
}

/// Whether two records are of one protocol, but for its seeds and encoders, on the same network,
/// length of pretraining and test images.
fn of_one_setting(one: &ProtocolRecord, other: &ProtocolRecord) -> bool {
    let probes = |record: &ProtocolRecord| {
        let mut definition = record.definition.clone();
        definition.seeds.clear();
        definition.encoders.clear();
        definition
    };
    let (first, second) = (&one.subject, &other.subject);
    one.protocol == other.protocol
        && probes(one) == probes(other)
        && first.backbone == second.backbone
        && first.epochs == second.epochs
        && first.fingerprints[1] == second.fingerprints[1]
}

/// The heading, how it was made, and the table of methods side by side.
fn methods_markdown(group: &[&ProtocolRecord]) -> String {
    let (first, subject) = (group[0], &group[0].subject);
    let all = |of: fn(&ProtocolRecord) -> String| {
        let texts: BTreeSet<String> = group.iter().map(|record| of(record)).collect();
        texts.into_iter().collect::<Vec<_>>().join(", ")
    };
    format!(
        "### {} on {}: methods of pretraining, {} epochs\n\n{}.\n\n\
         Records of {} runs, {}, {}. {} training and {} test images of {}x{}. Test error in per \
         cent after the last epoch; mean and standard deviation over runs, and in brackets the 95% \
         bootstrap interval of the mean over test images. Methods stand in the order of the last \
         column.\n\n{}",
        first.protocol,
        subject.data,
        subject.epochs,
        first.definition.description,
        group.len(),
        all(|record| record.subject.day.clone()),
        all(|record| record.subject.machine.clone()),
        subject.train_images,
        subject.test_images,
        subject.image_size[0],
        subject.image_size[1],
        Methods::of(group).grid().to_markdown()
    )
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
fn between_marks(document: &str, [begin, end]: [&str; 2], text: &str) -> Option<String> {
    let start = document.find(begin)? + begin.len();
    let end = start + document[start..].find(end)?;
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
        let [[begin, end], [first, last]] = [marks(None), marks(Some("of methods"))];
        let others = format!("{first}\nkept\n{last}\n");
        let document = format!("before\n{others}{begin}\nold\n{end}\nafter\n");
        let put = |document: &str| between_marks(document, [&begin, &end], "new");
        let once = put(&document).unwrap_or_default();
        let expected = format!("before\n{others}{begin}\n\nnew\n\n{end}\nafter\n");
        assert_eq!(once, expected);
        assert_eq!(put(&once), Some(once));
        assert_eq!(put("no marks"), None);
    }
}
