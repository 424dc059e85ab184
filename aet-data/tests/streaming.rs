//! Sets whose images are decoded whenever they are read: the same batches as from memory, in blocks,
//! in shares, and without images that cannot be used.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use aet_data::{
    Augment, DataError, EpochPlan, HostBatch, ImageSet, LoadOptions, Loader, Normalisation,
    OnError, Order, PairPipeline, Share, Source, Split, open,
};
use aet_geometry::Family;
use support::{Table, at, marked, png, write};
use tempfile::TempDir;

const SIZE: [usize; 2] = [12, 12];

/// 40 images of different sizes, a third of them in each of three classes.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for index in 0..40 {
        let class = support::CLASSES[index % 3];
        let path = folder.path().join(class).join(format!("{index:02}.png"));
        write(&path, &png(&marked(16 + index % 5, 20 + index % 7, index)));
    }
    folder
}

fn source(path: &Path) -> Arc<dyn Source> {
    open(&at(path), Split::Train).unwrap().into()
}

fn options(on_error: OnError) -> LoadOptions {
    LoadOptions {
        size: Some(SIZE),
        on_error,
        ..LoadOptions::default()
    }
}

fn plan(order: Order) -> EpochPlan {
    EpochPlan {
        seed: 7,
        epoch: 2,
        batch_size: 6,
        order,
        drop_last: false,
        first_step: 0,
        share: Share::WHOLE,
    }
}

fn batches(
    set: &Arc<ImageSet>,
    plan: EpochPlan,
    workers: usize,
) -> Result<Vec<HostBatch>, DataError> {
    let pipeline = PairPipeline {
        augment: Augment {
            horizontal_flip: true,
            ..Augment::none()
        },
        family: Family::default_of("affine").unwrap(),
        border: [9, 8, 7].into(),
        normalisation: Normalisation::default(),
    };
    Loader::epoch(Arc::clone(set), Arc::new(pipeline), plan, workers)?.collect()
}

fn streamed(path: &Path, on_error: OnError) -> Arc<ImageSet> {
    Arc::new(ImageSet::stream(source(path), &options(on_error)).unwrap())
}

#[test]
fn batches_are_those_of_a_set_in_memory() {
    let folder = folder();
    let files = source(folder.path());
    let options = options(OnError::Fail);
    let kept = ImageSet::load_range(files.as_ref(), 0..40, &options, &|_, _| ()).unwrap();
    let (kept, streamed) = (Arc::new(kept), streamed(folder.path(), OnError::Fail));
    assert_eq!(streamed.labels, kept.labels);
    assert_eq!(streamed.name(5), kept.name(5));
    let expected = batches(&kept, plan(Order::Shuffled), 0).unwrap();
    for workers in [0, 1, 3] {
        let found = batches(&streamed, plan(Order::Shuffled), workers).unwrap();
        assert_eq!(found, expected, "{workers} workers");
    }
    let resumed = EpochPlan {
        first_step: 4,
        ..plan(Order::Shuffled)
    };
    assert_eq!(batches(&streamed, resumed, 2).unwrap(), expected[4..]);
    let part: Vec<usize> = (0..40).rev().step_by(3).collect();
    let found = batches(
        &Arc::new(streamed.subset(&part)),
        plan(Order::Sequential),
        1,
    )
    .unwrap();
    let expected = batches(&Arc::new(kept.subset(&part)), plan(Order::Sequential), 1).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn large_photographs_in_memory_are_those_that_are_streamed() {
    let folder = TempDir::new().unwrap();
    for index in 0..6 {
        let picture = marked(150 + index, 210, index);
        let path = folder.path().join(format!("{index}.jpg"));
        write(&path, &support::jpeg(&picture));
    }
    let files = source(folder.path());
    let options = options(OnError::Fail);
    let kept = ImageSet::load_range(files.as_ref(), 0..6, &options, &|_, _| ()).unwrap();
    let expected = batches(&Arc::new(kept), plan(Order::Shuffled), 0).unwrap();
    let streamed = streamed(folder.path(), OnError::Fail);
    assert_eq!(
        batches(&streamed, plan(Order::Shuffled), 1).unwrap(),
        expected
    );
    let zooms = LoadOptions {
        zooms: true,
        ..options
    };
    let whole = ImageSet::stream(files, &zooms).unwrap();
    let mut buffer = aet_geometry::RgbImage::filled(0, 0, [0; 3]);
    let image = whole.read(2, &mut buffer).unwrap();
    assert_eq!([image.height(), image.width()], [152, 210]);
}

#[test]
fn images_kept_by_their_shorter_side_are_cropped_as_those_that_are_streamed() {
    let folder = folder();
    let files = source(folder.path());
    let options = LoadOptions {
        shorter_side: Some(14),
        ..options(OnError::Fail)
    };
    let kept = ImageSet::load_range(files.as_ref(), 0..40, &options, &|_, _| ()).unwrap();
    assert_eq!(kept.image(0).height().min(kept.image(0).width()), 14);
    assert_eq!(kept.size(), SIZE);
    let sizes: BTreeSet<usize> = (0..40).map(|index| kept.image(index).width()).collect();
    assert!(sizes.len() > 2, "proportions are kept: {sizes:?}");
    let streamed = ImageSet::stream(files, &options).unwrap();
    let item = |set: &ImageSet, index: usize| {
        let augment = Augment {
            resize: Some(14),
            ..Augment::none()
        };
        let pipeline = aet_data::ViewPipeline {
            augment: augment.still(),
            normalisation: Normalisation::UNIT,
        };
        let set = Arc::new(set.subset(&[index]));
        let plan = plan(Order::Sequential);
        let mut batches = Loader::epoch(set, Arc::new(pipeline), plan, 0).unwrap();
        batches.next().unwrap().unwrap().views.remove(0)
    };
    for index in 0..40 {
        let (one, other) = (item(&kept, index), item(&streamed, index));
        let pairs = one.iter().zip(&other);
        let most = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Two roundings to 8 bits in the place of one.
        assert!(most <= 2.5 / 255.0, "image {index}: {most}");
    }
}

#[test]
fn shares_take_every_batch_once_and_as_many_steps_each() {
    let folder = folder();
    let set = streamed(folder.path(), OnError::Fail);
    let whole = batches(&set, plan(Order::Shuffled), 0).unwrap();
    let share = |index, drop_last| {
        let plan = EpochPlan {
            share: Share { index, count: 3 },
            drop_last,
            ..plan(Order::Shuffled)
        };
        batches(&set, plan, 2).unwrap()
    };
    for (index, expected) in whole.iter().enumerate() {
        let found = &share(index % 3, false)[index / 3];
        assert_eq!(
            (&found.indices, &found.views),
            (&expected.indices, &expected.views)
        );
    }
    let steps: Vec<usize> = (0..3).map(|index| share(index, true).len()).collect();
    assert_eq!(steps, [2, 2, 2]);
    let outside = EpochPlan {
        share: Share { index: 3, count: 3 },
        ..plan(Order::Shuffled)
    };
    assert!(batches(&set, outside, 0).is_err());
}

#[test]
fn row_groups_are_mixed_a_few_at_a_time() {
    let folder = TempDir::new().unwrap();
    let table = Table {
        rows_per_group: 4,
        ..Table::of(64)
    };
    table.write(&folder.path().join("train.parquet"));
    let set = ImageSet::stream(source(folder.path()), &LoadOptions::default()).unwrap();
    let set = Arc::new(set);
    let order: Vec<usize> = (batches(&set, plan(Order::Shuffled), 2).unwrap().into_iter())
        .flat_map(|batch| batch.indices)
        .collect();
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 64);
    assert_ne!(order, (0..64).collect::<Vec<_>>());
    // Two groups of four at a time.
    for few in order.chunks(8) {
        let groups: BTreeSet<usize> = few.iter().map(|index| index / 4).collect();
        assert_eq!(groups.len(), 2, "{few:?}");
    }
}

/// Breaks every tenth image.
fn damage(folder: &Path) {
    for index in (0..40).step_by(10) {
        let class = support::CLASSES[index % 3];
        let path = folder.join(class).join(format!("{index:02}.png"));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    }
}

#[test]
fn broken_images_are_replaced_in_training_and_left_out_in_order() {
    let folder = folder();
    damage(folder.path());
    let set = streamed(folder.path(), OnError::SKIP);
    let expected = batches(&set, plan(Order::Shuffled), 0).unwrap();
    let indices: Vec<usize> = expected
        .iter()
        .flat_map(|batch| batch.indices.clone())
        .collect();
    assert_eq!(indices.len(), 40, "batches stay full");
    let skipped = set.skips().list();
    assert_eq!(skipped.len(), 4);
    assert!(skipped[0].error.contains("00.png"), "{}", skipped[0].error);
    assert!(skipped.iter().all(|one| !indices.contains(&one.index)));
    for batch in &expected {
        let labels = batch.indices.iter().map(|index| set.label(*index));
        assert_eq!(batch.labels, labels.collect::<Vec<_>>());
    }
    for workers in [1, 3] {
        let again = streamed(folder.path(), OnError::SKIP);
        assert_eq!(
            batches(&again, plan(Order::Shuffled), workers).unwrap(),
            expected
        );
    }
    let in_order = batches(&set, plan(Order::Sequential), 2).unwrap();
    let indices: Vec<usize> = in_order
        .iter()
        .flat_map(|batch| batch.indices.clone())
        .collect();
    assert_eq!(indices.len(), 36);
    assert!(indices.is_sorted());
    for batch in &in_order {
        assert_eq!(batch.view_shape[0], batch.indices.len());
        assert_eq!(batch.views[0].len(), batch.indices.len() * 3 * 144);
    }
    assert_eq!(set.without_skipped().len(), 36);
}

#[test]
fn broken_images_are_left_out_of_a_set_in_memory() {
    let folder = folder();
    damage(folder.path());
    let files = source(folder.path());
    let load =
        |on_error| ImageSet::load_range(files.as_ref(), 0..40, &options(on_error), &|_, _| ());
    let set = load(OnError::SKIP).unwrap();
    assert_eq!((set.len(), set.skips().len()), (36, 4));
    assert_eq!(set.labels.len(), set.names.len());
    assert!(!set.names.iter().any(|name| name.ends_with("00.png")));
    assert!(load(OnError::Fail).unwrap_err().is_about_one_image());
}

#[test]
fn too_many_broken_images_are_an_error_that_says_how_many() {
    let folder = folder();
    damage(folder.path());
    let strict = OnError::Skip { most: 0.05 };
    let set = streamed(folder.path(), strict);
    let message = batches(&set, plan(Order::Shuffled), 2)
        .unwrap_err()
        .to_string();
    // Two workers can come upon the third and the fourth at once.
    let counted = ["3 of 40 images", "4 of 40 images"];
    assert!(counted.iter().any(|c| message.contains(c)), "{message}");
    let files = source(folder.path());
    let error = ImageSet::load_range(files.as_ref(), 0..40, &options(strict), &|_, _| ());
    let message = error.unwrap_err().to_string();
    assert!(message.contains("of 40 images"), "{message}");
    for index in 0..40 {
        let class = support::CLASSES[index % 3];
        std::fs::write(
            folder.path().join(class).join(format!("{index:02}.png")),
            b"x",
        )
        .unwrap();
    }
    let all = options(OnError::Skip { most: 1.0 });
    let error = ImageSet::load_range(files.as_ref(), 0..40, &all, &|_, _| ()).unwrap_err();
    assert!(error.to_string().contains("none of the images"), "{error}");
}
