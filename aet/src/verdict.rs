//! The verdict on an encoder: every probe on it and, beside it, on a random one, as a table and in
//! the log of the run.

use std::sync::Arc;

use aet_data::ImageSet;
use aet_learn::Device;
use aet_learn::probe::{Comparison, ProbeConfig, ProbeData, ProbeResult, compare};
use aet_learn::run_dir::RunDirectory;
use serde_json::{Value, json};

use crate::progress::Advance;
use crate::table::{Align, text_table};

/// Why no probe can run on these images; nothing when they can.
pub fn obstacle(train: &ImageSet, test: Option<&Arc<ImageSet>>) -> Option<&'static str> {
    match test {
        None => Some("there are no test images (data.hold_out sets some of them aside)"),
        Some(test) if !(train.labelled() && test.labelled()) => Some("the images have no labels"),
        Some(_) => None,
    }
}

/// Runs `probes` on the trained and on the random encoder of `run`.
///
/// # Errors
/// When an encoder cannot be loaded or a probe cannot run.
pub fn judge(
    run: &RunDirectory,
    probes: &[ProbeConfig],
    data: &ProbeData<'_>,
    device: &Device,
) -> anyhow::Result<Vec<Comparison>> {
    let trained = run.load_encoder(device)?;
    let random = run.random_encoder(device);
    let advance = Advance::new("probing trained and random");
    let comparisons = compare(&trained, &random, probes, data, &mut |share| {
        advance.to_share(share);
    })?;
    Ok(comparisons)
}

/// Error of the trained encoder over that of the random one, where the latter made any.
pub fn ratio(comparison: &Comparison) -> Option<f64> {
    (comparison.random.error > 0.0).then(|| comparison.trained.error / comparison.random.error)
}

/// A comparison for `--json` and for files.
pub fn verdict_json(comparison: &Comparison) -> Value {
    json!({
        "trained": comparison.trained, "random": comparison.random, "ratio": ratio(comparison),
    })
}

/// The comparisons as a table for people. Errors are those after the last epoch.
pub fn verdict_table(comparisons: &[Comparison]) -> String {
    let headings = [
        ("probe", Align::Left),
        ("tap", Align::Left),
        ("pooling", Align::Left),
        ("trained error %", Align::Right),
        ("random error %", Align::Right),
        ("ratio", Align::Right),
        ("best epoch: trained %", Align::Right),
        ("best epoch: random %", Align::Right),
    ];
    let rows: Vec<Vec<String>> = comparisons.iter().map(table_row).collect();
    text_table(&headings, &rows)
}

fn table_row(comparison: &Comparison) -> Vec<String> {
    let (trained, random) = (&comparison.trained, &comparison.random);
    vec![
        method_name(trained),
        trained.tap.clone(),
        trained.pooling.to_string(),
        percent(trained.error),
        percent(random.error),
        ratio_text(comparison),
        best(trained),
        best(random),
    ]
}

/// The probe's label without tap and pooling, which have columns of their own.
pub fn method_name(result: &ProbeResult) -> String {
    let rest = format!(" {} {}", result.tap, result.pooling);
    result
        .probe
        .strip_suffix(&rest)
        .unwrap_or(&result.probe)
        .to_string()
}

/// The ratio with two digits, or a dash.
pub fn ratio_text(comparison: &Comparison) -> String {
    ratio(comparison).map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"))
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

/// The best error over the epochs, with its epoch counted from 1, where the probe has epochs.
pub fn best(result: &ProbeResult) -> String {
    match (result.best_error, result.best_epoch) {
        (Some(error), Some(epoch)) => format!("{} (epoch {})", percent(error), epoch + 1),
        _ => "-".into(),
    }
}

/// The comparisons that a run has logged at its end; none when it has not come that far. Only then
/// is the random encoder probed, right after the trained one.
pub fn logged_verdicts(metrics: &[Value]) -> Vec<Comparison> {
    let results = |encoder: &'static str| {
        metrics
            .iter()
            .filter(move |record| record["event"] == "probe" && record["encoder"] == encoder)
            .filter(|record| record["split"] == "test")
            .filter_map(|record| {
                serde_json::from_value::<ProbeResult>(record["result"].clone()).ok()
            })
    };
    results("random")
        .filter_map(|random| {
            let trained = results("trained").rfind(|trained| trained.probe == random.probe)?;
            Some(Comparison { trained, random })
        })
        .collect()
}

/// Logs the comparisons at the end of a run.
///
/// # Errors
/// When the disk refuses.
pub fn log_verdicts(run: &RunDirectory, comparisons: &[Comparison]) -> anyhow::Result<()> {
    let progress = run.progress()?.unwrap_or_default();
    let epoch = progress.epoch.saturating_sub(1);
    for comparison in comparisons {
        for (encoder, result) in [
            ("trained", &comparison.trained),
            ("random", &comparison.random),
        ] {
            run.log(&json!({
                "event": "probe", "step": progress.step, "epoch": epoch,
                "encoder": encoder, "split": "test", "result": result,
            }))?;
        }
    }
    Ok(())
}
