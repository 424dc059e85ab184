//! What must hold of any error, and of two outcomes of the same work.

use std::error::Error;
use std::fmt::Debug;

/// The words of an error and of its causes.
///
/// # Panics
/// When one of them says nothing.
pub(crate) fn words(error: &dyn Error) -> String {
    let said = error.to_string();
    assert!(!said.trim().is_empty(), "an error without words: {error:?}");
    match error.source() {
        Some(cause) => format!("{said}: {}", words(cause)),
        None => said,
    }
}

/// The value, or the words of the error.
pub(crate) fn told<T, E: Error>(outcome: Result<T, E>) -> Result<T, String> {
    outcome.map_err(|error| words(&error))
}

/// # Panics
/// When `again` is not what came `first`.
pub(crate) fn same<T: PartialEq + Debug>(first: &T, again: &T) {
    assert!(first == again, "first {first:?}, then {again:?}");
}
