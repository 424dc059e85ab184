//! Parquet files.

use std::path::Path;

use crate::images::PIXEL;
use crate::parts::put;
use crate::place::Place;
use crate::sets;

/// A Parquet file, with an image beside it that its rows may name.
pub(crate) fn parquet(input: &[u8]) {
    static PLACE: Place = Place::new(furnish);
    PLACE.with(|folder| {
        let path = folder.join("train.parquet");
        put(&path, Some(input));
        sets::check(&path);
    });
}

fn furnish(folder: &Path) {
    put(&folder.join("some.gif"), Some(PIXEL));
}
