//! In which order an epoch goes through a set.
//!
//! Where any image is as near as any other, a shuffled epoch is a random permutation. Where images
//! are read in blocks (row groups, shards), blocks come in random order, a few at a time, and the
//! images of those few are mixed: each block is read once, and what has to be kept is bounded. Both
//! depend on seed and epoch alone, so that an epoch can be gone on with anywhere.

use crate::random::{Purpose, generator, permutation};
use crate::set::ImageSet;
use crate::source::Blocks;

/// In which order an epoch goes through the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// A new random order each epoch.
    #[default]
    Shuffled,
    /// From the first image to the last.
    Sequential,
}

/// The images of an epoch in their order.
#[derive(Debug, Clone)]
pub(crate) enum Sequence {
    /// 0, 1, 2, ...
    Rising,
    /// By a list, 4 bytes an image.
    Listed(Vec<u32>),
}

impl Sequence {
    /// The order of epoch `epoch` of a run with `seed`.
    pub fn new(order: Order, seed: u64, epoch: u64, set: &ImageSet) -> Self {
        if order == Order::Sequential {
            return Self::Rising;
        }
        let mut rng = generator(seed, epoch, 0, Purpose::Shuffle);
        let indices = match set.blocks() {
            None => permutation(&mut rng, set.len()),
            Some(blocks) => mixed(&blocks, &mut rng),
        };
        Self::Listed(indices.into_iter().map(|index| index as u32).collect())
    }

    /// The image at `place`.
    pub fn at(&self, place: usize) -> usize {
        match self {
            Self::Rising => place,
            Self::Listed(indices) => indices[place] as usize,
        }
    }
}

/// Blocks in random order, the images of each few of them mixed.
fn mixed<R: rand::Rng>(blocks: &Blocks, rng: &mut R) -> Vec<usize> {
    let order = permutation(rng, blocks.ranges.len());
    let mut indices = Vec::with_capacity(blocks.ranges.iter().map(|range| range.len()).sum());
    for few in order.chunks(blocks.at_once.max(1)) {
        let images = few.iter().flat_map(|&block| blocks.ranges[block].clone());
        let images: Vec<usize> = images.collect();
        let places = permutation(rng, images.len());
        indices.extend(places.into_iter().map(|place| images[place]));
    }
    indices
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_mixed_a_few_at_a_time_and_every_image_comes_once() {
        let blocks = Blocks {
            ranges: (0..10).map(|block| block * 7..(block + 1) * 7).collect(),
            at_once: 3,
        };
        let draw = |seed| mixed(&blocks, &mut generator(seed, 0, 0, Purpose::Shuffle));
        let order = draw(1);
        assert_eq!(order, draw(1));
        assert_ne!(order, draw(2));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..70).collect::<Vec<_>>());
        let first: Vec<usize> = order[..21].iter().map(|index| index / 7).collect();
        let mut seen = first.clone();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 3, "the first 21 images are of 3 blocks");
        assert!(first.windows(2).filter(|pair| pair[0] != pair[1]).count() > 6);
    }

    #[test]
    fn a_part_of_a_set_has_parts_of_its_blocks() {
        let blocks = Blocks {
            ranges: vec![0..4, 4..8, 8..12],
            at_once: 2,
        };
        let part = blocks.of(&[1, 3, 9, 10, 11]).map(|blocks| blocks.ranges);
        assert_eq!(part, Some(vec![0..2, 2..5]));
        assert_eq!(blocks.of(&[3, 1]), None);
    }
}
