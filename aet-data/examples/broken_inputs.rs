//! Writes the corpus of broken inputs, or the page about it.
//!
//! usage: `broken_inputs FOLDER` writes every input to a folder of its own in FOLDER, and
//! `expected.jsonl` with a line each: what is wrong, what to open, what comes of it, the message (in
//! which `…` stands for any text), and how many images are read; `broken_inputs --table` prints the
//! page `docs/broken-input.md`.
#![allow(clippy::unwrap_used)]

#[path = "../tests/broken/mod.rs"]
#[allow(dead_code)]
mod broken;
#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::path::Path;

use broken::{Case, Outcome, cases, folder_name, table};
use serde_json::{Value, json};

const ABOUT: &str = "\
# Broken input

What aet does with files that are cut short, damaged, of the wrong kind, or made to do harm. This \
page is made by `cargo run -p aet-data --example broken_inputs -- --table > docs/broken-input.md`; \
with the name of a folder in the place of `--table`, the example writes the inputs themselves and \
`expected.jsonl`, which says what comes of each. The test `broken_inputs` opens and reads all of \
them, in memory and streamed, with `data.on_error = \"skip\"` and `\"fail\"`: none panics, waits \
for more than 5 seconds or takes more than 128 MiB.

- **read**: every image is read; the last column says why that is right.
- **image skipped**: with `data.on_error = \"skip\"`, the default, the image is left out, counted \
and listed with the message in `skipped.jsonl` of the run, as long as no more than \
`data.most_skipped` of the set are; with `\"fail\"`, the message ends the run.
- **set refused**: the message ends the run in any case.

In messages, paths are relative to the input, whose own folder is called `FOLDER`, and `…` stands \
for any text, such as what a decoder says. `broken.*` lies beside 10 good images.
";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--table"] => {
            print!("{ABOUT}\n{}", table());
            Ok(())
        }
        [folder] => write_all(Path::new(folder)),
        _ => Err("usage: broken_inputs FOLDER | --table".into()),
    }
}

fn write_all(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let mut lines = String::new();
    for (number, case) in cases().iter().enumerate() {
        let name = folder_name(number, case);
        let made = case.write(&folder.join(&name));
        if let Err(reason) = &made {
            println!("{name}: not here: {reason}");
        }
        lines += &described(case, &name, made).to_string();
        lines.push('\n');
    }
    std::fs::write(folder.join("expected.jsonl"), lines)?;
    println!("{} inputs in {}", cases().len(), folder.display());
    Ok(())
}

fn described(case: &Case, name: &str, made: Result<(), String>) -> Value {
    let key = match case.outcome {
        Outcome::Read(..) => "why",
        _ => "message",
    };
    json!({
        "name": case.name,
        "wrong": case.wrong,
        "open": case.path(Path::new(name)),
        "split": case.split.name(),
        "outcome": case.outcome.word(),
        "images": case.outcome.images(),
        key: case.outcome.words(),
        "not_made": made.err(),
    })
}
