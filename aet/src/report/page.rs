//! The page itself.

use std::fmt::Write;
use std::time::Duration;

use aet_learn::probe::{Comparison, ProbeResult};
use aet_learn::recovery::Recovery;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Material;
use super::chart::{Chart, Series, escape};
use crate::progress::clock;
use crate::recovered::calibration_text;
use crate::table::counted;
use crate::verdict::{best, method_name, percent, ratio_text};

const STYLE: &str = include_str!("style.css");

/// The whole page.
///
/// # Errors
/// When the configuration cannot be written as TOML.
pub fn page(material: &Material<'_>) -> anyhow::Result<String> {
    let experiment = material.run.experiment();
    let name = escape(&material.run.name());
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name} - aet report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{name}</h1>\n<p class=\"faint\">{}</p>\n",
        escape(&experiment.description)
    );
    html.push_str(&summary(material));
    html.push_str(&verdict(material.comparisons));
    if let Some(recovered) = &material.recovered {
        html.push_str(&recovery(recovered));
    }
    html.push_str("<section>\n<h2>Loss</h2>\n");
    html.push_str(&loss_chart(material).svg());
    if curves_apart(material) {
        html.push_str("\n</section>\n<section>\n<h2>Pretext metric</h2>\n");
        html.push_str(&metric_chart(material).svg());
    }
    html.push_str("\n</section>\n<section>\n<h2>Learning rate</h2>\n");
    html.push_str(&rate_chart(material).svg());
    html.push_str("\n</section>\n");
    if !material.curves.online.is_empty() {
        html.push_str(
            "<section>\n<h2>Probes during training</h2>\n<p>Error of quick probes on training \
             images whose labels they did not learn from; the test images were not looked at.</p>\n",
        );
        html.push_str(&online_chart(material).svg());
        html.push_str("\n</section>\n");
    }
    let _ = write!(
        html,
        "<section>\n<h2>{2}</h2>\n<p>{0}</p>\n\
         <img class=\"pairs\" alt=\"{0}\" src=\"data:image/png;base64,{1}\">\n</section>\n",
        escape(&material.picture_says),
        STANDARD.encode(&material.picture),
        material.picture_heading
    );
    let _ = write!(
        html,
        "<section>\n<h2>Configuration</h2>\n<p>Every value that this run was made with. Written \
         to a file, it goes into <code>aet pretrain --config FILE</code>.</p>\n\
         <details open><summary>TOML</summary>\n<pre>{}</pre>\n</details>\n</section>\n",
        escape(&experiment.to_toml()?)
    );
    html.push_str("</main>\n</body>\n</html>\n");
    Ok(html)
}

fn summary(material: &Material<'_>) -> String {
    let (run, curves) = (material.run, &material.curves);
    let (info, experiment) = (run.info(), run.experiment());
    let number = |value: Option<f64>| value.map_or_else(|| "-".into(), |v| format!("{v:.4}"));
    let speed = curves.pairs_per_second.map_or_else(String::new, |speed| {
        format!(", {speed:.0} {}/s (median)", experiment.objective.items())
    });
    let window = experiment.window(info.image_size).map(|fit| {
        let [height, width] = fit.window.size();
        format!(", the encoder shown the middle {height}x{width} px")
    });
    let facts = [
        ("preset", info.preset.clone()),
        ("seed", experiment.seed.to_string()),
        ("images", material.images.clone()),
        (
            "pretext task",
            format!("{}{}", experiment.task(), window.unwrap_or_default()),
        ),
        (
            "training",
            format!(
                "{}, {}",
                counted(experiment.training.epochs, "epoch"),
                counted(curves.steps, "step")
            ),
        ),
        (
            "last loss",
            format!(
                "{} training, {} test",
                number(curves.last[0]),
                number(curves.last[1])
            ),
        ),
        ("test metric", curves.metric.in_words()),
        (
            "time",
            format!(
                "{}{speed}",
                clock(Duration::from_secs_f64(curves.seconds.max(0.0)))
            ),
        ),
        ("device", info.device.clone()),
        ("revision", info.revision.clone()),
        ("started", utc(info.started)),
    ];
    let mut html = String::from("<section>\n<h2>Summary</h2>\n<dl>\n");
    for (name, value) in facts {
        let _ = writeln!(
            html,
            "<div><dt>{name}</dt><dd>{}</dd></div>",
            escape(&value)
        );
    }
    html.push_str("</dl>\n</section>\n");
    html
}

/// What is told of each component of the target, as bars.
fn recovery(recovered: &Recovery) -> String {
    let mut html = format!(
        "<section>\n<h2>What is told of the target</h2>\n<p>R<sup>2</sup> of each component on {} test \
         images: 1 is all of it, 0 as much as the mean tells.</p>\n\
         <div class=\"scroll\"><table>\n<thead><tr><th>component</th>\
         <th class=\"wide\">R<sup>2</sup></th></tr></thead>\n<tbody>\n",
        recovered.images
    );
    for component in &recovered.components {
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td class=\"wide\">{}</td></tr>",
            escape(&component.name),
            bar(
                "trained",
                component.r2.clamp(0.0, 1.0),
                &format!("{:.3}", component.r2)
            )
        );
    }
    html.push_str("</tbody>\n</table></div>\n");
    if let Some(calibration) = &recovered.calibration {
        let _ = writeln!(html, "<p>{}</p>", escape(&calibration_text(calibration)));
    }
    html.push_str("</section>\n");
    html
}

fn verdict(comparisons: &[Comparison]) -> String {
    let mut html = String::from("<section>\n<h2>Probes: trained beside random encoder</h2>\n");
    if comparisons.is_empty() {
        html.push_str("<p class=\"faint\">No probe was run.</p>\n</section>\n");
        return html;
    }
    html.push_str(
        "<p>Error on test images, in percent; lower is better. The random encoder is the same \
         network before training. Errors are those after the last epoch of the probe; the best \
         epoch was chosen by looking at the test images and stands apart.</p>\n\
         <div class=\"scroll\"><table>\n<thead><tr><th>probe</th><th>tap</th><th>pooling</th>\
         <th class=\"wide\">test error, %</th><th class=\"number\">ratio</th>\
         <th>best epoch, %</th></tr></thead>\n<tbody>\n",
    );
    let largest = comparisons
        .iter()
        .flat_map(|c| [c.trained.error, c.random.error])
        .fold(1e-9, f64::max);
    for comparison in comparisons {
        let trained = &comparison.trained;
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}{}</td><td class=\"number\">{}</td>\
             <td>trained {}<br>random {}</td></tr>",
            escape(&method_name(trained)),
            escape(&trained.tap),
            trained.pooling,
            error_bar("trained", trained, largest),
            error_bar("random", &comparison.random, largest),
            ratio_text(comparison),
            best(trained),
            best(&comparison.random)
        );
    }
    html.push_str("</tbody>\n</table></div>\n</section>\n");
    html
}

/// A bar as long as the error, with the number beside it.
fn error_bar(encoder: &str, result: &ProbeResult, largest: f64) -> String {
    bar(encoder, result.error / largest, &percent(result.error))
}

/// A bar of a share of its track, with `value` beside it.
fn bar(who: &str, share: f64, value: &str) -> String {
    format!(
        "<div class=\"bar\"><span class=\"who\">{who}</span><span class=\"track\">\
         <span class=\"fill {who}\" style=\"width:{:.1}%\"></span></span>\
         <span class=\"value\">{value}</span></div>",
        100.0 * share
    )
}

fn loss_chart(material: &Material<'_>) -> Chart {
    let curves = &material.curves;
    let mut series = Vec::new();
    if curves.window > 1 {
        series.push(Series {
            name: "training, logged".into(),
            class: "raw",
            points: curves.train.clone(),
            marked: false,
        });
    }
    let smoothing = match curves.window {
        1 => String::new(),
        window => format!(", mean of {window}"),
    };
    series.push(Series {
        name: format!("training{smoothing}"),
        class: "train",
        points: curves.smoothed.clone(),
        marked: false,
    });
    if !curves.test.is_empty() {
        series.push(Series {
            name: "test, per epoch".into(),
            class: "test",
            points: curves.test.clone(),
            marked: curves.test.len() <= 60,
        });
    }
    series.extend(curves.trivial_loss.map(|level| level_line(material, level)));
    Chart {
        says: "Training and test loss over the epochs".into(),
        x_label: "epochs of training".into(),
        y_label: "pretext loss (no unit)".into(),
        series,
        height: 320.0,
        from_zero: false,
    }
}

/// What an answer that takes no features gets, over the whole run.
fn level_line(material: &Material<'_>, level: f64) -> Series {
    let curves = &material.curves;
    let last = curves.train.last().map_or(1.0, |point| point[0]);
    let name = match curves.metric.trivial_name.as_str() {
        "mean" => "answering the mean".into(),
        other => format!("answering by {other}"),
    };
    Series {
        name,
        class: "level",
        points: vec![[0.0, level], [last, level]],
        marked: false,
    }
}

/// Whether the metric is something else than the loss or a part of it.
fn curves_apart(material: &Material<'_>) -> bool {
    material.curves.metric.name == "accuracy"
}

fn metric_chart(material: &Material<'_>) -> Chart {
    let metric = &material.curves.metric;
    let smoothing = match material.curves.window {
        1 => String::new(),
        window => format!(", mean of {window}"),
    };
    let mut series = vec![Series {
        name: format!("training{smoothing}"),
        class: "train",
        points: metric.train.clone(),
        marked: false,
    }];
    if !metric.test.is_empty() {
        series.push(Series {
            name: "test, per epoch".into(),
            class: "test",
            points: metric.test.clone(),
            marked: metric.test.len() <= 60,
        });
    }
    series.extend(metric.trivial.map(|level| level_line(material, level)));
    Chart {
        says: format!("Training and test {} over the epochs", metric.name),
        x_label: "epochs of training".into(),
        y_label: format!("pretext {}", metric.name),
        series,
        height: 320.0,
        from_zero: false,
    }
}

fn rate_chart(material: &Material<'_>) -> Chart {
    Chart {
        says: "Learning rate over the epochs".into(),
        x_label: "epochs of training".into(),
        y_label: "learning rate".into(),
        series: vec![Series {
            name: "learning rate".into(),
            class: "train",
            points: material.curves.rate.clone(),
            marked: false,
        }],
        height: 220.0,
        from_zero: true,
    }
}

/// Classes of the lines of online probes; more lines than classes begin again.
const LINES: [&str; 4] = ["train", "test", "third", "fourth"];

fn online_chart(material: &Material<'_>) -> Chart {
    let series = material.curves.online.iter().zip(LINES.iter().cycle());
    Chart {
        says: "Validation error of the online probes over the epochs".into(),
        x_label: "epochs of training".into(),
        y_label: "validation error, %".into(),
        series: series
            .map(|((name, points), class)| Series {
                name: name.clone(),
                class,
                points: points.clone(),
                marked: points.len() <= 60,
            })
            .collect(),
        height: 280.0,
        from_zero: false,
    }
}

/// Seconds since 1970 as a date and time of day, by the civil calendar (Howard Hinnant's
/// algorithm).
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (rest / 3600, rest / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        // date -u -d @951782400 '+%F %R'
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_767_225_599), "2025-12-31 23:59 UTC");
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
    }
}
