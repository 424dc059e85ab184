//! Plain chains of convolution, batch normalisation, ReLU and pools on CPUs, in one operation forward
//! and one backward: what such an encoder costs when nothing is done twice.
//!
//! Start at [`chain::Chain`]. Below it are a [`convolution`] by chunks of pixels, Winograd's minimal
//! filtering ([`winograd`]), passes over [`rows`] of channels, pooling ([`pool`]), and the two
//! products that nearly all the time goes into ([`product`]). [`nearest`] searches rows for those of
//! the largest inner products, with the same product. The vector instructions are found at
//! run time ([`simd`]); work is shared over rayon's pool ([`workers`]); memory is kept from step to
//! step ([`buffer`]).
//!
//! ```
//! use aet_kernels::chain::{Chain, Layer};
//!
//! let layers = [
//!     Layer::unit(5, 8),
//!     Layer::unit(1, 4),
//! ];
//! let chain = Chain::new([3, 16, 16], &layers)?;
//! let images = vec![0.5; 2 * 3 * 16 * 16];
//! let parameters = vec![0.1; chain.parameters()];
//! let (features, _statistics, trace) = chain.forward(&images, 1, &parameters, false);
//! assert_eq!(features.len(), 2 * 4 * 16 * 16);
//! let (gradients, _) = chain.backward(&images, trace, &features);
//! assert_eq!(gradients.len(), chain.parameters());
//! # Ok::<(), aet_kernels::chain::ChainError>(())
//! ```

pub mod buffer;
pub mod chain;
pub mod convolution;
pub mod nearest;
pub mod peak;
pub mod pool;
pub mod product;
pub mod rows;
pub mod simd;
pub mod winograd;
pub mod workers;
