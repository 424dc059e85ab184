//! The curves of a run, out of its log.

use serde_json::Value;

/// Points (x, y); x counts epochs, so 1.0 is the end of the first epoch.
pub type Points = Vec<[f64; 2]>;

/// What was logged over a run.
#[derive(Debug, Default)]
pub struct Curves {
    /// Training loss at each logged step.
    pub train: Points,
    /// The same, as a running mean.
    pub smoothed: Points,
    /// Logged steps in the running mean.
    pub window: usize,
    /// Loss on the test images after each epoch.
    pub test: Points,
    /// The loss of an answer that takes no features, where it is comparable.
    pub trivial_loss: Option<f64>,
    /// How well the pretext task was done.
    pub metric: Metric,
    /// Learning rate at each logged step.
    pub rate: Points,
    /// Pairs per second, as a median over the logged steps.
    pub pairs_per_second: Option<f64>,
    /// Steps of the run.
    pub steps: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// The last losses on training and test images.
    pub last: [Option<f64>; 2],
    /// Validation error of each online probe, in per cent, by its name.
    pub online: Vec<(String, Points)>,
}

/// The figure that says how well the pretext task was done.
#[derive(Debug, Default)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// On the training images, as a running mean over the logged steps.
    pub train: Points,
    /// On the test images after each epoch.
    pub test: Points,
    /// That of an answer that takes no features.
    pub trivial: Option<f64>,
    /// What that answer is: the mean, or chance.
    pub trivial_name: String,
}

impl Metric {
    /// What it came to on the test images, beside the trivial answer.
    pub fn in_words(&self) -> String {
        let (Some([_, value]), Some(trivial)) = (self.test.last(), self.trivial) else {
            return "-".into();
        };
        let (name, answer) = (&self.name, &self.trivial_name);
        format!("{name} {value:.4}, of {answer} {trivial:.4}")
    }
}

impl Curves {
    /// Reads the records of `metrics.jsonl`.
    pub fn of(metrics: &[Value]) -> Self {
        let of_kind = |kind: &'static str| metrics.iter().filter(move |r| r["event"] == kind);
        let steps_per_epoch = of_kind("epoch").find_map(|record| {
            let (step, epoch) = (record["step"].as_f64()?, record["epoch"].as_f64()?);
            Some(step / (epoch + 1.0))
        });
        let steps_per_epoch = steps_per_epoch.unwrap_or(1.0).max(1.0);
        let point = |record: &Value, place: &str| {
            Some([
                record["step"].as_f64()? / steps_per_epoch,
                record.pointer(place)?.as_f64()?,
            ])
        };
        let points = |kind: &'static str, place: &str| -> Points {
            of_kind(kind)
                .filter_map(|record| point(record, place))
                .collect()
        };
        let train = points("step", "/loss");
        let window = (train.len() / 40).max(1);
        let mut speeds: Vec<f64> = of_kind("step")
            .filter_map(|r| r["pairs_per_second"].as_f64())
            .collect();
        speeds.sort_by(f64::total_cmp);
        let last = of_kind("epoch").next_back().cloned().unwrap_or(Value::Null);
        // Runs of earlier versions name neither.
        let name = last["metric"].as_str().unwrap_or("mse");
        let trivial_name = last["trivial"].as_str().unwrap_or("mean");
        let test_metric = format!("test_{name}");
        let trivial = last[format!("{test_metric}_of_{trivial_name}")].as_f64();
        let comparable = last["test_loss"].is_number() && last["test_loss"] == last[&test_metric];
        let trivial_loss = last[format!("test_loss_of_{trivial_name}")].as_f64();
        Self {
            smoothed: running_mean(&train, window),
            window,
            test: points("epoch", "/test_loss"),
            trivial_loss: trivial_loss.or(trivial.filter(|_| comparable)),
            metric: Metric {
                name: name.into(),
                train: running_mean(&points("step", &format!("/parts/{name}")), window),
                test: points("epoch", &format!("/{test_metric}")),
                trivial,
                trivial_name: trivial_name.into(),
            },
            rate: points("step", "/rate"),
            pairs_per_second: speeds.get(speeds.len() / 2).copied(),
            steps: last["step"].as_u64().unwrap_or(0),
            seconds: last["seconds"].as_f64().unwrap_or(0.0),
            last: [last["train_loss"].as_f64(), last["test_loss"].as_f64()],
            online: online(metrics),
            train,
        }
    }
}

/// What the probes during training found on the validation images, in the order of their names'
/// first appearance.
fn online(metrics: &[Value]) -> Vec<(String, Points)> {
    let mut curves: Vec<(String, Points)> = Vec::new();
    for record in metrics.iter().filter(|r| r["split"] == "validation") {
        let result = &record["result"];
        let (Some(name), Some(epoch), Some(error)) = (
            result["probe"].as_str(),
            record["epoch"].as_f64(),
            result["error"].as_f64(),
        ) else {
            continue;
        };
        let point = [epoch + 1.0, 100.0 * error];
        match curves.iter_mut().find(|(known, _)| known == name) {
            Some((_, points)) => points.push(point),
            None => curves.push((name.to_string(), vec![point])),
        }
    }
    curves
}

/// The mean of every point and the up to `window - 1` points before it.
fn running_mean(points: &[[f64; 2]], window: usize) -> Points {
    (0..points.len())
        .map(|index| {
            let part = &points[(index + 1).saturating_sub(window)..=index];
            let sum: f64 = part.iter().map(|point| point[1]).sum();
            [points[index][0], sum / part.len() as f64]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn steps_become_epochs() {
        let metrics = [
            json!({"event": "step", "step": 5, "loss": 0.5, "rate": 0.1, "pairs_per_second": 9.0}),
            json!({"event": "step", "step": 10, "loss": 0.4, "rate": 0.2, "pairs_per_second": 7.0}),
            json!({"event": "epoch", "step": 10, "epoch": 0, "train_loss": 0.45, "test_loss": 0.3,
                "test_mse": 0.3, "test_mse_of_mean": 0.6, "seconds": 2.5}),
        ];
        let curves = Curves::of(&metrics);
        assert_eq!(curves.train, [[0.5, 0.5], [1.0, 0.4]]);
        assert_eq!(curves.test, [[1.0, 0.3]]);
        assert_eq!(curves.trivial_loss, Some(0.6));
        assert_eq!(curves.metric.in_words(), "mse 0.3000, of mean 0.6000");
        assert_eq!(curves.steps, 10);
    }

    #[test]
    fn an_accuracy_stands_beside_chance_and_the_loss_beside_that_of_chance() {
        let metrics = [
            json!({"event": "step", "step": 4, "loss": 1.5, "parts": {"accuracy": 0.25}}),
            json!({"event": "epoch", "step": 4, "epoch": 0, "metric": "accuracy",
                "trivial": "chance", "test_loss": 1.2, "test_accuracy": 0.5,
                "test_accuracy_of_chance": 0.25, "test_loss_of_chance": 1.4}),
        ];
        let curves = Curves::of(&metrics);
        assert_eq!(curves.trivial_loss, Some(1.4));
        assert_eq!(curves.metric.train, [[1.0, 0.25]]);
        assert_eq!(curves.metric.test, [[1.0, 0.5]]);
        assert_eq!(
            curves.metric.in_words(),
            "accuracy 0.5000, of chance 0.2500"
        );
    }

    #[test]
    fn online_probes_have_a_curve_each_and_those_of_the_end_have_none() {
        let probe = |epoch: u64, split: &str, name: &str, error: f64| {
            json!({"event": "probe", "epoch": epoch, "split": split, "encoder": "trained",
                "result": {"probe": name, "error": error}})
        };
        let metrics = [
            probe(0, "validation", "kNN", 0.5),
            probe(0, "validation", "logistic", 0.625),
            probe(1, "validation", "kNN", 0.25),
            probe(1, "test", "kNN", 0.125),
        ];
        let online = Curves::of(&metrics).online;
        assert_eq!(online[0], ("kNN".into(), vec![[1.0, 50.0], [2.0, 25.0]]));
        assert_eq!(online[1], ("logistic".into(), vec![[1.0, 62.5]]));
        assert_eq!(online.len(), 2);
    }

    #[test]
    fn the_running_mean_looks_back_only() {
        let points = [[0.0, 1.0], [1.0, 3.0], [2.0, 8.0]];
        assert_eq!(
            running_mean(&points, 2),
            [[0.0, 1.0], [1.0, 2.0], [2.0, 5.5]]
        );
    }

    #[test]
    fn an_empty_log_gives_empty_curves() {
        assert!(Curves::of(&[]).train.is_empty());
    }
}
