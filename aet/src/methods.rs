//! Methods of pretraining side by side: a row each, a column for each probe, from the records of one
//! protocol on many runs.

use std::collections::{BTreeMap, BTreeSet};

use aet_learn::protocol::{EncoderKind, ProtocolRecord};
use serde_json::{Value, json};

use crate::scoreboard::{Cell, method_of};
use crate::table::{Align, Grid};

/// What a row is of: bounds stand before and behind the methods.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Random,
    Method(String),
    Supervised,
}

impl Row {
    fn name(&self) -> &str {
        match self {
            Self::Random => "random encoder",
            Self::Method(name) => name,
            Self::Supervised => "the encoder trained from labels",
        }
    }
}

/// The results of methods under the probes of one protocol.
#[derive(Debug)]
pub struct Methods {
    /// The probes, in the order of the protocol.
    probes: Vec<String>,
    /// A cell for each probe.
    rows: BTreeMap<Row, Vec<Cell>>,
    /// Runs behind each row, by their names.
    runs: BTreeMap<Row, BTreeSet<String>>,
}

impl Methods {
    /// The results of `records`, which are of one protocol on the same images.
    pub fn of(records: &[&ProtocolRecord]) -> Self {
        let mut methods = Self {
            probes: Vec::new(),
            rows: BTreeMap::new(),
            runs: BTreeMap::new(),
        };
        for record in records {
            for piece in record.pieces.iter().filter(|piece| !piece.whole_network) {
                let row = match piece.encoder {
                    EncoderKind::Random => Row::Random,
                    EncoderKind::Trained => Row::Method(record.subject.method.clone()),
                    EncoderKind::Supervised => Row::Supervised,
                };
                let runs = methods.runs.entry(row.clone()).or_default();
                runs.insert(record.subject.run.clone());
                for result in &piece.results {
                    let found = &result.result;
                    let probe = format!("{} {} {}", method_of(result), found.tap, found.pooling);
                    let column = methods.column(probe);
                    let cells = methods.rows.entry(row.clone()).or_default();
                    if cells.len() <= column {
                        cells.resize_with(column + 1, Cell::default);
                    }
                    cells[column].take(result);
                }
            }
        }
        methods
    }

    /// The place of a probe, added when it is new.
    fn column(&mut self, probe: String) -> usize {
        match self.probes.iter().position(|known| *known == probe) {
            Some(place) => place,
            None => {
                self.probes.push(probe);
                self.probes.len() - 1
            }
        }
    }

    /// Rows as they are set: the lower bound, the methods by their mean error under the last probe,
    /// the upper bound.
    fn ordered(&self) -> Vec<(&Row, &Vec<Cell>)> {
        let mut rows: Vec<(&Row, &Vec<Cell>)> = self.rows.iter().collect();
        let last = |cells: &[Cell]| cells.last().map_or(f64::NAN, Cell::mean);
        let rank = |row: &Row| match row {
            Row::Random => 0,
            Row::Method(_) => 1,
            Row::Supervised => 2,
        };
        rows.sort_by(|(one, cells), (other, others)| {
            let bounds = rank(one).cmp(&rank(other));
            bounds.then(last(cells).total_cmp(&last(others)))
        });
        rows
    }

    /// The table for people.
    pub fn grid(&self) -> Grid {
        let mut headings = vec![("pretraining", Align::Left), ("runs", Align::Right)];
        headings.extend(
            self.probes
                .iter()
                .map(|probe| (probe.as_str(), Align::Right)),
        );
        let rows = self.ordered().into_iter().map(|(row, cells)| {
            let runs = self.runs.get(row).map_or(0, BTreeSet::len);
            let mut texts = vec![row.name().to_string(), runs.to_string()];
            texts.extend((0..self.probes.len()).map(|probe| {
                let cell = cells.get(probe).filter(|cell| !cell.is_empty());
                cell.map_or_else(String::new, Cell::text)
            }));
            texts
        });
        Grid::new(&headings, rows.collect())
    }

    /// The table for machines.
    pub fn json(&self) -> Value {
        let rows = self.ordered().into_iter().map(|(row, cells)| {
            let probes = self.probes.iter().zip(cells);
            let errors: serde_json::Map<String, Value> = probes
                .map(|(probe, cell)| (probe.clone(), cell.json()))
                .collect();
            json!({ "pretraining": row.name(), "runs": self.runs.get(row), "errors": errors })
        });
        rows.collect()
    }
}
