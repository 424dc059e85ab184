//! Experiments, protocols, and what a run writes as text.

use std::path::Path;

use aet_fuzz::joined;
use aet_learn::backbone::BackboneConfig;
use aet_learn::pooling::Pooling;
use aet_learn::probe::{CandidateResult, Chosen, Marks, ProbeResult};
use aet_learn::protocol::{EncoderKind, Piece, Protocol, ProtocolRecord, ProtocolResult, Subject};
use serde_json::json;

use super::Seed;
use super::damage::{instead, of_any_file, seed};

/// The files in a folder of the repository.
fn files_in(folder: &str) -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(folder);
    let entries = std::fs::read_dir(folder).unwrap();
    let entries = entries.map(|entry| entry.unwrap());
    let files = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let mut files: Vec<Seed> = files
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Seeds of experiments.
pub fn experiment() -> Vec<Seed> {
    let changed = |changes: &str| joined(&[b"seed = 3\n", changes.as_bytes()]);
    let mut seeds = files_in("presets");
    seeds.extend([
        seed("empty", ""),
        seed(
            "changes",
            changed("training.epochs=7\nbackbone.kind=alexnet\ndata.path=some/folder"),
        ),
        seed(
            "kinds",
            changed("objective.kind=rotnet\nschedule.kind=constant\nschedule.rate=0.1"),
        ),
        seed(
            "places-in-lists",
            changed("evaluation.probes.0.tap=block1\nevaluation.probes.=1"),
        ),
        seed("no-value", changed("training.epochs\n=3\n.=1\nseed.kind=1")),
        seed(
            "no-numbers",
            "[optimizer]\nkind = \"sgd\"\nmomentum = nan\nweight_decay = inf\n",
        ),
        seed(
            "numbers-largest",
            "seed = 9223372036854775807\n[training]\nbatch_size = 9223372036854775807\n",
        ),
        seed("numbers-too-large", "seed = 18446744073709551616\n"),
        seed("numbers-below-0", "seed = -1\n"),
        seed("unknown-key", "[training]\nepoch = 1\n"),
        seed("unknown-kind", "[backbone]\nkind = \"vgg\"\n"),
        seed(
            "nested",
            format!("a = {}{}", "[".repeat(200), "]".repeat(200)),
        ),
        seed("no-text", b"seed = \xff"),
    ]);
    seeds
}

/// A small protocol.
const PROTOCOL: &str = "[[probes]]\ntap = \"block2\"\nmethod = { kind = \"knn\" }\n";

/// Seeds of protocols.
pub fn protocol() -> Vec<Seed> {
    let changed = |changes: &str| joined(&[PROTOCOL.as_bytes(), changes.as_bytes()]);
    let figure = "[[published]]\nmethod = \"knn\"\nencoder = \"AET\"\nsource = \"none\"\nerror = ";
    let mut seeds = files_in("protocols");
    // The longest ones hold nothing of their own but more published figures.
    seeds.retain(|(_, text)| text.len() < 4500);
    seeds.extend([
        seed("small", PROTOCOL),
        seed(
            "changes",
            changed("seeds=[1,2]\nprobes.0.tap=block1\nvalidation=0.2"),
        ),
        seed("place-outside", changed("probes.7.tap=block1")),
        seed("no-seeds", changed("seeds=[]")),
        seed("no-bound", changed("encoders=[\"supervised\"]")),
        seed("published", format!("{PROTOCOL}{figure}7.5\n")),
        seed("published-no-number", format!("{PROTOCOL}{figure}nan\n")),
        seed("published-without-end", format!("{PROTOCOL}{figure}-inf\n")),
        seed(
            "shared-training",
            format!("[training]\nepochs = 3\n{PROTOCOL}training = {{ rate = 0.1 }}\n"),
        ),
        seed("empty", ""),
    ]);
    seeds
}

/// A run of the defaults with this image size.
fn run(image_size: &str) -> String {
    format!(
        "[run]\npreset = \"smoke\"\nrevision = \"0.1.0\"\ndevice = \"flex\"\nstarted = 1764000000\n\
         image_size = {image_size}\n\n[experiment]\nseed = 1\n\n[experiment.backbone]\nblocks = 3\n"
    )
}

/// Seeds of `run.toml`.
pub fn run_file() -> Vec<Seed> {
    let valid = run("[32, 32]");
    let mut seeds = vec![
        seed("small", valid.clone()),
        seed("size-0", run("[0, 0]")),
        seed(
            "size-largest",
            run("[9223372036854775807, 9223372036854775807]"),
        ),
        seed("size-of-three", run("[32, 32, 3]")),
        seed(
            "started-below-0",
            instead(valid.as_bytes(), b"1764000000", b"-1"),
        ),
        seed("no-experiment", "[run]\n"),
        seed("experiment-no-table", "experiment = 3\n[run]\n"),
        seed("bare", "[run]\n[experiment]\n"),
        seed("unknown-key", "[run]\nname = \"a\"\n[experiment]\n"),
        seed("empty", ""),
    ];
    seeds.extend(of_any_file(valid.as_bytes()));
    seeds
}

/// Seeds of `metrics.jsonl`.
pub fn metrics() -> Vec<Seed> {
    let step = json!({"kind": "step", "step": 20, "epoch": 0, "loss": 0.1, "rate": 0.05});
    let epoch =
        json!({"kind": "epoch", "step": 40, "epoch": 0, "train_loss": 1.5, "r2": [0.5, -1e-7]});
    let valid = format!("{step}\n{epoch}\n");
    vec![
        seed("two-records", valid.clone()),
        seed("last-cut-short", &valid.as_bytes()[..valid.len() - 20]),
        seed("first-cut-short", format!("{{\"step\": 1\n{valid}")),
        seed("an-empty-line", format!("{step}\n\n{epoch}\n")),
        seed("line-ends-of-windows", format!("{step}\r\n{epoch}\r\n")),
        seed("no-objects", "3\n\"text\"\nnull\n[]\n"),
        seed(
            "numbers-largest",
            "18446744073709551615\n18446744073709551616\n-9223372036854775809\n",
        ),
        seed(
            "numbers-exact",
            "0.1000000000000000055511151231257827\n5e-324\n1.7976931348623157e308\n-0.0\n",
        ),
        seed("numbers-too-large", "1e400\n1\n"),
        seed("keys-twice", "{\"a\":1,\"a\":2}\n"),
        seed(
            "nested",
            format!("{}{}\n", "[".repeat(200), "]".repeat(200)),
        ),
        seed("half-a-character", "\"\\ud800\"\n1\n"),
        seed("no-text", b"{}\n\xff\n"),
        seed("empty", ""),
    ]
}

/// Seeds of `progress.json`.
pub fn progress() -> Vec<Seed> {
    let with_sum = |sum: &str| {
        format!(
            "{{\"step\": 9, \"epoch\": 1, \"step_in_epoch\": 4, \"loss_sum\": {sum}, \"seconds\": 2.5}}"
        )
    };
    let valid = with_sum("\"0.30000000000000004\"");
    let mut seeds = vec![
        seed("as-text", valid.clone()),
        seed("as-number", with_sum("0.5")),
        seed("no-number", with_sum("\"nan\"")),
        seed("without-end", with_sum("\"-inf\"")),
        seed("no-sum", with_sum("\"\"")),
        seed("null", with_sum("null")),
        seed("a-list", "[9, 1, 4, \"0.5\", 2.5]"),
        seed(
            "step-largest",
            instead(valid.as_bytes(), b"9", b"18446744073709551615"),
        ),
        seed("step-below-0", instead(valid.as_bytes(), b"9", b"-9")),
        seed("empty", ""),
    ];
    seeds.extend(of_any_file(valid.as_bytes()));
    seeds
}

fn subject() -> Subject {
    Subject {
        run: "run".into(),
        preset: "smoke".into(),
        seed: 1,
        method: "aet projective".into(),
        backbone: BackboneConfig::default(),
        epochs: 4,
        step: 40,
        revision: "0.1.0".into(),
        command: "aet probe run".into(),
        machine: "2 cores".into(),
        day: "2026-11-25".into(),
        data: "shapes".into(),
        train_images: 20,
        test_images: 6,
        classes: 10,
        image_size: [32; 2],
        fingerprints: ["00ff".into(), "ff00".into()],
    }
}

fn result() -> ProbeResult {
    let candidate = |name: &str, error: f64| CandidateResult {
        name: name.into(),
        validation_error: Some(error),
        error: None,
    };
    ProbeResult {
        probe: "kNN block2 average".into(),
        tap: "block2".into(),
        pooling: Pooling::Average,
        thawed: false,
        error: 1.0 / 3.0,
        best_error: None,
        best_epoch: None,
        epochs: None,
        errors_per_epoch: vec![0.5, 0.1 + 0.2],
        chosen: Some(Chosen {
            name: "K=5".into(),
            epoch: None,
            validation_error: 0.25,
        }),
        candidates: vec![candidate("K=1", 0.5), candidate("K=5", 0.25)],
        seconds: 1.5,
        marks: Marks(vec![true, false, true, true, false, true]),
    }
}

/// Seeds of records.
pub fn record() -> Vec<Seed> {
    let protocol = Protocol::parse("small", PROTOCOL, &[], &BackboneConfig::default()).unwrap();
    let mut record = ProtocolRecord::new(&protocol, subject());
    record.pieces.push(Piece {
        seed: 1,
        labels_per_class: Some(2),
        encoder: EncoderKind::Trained,
        whole_network: false,
        seconds: 2.0,
        results: vec![ProtocolResult::new(result())],
    });
    let valid = serde_json::to_vec(&record).unwrap();
    let with = |old: &str, new: &str| instead(&valid, old.as_bytes(), new.as_bytes());
    let mut seeds = vec![
        seed("a-piece", valid.clone()),
        seed("another-format", with("aet protocol 1", "aet protocol 2")),
        seed(
            "images-largest",
            with("\"test_images\":6", "\"test_images\":18446744073709551615"),
        ),
        seed(
            "images-below-0",
            with("\"test_images\":6", "\"test_images\":-6"),
        ),
        seed(
            "marks-no-digits",
            with("\"correct\":\"b4\"", "\"correct\":\"zz\u{e9}\""),
        ),
        seed(
            "marks-missing",
            with("\"correct\":\"b4\"", "\"correct\":\"\""),
        ),
        seed(
            "unknown-encoder",
            with("\"encoder\":\"trained\"", "\"encoder\":\"other\""),
        ),
        seed("no-number", with("0.25", "null")),
        seed("a-list", "[]"),
        seed("empty", ""),
    ];
    seeds.extend(of_any_file(&valid));
    seeds
}
