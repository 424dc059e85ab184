//! The labels of Tiny-ImageNet's validation images, which lie in a text file beside them.

use std::collections::HashMap;
use std::path::Path;

use crate::error::DataError;

/// Name of the file.
pub(super) const ANNOTATIONS: &str = "val_annotations.txt";

/// File name to class, from the annotations in `folder`, if they are there: a line an image,
/// fields parted by tabs, the file first and the class second.
pub(super) fn annotations(folder: &Path) -> Result<Option<HashMap<String, String>>, DataError> {
    let path = folder.join(ANNOTATIONS);
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(|error| DataError::io(&path, error))?;
    let mut labels = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let mut fields = line.split('\t').map(str::to_owned);
        let (Some(file), Some(class)) = (fields.next(), fields.next()) else {
            let problem = format!(
                "line {}: not a file and a class, parted by a tab",
                number + 1
            );
            return Err(DataError::malformed(&path, problem));
        };
        labels.insert(file, class);
    }
    Ok(Some(labels))
}
