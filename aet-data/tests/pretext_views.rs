//! The views of the pretext tasks that are not pairs: images to rebuild, and quarter turns.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use aet_data::random::{Purpose, generator};
use aet_data::{
    Augment, EpochPlan, HostBatch, ImageSet, ItemPipeline, Loader, Normalisation, Order,
    QuarterTurnPipeline, RebuildPipeline, Share, ViewPipeline,
};
use rand::Rng;

const COUNT: usize = 13;

fn set([height, width]: [usize; 2]) -> Arc<ImageSet> {
    let mut pixels = vec![0; COUNT * height * width * 3];
    generator(5, 0, 0, Purpose::Shapes).fill_bytes(&mut pixels);
    Arc::new(ImageSet::new([height, width], pixels, vec![None; COUNT]).unwrap())
}

fn view() -> ViewPipeline {
    ViewPipeline {
        augment: Augment {
            crop_padding: 2,
            horizontal_flip: true,
            ..Augment::none()
        },
        normalisation: Normalisation::default(),
    }
}

fn rebuild(noise: f64, draws: usize) -> RebuildPipeline {
    RebuildPipeline {
        view: view(),
        noise,
        draws,
    }
}

fn plan() -> EpochPlan {
    EpochPlan {
        seed: 11,
        epoch: 3,
        batch_size: 4,
        order: Order::Shuffled,
        drop_last: false,
        first_step: 0,
        share: Share::WHOLE,
    }
}

fn batches(
    size: [usize; 2],
    pipeline: impl ItemPipeline + 'static,
    plan: EpochPlan,
    workers: usize,
) -> Vec<HostBatch> {
    Loader::epoch(set(size), Arc::new(pipeline), plan, workers)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn noise_and_draws_are_the_same_with_any_number_of_workers_and_from_any_step() {
    let expected = batches([6, 9], rebuild(0.2, 5), plan(), 0);
    assert_eq!(expected.len(), 4);
    for workers in [1, 2, 7] {
        for first_step in 0..4 {
            let resumed = EpochPlan {
                first_step,
                ..plan()
            };
            let found = batches([6, 9], rebuild(0.2, 5), resumed, workers);
            assert_eq!(found, expected[first_step..], "{workers} workers");
        }
    }
    let next = EpochPlan { epoch: 4, ..plan() };
    let next = batches([6, 9], rebuild(0.2, 5), next, 0);
    assert_ne!(next[0].targets, expected[0].targets);
}

#[test]
fn the_last_view_is_the_clean_image_and_the_first_differs_by_noise_of_the_given_size() {
    let clean = batches([24, 20], view(), plan(), 0);
    let plain = batches([24, 20], rebuild(0.0, 0), plan(), 0);
    let noisy = batches([24, 20], rebuild(0.25, 0), plan(), 0);
    let std = Normalisation::default().std;
    let mut squares = [0.0; 3];
    for ((clean, plain), noisy) in clean.iter().zip(&plain).zip(&noisy) {
        assert_eq!(plain.views, clean.views);
        assert_eq!(noisy.views.len(), 2);
        assert_eq!(noisy.views[1], clean.views[0]);
        let plane = 24 * 20;
        for (at, (noisy, clean)) in noisy.views[0].iter().zip(&clean.views[0]).enumerate() {
            let channel = at / plane % 3;
            squares[channel] += f64::from((noisy - clean) * std[channel]).powi(2);
        }
    }
    for sum in squares {
        let sigma = (sum / (COUNT * 24 * 20) as f64).sqrt();
        assert!((sigma - 0.25).abs() < 0.01, "{sigma}");
    }
}

#[test]
fn draws_do_not_change_the_views() {
    let without = batches([6, 9], rebuild(0.1, 0), plan(), 1);
    let with = batches([6, 9], rebuild(0.1, 8), plan(), 1);
    for (without, with) in without.iter().zip(&with) {
        assert_eq!(without.views, with.views);
        assert_eq!(with.targets.len(), 8 * with.len());
        assert!(without.targets.is_empty());
    }
    assert_ne!(with[0].targets[..8], with[0].targets[8..16]);
}

#[test]
fn view_k_is_the_image_after_k_exact_quarter_turns_counter_clockwise() {
    for side in [1, 2, 7, 8] {
        let clean = batches([side; 2], view(), plan(), 0);
        let turned = batches([side; 2], QuarterTurnPipeline { view: view() }, plan(), 2);
        for (clean, turned) in clean.iter().zip(&turned) {
            assert_eq!(turned.views.len(), 4);
            for (view, values) in turned.views.iter().enumerate() {
                for (at, value) in values.iter().enumerate() {
                    let (plane, row, column) = (at / (side * side), at / side % side, at % side);
                    // Where the pixel was before the turns.
                    let (from_row, from_column) = match view {
                        0 => (row, column),
                        1 => (column, side - 1 - row),
                        2 => (side - 1 - row, side - 1 - column),
                        _ => (side - 1 - column, row),
                    };
                    let from = (plane * side + from_row) * side + from_column;
                    assert_eq!(*value, clean.views[0][from], "side {side}, view {view}");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "quarter turns need square images")]
fn quarter_turns_of_an_oblong_image_are_a_callers_bug() {
    batches([6, 9], QuarterTurnPipeline { view: view() }, plan(), 0);
}
