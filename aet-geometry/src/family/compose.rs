//! Compositions: a transformation of one family after that of another.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Colour, Family, FamilyError, Sampled, Similarity, TransformationFamily, check};
use crate::scalar::{Matrix, Scalar, identity, product};
use crate::transformation::Transformation;

pub(super) const NAME: &str = "compose";

/// The families' transformations, one after the other, in their order; each is drawn on its own.
/// Warps that follow each other become one, so that pixels are interpolated once.
///
/// The target is that of each family, side by side. Its components are named by the place and the
/// name of their family, such as `2.similarity.scale`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compose {
    /// The families, at least one: `colour`, then `similarity`. In the other order the colour that
    /// fills the border would tell what was done to colours.
    pub families: Vec<Family>,
}

impl Default for Compose {
    fn default() -> Self {
        Self {
            families: vec![
                Family::Colour(Colour::default()),
                Family::Similarity(Similarity::default()),
            ],
        }
    }
}

impl Compose {
    /// Each family with its part of `target`.
    fn parts<'a, T>(&'a self, target: &'a [T]) -> impl Iterator<Item = (&'a Family, &'a [T])> {
        let mut rest = target;
        self.families.iter().map(move |family| {
            let (part, others) = rest.split_at(family.target_len());
            rest = others;
            (family, part)
        })
    }
}

impl TransformationFamily for Compose {
    fn name(&self) -> &'static str {
        NAME
    }

    fn target_names(&self) -> Vec<String> {
        let named = self
            .families
            .iter()
            .enumerate()
            .flat_map(|(place, family)| {
                let names = family.target_names().into_iter();
                names.map(move |name| format!("{}.{}.{name}", place + 1, family.name()))
            });
        named.collect()
    }

    fn tanh_decoder(&self) -> bool {
        self.families.iter().all(Family::tanh_decoder)
    }

    fn moves(&self) -> bool {
        self.families.iter().any(Family::moves)
    }

    fn is_homography(&self) -> bool {
        self.moves()
            && self
                .families
                .iter()
                .all(|family| family.is_homography() || !family.moves())
    }

    fn changes_values(&self) -> bool {
        self.families.iter().any(Family::changes_values)
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R, height: usize, width: usize) -> Sampled {
        let mut all = Sampled {
            transformation: Transformation::default(),
            target: Vec::with_capacity(self.target_len()),
        };
        for family in &self.families {
            let sampled = family.sample(rng, height, width);
            all.transformation.then(sampled.transformation);
            all.target.extend(sampled.target);
        }
        all
    }

    /// The product of the matrices, the last family's first: it is read through that one first.
    fn matrix<S: Scalar>(&self, target: &[S], size: [usize; 2]) -> Matrix<S> {
        let parts = self.parts(target);
        parts.fold(identity(&target[0]), |before, (family, part)| {
            product(&before, &family.matrix(part, size))
        })
    }

    fn transformation(
        &self,
        target: &[f32],
        height: usize,
        width: usize,
    ) -> Result<Transformation, FamilyError> {
        check::target(self, target)?;
        let mut all = Transformation::default();
        for (family, part) in self.parts(target) {
            all.then(family.transformation(part, height, width)?);
        }
        Ok(all)
    }

    fn identity_target(&self, size: [usize; 2]) -> Option<Vec<f32>> {
        let parts = self.families.iter().map(|f| f.identity_target(size));
        let parts: Option<Vec<Vec<f32>>> = parts.collect();
        Some(parts?.concat())
    }

    /// Those of the member that has the most, with the identity of the others.
    fn anchors(&self, size: [usize; 2]) -> Vec<Vec<f32>> {
        let Some(identity) = self.identity_target(size) else {
            return Vec::new();
        };
        let (mut place, mut most) = (0, (0, Vec::new()));
        for family in &self.families {
            let anchors = family.anchors(size);
            if anchors.len() > most.1.len() {
                most = (place, anchors);
            }
            place += family.target_len();
        }
        let (start, anchors) = most;
        let whole = anchors.into_iter().map(|anchor| {
            let mut target = identity.clone();
            target[start..start + anchor.len()].copy_from_slice(&anchor);
            target
        });
        whole.collect()
    }

    fn validate(&self) -> Result<(), FamilyError> {
        if self.families.is_empty() {
            return Err(FamilyError::Range {
                family: NAME,
                field: "families",
                allowed: "at least one family".into(),
                found: "[]".into(),
            });
        }
        if let Some(family) = self.families.iter().find(|f| f.surrogate().is_some()) {
            return Err(FamilyError::Range {
                family: NAME,
                field: "families",
                allowed: "families with parameters".into(),
                found: family.name().into(),
            });
        }
        self.families.iter().try_for_each(Family::validate)
    }
}
