//! Memory for activations and scratch: 64-byte aligned f32, kept for the next step when dropped.
//!
//! A training step needs the same sizes every time. Asking the system for them anew means clearing
//! every page again, which costs as much as a layer.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// A cache line of 16 values.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Memory that no buffer uses at the moment.
static SPARE: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

/// A buffer of f32 whose start is aligned to 64 bytes. Its memory goes back to a store on drop.
#[derive(Debug)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` values, which are whatever an earlier buffer left there.
    pub fn stale(len: usize) -> Self {
        let needed = len.div_ceil(16);
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let fit = spare
            .iter()
            .enumerate()
            .filter(|(_, lines)| lines.len() >= needed && lines.len() <= 2 * needed + 1024)
            .min_by_key(|(_, lines)| lines.len())
            .map(|(place, _)| place);
        let lines = match fit {
            Some(place) => spare.swap_remove(place),
            None => {
                drop(spare);
                vec![Line([0.0; 16]); needed]
            }
        };
        Self { lines, len }
    }

    /// A buffer of `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::stale(len);
        buffer.fill(0.0);
        buffer
    }
}

/// Gives the memory of all dropped buffers back to the allocator.
pub fn release_spare_memory() {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if !lines.is_empty() {
            SPARE
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_as_long_as_asked_for() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let buffer = Buffer::zeros(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            assert!(buffer.iter().all(|value| *value == 0.0));
        }
    }
}
