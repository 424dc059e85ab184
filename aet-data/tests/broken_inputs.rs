//! Every broken input of the corpus gives what is documented of it: no panic, no waiting, no more
//! memory than there is a limit for.
//!
//! The allocator of this test counts. [`MOST_BYTES`] is what a decoder may take beside the pixels
//! (64 MiB) and as much again, for files that are read as a whole; no image of the corpus that gets
//! past `max_pixels` has more than 9 million pixels.
//!
//! `AET_ONLY` is a part of the names of the inputs to try, and `AET_SHOW` prints what each took and
//! its message.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod broken;
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aet_data::{DataError, ImageSet, LoadOptions, Location, OnError, Source, open};
use aet_geometry::RgbImage;
use broken::{Case, Outcome, cases, folder_name, relative, says};
use support::full_message;
use tempfile::TempDir;

/// Most memory that an input may take.
const MOST_BYTES: usize = 128 << 20;
/// Longest time that an input may take.
const MOST_TIME: Duration = Duration::from_secs(5);

/// How often an input that takes longer is tried.
const ATTEMPTS: usize = 3;

/// The allocator of the system, with a count of what is in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn took(bytes: usize) {
    let now = IN_USE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

// SAFETY: all of it is passed on to the allocator of the system as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        took(size);
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What reading an input came to.
struct Found {
    /// Images that were read.
    images: usize,
    /// What is wrong with those that were left out.
    skipped: Vec<String>,
}

type Reading = fn(Arc<dyn Source>, OnError) -> Result<Found, DataError>;

fn options(on_error: OnError) -> LoadOptions {
    LoadOptions {
        size: Some([8, 8]),
        on_error,
        ..LoadOptions::default()
    }
}

/// Into memory, as for training.
fn loaded(source: Arc<dyn Source>, on_error: OnError) -> Result<Found, DataError> {
    let range = 0..source.len();
    let set = ImageSet::load_range(source.as_ref(), range, &options(on_error), &|_, _| {})?;
    let skipped = set.skips().list().into_iter();
    Ok(Found {
        images: set.len(),
        skipped: skipped.map(|skipped| skipped.error).collect(),
    })
}

/// One after the other, as they are streamed.
fn streamed(source: Arc<dyn Source>, on_error: OnError) -> Result<Found, DataError> {
    let set = ImageSet::stream(source, &options(on_error))?;
    let mut buffer = RgbImage::filled(0, 0, [0; 3]);
    for index in 0..set.len() {
        if let Err(error) = set.read(index, &mut buffer).map(|_| ()) {
            set.skip(index, error)?;
        }
    }
    let skipped = set.skips().list().into_iter();
    let skipped: Vec<String> = skipped.map(|skipped| skipped.error).collect();
    Ok(Found {
        images: set.len() - skipped.len(),
        skipped,
    })
}

/// Most memory and the time that `work` takes, and what it gives; none where it panics.
fn measured<T>(work: impl FnOnce() -> T) -> (usize, Duration, Option<T>) {
    let before = IN_USE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(work)).ok();
    let most = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    (most, start.elapsed(), result)
}

/// What is not as documented when `case`, in `folder`, is opened and read.
fn judged(case: &Case, folder: &Path, (read, on_error): (Reading, OnError)) -> Result<(), String> {
    let location = Location::Path(case.path(folder));
    let work = || open(&location, case.split).and_then(|source| read(source.into(), on_error));
    let mut outcome = measured(work);
    // Other work on the machine may be what was waited for.
    for _ in 1..ATTEMPTS {
        if outcome.1 > MOST_TIME {
            outcome = measured(work);
        }
    }
    let (most, taken, result) = outcome;
    let result = result.ok_or("it panics")?;
    let bounds = format!("{} MiB, {} ms", most >> 20, taken.as_millis());
    if most > MOST_BYTES || taken > MOST_TIME {
        return Err(format!("it takes {bounds}"));
    }
    let found = result.map_err(|error| {
        let message = relative(&full_message(&error), folder);
        (message, error.is_about_one_image())
    });
    if std::env::var_os("AET_SHOW").is_some() {
        let message = found
            .as_ref()
            .map_or_else(|(message, _)| message.as_str(), |_| "read");
        println!("{}: {bounds}: {message}", case.name);
    }
    let strict = on_error == OnError::Fail;
    let wanted = case.outcome.words();
    match (&case.outcome, found) {
        (Outcome::Refused(_), Err((message, false))) => expect(&message, wanted),
        (Outcome::Skipped(..), Err((message, true))) if strict => expect(&message, wanted),
        (Outcome::TooMany(_), Err((_, true))) if strict => Ok(()),
        (Outcome::TooMany(_), Err((message, false))) if !strict => expect(&message, wanted),
        (Outcome::Skipped(images, _), Ok(found)) if !strict && found.images == *images => {
            let skipped = found
                .skipped
                .iter()
                .map(|message| relative(message, folder));
            expect(&skipped.collect::<Vec<_>>().join("\n"), wanted)
        }
        (Outcome::Read(images, _), Ok(found)) if found.images == *images => Ok(()),
        (outcome, Ok(found)) => Err(format!(
            "{} images are read and left out are {:?}; wanted: {}",
            found.images,
            found.skipped,
            outcome.word()
        )),
        (outcome, Err((message, _))) => Err(format!("{message:?}; wanted: {}", outcome.word())),
    }
}

fn expect(message: &str, wanted: &str) -> Result<(), String> {
    match says(message, wanted) {
        true => Ok(()),
        false => Err(format!(
            "the message is\n  {message:?}\nand not\n  {wanted:?}"
        )),
    }
}

#[test]
fn every_broken_input_gives_what_is_documented_of_it() {
    let folder = TempDir::new().unwrap();
    let all = cases();
    let only = std::env::var("AET_ONLY").unwrap_or_default();
    let mut problems = Vec::new();
    let mut made = 0;
    for (number, case) in all.iter().enumerate() {
        if !case.name.contains(&only) {
            continue;
        }
        let place = folder.path().join(folder_name(number, case));
        if let Err(reason) = case.write(&place) {
            println!("skipped: {}: {reason}", case.name);
            continue;
        }
        made += 1;
        let ways: [(&str, Reading, OnError); 4] = [
            ("in memory, skipping", loaded, OnError::SKIP),
            ("in memory, strict", loaded, OnError::Fail),
            ("streamed, skipping", streamed, OnError::SKIP),
            ("streamed, strict", streamed, OnError::Fail),
        ];
        for (way, read, on_error) in ways {
            if let Err(problem) = judged(case, &place, (read, on_error)) {
                problems.push(format!("{}, {way}: {problem}", case.name));
            }
        }
        let _ = std::fs::remove_dir_all(&place);
    }
    println!("{made} of {} inputs", all.len());
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

#[test]
fn names_are_unique_and_there_are_enough_of_them() {
    let all = cases();
    let mut names: Vec<&str> = all.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
    assert!(all.len() >= 100, "{} inputs", all.len());
}

// The table has the inputs of Unix in it.
#[cfg(unix)]
#[test]
fn the_table_in_the_documentation_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/broken-input.md");
    let text = std::fs::read_to_string(path).unwrap();
    let remedy = "run `cargo run -p aet-data --example broken_inputs -- --table`";
    for row in broken::table().lines() {
        assert!(
            text.lines().any(|line| line == row),
            "{row}\nis missing; {remedy}"
        );
    }
    let rows = |text: &str| text.lines().filter(|line| line.starts_with("| ")).count();
    assert_eq!(
        rows(&text),
        rows(&broken::table()),
        "rows that are no more; {remedy}"
    );
}
