//! The training loop: it learns, it is deterministic, and a run that was stopped goes on to the same
//! weights, bit for bit.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::ops::ControlFlow;
use std::path::Path;

use aet_data::Loader;
use aet_geometry::Family;
use aet_learn::batch::Batch;
use aet_learn::config::{Experiment, ExperimentConfig};
use aet_learn::model::fresh_model;
use aet_learn::optim::step;
use aet_learn::run_dir::{RunDirectory, RunInfo};
use aet_learn::state::{NamedTensors, named_tensors};
use aet_learn::step::update;
use aet_learn::train::{Event, Outcome, train};
use aet_learn::{ConfigError, Device, LearnError};
use support::open;

const TOML: &str = r#"
seed = 5
[data]
path = "shapes"
[data.shapes]
train = 96
test = 40
[augment]
crop_padding = 4
horizontal_flip = true
[transformation]
kind = "projective"
[backbone]
kind = "nin"
blocks = 3
width = 0.05
[schedule]
kind = "one-cycle"
rate = 0.1
[training]
epochs = 3
batch_size = 16
log_every = 2
checkpoint_every = 4
"#;

fn configure(changes: &[&str]) -> Result<Experiment, ConfigError> {
    let changes: Vec<String> = changes.iter().map(|change| change.to_string()).collect();
    ExperimentConfig::parse(TOML, "test", &changes)?.resolve()
}

fn experiment(changes: &[&str]) -> Experiment {
    configure(changes).unwrap()
}

fn create(path: &Path, experiment: &Experiment) -> RunDirectory {
    let info = RunInfo {
        image_size: [32, 32],
        ..RunInfo::default()
    };
    RunDirectory::create(path, experiment, info).unwrap()
}

/// Trains to the end; gives the weights and the losses of the logged steps.
fn finish(run: &RunDirectory) -> (NamedTensors, Vec<f64>) {
    let datasets = open(run.experiment());
    let watcher = &mut |_: &Event| ControlFlow::Continue(());
    let outcome = train(run, &datasets, &[Device::flex()], watcher).unwrap();
    let Outcome::Finished(model) = outcome else {
        panic!("the run stopped by itself");
    };
    let losses = run
        .metrics()
        .unwrap()
        .iter()
        .filter(|record| record["event"] == "step")
        .map(|record| record["loss"].as_f64().unwrap())
        .collect();
    (named_tensors(&*model), losses)
}

/// Trains until `stop` says so.
fn interrupt(run: &RunDirectory, mut stop: impl FnMut(&Event) -> bool) {
    let datasets = open(run.experiment());
    let watcher = &mut |event: &Event| match stop(event) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let outcome = train(run, &datasets, &[Device::flex()], watcher).unwrap();
    assert!(matches!(outcome, Outcome::Stopped));
}

#[test]
fn the_same_seed_gives_the_same_weights_whatever_the_workers() {
    let folder = tempfile::tempdir().unwrap();
    let weights = |name: &str, workers: &str| {
        let experiment = experiment(&[workers]);
        finish(&create(&folder.path().join(name), &experiment)).0
    };
    let alone = weights("alone", "training.workers=0");
    assert!(alone == weights("three", "training.workers=3"));
    let other = experiment(&["seed=6"]);
    assert!(alone != finish(&create(&folder.path().join("other"), &other)).0);
}

#[test]
fn a_stopped_run_goes_on_to_the_weights_of_an_unbroken_one() {
    assert_goes_on(&[], &[2, 6, 8, 12]);
}

#[test]
fn a_stopped_run_with_loss_scaling_goes_on_to_the_weights_of_an_unbroken_one() {
    assert_goes_on(&["training.precision=\"float16\""], &[2, 8]);
}

/// Asserts that runs which are stopped at any of these steps end as the unbroken one does.
fn assert_goes_on(changes: &[&str], stops: &[u64]) {
    let folder = tempfile::tempdir().unwrap();
    let experiment = experiment(changes);
    let (expected, losses) = finish(&create(&folder.path().join("unbroken"), &experiment));
    for &stop_at in stops {
        let run = create(&folder.path().join(format!("at-{stop_at}")), &experiment);
        interrupt(&run, |event| {
            matches!(event, Event::Step { step, .. } if *step >= stop_at)
                || matches!(event, Event::Epoch { epoch, .. } if (epoch + 1) * 6 >= stop_at)
        });
        assert!(!run.is_finished().unwrap());
        let run = RunDirectory::open(run.path()).unwrap();
        let (found, found_losses) = finish(&run);
        assert!(found == expected, "stopped at step {stop_at}");
        assert_eq!(found_losses, losses, "stopped at step {stop_at}");
        assert!(run.is_finished().unwrap());
    }
}

/// The other objectives, with everything random that they have.
const OTHERS: [&str; 6] = [
    "objective={kind=\"aed\",code=24,channels=4,noise=0.1}",
    "objective={kind=\"aed\",code=24,channels=4,noise=0.2,variational=true,kl_warmup_epochs=1.5}",
    "objective={kind=\"rotnet\"}",
    "objective={kind=\"avt\"}",
    "objective={kind=\"ensemble\"}",
    "objective={kind=\"lgan\",axes=3,code=6,channels=4,jacobian_images=4}",
];

#[test]
fn a_stopped_run_goes_on_to_the_weights_of_an_unbroken_one_whatever_the_objective() {
    let folder = tempfile::tempdir().unwrap();
    for (number, objective) in OTHERS.iter().enumerate() {
        let optimizer = match objective.contains("lgan") {
            true => "optimizer={kind=\"adam\",beta_1=0.5}",
            false => "optimizer={kind=\"sgd\"}",
        };
        let experiment = experiment(&[objective, optimizer, "training.epochs=2"]);
        let place = |name: &str| folder.path().join(format!("{number}-{name}"));
        let (expected, losses) = finish(&create(&place("unbroken"), &experiment));
        // In the middle of an epoch, at its end, and in the middle of the next.
        for stop_at in [2, 6, 8] {
            let run = create(&place(&format!("at-{stop_at}")), &experiment);
            interrupt(&run, |event| {
                matches!(event, Event::Step { step, .. } if *step >= stop_at)
                    || matches!(event, Event::Epoch { epoch, .. } if (epoch + 1) * 6 >= stop_at)
            });
            let run = RunDirectory::open(run.path()).unwrap();
            let (found, found_losses) = finish(&run);
            assert!(found == expected, "{objective}, stopped at step {stop_at}");
            assert_eq!(found_losses, losses, "{objective}, stopped at {stop_at}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_weights_whatever_the_workers_and_the_objective() {
    let folder = tempfile::tempdir().unwrap();
    for (number, objective) in OTHERS.iter().enumerate() {
        let weights = |name: &str, workers: &str| {
            let experiment = experiment(&[objective, workers, "training.epochs=1"]);
            finish(&create(
                &folder.path().join(format!("{number}-{name}")),
                &experiment,
            ))
            .0
        };
        let alone = weights("alone", "training.workers=0");
        assert!(
            alone == weights("three", "training.workers=3"),
            "{objective}"
        );
    }
}

#[test]
fn parts_and_metrics_of_every_objective_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let log_of = |name: &str, objective: &str| {
        let run = create(
            &folder.path().join(name),
            &experiment(&[objective, "training.epochs=1"]),
        );
        finish(&run);
        run.metrics().unwrap()
    };
    for (name, objective, part, trivial) in [
        ("aet", "objective.kind=aet", "mse", "test_mse_of_mean"),
        ("aed", OTHERS[0], "mse", "test_mse_of_mean"),
        ("variational", OTHERS[1], "kl", "test_loss_of_mean"),
        ("rotnet", OTHERS[2], "accuracy", "test_accuracy_of_chance"),
        ("avt", OTHERS[3], "coverage_90", "test_mse_of_mean"),
        ("ensemble", OTHERS[4], "mse_2", "test_mse_of_mean"),
        ("lgan", OTHERS[5], "moved", "test_orthonormality_of_still"),
        (
            "elastic",
            "transformation.kind=elastic",
            "image_ratio",
            "test_image_ratio_of_identity",
        ),
    ] {
        let log = log_of(name, objective);
        let step = log.iter().find(|record| record["event"] == "step").unwrap();
        assert!(step["parts"][part].is_number(), "{name}: {step}");
        let epoch = log.iter().find(|record| record["event"] == "epoch");
        let epoch = epoch.unwrap();
        for key in ["test_loss", &format!("test_{part}"), trivial] {
            assert!(epoch[key].is_number(), "{name}: {epoch} lacks {key}");
        }
    }
}

#[test]
fn records_after_the_last_checkpoint_are_made_again_not_twice() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = experiment(&[]);
    let run = create(&folder.path().join("run"), &experiment);
    interrupt(&run, |event| matches!(event, Event::Step { step: 4.., .. }));
    // As a crash would leave it: a record without its checkpoint, and half a line.
    let path = run.file("metrics.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"event\":\"step\",\"step\":6,\"loss\":9.0}\n{\"event\":\"st");
    std::fs::write(&path, text).unwrap();
    finish(&run);
    let steps: Vec<u64> = run
        .metrics()
        .unwrap()
        .iter()
        .filter(|record| record["event"] == "step")
        .map(|record| record["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [2, 4, 6, 8, 10, 12, 14, 16, 18]);
}

#[test]
fn a_draft_left_by_a_crash_is_neither_read_nor_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = experiment(&[]);
    let run = create(&folder.path().join("run"), &experiment);
    interrupt(&run, |event| matches!(event, Event::Step { step: 4.., .. }));
    let draft = run.checkpoints().join(".draft-0000000006");
    std::fs::create_dir(&draft).unwrap();
    std::fs::write(draft.join("model.safetensors"), b"half").unwrap();
    assert_eq!(run.progress().unwrap().unwrap().step, 4);
    finish(&run);
    assert!(run.is_finished().unwrap());
}

/// The losses of up to 200 steps on one batch that does not change, until the mean of the last ten is
/// below `enough(first loss)`; and that mean.
fn memorise(experiment: &Experiment, enough: fn(f32) -> f32) -> (Vec<f32>, f32) {
    let device = Device::flex().autodiff();
    let plan = support::plan(16);
    let train = open(experiment).train;
    let pairs = experiment.training_pipeline();
    let batch = Loader::epoch(train, pairs, plan, 0).unwrap().next();
    let batch = Batch::from_host(batch.unwrap().unwrap(), &device);
    let mut model = fresh_model(experiment, [32, 32], &device).unwrap();
    let mut optimizer = experiment.optimizer.init();
    let mut losses: Vec<f32> = Vec::new();
    // A single loss goes up and down with the rate; the mean over some steps does not. In matrix
    // entries, an angle that is wrong by half a turn feels little pull, and how long a pair is caught
    // there depends on the last digits.
    let mean_of_ten = |losses: &[f32]| match losses.len() {
        ..10 => f32::INFINITY,
        count => losses[count - 10..].iter().sum::<f32>() / 10.0,
    };
    while losses.len() < 200
        && losses
            .first()
            .is_none_or(|first| mean_of_ten(&losses) >= enough(*first))
    {
        let output = model.objective.loss(&model.encoder, &batch);
        losses.push(output.loss.clone().into_scalar::<f32>());
        model = step(&mut optimizer, 0.02, model, &output.loss);
    }
    let last = mean_of_ten(&losses);
    (losses, last)
}

#[test]
fn parts_of_a_batch_add_their_gradients_up() {
    let experiment = experiment(&["optimizer.momentum=0"]);
    let device = Device::flex().autodiff();
    let batch = support::first_batch(&experiment, 12);
    let parts = Batch::divide(batch, std::slice::from_ref(&device), 3);
    assert!(
        parts
            .iter()
            .all(|turn| turn.len() == 1 && turn[0].len() == 4)
    );
    let start = fresh_model(&experiment, [32, 32], &device).unwrap();
    let updated = |parts: &[Vec<Batch>]| {
        let mut model = start.clone();
        let outputs = update(
            &mut model,
            &mut experiment.optimizer.init(),
            0.1,
            parts,
            false,
            &mut None,
        );
        let loss = outputs[0].loss.clone().into_scalar::<f32>();
        (named_tensors(&model), loss)
    };
    // Without momentum a step is linear in the gradient, so that the step of all parts together is
    // the mean of each part's own.
    let (all, loss) = updated(&parts);
    let each: Vec<_> = parts.chunks(1).map(updated).collect();
    let mean_loss = each.iter().map(|(_, loss)| loss).sum::<f32>() / 3.0;
    assert!((loss - mean_loss).abs() < 1e-5, "{loss} for {mean_loss}");
    let mut moved = 0.0_f32;
    for (name, found) in &all {
        if name.contains("running") {
            continue;
        }
        for (place, value) in found.values.iter().enumerate() {
            let of_parts = each.iter().map(|(weights, _)| weights[name].values[place]);
            let mean = of_parts.sum::<f32>() / 3.0;
            assert!((value - mean).abs() < 1e-5, "{name}: {value} for {mean}");
            moved = moved.max((value - each[0].0[name].values[place]).abs());
        }
    }
    assert!(
        moved > 1e-3,
        "the parts have gradients of their own: {moved}"
    );
}

#[test]
fn a_run_by_parts_learns_and_impossible_parts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let by_parts = experiment(&["training.gradient_accumulation=4"]);
    let (_, losses) = finish(&create(&folder.path().join("parts"), &by_parts));
    assert!(losses[losses.len() - 1] < losses[0], "{losses:?}");
    for parts in ["0", "3", "16"] {
        let change = format!("training.gradient_accumulation={parts}");
        let refused = configure(&[&change]).unwrap_err().to_string();
        assert!(refused.contains("divides training.batch_size"), "{refused}");
    }
}

/// Every family with every loss that it has something for.
#[test]
fn a_single_batch_is_learnt_for_every_family_and_loss() {
    let mut learnt = 0;
    for (kind, _) in Family::KINDS {
        for loss in ["parameters", "matrix", "corners", "image"] {
            let changes = [
                format!("transformation.kind={kind}"),
                format!("objective.loss={loss}"),
            ];
            let changes = [&changes[0][..], &changes[1]];
            let Ok(experiment) = configure(&changes) else {
                continue;
            };
            // Pixels differ where the interpolation or a surrogate cannot be exact.
            let enough: fn(f32) -> f32 = match loss {
                "image" => |first| 0.97 * first,
                _ => |first| 0.6 * first,
            };
            let (losses, last) = memorise(&experiment, enough);
            println!(
                "{kind}, {loss}: {} to {last} in {} steps",
                losses[0],
                losses.len()
            );
            assert!(
                last < enough(losses[0]),
                "{kind}, {loss}: {} to {last}",
                losses[0]
            );
            learnt += 1;
        }
    }
    // 14 families with parameters, 9 homographies, 11 that gradients flow through, 3 surrogates.
    assert_eq!(learnt, 14 + 2 * 9 + 11 + 3);
}

#[test]
fn the_variational_objective_becomes_surer_and_stays_right() {
    let experiment = experiment(&["objective.kind=avt", "transformation.kind=translation"]);
    let (losses, last) = memorise(&experiment, |first| first - 0.5);
    assert!(last < losses[0] - 0.5, "{} to {last}", losses[0]);
}

#[test]
fn evaluation_and_probes_during_training_leave_its_weights_alone() {
    let folder = tempfile::tempdir().unwrap();
    let weights = |name: &str, changes: &[&str]| {
        finish(&create(&folder.path().join(name), &experiment(changes))).0
    };
    let watched = weights("watched", &["evaluation.eval_every=1"]);
    let quiet = ["evaluation.eval_every=0", "evaluation.pretext_every=0"];
    assert!(watched == weights("quiet", &quiet));
}

#[test]
fn fewer_images_than_a_batch_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = create(
        &folder.path().join("run"),
        &experiment(&["training.batch_size=97"]),
    );
    let watcher = &mut |_: &Event| ControlFlow::Continue(());
    let datasets = open(run.experiment());
    let error = train(&run, &datasets, &[Device::flex()], watcher).unwrap_err();
    assert!(
        error.to_string().contains("do not fill a batch of 97"),
        "{error}"
    );
}

#[test]
fn a_loss_that_is_no_number_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let experiment = experiment(&[
        "schedule={kind=\"constant\",rate=1e30}",
        "training.log_every=1",
    ]);
    let run = create(&folder.path().join("run"), &experiment);
    let watcher = &mut |_: &Event| ControlFlow::Continue(());
    let datasets = open(run.experiment());
    let error = train(&run, &datasets, &[Device::flex()], watcher).unwrap_err();
    assert!(matches!(error, LearnError::Diverged { .. }), "{error}");
}

#[test]
fn two_processes_cannot_work_on_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = create(&folder.path().join("run"), &experiment(&[]));
    let held = run.lock().unwrap();
    let error = run.lock().unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    drop(held);
    run.lock().unwrap();
}

#[test]
fn the_product_holds_the_trained_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let run = create(&folder.path().join("run"), &experiment(&[]));
    let (weights, _) = finish(&run);
    let device = Device::flex();
    let loaded = named_tensors(&run.load_encoder(&device).unwrap());
    assert!(!loaded.is_empty());
    for (name, tensor) in &loaded {
        assert_eq!(tensor, &weights[&format!("encoder.{name}")], "{name}");
    }
    assert!(named_tensors(&run.random_encoder(&device)) != loaded);
}

#[test]
fn a_damaged_checkpoint_is_named_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let run = create(&folder.path().join("run"), &experiment(&[]));
    interrupt(&run, |event| matches!(event, Event::Step { step: 4.., .. }));
    let path = run
        .checkpoints()
        .join("0000000004")
        .join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let watcher = &mut |_: &Event| ControlFlow::Continue(());
    let error = train(&run, &open(run.experiment()), &[Device::flex()], watcher).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"), "{error}");
}
