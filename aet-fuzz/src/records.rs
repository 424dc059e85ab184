//! What was measured: the log of a run, and the record of a protocol.

use aet_learn::protocol::ProtocolRecord;

use crate::claims::{same, told};
use crate::parts::put;
use crate::place::Place;
use crate::runs::{furnish, opened};

/// `metrics.jsonl`. Records that are written again are read as the same.
pub(crate) fn metrics(input: &[u8]) {
    static PLACE: Place = Place::new(furnish);
    PLACE.with(|folder| {
        let path = folder.join("metrics.jsonl");
        put(&path, Some(input));
        let run = opened(folder);
        let Ok(records) = told(run.metrics()) else {
            return;
        };
        put(&path, None);
        for record in &records {
            told(run.log(record)).expect("a record can be logged");
        }
        same(&Ok(records), &told(run.metrics()));
    });
}

/// A record of a protocol. One that is written again is read as the same.
pub(crate) fn protocol(input: &[u8]) {
    static PLACE: Place = Place::empty();
    PLACE.with(|folder| {
        let path = folder.join("record.json");
        put(&path, Some(input));
        let Ok(record) = told(ProtocolRecord::read(&path)) else {
            return;
        };
        assert!(record.continues(&record));
        assert!(record.remarks().iter().all(|remark| !remark.is_empty()));
        for piece in &record.pieces {
            let labels = piece.labels_per_class;
            let found = record.piece(piece.seed, labels, piece.encoder, piece.whole_network);
            assert!(found.is_some());
        }
        told(record.write(&path)).expect("a record can be written");
        same(&Ok(record), &told(ProtocolRecord::read(&path)));
    });
}
