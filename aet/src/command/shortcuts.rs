//! `aet inspect --shortcuts`: a table of how well a run does its pretext task when what images show,
//! what comes from outside of them, or the blur of interpolation is taken away.

use std::sync::Arc;

use aet_data::random::{Purpose, generator, permutation};
use aet_data::{Source, Split, hold_out};
use aet_geometry::{Family, TransformationFamily};
use aet_learn::border::BorderMode;
use aet_learn::config::Experiment;
use aet_learn::data::location;
use aet_learn::objective::Trivial;
use aet_learn::run_dir::RunDirectory;
use aet_learn::shortcuts::{Condition, ShortcutRow, Shortcuts, examine};
use serde_json::{Value, json};

use super::inspect::{InspectArgs, load_chosen};
use crate::output::{print, print_json};
use crate::progress::Advance;
use crate::table::{Align, Grid};

/// Images that are evaluated unless said otherwise.
pub(super) const DEFAULT_COUNT: u64 = 2000;

/// A change of what is told, as a share of the trivial answer's error, that is not worth a word.
const SMALL: f64 = 0.05;

/// Prints the table.
///
/// # Errors
/// When the objective has no transformed copies, the images are not there, or the run has no
/// checkpoint.
pub(super) fn run(
    args: &InspectArgs,
    run: &RunDirectory,
    experiment: &Experiment,
) -> anyhow::Result<()> {
    let device = args.device.open()?;
    let (source, candidates, split) = choose_images(args, run, experiment)?;
    let mut rng = generator(experiment.seed, 0, 0, Purpose::Subset);
    let order = permutation(&mut rng, candidates.len());
    let count = args.count.unwrap_or(DEFAULT_COUNT) as usize;
    let chosen = order.into_iter().take(count).map(|place| candidates[place]);
    let chosen: Vec<usize> = chosen.collect();
    let size = Some(run.info().image_size);
    let images = load_chosen(source.as_ref(), &chosen, size, experiment)?;
    let model = run.load_model(&device)?;
    let advance = Advance::new("looking for shortcuts");
    let found = examine(&model, experiment, &Arc::clone(&images), &mut |share| {
        advance.to_share(share as f32);
    })?;
    drop(advance);
    let readings = readings(&found, &Scene::of(experiment));
    if args.json {
        return print_json(&to_json(&found, run, split, &readings));
    }
    let [height, width] = run.info().image_size;
    let mut text = format!(
        "run {} on {} {split} images of {height}x{width} px\n\n{}",
        run.name(),
        found.images,
        table(&found)
    );
    for (condition, reason) in &found.left_out {
        text.push_str(&format!("\n{} left out: {reason}", condition.name()));
    }
    if let (Some(fit), true) = (found.window, found.row(Condition::BordersCropped).is_some()) {
        text.push_str(&format!(
            "\nborders cropped to the middle {}x{} px, which {:.0}% of the copies read from inside",
            fit.window.height,
            fit.window.width,
            100.0 * fit.inside
        ));
    }
    text.push('\n');
    for line in &readings {
        text.push_str(&format!("\n{line}"));
    }
    print(&text)
}

/// A part of the data, the images in it that may be chosen, and what they are called.
type Choice = (Box<dyn Source>, Vec<usize>, &'static str);

/// The part that was asked for; else the test images, or those that the run held out where the data
/// has no test split.
fn choose_images(
    args: &InspectArgs,
    run: &RunDirectory,
    experiment: &Experiment,
) -> anyhow::Result<Choice> {
    let place = location(&experiment.data);
    let wanted = args.split.map_or(Split::Test, Split::from);
    let whole = |source: Box<dyn Source>, split: Split| {
        let all = (0..source.len()).collect();
        (source, all, split.name())
    };
    match aet_data::open(&place, wanted) {
        Ok(source) => Ok(whole(source, wanted)),
        Err(error) if error.is_no_split() && args.split.is_none() => {
            let source = aet_data::open(&place, Split::Train)?;
            let seed = run.experiment().seed;
            let (_, held_out) = hold_out(source.len(), experiment.data.hold_out, seed);
            Ok(match held_out.is_empty() {
                true => whole(source, Split::Train),
                false => (source, held_out, "held out"),
            })
        }
        Err(error) => Err(error.into()),
    }
}

fn table(found: &Shortcuts) -> String {
    let of_trivial = format!("of {}", found.yardstick.trivial.name());
    let headings = [
        ("condition", Align::Left),
        (found.yardstick.metric, Align::Right),
        (of_trivial.as_str(), Align::Right),
        ("corners off, px", Align::Right),
    ];
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(String::new, |value| format!("{value:.digits$}"))
    };
    let rows = found.rows.iter().map(|row| {
        vec![
            row.condition.name().to_string(),
            number(Some(row.metric), 4),
            // A ratio of images is one to the identity already.
            number(row.ratio().filter(|_| !found.is_ratio()), 2),
            number(row.corner_px, 1),
        ]
    });
    let mut grid = Grid::new(&headings, rows.collect());
    grid.drop_empty_columns();
    grid.to_text()
}

fn to_json(found: &Shortcuts, run: &RunDirectory, split: &str, readings: &[String]) -> Value {
    let rows = found.rows.iter().map(|row| {
        json!({
            "condition": row.condition.name(), "metric": row.metric, "ratio": row.ratio(),
            "corner_px": row.corner_px,
        })
    });
    let left_out = found.left_out.iter();
    let left_out = left_out
        .map(|(condition, reason)| json!({ "condition": condition.name(), "reason": reason }));
    let window = found.window.map(|fit| {
        let [height, width] = fit.window.size();
        json!({ "height": height, "width": width, "inside": fit.inside })
    });
    json!({
        "run": run.path(), "split": split, "images": found.images,
        "metric": found.yardstick.metric, "trivial": found.yardstick.trivial.name(),
        "rows": rows.collect::<Vec<_>>(), "left_out": left_out.collect::<Vec<_>>(),
        "window": window, "readings": readings,
    })
}

/// What there is in a run that could tell.
#[derive(Debug, Clone, Copy)]
struct Scene {
    /// A colour comes where nothing is read.
    fill: bool,
    /// Values change, so that colours tell.
    values: bool,
}

impl Scene {
    fn of(experiment: &Experiment) -> Self {
        let families = experiment.families();
        let any = |is: fn(&Family) -> bool| families.iter().any(|family| is(family));
        Self {
            fill: experiment.warp.border == BorderMode::Fill && any(Family::moves),
            values: any(Family::changes_values),
        }
    }

    /// What tells of images of one colour.
    fn tells_of_one_colour(self) -> &'static str {
        match (self.fill, self.values) {
            (true, false) => "the border's fill tells the transformation",
            (true, true) => "the border's fill or the change of colour tells",
            (false, true) => "the change of colour tells, as it may",
            (false, false) => "something other than images and borders tells",
        }
    }
}

/// A line on each row that is suspicious, or one that says that none is.
fn readings(found: &Shortcuts, scene: &Scene) -> Vec<String> {
    let ratio = |condition| found.row(condition).and_then(ShortcutRow::ratio);
    let told = |condition| ratio(condition).map(|ratio| 1.0 - ratio);
    let trivial = match found.yardstick.trivial {
        Trivial::Identity => "of the distance to the original",
        _ => "of the mean answer's error",
    };
    let percent = |share: f64| format!("{:.0}%", 100.0 * share);
    let reference = told(Condition::Images).unwrap_or(0.0);
    if reference < SMALL {
        return vec![format!(
            "images: {} {trivial} is left, so that there is next to nothing to explain",
            percent(1.0 - reference)
        )];
    }
    let mut lines = Vec::new();
    if let Some(constant) = told(Condition::Constant).filter(|told| *told > SMALL) {
        lines.push(format!(
            "constant: {} {trivial} goes without anything in the image: {}",
            percent(constant),
            scene.tells_of_one_colour()
        ));
    }
    if let Some(noise) = told(Condition::Noise).filter(|told| *told > SMALL) {
        let fill = if scene.fill {
            "the border's fill, "
        } else {
            ""
        };
        lines.push(format!(
            "noise: {} {trivial} goes without shapes: {fill}the blur of interpolation, or pixels that are matched one by one tell",
            percent(noise)
        ));
    }
    let lost = [
        (
            Condition::BordersReflected,
            "goes with the fill: the encoder leans on it, or is led astray by mirror images",
        ),
        (
            Condition::BordersCropped,
            "goes with the border and the outer part of the images, both of which were there in training",
        ),
        (
            Condition::OriginalResampled,
            "goes when the original is as soft as a copy: sharpness tells one from the other",
        ),
    ];
    for (condition, because) in lost {
        let loses = told(condition).map(|told| (reference - told) / reference);
        if let Some(share) = loses.filter(|share| *share > 0.2) {
            let share = match share > 1.0 {
                true => "all".into(),
                false => percent(share),
            };
            lines.push(format!(
                "{}: {share} of what is told {because}",
                condition.name()
            ));
        }
    }
    lines.extend(identity_reading(found));
    if lines.is_empty() {
        lines.push("no row is suspicious".into());
    }
    lines
}

/// Whether an image that only went through interpolation is taken for a transformed one.
fn identity_reading(found: &Shortcuts) -> Option<String> {
    let (identity, images) = (
        found.row(Condition::IdentityResampled)?.metric,
        found.row(Condition::Images)?.metric,
    );
    (identity > 2.0 * images).then(|| {
        format!(
            "identity resampled: {:.1} times the error on transformed images: softness is taken for a transformation, or the identity is seldom seen",
            identity / images
        )
    })
}

#[cfg(test)]
mod tests {
    use aet_learn::objective::Yardstick;

    use super::*;

    const FILLED: Scene = Scene {
        fill: true,
        values: false,
    };

    /// A table of these ratios to the mean answer, in the order of the conditions.
    fn shortcuts(ratios: [f64; 7]) -> Shortcuts {
        let rows = Condition::ALL.into_iter().zip(ratios);
        Shortcuts {
            yardstick: Yardstick {
                metric: "mse",
                trivial: Trivial::MeanTarget,
            },
            images: 100,
            rows: rows
                .map(|(condition, ratio)| ShortcutRow {
                    condition,
                    metric: 0.4 * ratio,
                    trivial: 0.4,
                    corner_px: None,
                })
                .collect(),
            left_out: Vec::new(),
            window: None,
        }
    }

    fn names(lines: &[String]) -> Vec<&str> {
        let before = lines.iter().map(|line| line.split(':').next());
        before.flatten().collect()
    }

    #[test]
    fn a_clean_table_is_called_so() {
        let found = shortcuts([0.2, 1.1, 0.97, 0.22, 0.3, 0.21, 0.3]);
        assert_eq!(readings(&found, &FILLED), ["no row is suspicious"]);
    }

    #[test]
    fn every_suspicious_row_has_its_line() {
        let found = shortcuts([0.2, 0.3, 0.6, 0.9, 1.4, 0.5, 0.8]);
        let lines = readings(&found, &FILLED);
        let expected = [
            "constant",
            "noise",
            "borders reflected",
            "borders cropped",
            "original resampled",
            "identity resampled",
        ];
        assert_eq!(names(&lines), expected);
        assert!(lines[0].contains("70% of the mean answer's error"));
        assert!(lines[0].contains("the border's fill tells"));
        assert!(lines[3].contains("all of what is told"), "{}", lines[3]);
    }

    #[test]
    fn a_run_that_tells_nothing_has_nothing_to_explain() {
        let found = shortcuts([0.99, 0.3, 0.6, 0.9, 1.4, 0.5, 0.8]);
        assert_eq!(names(&readings(&found, &FILLED)), ["images"]);
    }

    #[test]
    fn columns_without_figures_are_not_shown() {
        let found = shortcuts([0.2, 1.1, 0.97, 0.22, 0.3, 0.21, 0.3]);
        let text = table(&found);
        assert!(text.contains("of mean") && text.contains("0.0800"));
        assert!(!text.contains("corners"), "{text}");
    }
}
