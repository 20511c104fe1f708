//! Ends the work at a chosen store, as `kill -9` would: what was stored is in the file, and nothing after it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What a dying process leaves behind.
struct Killed;

thread_local! {
    static STORES_LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// One store is about to happen.
pub(crate) fn step() {
    STORES_LEFT.with(|left| match left.get() {
        Some(0) => {
            left.set(None);
            // Without the hook, which would print.
            resume_unwind(Box::new(Killed));
        }
        Some(number) => left.set(Some(number - 1)),
        None => {}
    });
}

/// Does something that ends after so many stores; None if it ended so.
pub(super) fn within<T>(stores: u64, work: impl FnOnce() -> T) -> Option<T> {
    STORES_LEFT.with(|left| left.set(Some(stores)));
    let done = catch_unwind(AssertUnwindSafe(work));
    STORES_LEFT.with(|left| left.set(None));
    match done {
        Ok(value) => Some(value),
        Err(cause) if cause.is::<Killed>() => None,
        Err(cause) => resume_unwind(cause),
    }
}
