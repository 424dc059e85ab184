//! Going on without images that cannot be used: [`OnError`] says whether, [`SkipLog`] counts and
//! lists what was left out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// What happens when one image of a set cannot be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OnError {
    /// The error ends the work.
    Fail,
    /// The image is left out, counted and listed; it is an error only when more than a share of the
    /// set is left out.
    Skip {
        /// The largest share, from 0 to 1.
        most: f64,
    },
}

impl OnError {
    /// Skips up to a tenth of the set.
    pub const SKIP: Self = Self::Skip { most: 0.1 };
}

/// One image that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Index in its source.
    pub index: usize,
    /// What is wrong, naming the image.
    pub error: String,
}

/// What was left out of a set so far; written to from any thread.
#[derive(Debug)]
pub struct SkipLog {
    policy: OnError,
    /// Images in the whole source.
    total: usize,
    skipped: Mutex<BTreeMap<usize, Skipped>>,
}

impl SkipLog {
    /// An empty log for a set of `total` images.
    pub fn new(policy: OnError, total: usize) -> Self {
        Self {
            policy,
            total,
            skipped: Mutex::default(),
        }
    }

    /// Leaves image `index` out because of `error`. An image that is met again counts once.
    ///
    /// # Errors
    /// `error` itself where it is not about one image or nothing may be skipped, and
    /// [`DataError::TooManyBroken`] where too much would be.
    pub fn skip(&self, index: usize, error: DataError) -> Result<(), DataError> {
        let OnError::Skip { most } = self.policy else {
            return Err(error);
        };
        if !error.is_about_one_image() {
            return Err(error);
        }
        let mut skipped = self.lock();
        let message = with_causes(&error);
        skipped.entry(index).or_insert_with(|| Skipped {
            index,
            error: message,
        });
        if skipped.len() as f64 <= most * self.total as f64 {
            return Ok(());
        }
        Err(DataError::TooManyBroken {
            skipped: skipped.len(),
            total: self.total,
            most,
            source: Box::new(error),
        })
    }

    /// How many images were left out.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was left out, in the order of the source.
    pub fn list(&self) -> Vec<Skipped> {
        self.lock().values().cloned().collect()
    }

    /// Whether image `index` was left out.
    pub fn contains(&self, index: usize) -> bool {
        self.lock().contains_key(&index)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Skipped>> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message of `error` with those of its causes; one that ends a message already is not told
/// twice.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn broken(index: usize) -> DataError {
        DataError::Image {
            index,
            name: format!("{index}.jpg"),
            problem: "it is empty".into(),
        }
    }

    #[test]
    fn images_are_counted_once_and_listed_in_order() {
        let log = SkipLog::new(OnError::Skip { most: 0.5 }, 4);
        for index in [3, 1, 3] {
            log.skip(index, broken(index)).unwrap();
        }
        assert_eq!(
            (log.len(), log.contains(1), log.contains(2)),
            (2, true, false)
        );
        assert_eq!(log.list()[0].index, 1);
        assert!(log.list()[1].error.contains("3.jpg"));
        let message = log.skip(0, broken(0)).unwrap_err().to_string();
        assert!(message.contains("3 of 4"), "{message}");
    }

    #[test]
    fn what_is_not_about_one_image_is_never_skipped() {
        let log = SkipLog::new(OnError::Skip { most: 1.0 }, 4);
        let whole = DataError::OutOfRange { index: 9, len: 4 };
        assert!(log.skip(1, whole).is_err() && log.is_empty());
        let strict = SkipLog::new(OnError::Fail, 4);
        assert!(strict.skip(1, broken(1)).is_err() && strict.is_empty());
    }
}
