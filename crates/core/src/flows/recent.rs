//! Flows whose end was booked a short while ago. The kernel tells an end again to all listeners when one of them had no
//! room for it, and then it must not look like a new flow.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::Error;
use crate::sys::mapping::Mapping;

/// Eight bytes each; an older one makes room for a newer one of the same place.
const PLACES: usize = 1 << 17;

#[derive(Debug)]
pub(super) struct Recent(Mapping);

impl Recent {
    pub(super) fn new() -> Result<Self, Error> {
        let places = Mapping::anonymous(PLACES * size_of::<u64>());
        places.map(Self).map_err(|e| Error::io("flow table", "map memory for recent ends", &e))
    }

    fn place(&self, hash: u64) -> Option<&AtomicU64> {
        // The lower bits: the upper ones place a flow in the index.
        self.0.words().get(usize::try_from(hash & (PLACES as u64 - 1)).unwrap_or(0))
    }

    pub(super) fn note(&self, hash: u64) {
        if let Some(place) = self.place(hash) {
            place.store(hash, Relaxed);
        }
    }

    pub(super) fn has(&self, hash: u64) -> bool {
        self.place(hash).is_some_and(|place| place.load(Relaxed) == hash)
    }
}
