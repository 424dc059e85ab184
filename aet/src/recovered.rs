//! What a model tells of each component of its target, for people.

use aet_learn::recovery::{Calibration, Recovery};
use serde_json::Value;

use crate::table::{Align, text_table};

/// What a run has logged last of it.
pub fn logged_recovery(metrics: &[Value]) -> Option<Recovery> {
    let mut records = metrics.iter().rev();
    let record = records.find(|record| record["event"] == "recovery")?;
    serde_json::from_value(record["result"].clone()).ok()
}

/// A table of it, and a line on the variances where there are some.
pub fn recovery_text(recovery: &Recovery) -> String {
    let rows: Vec<Vec<String>> = recovery
        .components
        .iter()
        .map(|component| vec![component.name.clone(), format!("{:.3}", component.r2)])
        .collect();
    let headings = [("component", Align::Left), ("R2", Align::Right)];
    let calibration = recovery.calibration.as_ref();
    format!(
        "Told of each component of the target, on {} test images (R2: 1 is all, 0 as much as the mean tells)\n\n{}{}",
        recovery.images,
        text_table(&headings, &rows),
        calibration.map_or_else(String::new, |c| format!("\n{}\n", calibration_text(c)))
    )
}

/// How well variances are calibrated, in a sentence or two.
pub fn calibration_text(calibration: &Calibration) -> String {
    let shares = |shares: [f64; 3]| {
        let [half, most, nearly] = shares.map(|share| format!("{:.1}", 100.0 * share));
        format!("{half}, {most} and {nearly}%")
    };
    let scales: Vec<String> = calibration
        .scales
        .iter()
        .map(|scale| format!("{scale:.2}"))
        .collect();
    format!(
        "Intervals for 50, 90 and 95% of the errors hold {} of them; {} with standard deviations multiplied by {} (fitted on {} test images, shares measured on the other {}).",
        shares(calibration.predicted),
        shares(calibration.scaled),
        scales.join(", "),
        calibration.fitted_on,
        calibration.measured_on
    )
}
