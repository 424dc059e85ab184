//! Sharing work out over the threads of rayon's current pool.

use crate::simd::fence_streams;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads that work is shared over.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Calls `work` once for every number below `count`, in any order, on the threads of the pool. Each
/// thread makes its own scratch with `scratch` first and takes the next number when it is free, so
/// a result may depend on the number but not on the thread.
pub fn for_each<T>(
    count: usize,
    scratch: impl Fn() -> T + Sync,
    work: impl Fn(usize, &mut T) + Sync,
) {
    let threads = threads().min(count);
    if threads <= 1 {
        let mut own = scratch();
        (0..count).for_each(|number| work(number, &mut own));
        return;
    }
    let next = AtomicUsize::new(0);
    let (next, scratch, work) = (&next, &scratch, &work);
    rayon::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(move |_| {
                let mut own = scratch();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        fence_streams();
                        return;
                    }
                    work(number, &mut own);
                }
            });
        }
    });
}

/// A slice that several threads write to at once, each its own part.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    life: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: the only access is through `part`, whose caller answers for parts being disjoint.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Shares `slice` out.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            life: std::marker::PhantomData,
        }
    }

    /// The values from `start` on, `len` of them.
    ///
    /// # Panics
    /// When they are not all in the slice.
    ///
    /// # Safety
    /// No two parts that are alive at the same time overlap.
    pub unsafe fn part(&self, start: usize, len: usize) -> &'a mut [T] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: inside the slice by the assertion, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_worked_on_once() {
        let mut counts = vec![0_u32; 100];
        let shared = Shared::new(&mut counts);
        for_each(
            100,
            || (),
            |number, ()| {
                // SAFETY: each number has a place of its own.
                let part = unsafe { shared.part(number, 1) };
                part[0] += 1;
            },
        );
        assert!(counts.iter().all(|count| *count == 1));
    }
}
