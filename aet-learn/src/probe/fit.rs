//! The driver of everything that a probe trains, the only one: classifiers learn side by side from
//! one stream, so that images are augmented and embedded once for all of them, and each is asked
//! about the judged items after every epoch. It never sees the labels of those items: whoever asked
//! marks the answers.

use aet_data::{Order, steps_per_epoch};
use burn::module::Module;

use super::classifier::Learner;
use super::stream::{Pass, Stream};
use crate::error::LearnError;

/// Items judged at a time.
const JUDGED_ROWS: usize = 500;

/// What classifiers learn from, and what they are asked about.
#[derive(Debug, Clone)]
pub struct Lesson<'a> {
    /// What they learn from.
    pub learnt: Stream<'a>,
    /// The class of each of its items, counted from 0.
    pub labels: &'a [u32],
    /// What they are asked about after every epoch.
    pub judged: Stream<'a>,
    /// Seed of the order of items and of their augmentation.
    pub seed: u64,
}

/// What a classifier thinks after an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// Which classifier, counted from 0.
    pub learner: usize,
    /// After which epoch, counted from 0.
    pub epoch: u64,
    /// The class that it gives to each of the judged items.
    pub classes: Vec<u32>,
}

/// Trains all of `learners`, which have the same epochs, batches and images in an epoch; each comes
/// out as if it had been alone.
///
/// `progress` is called with the share that is done.
///
/// # Errors
/// When a loss is no longer a number, or images cannot be loaded.
pub fn fit(
    learners: &mut [Learner],
    lesson: &Lesson<'_>,
    answered: &mut dyn FnMut(Answers),
    progress: &mut dyn FnMut(f32),
) -> Result<(), LearnError> {
    let Some(training) = learners.first().map(|first| first.training().clone()) else {
        return Ok(());
    };
    let count = lesson.learnt.len();
    let passes = training.passes(count);
    let steps = passes * steps_per_epoch(count, training.batch_size, false) as u64;
    let mut step = 0;
    for epoch in 0..training.epochs {
        for number in epoch * passes..(epoch + 1) * passes {
            let pass = Pass {
                seed: lesson.seed,
                number,
                order: Order::Shuffled,
                batch_size: training.batch_size,
            };
            lesson.learnt.each_batch(pass, &mut |features, items| {
                let labels: Vec<u32> = items.iter().map(|item| lesson.labels[*item]).collect();
                for learner in learners.iter_mut() {
                    learner.learn(&features, &labels, step, steps);
                }
                step += 1;
                progress(step as f32 / (steps * training.epochs) as f32);
            })?;
        }
        for learner in learners.iter_mut() {
            learner.end_epoch(step)?;
        }
        for answers in ask(learners, lesson, epoch)? {
            answered(answers);
        }
    }
    Ok(())
}

/// What every learner thinks of the judged items.
fn ask(learners: &[Learner], lesson: &Lesson<'_>, epoch: u64) -> Result<Vec<Answers>, LearnError> {
    let classifiers: Vec<_> = learners.iter().map(|l| l.classifier.valid()).collect();
    let mut answers: Vec<Answers> = (0..learners.len())
        .map(|learner| Answers {
            learner,
            epoch,
            classes: Vec::with_capacity(lesson.judged.len()),
        })
        .collect();
    let pass = Pass {
        seed: lesson.seed,
        number: epoch,
        order: Order::Sequential,
        batch_size: JUDGED_ROWS,
    };
    lesson.judged.each_batch(pass, &mut |features, _| {
        for (classifier, answers) in classifiers.iter().zip(&mut answers) {
            answers.classes.extend(classifier.answer(features.clone()));
        }
    })?;
    Ok(answers)
}
