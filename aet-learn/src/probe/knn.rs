//! The probe without training: the K nearest training images by cosine similarity vote, each with
//! one voice (AET, section 5.1, K = 10) or weighted by exp(similarity / temperature) (Wu et al.
//! 2018, section 3.4).
//!
//! The search is exact: the inner products of all directions, in f32, and of equal ones the first
//! ([`aet_kernels::nearest`]). Only the K best of every query are kept, so memory grows with the
//! number of images, not with its square.

use aet_kernels::nearest::Nearest;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::embed::FeatureBank;
use crate::error::{ConfigError, LearnError};

/// Numbers in a block of features, at most, but for one row: 64 MiB of them.
const BLOCK_NUMBERS: usize = 1 << 24;

/// The vote of the nearest neighbours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnnConfig {
    /// K, the number of neighbours that vote, at least 1.
    pub neighbours: usize,
    /// Whether nearer neighbours count for more.
    pub weighted: bool,
    /// How fast the weight falls with the similarity, above 0; used where `weighted = true`.
    pub temperature: f64,
}

impl Default for KnnConfig {
    fn default() -> Self {
        Self {
            neighbours: 10,
            weighted: false,
            temperature: 0.07,
        }
    }
}

impl KnnConfig {
    /// Refuses values that cannot be.
    ///
    /// # Errors
    /// Names the key, its range and the value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.neighbours == 0 {
            return Err(ConfigError::range(
                "probes.method.neighbours",
                "at least 1",
                self.neighbours,
            ));
        }
        ConfigError::check_above_zero("probes.method.temperature", self.temperature)?;
        Ok(())
    }

    /// Its name in tables and logs, such as `kNN K=10`.
    pub(super) fn label(&self) -> String {
        let weighted = if self.weighted { "weighted " } else { "" };
        format!("{weighted}kNN K={}", self.neighbours)
    }
}

/// An image of the searched set that is close to a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Its index in the searched set.
    pub index: usize,
    /// Cosine of the angle between the features, -1 to 1.
    pub similarity: f32,
}

/// The `count` items of `searched` that are nearest to each of `queries`, nearest first; of equally
/// near ones that of the lower index.
///
/// Beside both sets and the result, it has up to 64 MiB of queries in use, with at least 16 and
/// `count` candidates beside the `count` nearest of each, and 64 MiB of searched items.
/// `progress` is called with the share that is done.
///
/// # Errors
/// When `searched` holds fewer than `count` items, or features of another length.
pub fn nearest(
    searched: &FeatureBank,
    queries: &FeatureBank,
    count: usize,
    progress: &mut dyn FnMut(f32),
) -> Result<Vec<Vec<Neighbour>>, LearnError> {
    let fail = |message: String| Err(LearnError::Probe { message });
    if searched.len() < count {
        return fail(format!(
            "{count} nearest neighbours were asked for, but there are only {} images to search; \
             lower neighbours",
            searched.len()
        ));
    }
    if searched.dim != queries.dim {
        return fail(format!(
            "features of {} and of {} numbers cannot be compared",
            queries.dim, searched.dim
        ));
    }
    let dim = queries.dim.max(1);
    let step = (BLOCK_NUMBERS / dim).max(1) * dim;
    let mut found = Vec::with_capacity(queries.len());
    let total = queries.features.len() as f32 * searched.features.len() as f32;
    for block in queries.features.chunks(step) {
        let mut search = Search::new(block, dim, count);
        let before = (found.len() * dim) as f32 * searched.features.len() as f32;
        let mut seen = 0;
        for items in searched.features.chunks(step) {
            search.visit(items);
            seen += items.len();
            progress((before + block.len() as f32 * seen as f32) / total);
        }
        found.extend(search.finish());
    }
    Ok(found)
}

/// A search under way for the items that are nearest to each of some queries, by cosine similarity.
/// Items come in blocks, so that there may be more of them than memory holds; how they are cut into
/// blocks changes nothing.
#[derive(Debug)]
pub struct Search {
    nearest: Nearest,
    dim: usize,
}

impl Search {
    /// A search for the `count` items nearest to each of `queries`, `[queries, dim]`.
    ///
    /// # Panics
    /// When `dim` is 0, or the last query is shorter than the others.
    pub fn new(queries: &[f32], dim: usize, count: usize) -> Self {
        let mut directions = vec![0.0; queries.len()];
        let rows = directions.par_chunks_exact_mut(dim);
        let rows = rows.zip(queries.par_chunks_exact(dim));
        rows.for_each(|(direction, row)| write_direction(direction, row));
        Self {
            nearest: Nearest::new(directions, dim, count),
            dim,
        }
    }

    /// Bytes in use for each query of `dim` numbers, its neighbours once they are found included.
    pub fn bytes_per_query(dim: usize, count: usize) -> usize {
        let found = size_of::<Vec<Neighbour>>() + count * size_of::<Neighbour>();
        Nearest::bytes_per_query(dim, count) + 2 * found
    }

    /// Looks at the next items, `[items, dim]`. 64 MiB of them are laid out anew at a time.
    pub fn visit(&mut self, items: &[f32]) {
        let dim = self.dim;
        self.nearest.visit(items.len() / dim, |item, direction| {
            write_direction(direction, &items[item * dim..(item + 1) * dim]);
        });
    }

    /// The nearest of the items that were visited, for each query, nearest first.
    pub fn finish(self) -> Vec<Vec<Neighbour>> {
        let found = self.nearest.finish().into_iter();
        found
            .map(|near| {
                let near = near.into_iter();
                near.map(|(index, similarity)| Neighbour { index, similarity })
                    .collect()
            })
            .collect()
    }
}

/// Writes the direction of `row`: the row brought to length 1, or 0 where all of it is 0.
fn write_direction(direction: &mut [f32], row: &[f32]) {
    // Several sums at a time, in an order that is always the same.
    let mut squares = [0.0_f64; 8];
    for part in row.chunks(squares.len()) {
        for (sum, value) in squares.iter_mut().zip(part) {
            *sum += f64::from(*value).powi(2);
        }
    }
    let square: f64 = squares.iter().sum();
    let scale = if square > 0.0 {
        1.0 / square.sqrt()
    } else {
        0.0
    };
    for (direction, value) in direction.iter_mut().zip(row) {
        *direction = (f64::from(*value) * scale) as f32;
    }
}

/// The class that `neighbours` (nearest first) vote for. A tie goes to the class whose neighbours
/// are the nearer in sum, then to the lower class.
///
/// # Panics
/// When a neighbour has no label among `labels`.
pub fn vote(config: &KnnConfig, neighbours: &[Neighbour], labels: &[u32]) -> u32 {
    let nearest = neighbours.first().map_or(0.0, |first| first.similarity);
    let mut tally: Vec<(u32, f64, f64)> = Vec::new();
    for neighbour in neighbours {
        let voice = if config.weighted {
            // Weights relative to the nearest one are the same vote and cannot overflow.
            (f64::from(neighbour.similarity - nearest) / config.temperature).exp()
        } else {
            1.0
        };
        let class = labels[neighbour.index];
        let similarity = f64::from(neighbour.similarity);
        match tally.iter_mut().find(|entry| entry.0 == class) {
            Some(entry) => {
                entry.1 += voice;
                entry.2 += similarity;
            }
            None => tally.push((class, voice, similarity)),
        }
    }
    tally.sort_by_key(|entry| entry.0);
    let mut winner = (0, f64::NEG_INFINITY, f64::NEG_INFINITY);
    for entry in tally {
        if (entry.1, entry.2) > (winner.1, winner.2) {
            winner = entry;
        }
    }
    winner.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbours(similarities: &[f32]) -> Vec<Neighbour> {
        similarities
            .iter()
            .enumerate()
            .map(|(index, &similarity)| Neighbour { index, similarity })
            .collect()
    }

    #[test]
    fn a_majority_wins_over_a_nearer_minority() {
        let config = KnnConfig::default();
        let found = neighbours(&[0.99, 0.5, 0.4]);
        assert_eq!(vote(&config, &found, &[4, 7, 7]), 7);
    }

    #[test]
    fn a_tie_goes_to_the_nearer_class_then_to_the_lower_one() {
        let config = KnnConfig::default();
        let found = neighbours(&[0.9, 0.8, 0.7, 0.5]);
        assert_eq!(vote(&config, &found, &[9, 2, 2, 9]), 2);
        let found = neighbours(&[0.5, 0.5, 0.5, 0.5]);
        assert_eq!(vote(&config, &found, &[9, 2, 2, 9]), 2);
    }

    #[test]
    fn a_weighted_vote_lets_the_much_nearer_one_win() {
        let config = KnnConfig {
            weighted: true,
            ..KnnConfig::default()
        };
        // exp(0.9 / 0.07) is 14 times exp(0.7 / 0.07) + exp(0.6 / 0.07).
        let found = neighbours(&[0.9, 0.7, 0.6]);
        assert_eq!(vote(&config, &found, &[4, 7, 7]), 4);
        let flat = KnnConfig {
            temperature: 10.0,
            ..config
        };
        assert_eq!(vote(&flat, &found, &[4, 7, 7]), 7);
    }

    #[test]
    fn items_in_blocks_are_searched_as_items_at_once() {
        let items: Vec<f32> = (0..300).map(|number| (number as f32).sin()).collect();
        let search = |block: usize| {
            let mut search = Search::new(&items[..9], 3, 5);
            items
                .chunks(3 * block)
                .for_each(|items| search.visit(items));
            search.finish()
        };
        let once = search(100);
        assert_eq!(once[1][0].index, 1);
        assert_eq!(search(1), once);
        assert_eq!(search(7), once);
    }

    #[test]
    fn a_row_of_zeros_has_no_direction() {
        let mut search = Search::new(&[0.0, 0.0, 3.0, 4.0], 2, 2);
        search.visit(&[0.0, 0.0, 6.0, 8.0]);
        let found = search.finish();
        assert_eq!(
            found[0].iter().map(|near| near.similarity).sum::<f32>(),
            0.0
        );
        assert_eq!(found[1][0].index, 1);
    }
}
