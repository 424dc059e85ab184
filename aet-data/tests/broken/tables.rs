//! Parquet files.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, StringArray};
use parquet::file::metadata::{ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData};

use super::Outcome::{Read, Refused, Skipped};
use super::{Case, GOOD, good_image};
use crate::support::{Table, write, write_columns};

const FILE: &str = "train.parquet";

pub fn cases() -> Vec<Case> {
    [files(), rows(), paths()].into_iter().flatten().collect()
}

/// Writes [`GOOD`] rows and one more, changed as `change` does it.
fn table(folder: &Path, change: fn(&mut Table)) -> Result<(), String> {
    let mut table = Table::of(GOOD + 1);
    change(&mut table);
    table.write(&folder.join(FILE));
    Ok(())
}

/// The bytes of that file, unchanged.
fn whole(folder: &Path) -> Result<Vec<u8>, String> {
    table(folder, |_| {})?;
    std::fs::read(folder.join(FILE)).map_err(|error| error.to_string())
}

/// Writes that file with another footer behind the same data.
fn with_groups(
    folder: &Path,
    change: fn(RowGroupMetaData) -> RowGroupMetaData,
) -> Result<(), String> {
    let bytes = whole(folder)?;
    let fail = |error: parquet::errors::ParquetError| error.to_string();
    let file = std::fs::File::open(folder.join(FILE)).map_err(|error| error.to_string())?;
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&file)
        .map_err(fail)?;
    let groups = metadata.row_groups().iter().cloned().map(change).collect();
    let metadata = metadata.into_builder().set_row_groups(groups).build();
    let length = footer_length(&bytes);
    let mut changed = bytes[..bytes.len() - 8 - length].to_vec();
    ParquetMetaDataWriter::new(&mut changed, &metadata)
        .finish()
        .map_err(fail)?;
    write(&folder.join(FILE), &changed);
    Ok(())
}

/// Field 200 of a struct in Thrift's compact protocol: a list of 2^31 - 1 booleans, which a reader
/// that passes over it may take no bytes for.
const LIST: [u8; 9] = [0x09, 0x90, 0x03, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07];

fn footer_length(bytes: &[u8]) -> usize {
    let at = bytes.len() - 8;
    let length = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    u32::from_le_bytes(length) as usize
}

fn files() -> Vec<Case> {
    vec![
        Case::set(
            "parquet-cut-short",
            "a Parquet file without its last half, and so without its footer",
            ("", |folder| {
                let bytes = whole(folder)?;
                write(&folder.join(FILE), &bytes[..bytes.len() / 2]);
                Ok(())
            }),
            Refused("train.parquet: broken Parquet file; fetch or copy it again: "),
        ),
        Case::set(
            "parquet-empty",
            "a Parquet file of no bytes",
            ("", |folder| {
                write(&folder.join(FILE), b"");
                Ok(())
            }),
            Refused("train.parquet: broken Parquet file; fetch or copy it again: "),
        ),
        Case::set(
            "parquet-wrong-magic",
            "a Parquet file with another word at its end",
            ("", |folder| {
                let mut bytes = whole(folder)?;
                let at = bytes.len() - 4;
                bytes[at..].copy_from_slice(b"NOPE");
                write(&folder.join(FILE), &bytes);
                Ok(())
            }),
            Refused("train.parquet: broken Parquet file; fetch or copy it again: "),
        ),
        Case::set(
            "parquet-footer-without-end",
            "a Parquet file whose footer claims 4 GB",
            ("", |folder| {
                let mut bytes = whole(folder)?;
                let at = bytes.len() - 8;
                bytes[at..at + 4].copy_from_slice(&[0xff; 4]);
                write(&folder.join(FILE), &bytes);
                Ok(())
            }),
            Refused("train.parquet: broken Parquet file; fetch or copy it again: "),
        ),
        Case::set(
            "parquet-list-without-end",
            "a footer with a list of 2^31 booleans in a field of no meaning",
            ("", |folder| {
                let bytes = whole(folder)?;
                let start = bytes.len() - 8 - footer_length(&bytes);
                let footer = [&bytes[start..bytes.len() - 9], &LIST[..], &[0]].concat();
                let length = (footer.len() as u32).to_le_bytes();
                let changed = [&bytes[..start], &footer, &length, b"PAR1"].concat();
                write(&folder.join(FILE), &changed);
                Ok(())
            }),
            Refused("train.parquet: …: its footer claims lists of more elements than it has bytes"),
        ),
        Case::set(
            "parquet-page-of-a-list-without-end",
            "the same list in the header of a page",
            ("", |folder| {
                let mut bytes = whole(folder)?;
                bytes[4..4 + LIST.len()].copy_from_slice(&LIST);
                write(&folder.join(FILE), &bytes);
                Ok(())
            }),
            Refused(
                "train.parquet: …: the header of a page claims lists of more elements than it has",
            ),
        ),
        Case::set(
            "parquet-damaged-pages",
            "zeros over the first pages of a Parquet file",
            ("", |folder| {
                let mut bytes = whole(folder)?;
                bytes[4..200].fill(0);
                write(&folder.join(FILE), &bytes);
                Ok(())
            }),
            Refused("train.parquet, row group 0: broken Parquet file; fetch or copy it again: "),
        ),
        Case::set(
            "parquet-more-rows-than-values",
            "a footer that claims 8,000,000 rows a row group, whose columns have 2 values",
            ("", |folder| {
                with_groups(folder, |group| {
                    group
                        .into_builder()
                        .set_num_rows(8_000_000)
                        .build()
                        .unwrap()
                })
            }),
            Refused(
                "train.parquet: row group 0 is of 8000000 rows, but column `…` of 2 values; fetch \
                 or copy it again",
            ),
        ),
        Case::set(
            "parquet-rows-that-are-not-there",
            "a footer that claims 2,000,000 rows and values a row group, which has 2",
            ("", |folder| {
                with_groups(folder, |group| claiming(group, 2_000_000))
            }),
            Refused("train.parquet, row group 0: broken Parquet file; fetch or copy it again: "),
        ),
        Case::set(
            "parquet-rows-without-end",
            "a footer that claims 2^59 rows a row group",
            ("", |folder| {
                with_groups(folder, |group| {
                    group.into_builder().set_num_rows(1 << 59).build().unwrap()
                })
            }),
            Refused("train.parquet: a row group of a number of rows that no file has"),
        ),
        Case::set(
            "parquet-columns-past-the-end",
            "a footer whose columns take 1 TB",
            ("", |folder| {
                with_groups(folder, |group| {
                    let columns = group.columns().iter().cloned().map(|column| {
                        let builder = column.into_builder();
                        builder.set_total_compressed_size(1 << 40).build().unwrap()
                    });
                    let columns = columns.collect();
                    group
                        .into_builder()
                        .set_column_metadata(columns)
                        .build()
                        .unwrap()
                })
            }),
            Refused("train.parquet: …: the header of a page is damaged"),
        ),
        Case::set(
            "parquet-without-rows",
            "a Parquet file without rows",
            ("", |folder| {
                Table::of(0).write(&folder.join(FILE));
                Ok(())
            }),
            Refused("train.parquet holds no image"),
        ),
        Case::set(
            "parquet-without-images",
            "a Parquet file without a column of images",
            ("", |folder| {
                let numbers = Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef;
                write_columns(&folder.join(FILE), vec![("label", numbers)], None, 10);
                Ok(())
            }),
            Refused(
                "train.parquet: no column of images: looked for img, image, path, file_name, \
                 found label",
            ),
        ),
        Case::set(
            "parquet-labels-that-are-text",
            "a Parquet file with texts for labels",
            ("", |folder| {
                let image = good_image(1);
                let images = Arc::new(BinaryArray::from(vec![image.as_slice()])) as ArrayRef;
                let labels = Arc::new(StringArray::from(vec!["cat"])) as ArrayRef;
                let columns = vec![("img", images), ("label", labels)];
                write_columns(&folder.join(FILE), columns, None, 10);
                Ok(())
            }),
            Refused("train.parquet: column `label` is Utf8, but labels are whole numbers"),
        ),
        Case::set(
            "parquet-shards-of-other-classes",
            "two Parquet files of one split with other class names",
            ("", |folder| {
                Table::of(GOOD).write(&folder.join("train-0.parquet"));
                let mut table = Table::of(GOOD);
                table.metadata = Some(crate::support::huggingface("label", &["x", "y", "z"]));
                table.write(&folder.join("train-1.parquet"));
                Ok(())
            }),
            Refused(
                "train-1.parquet: its classes are not those of train-0.parquet, another file of \
                 the set",
            ),
        ),
    ]
}

/// The same row group, said to be of `rows`.
fn claiming(group: RowGroupMetaData, rows: i64) -> RowGroupMetaData {
    let columns = group.columns().iter().cloned();
    let columns = columns.map(|column| column.into_builder().set_num_values(rows).build().unwrap());
    let columns = columns.collect();
    let builder = group.into_builder().set_num_rows(rows);
    builder.set_column_metadata(columns).build().unwrap()
}

fn rows() -> Vec<Case> {
    vec![
        Case::set(
            "parquet-row-without-image",
            "a row whose image is null",
            ("", |folder| table(folder, |table| table.images[3] = None)),
            Skipped(
                GOOD,
                "train.parquet, row group 1, row 3 of the file: some.png: cannot be read: it is \
                 gone, or a link to nothing",
            ),
        ),
        Case::set(
            "parquet-row-of-nothing",
            "a row with neither an image nor a path",
            ("", |folder| {
                table(folder, |table| {
                    table.images[3] = None;
                    table.plain_bytes = true;
                })
            }),
            Skipped(
                GOOD,
                "train.parquet, row group 1, row 3 of the file: there is neither an image in it \
                 nor the path of one",
            ),
        ),
        Case::set(
            "parquet-row-of-text",
            "a row whose image is text",
            ("", |folder| {
                table(folder, |table| table.images[3] = Some(b"no image".to_vec()))
            }),
            Skipped(
                GOOD,
                "image 3 (train.parquet, row 3): this is text, not an image",
            ),
        ),
        Case::set(
            "parquet-row-without-label",
            "a row whose label is null",
            ("", |folder| table(folder, |table| set_label(table, None))),
            Read(GOOD + 1, "the image has no label"),
        ),
        Case::set(
            "parquet-label-out-of-range",
            "a label of 3 for 3 classes",
            ("", |folder| {
                table(folder, |table| set_label(table, Some(3)))
            }),
            Skipped(
                GOOD,
                "train.parquet, row group 1, row 3 of the file: label 3 is none of the 3 classes",
            ),
        ),
        Case::set(
            "parquet-label-below-0",
            "a label of -2",
            ("", |folder| {
                table(folder, |table| set_label(table, Some(-2)))
            }),
            Skipped(
                GOOD,
                "train.parquet, row group 1, row 3 of the file: label -2 is none of the 3 classes",
            ),
        ),
    ]
}

/// Gives row 3 another label.
fn set_label(table: &mut Table, label: Option<i64>) {
    if let Some((_, labels)) = &mut table.labels {
        labels[3] = label;
    }
}

/// A table of the paths of [`GOOD`] images beside it, and of one more.
fn listed(folder: &Path, path: &str) -> Result<(), String> {
    super::write_good(folder);
    let good = (0..GOOD).map(|number| format!("good-{number}.png"));
    let paths: Vec<String> = good.chain([path.to_owned()]).collect();
    let paths = Arc::new(StringArray::from(paths)) as ArrayRef;
    write_columns(&folder.join(FILE), vec![("path", paths)], None, 20);
    Ok(())
}

fn paths() -> Vec<Case> {
    vec![
        Case::set(
            "parquet-path-of-nothing",
            "a path of an image that is not there",
            ("", |folder| listed(folder, "gone.png")),
            Skipped(
                GOOD,
                "train.parquet, row group 0, row 10 of the file: gone.png: cannot be read: it is \
                 gone, or a link to nothing",
            ),
        ),
        Case::set(
            "parquet-path-upwards",
            "a path that leads out of the folder by `..`",
            ("", |folder| listed(folder, "../outside.png")),
            Skipped(
                GOOD,
                "train.parquet, row group 0, row 10 of the file: path \"../outside.png\" is not \
                 followed out of the folder of the file",
            ),
        ),
        Case::set(
            "parquet-path-from-the-root",
            "a path from the root",
            ("", |folder| listed(folder, "/etc/passwd")),
            Skipped(
                GOOD,
                "train.parquet, row group 0, row 10 of the file: path \"/etc/passwd\" is not \
                 followed out of the folder of the file",
            ),
        ),
    ]
}
