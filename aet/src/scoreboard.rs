//! The tables of protocols: the records of one or many runs as rows, a probe each, with the bounds,
//! what was chosen, and published figures beside.

use std::collections::BTreeMap;

use aet_learn::protocol::{EncoderKind, Piece, ProtocolRecord, ProtocolResult, Published};
use aet_learn::statistics::{bootstrap_interval, mean_and_deviation};
use serde_json::{Value, json};

use crate::table::{Align, Grid};
use crate::verdict::percent;

/// The columns for encoders, lower bound first.
const ENCODERS: [EncoderKind; 3] = [
    EncoderKind::Random,
    EncoderKind::Trained,
    EncoderKind::Supervised,
];

/// What a row is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RowKey {
    labels_per_class: Option<usize>,
    /// Place of the probe in the protocol, then of the candidate; the whole network comes last.
    place: (usize, usize),
    method: String,
    tap: String,
    pooling: String,
}

/// The test errors of one encoder under one probe, over seeds and runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    /// Errors, as shares.
    errors: Vec<f64>,
    /// Lowest test errors over the epochs, as shares.
    best: Vec<f64>,
    /// For each test image how often it was wrong; empty where that is not known.
    wrong: Vec<f64>,
    /// What was chosen on validation images.
    chosen: Vec<String>,
}

/// One table: records of one protocol.
#[derive(Debug)]
pub struct Scoreboard<'a> {
    rows: BTreeMap<RowKey, BTreeMap<EncoderKind, Cell>>,
    published: &'a [Published],
}

impl<'a> Scoreboard<'a> {
    /// The table of `records`, which are of one protocol.
    pub fn of(records: &[&'a ProtocolRecord]) -> Self {
        let mut board = Self {
            rows: BTreeMap::new(),
            published: records
                .first()
                .map_or(&[], |record| &record.definition.published),
        };
        for record in records {
            for piece in &record.pieces {
                board.add(piece);
            }
        }
        board
    }

    fn add(&mut self, piece: &Piece) {
        for (place, result) in piece.results.iter().enumerate() {
            let found = &result.result;
            let place = if piece.whole_network {
                usize::MAX
            } else {
                place
            };
            let key = |candidate: usize, method: String| RowKey {
                labels_per_class: piece.labels_per_class,
                place: (place, candidate),
                method,
                tap: found.tap.clone(),
                pooling: found.pooling.to_string(),
            };
            let method = match piece.whole_network {
                true => "the whole network, from labels".to_string(),
                false => method_of(result),
            };
            self.cell(key(0, method.clone()), piece.encoder)
                .take(result);
            for (number, candidate) in found.candidates.iter().enumerate() {
                if let Some(error) = candidate.error {
                    let name = format!("{method} {}", candidate.name);
                    let cell = self.cell(key(1 + number, name), piece.encoder);
                    cell.errors.push(error);
                }
            }
        }
    }

    fn cell(&mut self, key: RowKey, encoder: EncoderKind) -> &mut Cell {
        self.rows
            .entry(key)
            .or_default()
            .entry(encoder)
            .or_default()
    }

    /// The table for people. Columns that would be empty are left out.
    pub fn grid(&self) -> Grid {
        let headings = [
            ("labels a class", Align::Right),
            ("probe", Align::Left),
            ("tap", Align::Left),
            ("pooling", Align::Left),
            ("random", Align::Right),
            ("trained", Align::Right),
            ("supervised", Align::Right),
            ("trained, best test epoch", Align::Right),
            ("chosen on validation (trained)", Align::Left),
            ("published, other training", Align::Left),
        ];
        let rows = self.rows.iter().map(|(key, cells)| self.row(key, cells));
        let mut grid = Grid::new(&headings, rows.collect());
        grid.drop_empty_columns();
        grid
    }

    fn row(&self, key: &RowKey, cells: &BTreeMap<EncoderKind, Cell>) -> Vec<String> {
        let labels = key.labels_per_class.map(|count| count.to_string());
        let of = |kind| cells.get(&kind);
        let mut row = vec![
            labels.unwrap_or_default(),
            key.method.clone(),
            key.tap.clone(),
            key.pooling.clone(),
        ];
        row.extend(ENCODERS.map(|kind| of(kind).map_or_else(String::new, Cell::text)));
        let trained = of(EncoderKind::Trained);
        row.push(trained.map_or_else(String::new, Cell::best_text));
        row.push(trained.map_or_else(String::new, Cell::chosen_text));
        row.push(self.published_text(key));
        row
    }

    /// The published figures that belong to a row.
    fn published_text(&self, key: &RowKey) -> String {
        let fits = |published: &&Published| {
            let same = published.method == key.method
                && published.labels_per_class == key.labels_per_class
                && published.tap.as_ref().is_none_or(|tap| *tap == key.tap);
            let bound = published.encoder == EncoderKind::Supervised.name();
            let whole = key.place.0 == usize::MAX
                && bound
                && published.labels_per_class == key.labels_per_class;
            if bound { whole } else { same }
        };
        let found = self.published.iter().filter(fits);
        let texts: Vec<String> = found
            .map(|published| format!("{} {:.2}", published.encoder, published.error))
            .collect();
        texts.join("; ")
    }

    /// The rows for machines.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(key, cells)| {
            let cells: serde_json::Map<String, Value> = cells
                .iter()
                .map(|(kind, cell)| (kind.name().to_string(), cell.json()))
                .collect();
            json!({
                "labels_per_class": key.labels_per_class, "probe": key.method, "tap": key.tap,
                "pooling": key.pooling, "errors": cells, "published": self.published_text(key),
            })
        });
        rows.collect()
    }
}

/// The name of a probe without tap and pooling, which have columns of their own.
pub fn method_of(result: &ProtocolResult) -> String {
    crate::verdict::method_name(&result.result)
}

impl Cell {
    /// Whether nothing was taken in.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The mean error, a share.
    pub fn mean(&self) -> f64 {
        mean_and_deviation(&self.errors).0
    }

    /// Takes in what a probe found.
    pub fn take(&mut self, result: &ProtocolResult) {
        let found = &result.result;
        self.errors.push(found.error);
        self.best.extend(found.best_error);
        let marks = &found.marks.0;
        if self.errors.len() == 1 {
            self.wrong = vec![0.0; marks.len()];
        }
        // Images of other runs are the same only where there are as many.
        if self.wrong.len() == marks.len() {
            for (wrong, right) in self.wrong.iter_mut().zip(marks) {
                *wrong += f64::from(!*right);
            }
        } else {
            self.wrong.clear();
        }
        if let Some(chosen) = &found.chosen {
            let epoch = chosen.epoch.map(|epoch| format!("epoch {}", epoch + 1));
            let parts = [Some(chosen.name.clone()), epoch];
            let parts: Vec<String> = parts
                .into_iter()
                .flatten()
                .filter(|p| !p.is_empty())
                .collect();
            self.chosen.push(parts.join(", "));
        }
    }

    /// The 95% bootstrap interval of the mean error over the test images.
    fn interval(&self) -> Option<[f64; 2]> {
        let count = self.errors.len() as f64;
        let shares: Vec<f64> = self.wrong.iter().map(|wrong| wrong / count).collect();
        bootstrap_interval(&shares)
    }

    /// Mean and deviation over runs and seeds, and the interval over test images, in per cent.
    pub fn text(&self) -> String {
        let spread = spread_text(&self.errors);
        match self.interval() {
            Some([low, high]) => format!("{spread} [{}, {}]", percent(low), percent(high)),
            None => spread,
        }
    }

    fn best_text(&self) -> String {
        match self.best.len() == self.errors.len() && !self.best.is_empty() {
            true => spread_text(&self.best),
            false => String::new(),
        }
    }

    fn chosen_text(&self) -> String {
        let mut said = self.chosen.clone();
        said.dedup();
        said.join("; ")
    }

    /// The same for machines, as shares.
    pub fn json(&self) -> Value {
        let (mean, deviation) = mean_and_deviation(&self.errors);
        json!({
            "mean": mean, "deviation": deviation, "interval": self.interval(),
            "each": self.errors, "best_test_epoch_each": self.best, "chosen": self.chosen,
        })
    }
}

/// Mean and standard deviation in per cent.
fn spread_text(errors: &[f64]) -> String {
    match mean_and_deviation(errors) {
        (mean, Some(deviation)) => format!("{} ± {}", percent(mean), percent(deviation)),
        (mean, None) => percent(mean),
    }
}
