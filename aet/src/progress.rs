//! What a person sees while work goes on, on stderr: bars on a terminal, plain lines elsewhere.
//! The log shares the terminal with the bars.

use std::io::{self, IsTerminal, Write};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aet_data::Skipped;
use aet_learn::evaluate::PretextLoss;
use aet_learn::train::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::table::counted;

/// All bars of the process, so that the log can step around them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// How often plain lines may follow each other.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Libraries of which no more is shown than this unless a level is asked for. `wgpu_hal` tells as an error
/// what a machine does not have.
const QUIET: [(&str, LevelFilter); 9] = [
    ("burn_communication", LevelFilter::WARN),
    ("burn_remote", LevelFilter::ERROR),
    ("burn_router", LevelFilter::ERROR),
    ("cubecl", LevelFilter::ERROR),
    ("cubecl_runtime", LevelFilter::ERROR),
    ("cubecl_wgpu", LevelFilter::ERROR),
    ("iroh", LevelFilter::ERROR),
    ("wgpu", LevelFilter::ERROR),
    ("wgpu_hal", LevelFilter::OFF),
];

/// Sends the log to stderr, at the level in the environment variable `AET_LOG` (off, error, warn,
/// info, debug, trace; default info).
pub fn start_log() {
    let level: Option<LevelFilter> = std::env::var("AET_LOG")
        .ok()
        .and_then(|level| level.parse().ok());
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(AroundBars)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time();
    // A device tells in detail what a user has no use for, and a lost server in a line for each batch of
    // operations.
    let levels = match level {
        Some(level) => Targets::new().with_default(level),
        None => QUIET.iter().fold(
            Targets::new().with_default(LevelFilter::INFO),
            |levels, (target, level)| levels.with_target(*target, *level),
        ),
    };
    let started = tracing_subscriber::registry()
        .with(layer.with_filter(levels))
        .try_init();
    debug_assert!(started.is_ok(), "the log is started once");
}

/// Writes to stderr while the bars step aside.
struct AroundBars;

impl MakeWriter<'_> for AroundBars {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl Write for AroundBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        BARS.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Writes one line to stderr, above the bars.
pub fn note(line: &str) {
    BARS.suspend(|| eprintln!("{line}"));
}

/// Says how many images were left out, and what is wrong with the first of them.
pub fn note_skipped(skipped: &[Skipped]) {
    if let Some(first) = skipped.first() {
        let count = counted(skipped.len() as u64, "image");
        note(&format!("{count} left out, the first: {}", first.error));
    }
}

/// The advance of one piece of work, by items or by share.
pub struct Advance {
    bar: Option<ProgressBar>,
    what: String,
    said: Mutex<Instant>,
}

impl Advance {
    /// Work called `what`, of a length that [`to`](Self::to) tells.
    pub fn new(what: impl Into<String>) -> Self {
        let what = what.into();
        let bar = io::stderr().is_terminal().then(|| {
            let bar = BARS.add(ProgressBar::new(0));
            bar.set_style(style("{msg:<28} {wide_bar} {pos}/{len} {eta}"));
            bar.set_message(what.clone());
            bar
        });
        Self {
            bar,
            what,
            said: Mutex::new(Instant::now()),
        }
    }

    /// `done` of `total` items are done. May be called from any thread.
    pub fn to(&self, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            return;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.elapsed() >= PLAIN_EVERY {
            *said = Instant::now();
            eprintln!("{}: {done} of {total}", self.what);
        }
    }

    /// This share of the work, from 0 to 1, is done.
    pub fn to_share(&self, share: f32) {
        self.to((100.0 * share).round() as usize, 100);
    }
}

impl Drop for Advance {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// Shows a training run.
pub struct TrainingView {
    bar: Option<ProgressBar>,
    /// What an item of a batch is called, in the plural.
    items: &'static str,
    started: Instant,
    first_step: u64,
    epochs: u64,
    said: Option<Instant>,
}

impl TrainingView {
    /// A view of a run that is about to start; `items` is what it counts, `pairs` or `images`.
    pub fn new(items: &'static str) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = BARS.add(ProgressBar::new(0));
            bar.set_style(style("{prefix} {wide_bar} {msg}"));
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        Self {
            bar,
            items,
            started: Instant::now(),
            first_step: 0,
            epochs: 0,
            said: None,
        }
    }

    /// Takes note of `event`.
    pub fn on(&mut self, event: &Event) {
        match event {
            Event::Started {
                step,
                steps_total,
                epochs,
            } => self.start(*step, *steps_total, *epochs),
            Event::Step { .. } => self.step(event),
            Event::Epoch {
                epoch,
                train_loss,
                test,
            } => {
                let test = test.as_ref().map_or_else(String::new, test_figures);
                let epoch = epoch + 1;
                note(&format!(
                    "epoch {epoch}/{}  train loss {train_loss:.4}{test}  {} since the start",
                    self.epochs,
                    clock(self.started.elapsed())
                ));
            }
            Event::Probe { epoch, result } => note(&format!(
                "epoch {}/{}  {}  error {:.2} %",
                epoch + 1,
                self.epochs,
                result.probe,
                100.0 * result.error
            )),
            Event::Checkpoint { step } => tracing::debug!(step, "checkpoint written"),
        }
    }

    fn start(&mut self, step: u64, steps_total: u64, epochs: u64) {
        self.started = Instant::now();
        self.first_step = step;
        self.epochs = epochs;
        if step > 0 {
            note(&format!("going on from step {step} of {steps_total}"));
        }
        if let Some(bar) = &self.bar {
            bar.set_length(steps_total);
            bar.set_position(step);
            bar.set_prefix(format!("epoch 1/{epochs}"));
        }
    }

    fn step(&mut self, event: &Event) {
        let Event::Step {
            step,
            steps_total,
            epoch,
            loss,
            rate,
            pairs_per_second,
            parts,
        } = event
        else {
            return;
        };
        let left = self.left(*step, *steps_total);
        let place = format!("epoch {}/{}", epoch + 1, self.epochs);
        let parts = other_figures(*loss, parts);
        let said = format!(
            "loss {loss:.4}{parts}  rate {rate:.4}  {pairs_per_second:.0} {}/s  {left} left",
            self.items
        );
        if let Some(bar) = &self.bar {
            bar.set_position(*step);
            bar.set_prefix(place);
            bar.set_message(said);
            return;
        }
        if self.said.is_none_or(|at| at.elapsed() >= PLAIN_EVERY) {
            self.said = Some(Instant::now());
            eprintln!("{place}  step {step}/{steps_total}  {said}");
        }
    }

    /// Time that the rest takes at the mean speed of this session.
    fn left(&self, step: u64, steps_total: u64) -> String {
        let done = step.saturating_sub(self.first_step).max(1);
        let seconds = self.started.elapsed().as_secs_f64() / done as f64;
        clock(Duration::from_secs_f64(
            seconds * steps_total.saturating_sub(step) as f64,
        ))
    }
}

impl Drop for TrainingView {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What was measured on the test images, the metric beside that of the trivial answer.
fn test_figures(test: &PretextLoss) -> String {
    let mut said = format!("  test loss {:.4}", test.loss);
    for (name, value) in test.parts.iter().filter(|(_, value)| *value != test.loss) {
        said.push_str(&format!("  test {name} {value:.4}"));
        if *name == test.yardstick.metric {
            let answer = test.yardstick.trivial.name();
            said.push_str(&format!(" ({answer} {:.4})", test.trivial_metric));
        }
    }
    said
}

/// The figures that say something beside the loss.
fn other_figures(loss: f64, parts: &[(&'static str, f64)]) -> String {
    let others = parts.iter().filter(|(_, value)| *value != loss);
    others
        .map(|(name, value)| format!("  {name} {value:.4}"))
        .collect()
}

/// A duration as `42s`, `3m 07s` or `2h 05m`.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use aet_learn::objective::{Trivial, Yardstick};

    use super::*;

    #[test]
    fn figures_equal_to_the_loss_are_not_said_twice() {
        let regression = PretextLoss {
            loss: 0.25,
            parts: vec![("mse", 0.25)],
            yardstick: Yardstick {
                metric: "mse",
                trivial: Trivial::MeanTarget,
            },
            trivial_metric: 0.75,
            trivial_loss: None,
        };
        assert_eq!(test_figures(&regression), "  test loss 0.2500");
        let classification = PretextLoss {
            parts: vec![("accuracy", 0.875)],
            yardstick: Yardstick {
                metric: "accuracy",
                trivial: Trivial::Chance(4),
            },
            trivial_metric: 0.25,
            ..regression
        };
        let said = "  test loss 0.2500  test accuracy 0.8750 (chance 0.2500)";
        assert_eq!(test_figures(&classification), said);
    }

    #[test]
    fn durations_read_as_a_clock() {
        for (seconds, expected) in [(7, "7s"), (187, "3m 07s"), (7500, "2h 05m")] {
            assert_eq!(clock(Duration::from_secs(seconds)), expected);
        }
    }
}
