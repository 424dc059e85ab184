//! What becomes of feature maps before something reads them: their mean, all of them, or a small grid
//! over PyTorch's adaptive windows, as the linear probes on ImageNet have it.

use std::ops::Range;
use std::str::FromStr;

use burn::tensor::Tensor;
use burn::tensor::module::adaptive_avg_pool2d;
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// Most rows and columns of a grid.
const MOST_SIDE: usize = 64;

/// What becomes of the features of an image, `[channels, height, width]`.
///
/// In TOML and on the command line `average`, `full`, `average-N` and `max-N`, with N from 1 to 64:
///
/// ```
/// use aet_learn::embed::Pooling;
///
/// assert_eq!("max-12".parse::<Pooling>()?, Pooling::MaxGrid(12));
/// assert_eq!(Pooling::AverageGrid(9).to_string(), "average-9");
/// # Ok::<(), aet_learn::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pooling {
    /// Their mean over the image: one number for every channel.
    #[default]
    Average,
    /// All of them, channel by channel and row by row.
    Full,
    /// A grid of this many rows and columns, at least 1, of means over PyTorch's adaptive windows:
    /// row i of N covers the rows from floor(i * height / N) to ceil((i + 1) * height / N), the last
    /// one left out.
    AverageGrid(usize),
    /// The same of maxima.
    MaxGrid(usize),
}

impl Pooling {
    /// Pools `[batch, channels, height, width]` to `[batch, channels, rows, columns]`.
    pub fn apply(self, features: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Full => features,
            Self::Average => features.mean_dim(3).mean_dim(2),
            Self::AverageGrid(side) => adaptive_avg_pool2d(features, [side, side]),
            // A maximum over a window is that over its columns of those over its rows.
            Self::MaxGrid(side) => adaptive_maxima(adaptive_maxima(features, 2, side), 3, side),
        }
    }
}

/// Maxima along `dimension` over `count` adaptive windows.
fn adaptive_maxima(features: Tensor<4>, dimension: usize, count: usize) -> Tensor<4> {
    let length = features.dims()[dimension];
    let maxima = (0..count).map(|place| {
        let window = window(place, length, count);
        let part = features.clone();
        part.narrow(dimension, window.start, window.len())
            .max_dim(dimension)
    });
    Tensor::cat(maxima.collect(), dimension)
}

/// Window `place` of `count` over `length` values.
fn window(place: usize, length: usize, count: usize) -> Range<usize> {
    place * length / count..((place + 1) * length).div_ceil(count)
}

impl std::fmt::Display for Pooling {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Average => formatter.write_str("average"),
            Self::Full => formatter.write_str("full"),
            Self::AverageGrid(side) => write!(formatter, "average-{side}"),
            Self::MaxGrid(side) => write!(formatter, "max-{side}"),
        }
    }
}

impl FromStr for Pooling {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let unknown = || ConfigError::Unknown {
            key: "pooling",
            value: text.to_string(),
            known: "average, full, average-N and max-N with N from 1 to 64".into(),
        };
        let (kind, side) = match text.split_once('-') {
            Some((kind, side)) => (kind, Some(side)),
            None => (text, None),
        };
        let side = match side.map(str::parse::<usize>) {
            None => None,
            Some(Ok(side)) if (1..=MOST_SIDE).contains(&side) => Some(side),
            Some(_) => return Err(unknown()),
        };
        match (kind, side) {
            ("average", None) => Ok(Self::Average),
            ("full", None) => Ok(Self::Full),
            ("average", Some(side)) => Ok(Self::AverageGrid(side)),
            ("max", Some(side)) => Ok(Self::MaxGrid(side)),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for Pooling {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        text.parse()
    }
}

impl From<Pooling> for String {
    fn from(pooling: Pooling) -> Self {
        pooling.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let poolings = [
            (Pooling::Average, "average"),
            (Pooling::Full, "full"),
            (Pooling::AverageGrid(1), "average-1"),
            (Pooling::MaxGrid(64), "max-64"),
        ];
        for (pooling, name) in poolings {
            assert_eq!(pooling.to_string(), name);
            assert_eq!(name.parse::<Pooling>().unwrap(), pooling);
            let json = serde_json::to_string(&pooling).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Pooling>(&json).unwrap(), pooling);
        }
    }

    #[test]
    fn other_names_are_refused_with_those_that_there_are() {
        let names = [
            "",
            "max",
            "max-0",
            "max-65",
            "average-",
            "average-x",
            "full-3",
            "average--3",
            "mean",
        ];
        for name in names {
            let error = name.parse::<Pooling>().unwrap_err().to_string();
            assert!(error.contains("from 1 to 64"), "{name}: {error}");
        }
    }
}
