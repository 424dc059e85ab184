//! The labels of the images that probes are run on.

use aet_data::ImageSet;

use super::ProbeData;
use crate::embed::FeatureBank;
use crate::error::LearnError;

/// Features with the class of each image.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// The features.
    pub features: &'a FeatureBank,
    /// The class of each image, counted from 0.
    pub labels: &'a [u32],
}

/// The classes of the images of a probe.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Labels {
    pub train: Vec<u32>,
    pub test: Vec<u32>,
    /// Number of classes, above every label.
    pub classes: usize,
}

impl Labels {
    /// The labels of both sets of `data`.
    ///
    /// # Errors
    /// When a set is empty, an image has no label, or the sets differ in their classes.
    pub fn of(data: &ProbeData<'_>) -> Result<Self, LearnError> {
        let train = labels(data.train, "training")?;
        let test = labels(data.test, "test")?;
        let classes = class_count(data.train, &train);
        let test_classes = class_count(data.test, &test);
        if classes != test_classes {
            return fail(format!(
                "the training images have {classes} classes but the test images {test_classes}; \
                 probes need the same classes in both"
            ));
        }
        let names = (&data.train.class_names, &data.test.class_names);
        let mut pairs = names.0.iter().zip(names.1).enumerate();
        if let Some((class, (one, other))) = pairs.find(|(_, (one, other))| one != other) {
            return fail(format!(
                "class {class} is \"{one}\" in the training images but \"{other}\" in the test \
                 images; probes need the same classes in both"
            ));
        }
        Ok(Self {
            train,
            test,
            classes,
        })
    }
}

/// The label of every image of `set`.
fn labels(set: &ImageSet, role: &str) -> Result<Vec<u32>, LearnError> {
    if set.is_empty() {
        return fail(format!("there are no {role} images; probes need some"));
    }
    let found: Vec<u32> = (0..set.len())
        .filter_map(|index| set.label(index))
        .collect();
    if found.len() < set.len() {
        return fail(format!(
            "{} of {} {role} images have no label, and probes judge features by classes; use a \
             labelled data set, or leave the probes out with evaluation.probes = []",
            set.len() - found.len(),
            set.len()
        ));
    }
    Ok(found)
}

/// The number of classes of `set`: those that it names, and at least those that occur.
fn class_count(set: &ImageSet, labels: &[u32]) -> usize {
    let highest = labels.iter().max().map_or(0, |label| *label as usize + 1);
    set.class_names.len().max(highest)
}

fn fail<T>(message: String) -> Result<T, LearnError> {
    Err(LearnError::Probe { message })
}
