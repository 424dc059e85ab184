//! Ctrl-C: the first one asks the training loop to stop after a checkpoint, a second one, or one
//! while nothing is trained, ends the process.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::progress::note;

static TRAINING: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);
static INSTALLED: Once = Once::new();

/// What a shell reports for a process that Ctrl-C ended.
const ENDED_BY_CTRL_C: i32 = 130;

/// Held while training goes on.
pub struct Watch(());

/// From here on, and until the answer is dropped, Ctrl-C asks for a stop.
pub fn watch() -> Watch {
    INSTALLED.call_once(|| {
        if let Err(error) = ctrlc::set_handler(on_ctrl_c) {
            tracing::warn!("Ctrl-C will end the run at once: {error}");
        }
    });
    TRAINING.store(true, Ordering::SeqCst);
    Watch(())
}

fn on_ctrl_c() {
    let first = !ASKED.swap(true, Ordering::SeqCst);
    if first && TRAINING.load(Ordering::SeqCst) {
        note("stopping after a checkpoint (Ctrl-C again ends at once)");
    } else {
        std::process::exit(ENDED_BY_CTRL_C);
    }
}

impl Watch {
    /// Whether Ctrl-C was pressed.
    pub fn is_asked_to_stop(&self) -> bool {
        ASKED.load(Ordering::SeqCst)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        TRAINING.store(false, Ordering::SeqCst);
    }
}
