//! [`Recent`]: what was used last, such as open shards or decoded row groups.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::DataError;

/// One thing, which the first to want it makes while others wait for it alone.
type Slot<T> = Arc<Mutex<Option<Arc<T>>>>;

/// The last few things, newest in front.
pub(super) struct Recent<K, T> {
    slots: Mutex<VecDeque<(K, Slot<T>)>>,
    capacity: usize,
}

impl<K: Copy + Eq, T> Recent<K, T> {
    /// Keeps `capacity` of them, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            slots: Mutex::new(VecDeque::new()),
            capacity: capacity.max(1),
        }
    }

    /// What goes by `key`, which `make` makes if it is not kept. What is dropped from here stays as
    /// long as somebody uses it.
    pub(super) fn get(
        &self,
        key: K,
        make: impl FnOnce() -> Result<T, DataError>,
    ) -> Result<Arc<T>, DataError> {
        let slot = self.slot(key);
        let mut kept = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref() {
            return Ok(Arc::clone(kept));
        }
        let made = Arc::new(make()?);
        *kept = Some(Arc::clone(&made));
        Ok(made)
    }

    fn slot(&self, key: K) -> Slot<T> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let known = slots.iter().position(|(known, _)| *known == key);
        let slot = match known.and_then(|at| slots.remove(at)) {
            Some((_, slot)) => slot,
            None => Slot::default(),
        };
        slots.push_front((key, Arc::clone(&slot)));
        slots.truncate(self.capacity);
        slot
    }
}
