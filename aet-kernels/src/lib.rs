//! Convolution, batch normalisation and ReLU for CPUs, fused: what a plain chain of such layers costs
//! when nothing is done twice.

pub mod buffer;
pub mod chain;
pub mod convolution;
pub mod peak;
pub mod pool;
pub mod product;
pub mod rows;
pub mod simd;
pub mod winograd;
pub mod workers;
