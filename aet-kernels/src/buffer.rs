//! Memory for activations and scratch: 64-byte aligned f32, kept for the next step when dropped.
//!
//! A training step needs the same sizes every time. Asking the system for them anew means clearing
//! every page again, which costs as much as a layer. Large ones ask for large pages: the transformed
//! tiles of a convolution lie in 64 planes, more than the processor remembers small pages of.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use memmap2::{MmapMut, MmapOptions};

/// A cache line of 16 values.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Bytes of a large page.
const LARGE_PAGE: usize = 2 << 20;

/// Where values lie.
#[derive(Debug)]
enum Memory {
    /// Of the allocator.
    Lines(Vec<Line>),
    /// Of the system, whole large pages.
    Pages(MmapMut),
}

impl Memory {
    /// At least `lines` lines of zeros.
    fn zeros(lines: usize) -> Self {
        let bytes = lines * size_of::<Line>();
        if bytes >= LARGE_PAGE / 2 {
            let whole = bytes.next_multiple_of(LARGE_PAGE);
            if let Ok(pages) = MmapOptions::new().len(whole).map_anon() {
                // A wish: where the system has no large pages, small ones do.
                #[cfg(target_os = "linux")]
                let _ = pages.advise(memmap2::Advice::HugePage);
                return Self::Pages(pages);
            }
        }
        Self::Lines(vec![Line([0.0; 16]); lines])
    }

    /// Lines that fit.
    fn lines(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.len(),
            Self::Pages(pages) => pages.len() / size_of::<Line>(),
        }
    }
}

/// Memory that no buffer uses at the moment.
static SPARE: Mutex<Vec<Memory>> = Mutex::new(Vec::new());

/// A buffer of f32 whose start is aligned to 64 bytes. Its memory goes back to a store on drop.
#[derive(Debug)]
pub struct Buffer {
    memory: Memory,
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
            .filter(|(_, memory)| (needed..=2 * needed + 1024).contains(&memory.lines()))
            .min_by_key(|(_, memory)| memory.lines())
            .map(|(place, _)| place);
        let memory = match fit {
            Some(place) => spare.swap_remove(place),
            None => {
                drop(spare);
                Memory::zeros(needed)
            }
        };
        Self { memory, len }
    }

    /// A buffer of `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::stale(len);
        buffer.fill(0.0);
        buffer
    }
}

/// Gives the memory of all dropped buffers back to the system.
pub fn release_spare_memory() {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.memory {
            Memory::Lines(lines) => &bytemuck::cast_slice(lines)[..self.len],
            Memory::Pages(pages) => &bytemuck::cast_slice(pages)[..self.len],
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.memory {
            Memory::Lines(lines) => &mut bytemuck::cast_slice_mut(lines)[..self.len],
            Memory::Pages(pages) => &mut bytemuck::cast_slice_mut(pages)[..self.len],
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::replace(&mut self.memory, Memory::Lines(Vec::new()));
        if memory.lines() > 0 {
            SPARE
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_as_long_as_asked_for() {
        for len in [0, 1, 15, 16, 17, 1000, 300_000, 3_000_000] {
            let mut buffer = Buffer::zeros(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            assert!(buffer.iter().all(|value| *value == 0.0));
            buffer.fill(1.0);
        }
    }
}
