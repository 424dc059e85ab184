//! The loader: what a batch depends on, orders, ends, threads.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aet_data::random::{Purpose, generator, permutation};
use aet_data::{
    Augment, AugmentBuffers, EpochPlan, HostBatch, ImageSet, ItemContext, ItemPipeline, Loader,
    Normalisation, Order, PairPipeline, Share, ViewPipeline, steps_per_epoch,
};
use aet_geometry::{Family, RgbView, TransformationFamily};
use rand::Rng;

const COUNT: usize = 23;

const EXPECTED_AUGMENT: [u64; 3] = [
    0x8f74_5f8f_447d_0c0a,
    0xa758_d882_3a8a_f8ba,
    0x9240_de5f_5468_fdb7,
];
const EXPECTED_SHUFFLE: [u64; 3] = [
    0x87bd_ff72_a2d1_dd4c,
    0x90a5_463f_176a_a2e1,
    0x54cd_e704_1dcf_5c32,
];
const EXPECTED_ORDER: [usize; 10] = [2, 6, 5, 9, 8, 0, 3, 7, 4, 1];

fn set() -> Arc<ImageSet> {
    let mut pixels = vec![0; COUNT * 8 * 8 * 3];
    generator(5, 0, 0, Purpose::Noise).fill_bytes(&mut pixels);
    let labels = (0..COUNT).map(|index| Some(index as u32 % 4)).collect();
    Arc::new(ImageSet::new([8, 8], pixels, labels).unwrap())
}

fn pairs(kind: &str) -> PairPipeline {
    PairPipeline {
        augment: Augment {
            crop_padding: 2,
            horizontal_flip: true,
            ..Augment::none()
        },
        family: Family::default_of(kind).unwrap(),
        border: [9, 8, 7].into(),
        normalisation: Normalisation::default(),
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

fn batches(plan: EpochPlan, workers: usize) -> Vec<HostBatch> {
    let pipeline = Arc::new(pairs("projective"));
    Loader::epoch(set(), pipeline, plan, workers)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn batches_are_the_same_with_any_number_of_workers_and_from_any_step() {
    let expected = batches(plan(), 0);
    assert_eq!(expected.len(), 6);
    for workers in [1, 2, 7] {
        assert_eq!(batches(plan(), workers), expected, "{workers} workers");
        for first_step in 0..8 {
            let resumed = EpochPlan {
                first_step,
                ..plan()
            };
            assert_eq!(batches(resumed, workers), expected[first_step.min(6)..]);
        }
    }
}

#[test]
fn items_depend_on_epoch_and_index_and_not_on_their_batch() {
    let whole = EpochPlan {
        batch_size: 100,
        order: Order::Sequential,
        ..plan()
    };
    let [whole] = <[HostBatch; 1]>::try_from(batches(whole, 1)).unwrap();
    assert_eq!(whole.view_shape, [COUNT, 3, 8, 8]);
    let item = 3 * 8 * 8;
    for batch in batches(plan(), 2) {
        for (row, &index) in batch.indices.iter().enumerate() {
            for view in 0..2 {
                let found = &batch.views[view][row * item..][..item];
                assert_eq!(found, &whole.views[view][index * item..][..item]);
            }
            assert_eq!(
                batch.targets[row * 8..][..8],
                whole.targets[index * 8..][..8]
            );
            assert_eq!(batch.labels[row], Some(index as u32 % 4));
        }
    }
    let next = EpochPlan {
        epoch: 4,
        order: Order::Sequential,
        batch_size: 100,
        ..plan()
    };
    assert_ne!(batches(next, 0)[0].targets, whole.targets);
}

#[test]
fn a_pair_is_the_augmented_image_and_its_warp() {
    for (kind, _) in Family::KINDS {
        let pipeline = pairs(kind);
        let set = set();
        let sequential = EpochPlan {
            order: Order::Sequential,
            ..plan()
        };
        let length = pipeline.family.target_len();
        let normaliser = pipeline.normalisation.prepare();
        let mut buffers = AugmentBuffers::default();
        let made = Loader::epoch(set.clone(), Arc::new(pipeline.clone()), sequential, 0);
        let batch = made.unwrap().nth(1).unwrap().unwrap();
        for (row, &index) in batch.indices.iter().enumerate() {
            let mut original = set.image(index).to_image();
            let mut rng = generator(11, 3, index as u64, Purpose::Augment);
            pipeline
                .augment
                .apply_into(
                    set.image(index),
                    &mut rng,
                    &mut buffers,
                    original.view_mut(),
                )
                .unwrap();
            let mut rng = generator(11, 3, index as u64, Purpose::Transform);
            let sampled = pipeline.family.sample(&mut rng, 8, 8);
            let warped = sampled
                .transformation
                .apply(original.view(), pipeline.border);
            for (view, image) in [original, warped].iter().enumerate() {
                let mut expected = vec![0.0; 192];
                normaliser.apply_into(image.view(), &mut expected);
                assert_eq!(batch.views[view][row * 192..][..192], expected, "{kind}");
            }
            assert_eq!(
                batch.targets[row * length..][..length],
                sampled.target,
                "{kind}"
            );
        }
    }
}

#[test]
fn shuffled_epochs_are_different_permutations() {
    let order = |epoch: u64, seed: u64| -> Vec<usize> {
        let plan = EpochPlan {
            epoch,
            seed,
            ..plan()
        };
        batches(plan, 1)
            .into_iter()
            .flat_map(|batch| batch.indices)
            .collect()
    };
    let orders = [order(0, 1), order(1, 1), order(0, 2)];
    for order in &orders {
        assert_eq!(order.iter().collect::<HashSet<_>>().len(), COUNT);
    }
    assert_eq!(orders.iter().collect::<HashSet<_>>().len(), 3);
    let sequential = EpochPlan {
        order: Order::Sequential,
        ..plan()
    };
    let indices = batches(sequential, 2)
        .into_iter()
        .flat_map(|batch| batch.indices);
    assert!(indices.eq(0..COUNT));
}

#[test]
fn the_last_batch_is_dropped_or_smaller() {
    let sizes = |batch_size: usize, drop_last: bool| -> Vec<usize> {
        let plan = EpochPlan {
            batch_size,
            drop_last,
            ..plan()
        };
        let made = batches(plan, 2);
        assert_eq!(made.len(), steps_per_epoch(COUNT, batch_size, drop_last));
        made.iter().map(HostBatch::len).collect()
    };
    assert_eq!(sizes(10, false), [10, 10, 3]);
    assert_eq!(sizes(10, true), [10, 10]);
    assert_eq!(sizes(COUNT, true), [COUNT]);
    assert_eq!(sizes(100, false), [COUNT]);
    assert_eq!(sizes(100, true), [0; 0]);
    assert_eq!(steps_per_epoch(10, 0, true), 0);
}

#[test]
fn empty_sets_and_batches_are_errors() {
    let empty = Arc::new(ImageSet::new([8, 8], vec![], vec![]).unwrap());
    let view = || {
        Arc::new(ViewPipeline {
            augment: Augment::none(),
            normalisation: Normalisation::UNIT,
        })
    };
    let error = Loader::epoch(empty, view(), plan(), 2).err().unwrap();
    assert!(
        error.to_string().contains("number of images is 0"),
        "{error}"
    );
    let no_batch = EpochPlan {
        batch_size: 0,
        ..plan()
    };
    let error = Loader::epoch(set(), view(), no_batch, 2).err().unwrap();
    assert!(error.to_string().contains("batch size is 0"), "{error}");
}

#[test]
fn a_view_is_the_image_itself_without_augmentation() {
    let set = set();
    let view = |augment| {
        Arc::new(ViewPipeline {
            augment,
            normalisation: Normalisation::UNIT,
        })
    };
    let sequential = EpochPlan {
        order: Order::Sequential,
        ..plan()
    };
    let plain = Loader::epoch(set.clone(), view(Augment::none()), sequential.clone(), 1);
    let batch = plain.unwrap().next().unwrap().unwrap();
    assert_eq!(
        (batch.views.len(), batch.targets.len(), batch.is_empty()),
        (1, 0, false)
    );
    let red = f32::from(set.image(2).pixel(4, 5)[0]) / 255.0;
    let found = batch.views[0][2 * 192 + 4 * 8 + 5];
    assert!((found - red).abs() < 1e-6);
    let changed = Loader::epoch(set, view(pairs("affine").augment), sequential, 1);
    assert_ne!(changed.unwrap().next().unwrap().unwrap().views, batch.views);
}

#[test]
fn recycled_batches_hold_nothing_of_their_past() {
    let expected = batches(plan(), 0);
    for workers in [0, 2] {
        let pipeline = Arc::new(pairs("projective"));
        let made = Loader::epoch(set(), pipeline, plan(), workers).unwrap();
        assert_eq!((made.steps(), made.size_hint().1), (6, Some(6)));
        let recycler = made.recycler();
        for (batch, expected) in made.zip(&expected) {
            let batch = batch.unwrap();
            assert_eq!(&batch, expected);
            recycler.recycle(batch);
        }
    }
}

/// Counts the items it makes; panics at one of them, if told to.
struct Counting {
    made: Arc<AtomicUsize>,
    panics_at: Option<usize>,
}

impl ItemPipeline for Counting {
    fn views(&self) -> usize {
        1
    }

    fn target_len(&self) -> usize {
        1
    }

    fn view_size(&self, _height: usize, _width: usize) -> [usize; 2] {
        [1, 1]
    }

    fn make(
        &self,
        _image: RgbView<'_>,
        context: &mut ItemContext,
        views: &mut [&mut [f32]],
        target: &mut [f32],
    ) -> Result<(), String> {
        assert_ne!(Some(context.index()), self.panics_at, "told to");
        self.made.fetch_add(1, Ordering::SeqCst);
        views[0].fill(context.index() as f32);
        target[0] = -(context.index() as f32);
        Ok(())
    }
}

#[test]
fn threads_end_with_the_iterator_and_stay_few_batches_ahead() {
    let pixels = vec![0; 4000 * 3];
    let set = Arc::new(ImageSet::new([1, 1], pixels, vec![None; 4000]).unwrap());
    let made = Arc::new(AtomicUsize::new(0));
    let pipeline = Arc::new(Counting {
        made: made.clone(),
        panics_at: None,
    });
    let weak = Arc::downgrade(&set);
    let mut batches = Loader::epoch(set, pipeline, plan(), 3).unwrap();
    let first = batches.next().unwrap().unwrap();
    assert_eq!(first.view_shape, [4, 3, 1, 1]);
    assert_eq!(first.views[0][0], first.indices[0] as f32);
    assert_eq!(first.targets[3], -(first.indices[3] as f32));
    drop(batches);
    // All threads are joined: nobody holds the set, and nobody makes items any more.
    assert!(weak.upgrade().is_none());
    let items = made.load(Ordering::SeqCst);
    assert!((4..=4 * (1 + 3 * 4)).contains(&items), "{items}");
}

#[test]
fn a_reader_in_the_pool_gets_the_same_batches_even_if_it_is_the_only_thread() {
    let expected = batches(plan(), 0);
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let found = pool.build().unwrap().install(|| batches(plan(), 2));
        assert_eq!(found, expected, "{threads} threads");
    }
}

#[test]
fn a_panic_in_a_worker_goes_on_in_the_reader() {
    let made = Arc::new(AtomicUsize::new(0));
    let pipeline = Arc::new(Counting {
        made,
        panics_at: Some(9),
    });
    let sequential = EpochPlan {
        order: Order::Sequential,
        ..plan()
    };
    let read = || {
        Loader::epoch(set(), pipeline, sequential, 2)
            .unwrap()
            .count()
    };
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("told to"));
}

/// The numbers come from `scripts/chacha_reference.py`, an implementation of RFC 8439's block with
/// 8 rounds and a 64-bit counter, from the key (seed, epoch, index, purpose).
#[test]
fn the_generator_gives_the_numbers_of_an_independent_implementation() {
    let mut rng = generator(7, 1, 42, Purpose::Augment);
    let numbers: [u64; 3] = std::array::from_fn(|_| rng.next_u64());
    assert_eq!(numbers, EXPECTED_AUGMENT);
    let mut rng = generator(u64::MAX, 0, 0, Purpose::Shuffle);
    let numbers: [u64; 3] = std::array::from_fn(|_| rng.next_u64());
    assert_eq!(numbers, EXPECTED_SHUFFLE);
    let order = permutation(&mut generator(7, 0, 0, Purpose::Shuffle), 10);
    assert_eq!(order, EXPECTED_ORDER);
}
