//! Mixed precision (Micikevicius et al., ICLR 2018): convolutions in numbers of 16 bits, weights,
//! batch-normalisation statistics and loss in float32; and dynamic loss scaling, for numbers whose range
//! is short.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// What convolutions of an encoder in training are done in. Evaluation is float32 always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    Float32,
    /// 16 bits with the range of float32 and 8 bits of mantissa.
    Bfloat16,
    /// 16 bits with 11 bits of mantissa and a short range: gradients are kept in it by loss scaling,
    /// which reads one number back from the device in every step.
    Float16,
}

impl Precision {
    /// Every precision by its name in TOML.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Float32, "float32"),
        (Self::Bfloat16, "bfloat16"),
        (Self::Float16, "float16"),
    ];

    /// The type of convolutions; none for float32, in which everything else is.
    pub fn reduced(self) -> Option<FloatDType> {
        match self {
            Self::Float32 => None,
            Self::Bfloat16 => Some(FloatDType::BF16),
            Self::Float16 => Some(FloatDType::F16),
        }
    }

    /// Whether `device` can do it.
    pub fn is_there(self, device: &Device) -> bool {
        self.reduced()
            .is_none_or(|reduced| device.supports_dtype(reduced))
    }

    /// Refuses a precision that `device` cannot do.
    ///
    /// # Errors
    /// Names the precisions that it can do.
    pub fn check(self, device: &Device) -> Result<(), ConfigError> {
        if self.is_there(device) {
            return Ok(());
        }
        Err(ConfigError::Precision {
            precision: self.name(),
            there: Self::names_on(device).join(", "),
        })
    }

    /// Its name in TOML.
    pub fn name(self) -> &'static str {
        let row = Self::ALL.iter().find(|(precision, _)| *precision == self);
        row.map_or("float32", |(_, name)| name)
    }

    /// The names of those that `device` can do.
    pub fn names_on(device: &Device) -> Vec<&'static str> {
        let there = Self::ALL.iter().filter(|(one, _)| one.is_there(device));
        there.map(|(_, name)| *name).collect()
    }

    /// Where loss scaling starts, if it is needed.
    pub fn loss_scale(self) -> Option<LossScale> {
        (self == Self::Float16).then(LossScale::default)
    }
}

/// What the loss is multiplied by before its gradients are taken, which keeps them above the smallest
/// number of float16. It doubles after many steps in which all gradients are finite; a step with one that
/// is not is left out, and halves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    /// The factor, a power of two, so that scaling rounds nothing.
    pub factor: f64,
    /// Steps with finite gradients since the factor last changed.
    pub finite_steps: u64,
}

/// Steps with finite gradients after which the factor doubles, as in PyTorch.
const GROWTH_STEPS: u64 = 2000;
/// Least and largest factor.
const FACTORS: [f64; 2] = [1.0, 16_777_216.0];

impl Default for LossScale {
    /// 2^16, as in PyTorch.
    fn default() -> Self {
        Self {
            factor: 65_536.0,
            finite_steps: 0,
        }
    }
}

impl LossScale {
    /// Moves the factor after a step whose gradients were `finite` or not.
    pub fn follow(&mut self, finite: bool) {
        let [least, most] = FACTORS;
        self.finite_steps = match finite {
            true => self.finite_steps + 1,
            false => 0,
        };
        if !finite {
            self.factor = (self.factor / 2.0).max(least);
        } else if self.finite_steps == GROWTH_STEPS {
            self.factor = (self.factor * 2.0).min(most);
            self.finite_steps = 0;
        }
    }

    /// Divides the `gradients` of `module` by the factor; none where one of them is not finite.
    pub(crate) fn unscaled<M: Module>(
        &self,
        gradients: GradientsParams,
        module: &M,
    ) -> Option<GradientsParams> {
        let mut unscale = Unscale {
            gradients,
            share: 1.0 / self.factor,
            sums: Vec::new(),
        };
        module.visit(&mut unscale);
        let finite = unscale.sums.is_empty() || {
            let sums = Tensor::cat(unscale.sums, 0);
            sums.is_finite().all().into_scalar::<bool>()
        };
        finite.then_some(unscale.gradients)
    }
}

/// Multiplies the gradients of the parameters that it visits by `share`.
struct Unscale {
    gradients: GradientsParams,
    share: f64,
    /// The sum of each gradient, `[1]`, which is finite if the gradient is.
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for Unscale {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(parameter.id) else {
            return;
        };
        self.sums.push(gradient.clone().sum());
        let gradient = gradient.mul_scalar(self.share);
        self.gradients.register(parameter.id, gradient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_doubles_after_finite_steps_and_halves_after_others() {
        let mut scale = LossScale::default();
        for _ in 0..GROWTH_STEPS - 1 {
            scale.follow(true);
        }
        assert_eq!(scale.factor, 65_536.0);
        scale.follow(true);
        assert_eq!((scale.factor, scale.finite_steps), (131_072.0, 0));
        scale.follow(true);
        scale.follow(false);
        assert_eq!((scale.factor, scale.finite_steps), (65_536.0, 0));
        for _ in 0..100 {
            scale.follow(false);
        }
        assert_eq!(scale.factor, FACTORS[0]);
        for _ in 0..100 * GROWTH_STEPS {
            scale.follow(true);
        }
        assert_eq!(scale.factor, FACTORS[1]);
    }

    #[test]
    fn names_are_those_of_toml() {
        for (precision, name) in Precision::ALL {
            let written = serde_json::to_value(precision).expect("a name");
            assert_eq!(written, name);
        }
    }
}
