//! Nearest neighbours and logistic regression against scikit-learn. The expected values are made by
//! `scripts/sklearn_fixture.py`.
#![allow(clippy::unwrap_used)]

use aet_learn::embed::FeatureBank;
use aet_learn::probe::{Labelled, LogisticConfig, knn, logistic};
use serde::Deserialize;

const DIM: usize = 8;

#[derive(Deserialize)]
struct Expected {
    train: Vec<f32>,
    train_labels: Vec<u32>,
    test: Vec<f32>,
    test_labels: Vec<u32>,
    searched: Vec<f32>,
    queries: Vec<f32>,
    neighbours: Vec<Vec<usize>>,
    similarities: Vec<Vec<f64>>,
    regressions: Vec<Regression>,
}

#[derive(Deserialize)]
struct Regression {
    c: f64,
    classes: usize,
    /// `[classes, dim]`; with two classes only that of the second.
    coefficients: Vec<Vec<f64>>,
    intercepts: Vec<f64>,
    predictions: Vec<u32>,
}

fn expected() -> Expected {
    serde_json::from_str(include_str!("agreement/sklearn.json")).unwrap()
}

fn bank(features: Vec<f32>) -> FeatureBank {
    FeatureBank {
        features,
        dim: DIM,
        shape: [DIM, 1, 1],
    }
}

/// The rows whose label is below `classes`.
fn below(features: &[f32], labels: &[u32], classes: usize) -> (FeatureBank, Vec<u32>) {
    let rows = features.chunks_exact(DIM).zip(labels);
    let kept: Vec<_> = rows.filter(|row| (*row.1 as usize) < classes).collect();
    let features = kept.iter().flat_map(|row| row.0).copied().collect();
    (bank(features), kept.iter().map(|row| *row.1).collect())
}

#[test]
fn neighbours_are_those_of_scikit_learn() {
    let expected = expected();
    let (searched, queries) = (bank(expected.searched), bank(expected.queries));
    let found = knn::nearest(&searched, &queries, 12, &mut |_| ()).unwrap();
    for (query, near) in found.iter().enumerate() {
        for (place, neighbour) in near.iter().enumerate() {
            let similarity = expected.similarities[query][place];
            assert!((f64::from(neighbour.similarity) - similarity).abs() < 1e-6);
            assert_eq!(neighbour.index, expected.neighbours[query][place]);
        }
    }
}

#[test]
fn coefficients_and_predictions_are_those_of_scikit_learn() {
    let expected = expected();
    for wanted in &expected.regressions {
        let (train, labels) = below(&expected.train, &expected.train_labels, wanted.classes);
        let (test, _) = below(&expected.test, &expected.test_labels, wanted.classes);
        let config = LogisticConfig {
            c: wanted.c,
            tolerance: 1e-6,
            ..LogisticConfig::default()
        };
        let task = Labelled {
            features: &train,
            labels: &labels,
        };
        let model = logistic::fit(&config, task, wanted.classes, &mut |_| ()).unwrap();
        let classes = wanted.classes;
        let mut largest = 0.0_f64;
        for (class, coefficients) in wanted.coefficients.iter().enumerate() {
            // Of two classes, the difference of both is the one vector of scikit-learn.
            let own = |values: &[f32]| match classes {
                2 => f64::from(values[1]) - f64::from(values[0]),
                _ => f64::from(values[class]),
            };
            let weights = model.weights.chunks_exact(classes).map(own);
            for (weight, coefficient) in weights.zip(coefficients) {
                largest = largest.max((weight - coefficient).abs());
            }
            // Intercepts are free: with three classes or more, only their differences matter.
            let free = match classes {
                2 => 0.0,
                _ => wanted.intercepts[0] - f64::from(model.intercepts[0]),
            };
            let off = own(&model.intercepts) + free - wanted.intercepts[class];
            largest = largest.max(off.abs());
        }
        println!("C {} classes {classes}: off by {largest:.1e}", wanted.c);
        assert!(
            largest < 1e-3 * wanted.c.max(1.0),
            "C {}: {largest}",
            wanted.c
        );
        assert_eq!(model.predict(&test).unwrap(), wanted.predictions);
    }
}

#[test]
fn fits_are_the_same_with_any_number_of_threads() {
    let expected = expected();
    let labels = expected.train_labels.repeat(20);
    let train = bank(expected.train.repeat(20));
    let fit = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let task = Labelled {
                features: &train,
                labels: &labels,
            };
            logistic::fit(&LogisticConfig::default(), task, 4, &mut |_| ()).unwrap()
        })
    };
    let one = fit(1);
    assert!(one.converged);
    assert_eq!(fit(2), one);
    assert_eq!(fit(5), one);
}

#[test]
fn regressions_that_cannot_be_are_refused() {
    let expected = expected();
    let train = bank(expected.train);
    let refused = |labels: &[u32], classes| {
        let task = Labelled {
            features: &train,
            labels,
        };
        let result = logistic::fit(&LogisticConfig::default(), task, classes, &mut |_| ());
        result.unwrap_err().to_string()
    };
    assert!(refused(&expected.train_labels, 3).contains("label 3 is none of 3"));
    assert!(refused(&expected.train_labels[1..], 4).contains("199 for 200"));
    assert!(refused(&vec![0; 200], 1).contains("at least 2"));
    let config = LogisticConfig {
        c: 0.0,
        ..LogisticConfig::default()
    };
    let message = config.validate().unwrap_err().to_string();
    assert!(message.contains("method.c = 0"), "{message}");
}
