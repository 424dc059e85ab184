//! The probe without training: the K nearest training images by cosine similarity vote, each with
//! one voice (AET, section 5.1, K = 10) or weighted by exp(similarity / temperature) (Wu et al.
//! 2018, section 3.4).
//!
//! The search is exact. Similarities come in blocks from one matrix product each, and only the K
//! best of every query are kept, so memory grows with the number of images, not with its square.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::embed::FeatureBank;
use crate::error::{ConfigError, LearnError};
use crate::state::host_values;

/// Queries in a block.
const QUERY_ROWS: usize = 512;
/// Training images in a block.
const TRAIN_ROWS: usize = 4096;
/// Numbers in a block of features, at most: 64 MiB of them.
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
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(ConfigError::range(
                "probes.method.temperature",
                "above 0",
                self.temperature,
            ));
        }
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
/// `progress` is called with the share that is done.
///
/// # Errors
/// When `searched` holds fewer than `count` items, or features of another length.
pub fn nearest(
    searched: &FeatureBank,
    queries: &FeatureBank,
    count: usize,
    device: &Device,
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
    let device = device.clone().without_autodiff();
    let mut found = vec![Vec::with_capacity(count + 1); queries.len()];
    for block in blocks(searched, TRAIN_ROWS) {
        let searched_rows = unit_rows(searched, &block, &device).transpose();
        for query_block in blocks(queries, QUERY_ROWS) {
            let query_rows = unit_rows(queries, &query_block, &device);
            let similarities = host_values(query_rows.matmul(searched_rows.clone()));
            let rows = similarities.chunks_exact(block.len());
            for (best, row) in found[query_block].iter_mut().zip(rows) {
                keep_nearest(best, row, block.start, count);
            }
        }
        progress(block.end as f32 / searched.len() as f32);
    }
    Ok(found)
}

/// The rows of `bank` in blocks of at most `rows`, fewer where rows are long.
fn blocks(bank: &FeatureBank, rows: usize) -> impl Iterator<Item = Range<usize>> {
    let rows = rows.min(BLOCK_NUMBERS / bank.dim.max(1)).max(1);
    let count = bank.len();
    (0..count)
        .step_by(rows)
        .map(move |start| start..(start + rows).min(count))
}

/// The rows of `bank` in `block`, each of length 1 (or 0 where all of it is 0), `[rows, dim]`.
fn unit_rows(bank: &FeatureBank, block: &Range<usize>, device: &Device) -> Tensor<2> {
    let mut values = bank.features[block.start * bank.dim..block.end * bank.dim].to_vec();
    for row in values.chunks_exact_mut(bank.dim) {
        let square: f64 = row.iter().map(|value| f64::from(*value).powi(2)).sum();
        let scale = if square > 0.0 {
            1.0 / square.sqrt()
        } else {
            0.0
        };
        for value in row {
            *value = (f64::from(*value) * scale) as f32;
        }
    }
    Tensor::from_data(TensorData::new(values, [block.len(), bank.dim]), device)
}

/// Merges the similarities to the items from `first` on into `best`, the `count` nearest so far.
fn keep_nearest(best: &mut Vec<Neighbour>, similarities: &[f32], first: usize, count: usize) {
    let bound = |best: &[Neighbour]| match best.last() {
        Some(last) if best.len() == count => last.similarity,
        _ => f32::NEG_INFINITY,
    };
    let mut least = bound(best);
    for (offset, &similarity) in similarities.iter().enumerate() {
        if similarity <= least {
            continue;
        }
        let place = best.partition_point(|other| other.similarity >= similarity);
        let index = first + offset;
        best.insert(place, Neighbour { index, similarity });
        best.truncate(count);
        least = bound(best);
    }
}

/// The class that `neighbours` (nearest first) vote for. A tie goes to the class whose neighbours
/// are the nearer in sum, then to the lower class.
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
    fn the_nearest_are_kept_over_several_blocks() {
        let mut best = Vec::new();
        keep_nearest(&mut best, &[0.1, 0.5, 0.3], 0, 2);
        keep_nearest(&mut best, &[0.5, 0.2, 0.9], 3, 2);
        let kept: Vec<usize> = best.iter().map(|neighbour| neighbour.index).collect();
        assert_eq!(kept, [5, 1]);
    }
}
