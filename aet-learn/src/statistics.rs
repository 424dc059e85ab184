//! What can be said of error rates: mean and deviation over seeds, bootstrap intervals over test
//! images (Efron 1979), and McNemar's exact test of two classifiers on the same images (McNemar
//! 1947; Dietterich 1998, section 3.1).

use aet_data::random::{Purpose, below, generator};
use statrs::distribution::{Binomial, DiscreteCDF};

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2000;

/// The mean of `values`, and their standard deviation (over n - 1) where there are at least two.
pub fn mean_and_deviation(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
    (mean, deviation)
}

/// The 95% percentile interval of the mean of `values`, one of each test image, over resamples of
/// the images with replacement. The same values always give the same interval.
///
/// None for no values.
pub fn bootstrap_interval(values: &[f64]) -> Option<[f64; 2]> {
    if values.is_empty() {
        return None;
    }
    let mut means: Vec<f64> = (0..RESAMPLES as u64)
        .map(|resample| {
            let mut rng = generator(0, 0, resample, Purpose::Subset);
            let drawn = (0..values.len()).map(|_| values[below(&mut rng, values.len())]);
            drawn.sum::<f64>() / values.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[(share * (RESAMPLES - 1) as f64).round() as usize];
    Some([at(0.025), at(0.975)])
}

/// Two classifiers on the same test images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// Images that only the first was right on.
    pub only_first: u64,
    /// Images that only the second was right on.
    pub only_second: u64,
    /// Error of the first minus that of the second, as a share.
    pub difference: f64,
    /// 95% bootstrap interval of the difference.
    pub interval: [f64; 2],
    /// Probability of a difference at least this large, were both equally good (McNemar's exact
    /// test, two-sided).
    pub p_value: f64,
}

/// Compares which images two classifiers were right on; None where they are not as many, or none.
pub fn compare(first: &[bool], second: &[bool]) -> Option<Paired> {
    if first.len() != second.len() {
        return None;
    }
    // Error of the first minus that of the second, of one image.
    let differences: Vec<f64> = first
        .iter()
        .zip(second)
        .map(|(first, second)| f64::from(*second) - f64::from(*first))
        .collect();
    let count = |sign: f64| differences.iter().filter(|d| **d == sign).count() as u64;
    let (only_first, only_second) = (count(-1.0), count(1.0));
    Some(Paired {
        only_first,
        only_second,
        difference: mean_and_deviation(&differences).0,
        interval: bootstrap_interval(&differences)?,
        p_value: mcnemar(only_first, only_second),
    })
}

/// The two-sided p-value of McNemar's exact test.
fn mcnemar(only_first: u64, only_second: u64) -> f64 {
    let fewer = only_first.min(only_second);
    match Binomial::new(0.5, only_first + only_second) {
        Ok(heads) => (2.0 * heads.cdf(fewer)).min(1.0),
        Err(_) => 1.0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use aet_data::random::unit;

    #[test]
    fn deviations_are_over_n_minus_1() {
        assert_eq!(mean_and_deviation(&[2.0]), (2.0, None));
        let (mean, deviation) = mean_and_deviation(&[1.0, 2.0, 4.0]);
        assert!((mean - 7.0 / 3.0).abs() < 1e-12);
        assert!((deviation.unwrap() - 1.527_525_231_651_946_8).abs() < 1e-12);
    }

    /// From `scipy.stats.binomtest(min(b, c), b + c).pvalue`, SciPy 1.17.
    #[test]
    fn p_values_are_those_of_an_exact_binomial_test() {
        for (b, c, expected) in [
            (0, 0, 1.0),
            (3, 3, 1.0),
            (1, 9, 0.021_484_375),
            (40, 61, 0.046_044_066_929),
            (500, 620, 0.000_372_413_755),
        ] {
            let p = mcnemar(b, c);
            assert!((p - expected).abs() < 1e-9, "{b}, {c}: {p}");
            assert_eq!(p, mcnemar(c, b));
        }
    }

    /// The normal approximation has to be close for a share of many images.
    #[test]
    fn a_bootstrap_interval_is_about_two_standard_errors_wide() {
        let mut rng = generator(5, 0, 0, Purpose::Noise);
        let values: Vec<f64> = (0..2000).map(|_| f64::from(unit(&mut rng) < 0.3)).collect();
        let (mean, deviation) = mean_and_deviation(&values);
        let error = deviation.unwrap() / (values.len() as f64).sqrt();
        let [low, high] = bootstrap_interval(&values).unwrap();
        assert!((low - (mean - 1.96 * error)).abs() < 0.15 * error, "{low}");
        assert!(
            (high - (mean + 1.96 * error)).abs() < 0.15 * error,
            "{high}"
        );
        assert_eq!(bootstrap_interval(&[]), None);
    }

    #[test]
    fn paired_counts_go_to_the_side_that_was_right() {
        let first = [true, true, true, false, false];
        let second = [true, false, false, true, false];
        let paired = compare(&first, &second).unwrap();
        assert_eq!((paired.only_first, paired.only_second), (2, 1));
        assert!((paired.difference + 0.2).abs() < 1e-12);
        assert_eq!(compare(&first, &second[1..]), None);
    }
}
