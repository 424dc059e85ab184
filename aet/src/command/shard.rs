//! A share of work that several processes divide among them.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::failure::UsageError;

/// A share of the images: number `I`, from 1, of `N`, written `I/N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    count: usize,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            number: 1,
            count: 1,
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Shard {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let read = |text: &str| text.parse::<usize>().ok();
        let numbers = text.split_once('/').map(|(i, n)| (read(i), read(n)));
        match numbers {
            Some((Some(number), Some(count))) if (1..=count).contains(&number) => {
                Ok(Self { number, count })
            }
            _ => Err(UsageError(
                "it is I/N with I from 1 to N, such as 1/8 for the first of eight".into(),
            )),
        }
    }
}

impl Shard {
    /// The share among `total` things.
    pub fn of(self, total: usize) -> Range<usize> {
        let end = |number: usize| (total as u128 * number as u128 / self.count as u128) as usize;
        end(self.number - 1)..end(self.number)
    }

    /// What a file of this share alone has in its name.
    pub fn suffix(self) -> String {
        match self.count {
            1 => String::new(),
            count => format!("-{}-of-{count}", self.number),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_neighbours_that_make_up_the_whole_and_differ_by_one_at_most() {
        for (total, count) in [(0, 3), (2, 5), (10, 3), (1_000_000, 7), (usize::MAX, 3)] {
            let shares: Vec<_> = (1..=count)
                .map(|number| Shard { number, count }.of(total))
                .collect();
            assert_eq!((shares[0].start, shares[count - 1].end), (0, total));
            assert!(shares.windows(2).all(|two| two[0].end == two[1].start));
            let lengths = shares.iter().map(|share| share.len());
            assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
        }
    }

    #[test]
    fn shares_are_read_as_they_are_shown() {
        let shard: Shard = "3/8".parse().unwrap();
        assert_eq!((shard.number, shard.count), (3, 8));
        assert_eq!(
            (shard.to_string().as_str(), shard.suffix().as_str()),
            ("3/8", "-3-of-8")
        );
        assert_eq!(Shard::default().suffix(), "");
        for wrong in ["0/4", "5/4", "1/0", "1", "a/2", "-1/2", "1/2/3"] {
            let refused = wrong.parse::<Shard>().unwrap_err().to_string();
            assert!(refused.contains("from 1 to N"), "{wrong}: {refused}");
        }
    }
}
