//! A list of images in a text file: a path and a label a line (`abbey/1.jpg 0`, or parted by a comma
//! or a tab), or paths alone. Labels are whole numbers; a -1 stands for none.
//!
//! Paths are relative to the folder of the list, or absolute. They may hold spaces, since the label
//! is what comes last. Empty lines and lines that start with `#` are skipped, and so is a first line
//! of column names such as `path,label`. The first line that is left decides whether there are
//! labels, and the others must be like it.
//!
//! A folder is a set of lists if it holds one named for the training split, `train.txt` (or
//! `.csv`, `.lst`, `.tsv`; a name like `train_places205.csv` too, but for `.txt`), and no sub-folder
//! named for a split; the test split is `test.txt` or `val.txt` beside it.
//!
//! The text is kept as it is, with 12 bytes a line, so that a list of millions opens fast and takes
//! little more memory than its file. Whether an image is there is found out when it is read.

use std::path::{Path, PathBuf};

use super::positioned::PositionedFile;
use super::shards::is_named_after;
use super::{
    MOST_CLASSES, Payload, RawSample, Source, Split, class_of, image_file, no_split,
    numbered_classes,
};
use crate::error::DataError;

/// Name of the format.
pub const FORMAT: &str = "file-list";

const EXTENSIONS: [&str; 4] = ["txt", "csv", "lst", "tsv"];
const HEADINGS: [&str; 8] = [
    "path",
    "file",
    "filepath",
    "file_name",
    "filename",
    "image",
    "image_path",
    "img",
];
const BYTE_ORDER_MARK: &str = "\u{feff}";
const NO_LABEL: u32 = u32::MAX;
/// So much of a list is looked at before all of it is read.
const HEAD_BYTES: u64 = 1 << 16;

/// Whether a file is a list, by its name.
pub(crate) fn is_list(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| EXTENSIONS.contains(&found))
}

/// Whether `folder`, which holds `names`, is one of lists.
pub(crate) fn matches(folder: &Path, names: &[String]) -> bool {
    let is_split_folder = |name: &String| {
        let mut splits = [Split::Train, Split::Test].into_iter();
        splits.any(|split| split.names_on_disk().contains(&name.as_str()))
            && folder.join(name).is_dir()
    };
    list_of(names, Split::Train).is_some() && !names.iter().any(is_split_folder)
}

fn list_of(names: &[String], split: Split) -> Option<&String> {
    let is_of = |name: &str, split_name: &str| match name.rsplit_once('.') {
        Some((stem, "txt")) => stem == split_name,
        Some((stem, extension)) if EXTENSIONS.contains(&extension) => {
            stem == split_name || is_named_after(stem, split_name)
        }
        _ => false,
    };
    let of = |split_name: &&str| names.iter().find(|name| is_of(name, split_name));
    split.names_on_disk().iter().find_map(of)
}

/// Opens the list of `split` in `folder`, which holds `names`.
pub(crate) fn open(
    folder: &Path,
    names: &[String],
    split: Split,
) -> Result<Box<dyn Source>, DataError> {
    match list_of(names, split) {
        Some(name) => Ok(Box::new(ListSource::new(&folder.join(name))?)),
        None => Err(no_split(folder, split)),
    }
}

/// Images in the order of a list.
#[derive(Debug)]
pub struct ListSource {
    folder: PathBuf,
    text: String,
    lines: Vec<Line>,
    class_names: Vec<String>,
}

/// Where the path of an image lies in the text, and its label.
#[derive(Debug)]
struct Line {
    start: u32,
    end: u32,
    label: u32,
}

impl Line {
    fn label(&self) -> Option<u32> {
        Some(self.label).filter(|&label| label != NO_LABEL)
    }
}

impl ListSource {
    /// Reads the list at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, is no text, holds no image or more than 4 GiB, or when a line
    /// has a label that is out of range, or one where the first line has none, or the other way
    /// round. The message gives the number of the line.
    pub fn new(path: &Path) -> Result<Self, DataError> {
        let text = read_text(path)?;
        let lines = lines_of(&text).map_err(|problem| DataError::malformed(path, problem))?;
        if lines.is_empty() {
            let path = path.to_path_buf();
            return Err(DataError::Empty { path });
        }
        Ok(Self {
            folder: path.parent().unwrap_or(Path::new("")).to_path_buf(),
            class_names: numbered_classes(lines.iter().filter_map(Line::label)),
            text,
            lines,
        })
    }
}

impl Source for ListSource {
    fn len(&self) -> usize {
        self.lines.len()
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        let len = self.lines.len();
        let line = (self.lines.get(index)).ok_or(DataError::OutOfRange { index, len })?;
        let file = &self.text[line.start as usize..line.end as usize];
        let path = self.folder.join(file);
        let bytes = image_file::read(&path, image_file::MOST_BYTES)
            .map_err(|problem| image_file::problem(index, &path, problem))?;
        Ok(RawSample {
            name: path.display().to_string(),
            payload: Payload::Encoded(bytes),
            label: line.label(),
        })
    }

    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        Ok(self.lines.iter().map(Line::label).collect())
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn format(&self) -> &'static str {
        FORMAT
    }
}

fn read_text(path: &Path) -> Result<String, DataError> {
    let file = PositionedFile::open(path)?;
    if file.len() >= u64::from(u32::MAX) {
        let problem = "a list of 4 GiB or more; split it";
        return Err(DataError::malformed(path, problem));
    }
    // Before there is memory for all of what may be no text.
    let head = file.read(0, file.len().min(HEAD_BYTES))?;
    if let Some(zero) = head.iter().position(|&byte| byte == 0) {
        return Err(DataError::malformed(
            path,
            no_text(line_after(&head[..zero])),
        ));
    }
    String::from_utf8(file.read(0, file.len())?).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        DataError::malformed(path, no_text(line_after(before)))
    })
}

/// Number of the line that `before` leads up to, from 1.
fn line_after(before: &[u8]) -> usize {
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

fn no_text(line: usize) -> String {
    format!("line {line}: this is no text in UTF-8; save the list as such")
}

/// The images of a list of less than 4 GiB.
fn lines_of(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let mut first = None;
    let mut at = 0;
    for (number, whole) in (1..).zip(text.split_inclusive('\n')) {
        let start_of_line = at;
        at += whole.len();
        let line = whole.strip_prefix(BYTE_ORDER_MARK).unwrap_or(whole);
        let line = line.trim_start();
        let start = start_of_line + whole.len() - line.len();
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if first.is_none() && is_heading(line) {
            first = Some((number, has_second_field(line)));
            continue;
        }
        if line.contains('\0') {
            return Err(no_text(number));
        }
        let (file, label) = path_and_label(line);
        let like = *first.get_or_insert((number, label.is_some()));
        let label = checked(label, like).map_err(|problem| format!("line {number}: {problem}"))?;
        lines.push(Line {
            start: start as u32,
            end: (start + file.len()) as u32,
            label: label.unwrap_or(NO_LABEL),
        });
    }
    Ok(lines)
}

/// The class that a label stands for. All lines have one, or none, as the first one does.
fn checked(label: Option<&str>, (first, labelled): (usize, bool)) -> Result<Option<u32>, String> {
    match (label, labelled) {
        (Some(label), true) => match label.parse() {
            Ok(number) => class_of(number, MOST_CLASSES),
            Err(_) => Err(format!("label {label} is out of range")),
        },
        (None, false) => Ok(None),
        (Some(_), false) => Err(format!("a label after the path, unlike line {first}")),
        (None, true) => Err(format!(
            "no whole number as label after the path, unlike line {first}"
        )),
    }
}

/// The path, and the label after the last comma, tab or space, if that is a whole number.
fn path_and_label(line: &str) -> (&str, Option<&str>) {
    let is_gap = |next: char| next == ',' || next.is_whitespace();
    let Some((path, label)) = line.rsplit_once(is_gap) else {
        return (line, None);
    };
    let digits = label.strip_prefix(['-', '+']).unwrap_or(label);
    let path = path.trim_end_matches(is_gap);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match is_number && !path.is_empty() {
        true => (path, Some(label)),
        false => (line, None),
    }
}

fn is_heading(line: &str) -> bool {
    if path_and_label(line).1.is_some() {
        return false;
    }
    let first = line.split([',', '\t', ' ']).next().unwrap_or_default();
    (HEADINGS.iter()).any(|heading| heading.eq_ignore_ascii_case(first))
}

fn has_second_field(line: &str) -> bool {
    line.contains([',', '\t', ' '])
}
