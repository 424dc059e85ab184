//! Names on the command line for choices that the libraries offer.

use aet_data::Split;
use aet_learn::embed::Pooling;
use clap::ValueEnum;

/// What is made of a feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PoolingName {
    /// The mean over each map
    Average,
    /// The maps as they are
    Full,
}

impl From<PoolingName> for Pooling {
    fn from(name: PoolingName) -> Self {
        match name {
            PoolingName::Average => Self::Average,
            PoolingName::Full => Self::Full,
        }
    }
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    /// What is trained on
    Train,
    /// What is kept for testing
    Test,
}

impl From<SplitName> for Split {
    fn from(name: SplitName) -> Self {
        match name {
            SplitName::Train => Self::Train,
            SplitName::Test => Self::Test,
        }
    }
}
