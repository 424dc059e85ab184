//! What each way of treating borders shows to the encoder, and how a decoder that reads borders is
//! found out.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use aet_data::random::{Purpose, below, generator};
use aet_data::{EpochPlan, HostBatch, ImageSet, Loader, Order, Share};
use aet_geometry::Border;
use aet_learn::Device;
use aet_learn::batch::Batch;
use aet_learn::border::{BorderMode, Outside};
use aet_learn::config::{Experiment, ExperimentConfig};
use aet_learn::evaluate::{evaluation_batches, pretext_loss};
use aet_learn::model::{Model, fresh_model};
use aet_learn::optim::step;
use aet_learn::recovery::recovery;
use aet_learn::run_dir::{RunDirectory, RunInfo};
use aet_learn::shortcuts::{Condition, examine};
use aet_learn::state::host_values;
use burn::module::Module;
use burn::tensor::Tensor;

const TOML: &str = r#"
seed = 5
[transformation]
kind = "translation"
[backbone]
kind = "nin"
blocks = 3
width = 0.1
[training]
batch_size = 16
workers = 0
"#;

const SIZE: [usize; 2] = [24, 24];

fn experiment(changes: &[&str]) -> Experiment {
    let changes: Vec<String> = changes.iter().map(|change| change.to_string()).collect();
    let config = ExperimentConfig::parse(TOML, "test", &changes).unwrap();
    config.resolve().unwrap()
}

/// Images of one colour each, as different from each other and from the fill as may be.
fn colours(count: usize) -> Arc<ImageSet> {
    let mut rng = generator(1, 0, 0, Purpose::Shapes);
    let pixels = (0..count).flat_map(|_| {
        let colour = [(); 3].map(|()| [0, 40, 215, 255][below(&mut rng, 4)]);
        colour.into_iter().cycle().take(3 * SIZE[0] * SIZE[1])
    });
    Arc::new(ImageSet::new(SIZE, pixels.collect(), vec![None; count]).unwrap())
}

/// Smooth images, each another.
fn waves(count: usize) -> Arc<ImageSet> {
    let [height, width] = SIZE;
    let value = |image: usize, at: usize| {
        let (x, y) = ((at / 3 % width) as f64, (at / 3 / width) as f64);
        let phase = (image * 7 + at % 3 * 2) as f64;
        (127.0 + 60.0 * (x / 4.0 + phase).sin() + 50.0 * (y / 3.0 - phase).cos()) as u8
    };
    let pixels = (0..count).flat_map(|image| (0..3 * height * width).map(move |at| (image, at)));
    let pixels = pixels.map(|(image, at)| value(image, at)).collect();
    Arc::new(ImageSet::new(SIZE, pixels, vec![None; count]).unwrap())
}

fn first_batch(experiment: &Experiment, images: &Arc<ImageSet>) -> HostBatch {
    let mut batches = evaluation_batches(experiment, images, images.len()).unwrap();
    batches.next().unwrap().unwrap()
}

#[test]
fn without_the_key_borders_are_filled_and_runs_say_so_from_here_on() {
    let old = experiment(&["warp.fill=[9,8,7]"]);
    assert_eq!(old.warp.border, BorderMode::Fill);
    assert_eq!(old.warp.host_border(), Border::Fill([9, 8, 7]));
    assert!(old.to_toml().unwrap().contains("border = \"fill\""));
    assert_eq!(old.framing(SIZE).window, None);
    let cropped = experiment(&["warp.border=crop"]);
    assert_eq!(cropped.warp.host_border(), Border::Reflect);
    assert_eq!(cropped.framing(SIZE).outside, Outside::Reflect);
    let text = ExperimentConfig::parse(TOML, "test", &["warp.border=wrap".into()]);
    let message = text.unwrap_err().to_string();
    assert!(message.contains("wrap") && message.contains("reflect"));
}

#[test]
fn there_is_one_window_for_every_run_of_a_family_and_a_size() {
    let window = |changes: &[&str]| {
        let changes = [&["warp.border=crop"], changes].concat();
        experiment(&changes).window(SIZE)
    };
    let one = window(&[]).unwrap();
    assert!(one.window.height < SIZE[0] && one.holds());
    assert_eq!(window(&["seed=77", "objective.kind=avt"]), Some(one));
    for objective in ["aed", "rotnet"] {
        assert_eq!(window(&[&format!("objective.kind={objective}")]), None);
    }
    let ensemble = "objective={kind='ensemble',members=[{transformation={kind='colour'}},{transformation={kind='translation'}}]}";
    assert!(window(&[ensemble]).unwrap().window.height < SIZE[0]);
}

#[test]
fn a_cropped_encoder_sees_nothing_outside_of_its_window() {
    let device = Device::flex();
    let images = waves(6);
    for objective in [
        "objective.kind=aet",
        "objective.loss=image",
        "objective.kind=avt",
        "objective.kind=ensemble",
    ] {
        let experiment = experiment(&["warp.border=crop", objective]);
        let window = experiment.window(SIZE).unwrap().window;
        let model = fresh_model(&experiment, SIZE, &device).unwrap();
        let batch = first_batch(&experiment, &images);
        let mut defaced = batch.clone();
        for (at, value) in defaced.views.iter_mut().flatten().enumerate() {
            let (row, column) = (at / SIZE[1] % SIZE[0], at % SIZE[1]);
            let rows = window.top..window.top + window.height;
            let columns = window.left..window.left + window.width;
            if !(rows.contains(&row) && columns.contains(&column)) {
                *value = (at % 13) as f32 - 6.0;
            }
        }
        let answers = |batch: HostBatch, model: &Model| {
            let batch = Batch::from_host(batch, &device);
            host_values(model.objective.predict(&model.encoder, &batch))
        };
        assert_ne!(batch, defaced);
        let expected = answers(batch, &model);
        assert_eq!(expected, answers(defaced.clone(), &model), "{objective}");
        let filled = self::experiment(&[objective]).framing(SIZE);
        let whole = Model {
            objective: model.objective.clone().framed(filled),
            ..model
        };
        assert_ne!(expected, answers(defaced, &whole), "{objective}");
    }
}

#[test]
fn the_true_transformation_gives_its_image_with_a_mirrored_and_a_cropped_border() {
    let device = Device::flex();
    for border in ["reflect", "crop"] {
        let border = format!("warp.border={border}");
        let experiment = experiment(&["objective.loss=image", &border]);
        let model = fresh_model(&experiment, SIZE, &device).unwrap();
        let batch = Batch::from_host(first_batch(&experiment, &waves(8)), &device);
        let judged = model.objective.judge(batch.target.clone(), &batch);
        let judged = judged.unwrap();
        let ratio = |parts: Vec<(&str, Tensor<1>)>| {
            let named = parts.into_iter().find(|(name, _)| *name == "image_ratio");
            host_values(named.unwrap().1)[0]
        };
        assert!(ratio(judged.parts) < 1e-3, "{border}");
        let still = Tensor::zeros([8, 2], &device);
        let judged = model.objective.judge(still, &batch).unwrap();
        assert!(ratio(judged.parts) > 0.99, "{border}");
    }
}

#[test]
fn transformations_that_reach_too_far_for_a_window_are_refused_with_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let create = |changes: &[&str], image_size: [usize; 2]| {
        let changes = [&["warp.border=crop"], changes].concat();
        let info = RunInfo {
            image_size,
            ..RunInfo::default()
        };
        RunDirectory::create(&folder.path().join("run"), &experiment(&changes), info)
    };
    let wide = "transformation.translation=0.8";
    let message = create(&[wide], SIZE).unwrap_err().to_string();
    for part in ["warp.border = \"crop\"", "reflect", "95%"] {
        assert!(message.contains(part), "{message}");
    }
    let alexnet = ["backbone.kind=alexnet"];
    let message = create(&alexnet, [80, 80]).unwrap_err().to_string();
    assert!(message.contains("window of"), "{message}");
    create(&[wide, "objective.kind=rotnet"], SIZE).unwrap();
}

/// `experiment`'s model after some steps on `images`.
fn trained(experiment: &Experiment, images: &Arc<ImageSet>, steps: usize) -> Model {
    let device = Device::flex().autodiff();
    let mut model = fresh_model(experiment, SIZE, &device).unwrap();
    let mut optimizer = experiment.optimizer.init();
    let mut done = 0;
    for epoch in 0.. {
        let plan = EpochPlan {
            seed: experiment.seed,
            epoch,
            batch_size: 16,
            order: Order::Shuffled,
            drop_last: true,
            first_step: 0,
            share: Share::WHOLE,
        };
        let pipeline = experiment.training_pipeline();
        for batch in Loader::epoch(Arc::clone(images), pipeline, plan, 0).unwrap() {
            let batch = batch.unwrap();
            let batch = Batch::from_host(batch, &device);
            let output = model.objective.loss(&model.encoder, &batch);
            let rate = 0.05 * (1.0 - done as f64 / steps as f64);
            model = step(&mut optimizer, rate, model, &output.loss);
            done += 1;
            if done == steps {
                return model.valid();
            }
        }
    }
    unreachable!("epochs do not end")
}

#[test]
fn a_decoder_that_reads_the_fill_is_found_out() {
    let experiment = experiment(&[]);
    let model = trained(&experiment, &colours(64), 240);
    let images = colours(60);
    let found = examine(&model, &experiment, &images, &mut |_| ()).unwrap();
    let ratio = |condition: Condition| found.row(condition).unwrap().ratio().unwrap();
    println!("{found:?}");
    let plain = pretext_loss(&model, &experiment, &images).unwrap();
    let reference = found.row(Condition::Images).unwrap();
    assert_eq!(reference.metric, plain.metric());
    assert_eq!(reference.trivial, plain.trivial_metric);
    // There is nothing but the fill in these images, which is enough.
    assert!(ratio(Condition::Images) < 0.4);
    assert!((ratio(Condition::Constant) - ratio(Condition::Images)).abs() < 0.02);
    for condition in [Condition::BordersReflected, Condition::BordersCropped] {
        assert!(ratio(condition) > 0.9, "{condition:?}");
    }
    // One colour resampled is that colour.
    assert!((ratio(Condition::OriginalResampled) - ratio(Condition::Images)).abs() < 1e-3);
    assert!(found.row(Condition::IdentityResampled).is_some());
    assert!(found.left_out.is_empty() && found.window.unwrap().holds());
}

#[test]
fn shortcuts_and_what_is_told_go_by_the_statistics_that_the_experiment_says() {
    let images = waves(12);
    let running = experiment(&[]);
    let batchwise = experiment(&["evaluation.statistics=batch"]);
    let model = fresh_model(&running, SIZE, &Device::flex().autodiff()).unwrap();
    let of = |experiment: &Experiment| {
        let found = examine(&model, experiment, &images, &mut |_| ()).unwrap();
        let told = recovery(&model, experiment, &images).unwrap().unwrap();
        let plain = pretext_loss(&model, experiment, &images).unwrap();
        let metric = found.row(Condition::Images).unwrap().metric;
        assert_eq!(metric, plain.metric());
        (metric, told.components[0].r2)
    };
    let (running, batchwise) = (of(&running), of(&batchwise));
    assert_ne!(running.0, batchwise.0);
    assert_ne!(running.1, batchwise.1);
}

#[test]
fn what_cannot_be_said_is_left_out_with_a_reason() {
    let images = waves(12);
    let left_out = |changes: &[&str]| {
        let experiment = experiment(changes);
        let model = fresh_model(&experiment, SIZE, &Device::flex()).unwrap();
        let found = examine(&model, &experiment, &images, &mut |_| ()).unwrap();
        assert_eq!(found.rows.len() + found.left_out.len(), 7, "{changes:?}");
        let names = found.left_out.iter();
        names
            .map(|(condition, _)| *condition)
            .collect::<Vec<Condition>>()
    };
    use Condition::{BordersCropped, BordersReflected, Constant, IdentityResampled};
    assert_eq!(left_out(&["objective.kind=avt"]), []);
    assert_eq!(left_out(&["warp.border=reflect"]), [BordersReflected]);
    assert_eq!(
        left_out(&["warp.border=crop"]),
        [BordersReflected, BordersCropped]
    );
    assert_eq!(
        left_out(&["transformation.kind=colour"]),
        [BordersReflected, BordersCropped]
    );
    assert_eq!(left_out(&["objective.loss=image"]), [IdentityResampled]);
    // Mirrored, an image of one colour is the same wherever it goes.
    assert_eq!(
        left_out(&["objective.loss=image", "warp.border=reflect"]),
        [Constant, BordersReflected, IdentityResampled]
    );
    let larger = "transformation={kind='scaling',scale=[1.1,1.4]}";
    assert_eq!(left_out(&[larger]), [BordersCropped, IdentityResampled]);
    for objective in ["aed", "rotnet"] {
        let experiment = experiment(&[&format!("objective.kind={objective}")]);
        let model = fresh_model(&experiment, SIZE, &Device::flex()).unwrap();
        let refused = examine(&model, &experiment, &images, &mut |_| ()).unwrap_err();
        assert!(refused.to_string().contains("objective.kind"), "{refused}");
    }
}
