//! Sets of images written to disk for the tests, one writer a format.
#![allow(dead_code)]

pub mod arrays;
pub mod folders;
pub mod written;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aet_data::{DataError, ImageSet, Location, Source, Split, open};
use aet_geometry::RgbImage;
use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tar::{EntryType, Header};

/// Class names of the written sets.
pub const CLASSES: [&str; 3] = ["ant", "bee", "cat"];

/// Where the real data lies, or `None` with the reason printed.
pub fn real_data(set: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AET_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    let path = root.join(set);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there; set AET_DATA", path.display());
    None
}

/// The set at a path.
pub fn at(path: &Path) -> Location {
    Location::Path(path.to_path_buf())
}

/// All of a set, at its own size.
pub fn load(source: &dyn Source) -> Result<ImageSet, DataError> {
    ImageSet::load(source, None, 2, &|_, _| {})
}

/// The pixels of all images of a set in memory, one after the other.
pub fn pixels_of(set: &ImageSet) -> Vec<u8> {
    let images = (0..set.len()).map(|index| set.image(index).pixels());
    images.collect::<Vec<_>>().concat()
}

/// All of one split of what is at `path`.
pub fn open_and_load(path: &Path, split: Split) -> Result<ImageSet, DataError> {
    load(open(&at(path), split)?.as_ref())
}

/// The message with those of all causes.
pub fn full_message(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// The full message of the error that reading a split ends in.
pub fn failure(path: &Path, split: Split) -> String {
    full_message(&open_and_load(path, split).unwrap_err())
}

/// A dark image of pixels that all differ, with one bright red corner at the top right. `number`
/// makes it differ from other images.
pub fn marked(height: usize, width: usize, number: usize) -> RgbImage {
    let mut pixels: Vec<u8> = (0..height * width)
        .flat_map(|at| {
            let (row, column) = (at / width, at % width);
            [
                (row % 32) as u8,
                (column % 32) as u8 + 40,
                number as u8 + 80,
            ]
        })
        .collect();
    pixels[(width - 1) * 3..width * 3].copy_from_slice(&[250, 10, 20]);
    RgbImage::new(height, width, pixels).unwrap()
}

/// `image` as a PNG file.
pub fn png(image: &RgbImage) -> Vec<u8> {
    coded(image, image::ImageFormat::Png)
}

/// `image` as a JPEG file.
pub fn jpeg(image: &RgbImage) -> Vec<u8> {
    coded(image, image::ImageFormat::Jpeg)
}

fn coded(image: &RgbImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::write_buffer_with_format(
        &mut bytes,
        image.pixels(),
        image.width() as u32,
        image.height() as u32,
        image::ExtendedColorType::Rgb8,
        format,
    )
    .unwrap();
    bytes.into_inner()
}

/// What goes into a Parquet file.
pub struct Table {
    pub images: Vec<Option<Vec<u8>>>,
    pub image_column: &'static str,
    pub labels: Option<(&'static str, Vec<Option<i64>>)>,
    pub metadata: Option<String>,
    pub plain_bytes: bool,
    pub rows_per_group: usize,
}

impl Table {
    /// Marked images of 7x5 (width x height) with rising labels and class names.
    pub fn of(count: usize) -> Self {
        let images = (0..count).map(|number| Some(png(&marked(5, 7, number))));
        Self {
            images: images.collect(),
            image_column: "img",
            labels: Some(("label", (0..count).map(|at| Some(at as i64 % 3)).collect())),
            metadata: Some(huggingface("label", &CLASSES)),
            plain_bytes: false,
            rows_per_group: 2,
        }
    }

    pub fn write(self, path: &Path) {
        let bytes = BinaryArray::from_iter(self.images.iter().map(Option::as_deref));
        let images: ArrayRef = if self.plain_bytes {
            Arc::new(bytes)
        } else {
            let paths = StringArray::from(vec![Some("some.png"); self.images.len()]);
            let fields = Fields::from(vec![
                Field::new("bytes", DataType::Binary, true),
                Field::new("path", DataType::Utf8, true),
            ]);
            Arc::new(StructArray::new(
                fields,
                vec![Arc::new(bytes), Arc::new(paths)],
                None,
            ))
        };
        let mut columns = vec![(self.image_column, images)];
        if let Some((name, labels)) = self.labels {
            columns.push((name, Arc::new(Int64Array::from(labels)) as ArrayRef));
        }
        write_columns(path, columns, self.metadata, self.rows_per_group);
    }
}

/// Writes any columns.
pub fn write_columns(
    path: &Path,
    columns: Vec<(&str, ArrayRef)>,
    metadata: Option<String>,
    rows_per_group: usize,
) {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    let metadata: HashMap<String, String> = metadata
        .map(|text| ("huggingface".to_owned(), text))
        .into_iter()
        .collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(rows_per_group))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).unwrap();
    let arrays = columns.into_iter().map(|(_, column)| column).collect();
    writer
        .write(&RecordBatch::try_new(schema, arrays).unwrap())
        .unwrap();
    writer.close().unwrap();
}

/// The metadata that the `datasets` library writes, as far as it is read.
pub fn huggingface(column: &str, classes: &[&str]) -> String {
    serde_json::json!({"info": {"features": {
        "img": {"_type": "Image"},
        column: {"names": classes, "_type": "ClassLabel"},
    }}})
    .to_string()
}

/// One record of the CIFAR binary version: `labels`, then the planes of `image`.
pub fn cifar_record(labels: &[u8], image: &RgbImage) -> Vec<u8> {
    let mut record = labels.to_vec();
    for channel in 0..3 {
        record.extend(image.pixels().iter().skip(channel).step_by(3));
    }
    record
}

/// Writes `bytes` to `path`, making the folders above it.
pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Two members of a tar archive: marked image `number`, and that number as its label.
pub fn sample(number: usize) -> [(String, Vec<u8>); 2] {
    [
        (
            format!("some/{number:04}.cls"),
            number.to_string().into_bytes(),
        ),
        (format!("some/{number:04}.png"), png(&marked(5, 7, number))),
    ]
}

/// A tar archive of these members.
pub fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, data) in members {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, data.as_slice())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

/// One member of an archive, with any header.
pub fn tar_member(name: &str, size: u64, kind: EntryType, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(size);
    header.set_entry_type(kind);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// `bytes`, compressed.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}
