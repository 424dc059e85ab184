//! Who may see which labels. While something is chosen there is only a [`Study`]: the labelled
//! training images, some of them set aside for validation. The test labels are behind a
//! [`SealedTest`], which takes answers and gives marks; nothing that chooses is handed one.

use aet_data::random::{Purpose, generator, permutation};

use super::labels::Labels;
use crate::error::LearnError;

/// Which training images are labelled, and which of those are set aside to choose on.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitPlan {
    /// Labelled images of each class; None for all that there are.
    pub labels_per_class: Option<usize>,
    /// Share of the labelled images of each class that is set aside, from 0 to below 1.
    pub validation: f64,
    /// Seed of both draws.
    pub seed: u64,
}

/// The labelled training images: everything that is known while choosing.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// Labelled images, as rows of the training split, rising.
    pub labelled: Vec<usize>,
    /// Those that candidates learn from, rising.
    pub fitted: Vec<usize>,
    /// Those set aside, that candidates are chosen on, rising.
    pub validation: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// The class of every image of the training split.
    labels: Vec<u32>,
}

impl Study {
    /// Draws the labelled and the validation images: of every class the same share, by the seed.
    ///
    /// # Errors
    /// When a class has fewer images than `labels_per_class`, or nothing would be left to learn
    /// from.
    pub(super) fn new(labels: &Labels, plan: &SplitPlan) -> Result<Self, LearnError> {
        let mut study = Self {
            labelled: Vec::new(),
            fitted: Vec::new(),
            validation: Vec::new(),
            classes: labels.classes,
            labels: labels.train.clone(),
        };
        for class in 0..labels.classes as u32 {
            let of_class = |row: &usize| labels.train[*row] == class;
            let rows: Vec<usize> = (0..labels.train.len()).filter(of_class).collect();
            study.add_class(class, rows, plan)?;
        }
        for rows in [
            &mut study.labelled,
            &mut study.fitted,
            &mut study.validation,
        ] {
            rows.sort_unstable();
        }
        match study.fitted.is_empty() {
            false => Ok(study),
            true => Err(LearnError::Probe {
                message: "no labelled image is left to learn from; lower validation or raise \
                          labels_per_class"
                    .into(),
            }),
        }
    }

    fn add_class(
        &mut self,
        class: u32,
        rows: Vec<usize>,
        plan: &SplitPlan,
    ) -> Result<(), LearnError> {
        let wanted = plan.labels_per_class.unwrap_or(rows.len());
        if rows.len() < wanted {
            return Err(LearnError::Probe {
                message: format!(
                    "{wanted} labelled images of each class were asked for, but class {class} has \
                     only {}; lower labels_per_class",
                    rows.len()
                ),
            });
        }
        let drawn = |rows: &[usize], purpose| -> Vec<usize> {
            let mut rng = generator(plan.seed, 0, u64::from(class), purpose);
            let order = permutation(&mut rng, rows.len());
            order.into_iter().map(|place| rows[place]).collect()
        };
        let mut labelled = drawn(&rows, Purpose::Subset);
        labelled.truncate(wanted);
        labelled.sort_unstable();
        let order = drawn(&labelled, Purpose::HoldOut);
        let aside = (plan.validation * labelled.len() as f64).round() as usize;
        let (validation, fitted) = order.split_at(aside.min(labelled.len()));
        self.validation.extend(validation);
        self.fitted.extend(fitted);
        self.labelled.extend(labelled);
        Ok(())
    }

    /// The classes of these rows of the training split.
    pub fn labels_of(&self, rows: &[usize]) -> Vec<u32> {
        rows.iter().map(|row| self.labels[*row]).collect()
    }

    /// The share of `answers` about the validation images that is wrong.
    pub fn validation_error(&self, answers: &[u32]) -> f64 {
        let truth = self.labels_of(&self.validation);
        Marks::of(&truth, answers).error()
    }
}

/// The labels of the test images. Answers go in, marks come out.
#[derive(Clone, PartialEq)]
pub struct SealedTest {
    labels: Vec<u32>,
}

impl std::fmt::Debug for SealedTest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SealedTest of {} images", self.labels.len())
    }
}

impl SealedTest {
    pub(super) fn new(labels: &Labels) -> Self {
        Self {
            labels: labels.test.clone(),
        }
    }

    /// Number of test images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no test image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Marks the answers to all test images.
    pub fn mark(&self, answers: &[u32]) -> Marks {
        Marks::of(&self.labels, answers)
    }
}

/// Which answers were right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks(pub Vec<bool>);

impl Marks {
    fn of(truth: &[u32], answers: &[u32]) -> Self {
        debug_assert_eq!(truth.len(), answers.len());
        Self(truth.iter().zip(answers).map(|(a, b)| a == b).collect())
    }

    /// The share that was wrong.
    pub fn error(&self) -> f64 {
        let wrong = self.0.iter().filter(|right| !**right).count();
        wrong as f64 / self.0.len().max(1) as f64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels {
            train: (0..100).map(|row| (row * row + row / 7) % 3).collect(),
            test: vec![0, 1, 2],
            classes: 3,
        }
    }

    fn plan(labels_per_class: Option<usize>, validation: f64) -> SplitPlan {
        SplitPlan {
            labels_per_class,
            validation,
            seed: 4,
        }
    }

    #[test]
    fn fitted_and_validation_images_are_the_labelled_ones_and_share_none() {
        let study = Study::new(&labels(), &plan(None, 0.2)).unwrap();
        let mut both = [study.fitted.clone(), study.validation.clone()].concat();
        both.sort_unstable();
        assert_eq!(both, study.labelled);
        assert_eq!(both, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn every_class_gives_the_same_number_of_labels() {
        let study = Study::new(&labels(), &plan(Some(10), 0.1)).unwrap();
        for (rows, each) in [(&study.labelled, 10), (&study.validation, 1)] {
            let mut counts = [0; 3];
            for label in study.labels_of(rows) {
                counts[label as usize] += 1;
            }
            assert_eq!(counts, [each; 3]);
        }
    }

    #[test]
    fn draws_depend_on_the_seed_alone() {
        let first = Study::new(&labels(), &plan(Some(10), 0.2)).unwrap();
        assert_eq!(first, Study::new(&labels(), &plan(Some(10), 0.2)).unwrap());
        let other = SplitPlan {
            seed: 5,
            ..plan(Some(10), 0.2)
        };
        assert_ne!(first, Study::new(&labels(), &other).unwrap());
    }

    #[test]
    fn too_many_labels_and_too_few_left_are_refused() {
        let message = Study::new(&labels(), &plan(Some(60), 0.1)).unwrap_err();
        assert!(message.to_string().contains("labels_per_class"));
        assert!(Study::new(&labels(), &plan(Some(1), 0.9)).is_err());
    }

    #[test]
    fn marks_count_the_wrong_answers() {
        let test = SealedTest::new(&labels());
        let marks = test.mark(&[0, 2, 2]);
        assert_eq!(marks, Marks(vec![true, false, true]));
        assert!((marks.error() - 1.0 / 3.0).abs() < 1e-12);
        assert!(!format!("{test:?}").contains('['));
    }
}
