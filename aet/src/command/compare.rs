//! `aet compare`: two runs under the same protocol, image by image.

use aet_learn::protocol::{EncoderKind, Piece, ProtocolRecord};
use aet_learn::statistics::{Paired, compare};
use clap::Args;
use serde_json::{Value, json};

use super::RunsArgs;
use crate::failure::usage;
use crate::output::{print, print_json};
use crate::records::records_at;
use crate::run_place;
use crate::scoreboard::method_of;
use crate::table::{Align, Grid};
use crate::verdict::percent;

/// Compare two runs under the protocols that both were judged by
///
/// Both encoders saw the same test images, so they are compared image by image: McNemar's exact
/// test says how likely a difference like this is between equally good encoders, and a bootstrap
/// over test images gives a 95% interval of the difference. The interval and the test are about the
/// test images; how much another seed of pretraining would change is a question for several runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet probe one --protocol cifar10-paper
  aet probe two --protocol cifar10-paper
  aet compare one two
  aet compare one two --protocol quick --encoder random")]
pub struct CompareArgs {
    /// A run: its name, or the path of its folder
    first: String,
    /// Another run
    second: String,
    /// Only this protocol
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
    /// Encoder to compare
    #[arg(long, value_enum, default_value_t = EncoderName::Trained)]
    encoder: EncoderName,
    #[command(flatten)]
    runs: RunsArgs,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// The encoders of a protocol by their names on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum EncoderName {
    /// With random weights
    Random,
    /// Pretrained
    Trained,
    /// Trained with labels from scratch
    Supervised,
}

impl From<EncoderName> for EncoderKind {
    fn from(name: EncoderName) -> Self {
        match name {
            EncoderName::Random => Self::Random,
            EncoderName::Trained => Self::Trained,
            EncoderName::Supervised => Self::Supervised,
        }
    }
}

/// One probe on both runs.
struct Row {
    protocol: String,
    seed: u64,
    labels_per_class: Option<usize>,
    probe: String,
    tap: String,
    errors: [f64; 2],
    paired: Paired,
}

/// Compares.
///
/// # Errors
/// When a run is not there, or the runs share no protocol on the same test images.
pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    let [first, second] = [&args.first, &args.second].map(|name| {
        let run = run_place::open(name, &args.runs.runs)?;
        let mut records = records_at(run.path())?;
        if let Some(protocol) = &args.protocol {
            records.retain(|record| record.protocol == *protocol);
        }
        anyhow::Ok(records)
    });
    let (first, second) = (first?, second?);
    let mut rows = Vec::new();
    for one in &first {
        for other in second.iter().filter(|r| r.protocol == one.protocol) {
            check(one, other)?;
            rows.extend(pairs(one, other, args.encoder.into()));
        }
    }
    if rows.is_empty() {
        let names = |records: &[ProtocolRecord]| -> String {
            let names: Vec<&str> = records.iter().map(|r| r.protocol.as_str()).collect();
            if names.is_empty() {
                "none".into()
            } else {
                names.join(", ")
            }
        };
        return Err(usage(format!(
            "the runs share no result: {} was judged by {}, {} by {}; run aet probe RUN --protocol NAME on both, with the same seeds",
            args.first,
            names(&first),
            args.second,
            names(&second)
        )));
    }
    show(args, &rows)
}

/// Refuses records that were made on different test images.
fn check(one: &ProtocolRecord, other: &ProtocolRecord) -> anyhow::Result<()> {
    if one.subject.fingerprints[1] == other.subject.fingerprints[1] {
        return Ok(());
    }
    Err(usage(format!(
        "runs {} and {} were judged on different test images by protocol {}; they cannot be compared image by image",
        one.subject.run, other.subject.run, one.protocol
    )))
}

/// The probes that both records have results of.
fn pairs(one: &ProtocolRecord, other: &ProtocolRecord, encoder: EncoderKind) -> Vec<Row> {
    let of_encoder = |piece: &&Piece| piece.encoder == encoder;
    let mut rows = Vec::new();
    for piece in one.pieces.iter().filter(of_encoder) {
        let twin = other.piece(
            piece.seed,
            piece.labels_per_class,
            encoder,
            piece.whole_network,
        );
        let Some(twin) = twin else { continue };
        for result in &piece.results {
            let same = |other: &&aet_learn::protocol::ProtocolResult| {
                other.result.probe == result.result.probe
            };
            let Some(partner) = twin.results.iter().find(same) else {
                continue;
            };
            let marks = [&result.result.marks.0, &partner.result.marks.0];
            let Some(paired) = compare(marks[0], marks[1]) else {
                continue;
            };
            rows.push(Row {
                protocol: one.protocol.clone(),
                seed: piece.seed,
                labels_per_class: piece.labels_per_class,
                probe: method_of(result),
                tap: result.result.tap.clone(),
                errors: [result.result.error, partner.result.error],
                paired,
            });
        }
    }
    rows
}

fn show(args: &CompareArgs, rows: &[Row]) -> anyhow::Result<()> {
    if args.json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        return print_json(&json!({ "runs": [args.first, args.second], "rows": rows }));
    }
    let (first, second) = (args.first.as_str(), args.second.as_str());
    let only = [
        format!("only {first} right"),
        format!("only {second} right"),
    ];
    let errors = [format!("{first} %"), format!("{second} %")];
    let headings = [
        ("protocol", Align::Left),
        ("labels a class", Align::Right),
        ("seed", Align::Right),
        ("probe", Align::Left),
        ("tap", Align::Left),
        (errors[0].as_str(), Align::Right),
        (errors[1].as_str(), Align::Right),
        ("difference", Align::Right),
        (only[0].as_str(), Align::Right),
        (only[1].as_str(), Align::Right),
        ("p (McNemar)", Align::Right),
    ];
    let mut grid = Grid::new(&headings, rows.iter().map(Row::cells).collect());
    grid.drop_empty_columns();
    print(&format!(
        "Test error of {first} and {second} on the same images, with a 95% interval of the difference\n\n{}",
        grid.to_text()
    ))
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let paired = &self.paired;
        let points = |share: f64| format!("{:+.2}", 100.0 * share);
        let [low, high] = paired.interval.map(points);
        let labels = self.labels_per_class.map(|count| count.to_string());
        vec![
            self.protocol.clone(),
            labels.unwrap_or_default(),
            self.seed.to_string(),
            self.probe.clone(),
            self.tap.clone(),
            percent(self.errors[0]),
            percent(self.errors[1]),
            format!("{} [{low}, {high}]", points(paired.difference)),
            paired.only_first.to_string(),
            paired.only_second.to_string(),
            p_text(paired.p_value),
        ]
    }

    fn json(&self) -> Value {
        let paired = &self.paired;
        json!({
            "protocol": self.protocol, "seed": self.seed,
            "labels_per_class": self.labels_per_class, "probe": self.probe, "tap": self.tap,
            "errors": self.errors, "difference": paired.difference, "interval": paired.interval,
            "only_first": paired.only_first, "only_second": paired.only_second,
            "p_value": paired.p_value,
        })
    }
}

/// A p-value with two digits that say something.
fn p_text(p: f64) -> String {
    match p {
        p if p < 1e-4 => format!("{p:.1e}"),
        p => format!("{p:.4}"),
    }
}
