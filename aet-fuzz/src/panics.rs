//! The last panic, kept instead of printed.
//!
//! A panic of the parquet crate is an error of the file in `aet-data`, which catches it, and so is one
//! of Burn's optimisers in `aet-learn`. They are no findings, and damaged files would fill the screen
//! with them. (libFuzzer's own hook for panics ends the process at any of them; the fuzz targets put
//! this one in its place.)

use std::backtrace::Backtrace;
use std::panic::set_hook;
use std::sync::{Mutex, PoisonError};

/// The last panic in words, and where it came from; that is put into words when it is asked for
/// alone, as this takes long.
static LAST: Mutex<Option<(String, Backtrace)>> = Mutex::new(None);

/// From now on, panics are remembered and not printed. [`run`](crate::run) prints the one that ends
/// a target.
pub fn keep_quiet() {
    set_hook(Box::new(|panic| {
        let kept = (panic.to_string(), Backtrace::capture());
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }));
}

/// The last panic in words, if it was kept.
pub(crate) fn last() -> String {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let words = |(panic, trace): &(String, Backtrace)| format!("{panic}\n{trace}");
    last.as_ref().map_or_else(String::new, words)
}
