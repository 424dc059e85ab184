//! Names on the command line for choices that the libraries offer.

use aet_data::Split;
use clap::ValueEnum;

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
