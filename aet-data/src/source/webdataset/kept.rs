//! [`Kept`]: the shards that were used last, open to read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::DataError;
use crate::source::positioned::PositionedFile;

/// One shard, which the first to want it opens while others wait for it alone.
type Slot = Arc<Mutex<Option<Arc<PositionedFile>>>>;

/// The last few shards, newest in front.
pub(super) struct Kept {
    slots: Mutex<VecDeque<(usize, Slot)>>,
    capacity: usize,
}

impl Kept {
    /// Keeps `capacity` shards, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            slots: Mutex::new(VecDeque::new()),
            capacity: capacity.max(1),
        }
    }

    /// Shard `number`, which `open` opens if it is not kept. A file that is dropped from here stays
    /// as long as somebody reads it.
    pub(super) fn get(
        &self,
        number: usize,
        open: impl FnOnce() -> Result<PositionedFile, DataError>,
    ) -> Result<Arc<PositionedFile>, DataError> {
        let slot = self.slot(number);
        let mut file = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = file.as_ref() {
            return Ok(Arc::clone(file));
        }
        let opened = Arc::new(open()?);
        *file = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn slot(&self, number: usize) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let known = slots.iter().position(|(known, _)| *known == number);
        let slot = match known.and_then(|at| slots.remove(at)) {
            Some((_, slot)) => slot,
            None => Slot::default(),
        };
        slots.push_front((number, Arc::clone(&slot)));
        slots.truncate(self.capacity);
        slot
    }
}
