//! The vector instructions of this machine, found at run time: AVX-512, AVX2 with FMA, NEON, or
//! plain arithmetic.

use std::sync::OnceLock;

use pulp::{Arch, Simd, WithSimd};

/// The instruction set that this process uses: the best of this machine, or what `AET_SIMD` names, if
/// the machine has it.
fn arch() -> Arch {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    *ARCH.get_or_init(|| match std::env::var("AET_SIMD").as_deref() {
        Ok("portable") => Arch::Scalar,
        #[cfg(target_arch = "x86_64")]
        Ok("avx2") => pulp::x86::V3::try_new().map_or_else(Arch::new, Arch::V3),
        _ => Arch::new(),
    })
}

/// Runs `task` with the best instructions of this machine.
#[inline(always)]
pub(crate) fn run<T: WithSimd>(task: T) -> T::Output {
    arch().dispatch(task)
}

/// Values in a vector register.
pub fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    static LANES: OnceLock<usize> = OnceLock::new();
    *LANES.get_or_init(|| run(Lanes))
}

/// The instruction set in words, such as `AVX2`.
pub fn instruction_set() -> String {
    match arch() {
        Arch::Scalar => "portable".into(),
        other => format!("{other:?}")
            .split('(')
            .next()
            .unwrap_or_default()
            .replace("V3", "AVX2 and FMA")
            .replace("V4", "AVX-512"),
    }
}

/// Channels that `channels` take up in memory: the next whole number of vectors.
pub fn padded(channels: usize) -> usize {
    channels.next_multiple_of(lanes())
}

/// One bit for each value of a mask, the first the lowest.
#[inline(always)]
pub(crate) fn bits<S: Simd>(_: S, mask: S::m32s) -> u32 {
    let masks = std::slice::from_ref(&mask);
    if const { size_of::<S::m32s>() == size_of::<S::u32s>() } {
        let lanes: &[u32] = bytemuck::cast_slice(masks);
        let lanes = lanes.iter().enumerate();
        lanes.fold(0, |bits, (place, lane)| bits | (lane >> 31) << place)
    } else {
        let bytes: &[u8] = bytemuck::cast_slice(masks);
        let bytes = bytes.iter().enumerate();
        bytes.fold(0, |bits, (place, byte)| {
            bits | u32::from(*byte) << (8 * place)
        })
    }
}

/// Asks for the cache line of `value`, which will be needed soon.
#[inline(always)]
pub(crate) fn prefetch(value: &f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch changes nothing that a program can see.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>((&raw const *value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Reads a vector.
///
/// # Safety
/// `S::F32_LANES` values can be read from `place`, which need not be aligned.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(_: S, place: *const f32) -> S::f32s {
    // SAFETY: by the caller's promise; an unaligned read asks for nothing else.
    unsafe { place.cast::<S::f32s>().read_unaligned() }
}

/// Writes a vector.
///
/// # Safety
/// `S::F32_LANES` values can be written at `place`, which need not be aligned.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(_: S, place: *mut f32, value: S::f32s) {
    // SAFETY: by the caller's promise; an unaligned write asks for nothing else.
    unsafe { place.cast::<S::f32s>().write_unaligned(value) }
}

/// Writes a vector; past the caches if it is `far` from its next reading.
///
/// # Safety
/// `S::F32_LANES` values can be written at `place`, which is aligned to 16 bytes if `far`.
#[inline(always)]
pub(crate) unsafe fn write<S: Simd>(simd: S, place: *mut f32, value: S::f32s, far: bool) {
    #[cfg(target_arch = "x86_64")]
    if far && S::F32_LANES.is_multiple_of(4) {
        use std::arch::x86_64::{__m128, _mm_stream_ps};
        debug_assert_eq!(place as usize % 16, 0);
        for quad in 0..S::F32_LANES / 4 {
            // SAFETY: a vector holds that many quads, and SSE is part of x86-64; the place is by
            // the caller's promise.
            unsafe {
                let quad_value = (&raw const value)
                    .cast::<__m128>()
                    .add(quad)
                    .read_unaligned();
                _mm_stream_ps(place.add(4 * quad), quad_value);
            }
        }
        return;
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = far;
    // SAFETY: by the caller's promise.
    unsafe { store(simd, place, value) };
}

/// Makes streamed values visible to other threads.
pub(crate) fn fence_streams() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bits of those of `0, 1, -1, ..` that are above 0.
    struct Positive;

    impl WithSimd for Positive {
        type Output = (u32, usize);

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> (u32, usize) {
            let values = [0.0, 1.0, -1.0, 2.0, 3.0, -0.0, -4.0, 5.0].repeat(2);
            // SAFETY: no vector holds more than 16 values.
            let vector = unsafe { load(simd, values.as_ptr()) };
            let mask = simd.greater_than_f32s(vector, simd.splat_f32s(0.0));
            (bits(simd, mask), S::F32_LANES)
        }
    }

    #[test]
    fn a_mask_has_a_bit_for_each_value() {
        let expected = |lanes: usize| 0b1001_1010_1001_1010 & u32::MAX >> (32 - lanes);
        let check = |(bits, lanes): (u32, usize)| assert_eq!(bits, expected(lanes), "{lanes}");
        check(run(Positive));
        check(Arch::Scalar.dispatch(Positive));
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = pulp::x86::V3::try_new() {
            check(Simd::vectorize(avx2, Positive));
        }
    }
}
