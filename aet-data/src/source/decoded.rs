//! A set that was decoded once and written to a file, which is mapped into memory: what `aet cache`
//! makes. A folder of `train.aetset` and `test.aetset`, or one file.
//!
//! The file begins with `MAGIC` and the place of its last part, 8 bytes little-endian. From byte
//! 4096 on come the pixels of all images, u8 `[height, width, 3]` each; then labels (i32, -1 for
//! none), the place (u64) and size (two u32) of every image where they differ, the ends of the names
//! (u64), the names; and last, as JSON, what the rest is (`Header`). All numbers are little-endian.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::{Payload, RawSample, Source, Split, no_split};
use crate::error::DataError;
use crate::set::{ImageSet, LoadOptions};
use crate::skip::{SkipLog, Skipped};
use crate::store::{Kept, Pixels, Places, bytes_of};

/// Name of the format.
pub const FORMAT: &str = "decoded";
/// How the names of its files end.
pub const EXTENSION: &str = ".aetset";

/// The first bytes of a file; the last of them is the version.
const MAGIC: [u8; 8] = *b"AETSET\x00\x01";
/// Where pixels begin.
const PIXELS_AT: usize = 4096;
/// An item of more bytes is taken for damage.
const MOST_ITEM_BYTES: usize = 1 << 30;
const NO_PIXELS: &str = "its images have no pixels";
/// Images that are decoded and written at a time.
const CHUNK: usize = 1024;

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    count: usize,
    /// Height and width of an item.
    size: [usize; 2],
    /// Pixels of the shorter side, where images have different sizes.
    shorter_side: Option<usize>,
    /// Bytes of pixels.
    pixel_bytes: usize,
    /// Height and width of every image, where they are the same.
    same: Option<[usize; 2]>,
    /// Bytes of names.
    name_bytes: usize,
    class_names: Vec<String>,
}

/// Whether a folder with these file names is one of decoded sets.
pub(crate) fn matches(names: &[String]) -> bool {
    names.iter().any(|name| name.ends_with(EXTENSION))
}

/// Opens the file of `split` in `folder`.
pub(crate) fn open(folder: &Path, split: Split) -> Result<Box<dyn Source>, DataError> {
    let path = file_of(folder, split);
    if !path.is_file() {
        return Err(no_split(folder, split));
    }
    Ok(Box::new(DecodedSource::new(&path)?))
}

/// The file of `split` in `folder`.
pub fn file_of(folder: &Path, split: Split) -> PathBuf {
    folder.join(format!("{}{EXTENSION}", split.name()))
}

/// Decoded images in a mapped file.
#[derive(Debug)]
pub struct DecodedSource {
    path: PathBuf,
    kept: Kept,
    header: Header,
    labels: Vec<Option<u32>>,
    /// Where in the map every name ends; the first one begins at `names_at`.
    name_ends: Vec<u64>,
    names_at: usize,
}

impl DecodedSource {
    /// Maps the file at `path`. It has to stay as it is while it is open.
    ///
    /// # Errors
    /// When the file cannot be read, is of another version, or is cut short or otherwise not what its
    /// header says.
    pub fn new(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(|error| DataError::io(path, error))?;
        // SAFETY: the map is only read, and every place in it is checked against its length. That the
        // file is not changed while it is mapped is asked for above; a cut-off file would end the
        // process by a signal, not read other memory.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| DataError::io(path, error))?;
        let parsed = parse(&map).map_err(|problem| {
            let advice = "make it again with `aet cache`";
            DataError::malformed(path, format!("{problem}; {advice}"))
        })?;
        let Tables {
            header,
            labels,
            places,
            name_ends,
            names_at,
        } = parsed;
        if header.count == 0 {
            return Err(DataError::Empty {
                path: path.to_path_buf(),
            });
        }
        let pixels = Pixels::Mapped {
            map: Arc::new(map),
            start: PIXELS_AT,
        };
        Ok(Self {
            path: path.to_path_buf(),
            kept: Kept { pixels, places },
            header,
            labels,
            name_ends,
            names_at,
        })
    }

    fn name(&self, index: usize) -> String {
        let Pixels::Mapped { map, .. } = &self.kept.pixels else {
            return String::new();
        };
        let end = |index: usize| self.name_ends.get(index).map(|end| *end as usize);
        let start = index.checked_sub(1).map_or(Some(0), end);
        let place = start.zip(end(index));
        let bytes =
            place.and_then(|(start, end)| map.get(self.names_at + start..self.names_at + end));
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    }
}

impl Source for DecodedSource {
    fn len(&self) -> usize {
        self.header.count
    }

    fn read(&self, index: usize) -> Result<RawSample, DataError> {
        let len = self.len();
        let label = (self.labels.get(index)).ok_or(DataError::OutOfRange { index, len })?;
        let image = self.kept.image(index).ok_or_else(|| {
            DataError::malformed(&self.path, format!("image {index} lies outside the file"))
        })?;
        Ok(RawSample {
            name: self.name(index),
            payload: Payload::Pixels(image.to_image()),
            label: *label,
        })
    }

    fn labels(&self) -> Result<Vec<Option<u32>>, DataError> {
        Ok(self.labels.clone())
    }

    fn class_names(&self) -> &[String] {
        &self.header.class_names
    }

    fn format(&self) -> &'static str {
        FORMAT
    }

    fn kept(&self, options: &LoadOptions) -> Option<([usize; 2], Kept, Vec<String>)> {
        let size = options.size.unwrap_or(self.header.size);
        let fits = match options.shorter_side {
            Some(side) => self.header.shorter_side == Some(side),
            None => self.kept.places == Places::Same(size),
        };
        let names = || (0..self.len()).map(|index| self.name(index)).collect();
        fits.then(|| (size, self.kept.clone(), names()))
    }
}

/// What a file says beside its pixels.
struct Tables {
    header: Header,
    labels: Vec<Option<u32>>,
    places: Places,
    name_ends: Vec<u64>,
    names_at: usize,
}

/// Reads what is beside the pixels; the problem in words where the file is not what it says.
fn parse(map: &[u8]) -> Result<Tables, String> {
    let cut_short = || "the file is cut short, or was not written to its end".to_owned();
    let (magic, rest) = map.split_at_checked(MAGIC.len()).ok_or_else(cut_short)?;
    if magic != MAGIC {
        return Err("this is no decoded set of this version".into());
    }
    let header_at: [u8; 8] = rest.first_chunk().copied().ok_or_else(cut_short)?;
    let header_at = usize::try_from(u64::from_le_bytes(header_at)).map_err(|_| cut_short())?;
    let json = map.get(header_at..).filter(|_| header_at >= PIXELS_AT);
    let json = json.ok_or_else(cut_short)?;
    let header: Header = serde_json::from_slice(json).map_err(|_| cut_short())?;
    check_sizes(&header)?;
    let count = header.count;
    let mut reader = TableReader {
        bytes: &map[..header_at],
        at: PIXELS_AT
            .checked_add(header.pixel_bytes)
            .ok_or_else(cut_short)?,
    };
    let mut take = |each: usize| reader.take(count, each).ok_or_else(cut_short);
    let labels = take(4)?.chunks_exact(4).map(|bytes| {
        let label = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        u32::try_from(label).ok()
    });
    let labels: Vec<Option<u32>> = labels.collect();
    let classes = header.class_names.len();
    if classes > 0
        && labels
            .iter()
            .flatten()
            .any(|label| *label as usize >= classes)
    {
        return Err(format!("a label is none of its {classes} classes"));
    }
    let places = match header.same {
        Some(size) => {
            let bytes = bytes_of(size).checked_mul(count);
            if bytes != Some(header.pixel_bytes) {
                return Err("its pixels are not as many as its images have".into());
            }
            Places::Same(size)
        }
        None => Places::Each(places_of(take(16)?, header.pixel_bytes)?),
    };
    let ends = take(8)?
        .as_chunks::<8>()
        .0
        .iter()
        .map(|end| u64::from_le_bytes(*end));
    let name_ends: Vec<u64> = ends.collect();
    let names_at = reader.at;
    let names = reader.take(1, header.name_bytes).ok_or_else(cut_short)?;
    let inside = name_ends
        .last()
        .is_none_or(|end| *end as usize <= names.len());
    if !name_ends.is_sorted() || !inside {
        return Err("its names lie outside the file".into());
    }
    Ok(Tables {
        header,
        labels,
        places,
        name_ends,
        names_at,
    })
}

/// Items and images have pixels, and items no more of them than there is a use for.
fn check_sizes(header: &Header) -> Result<(), String> {
    let [height, width] = header.size;
    if header.count > 0 && (header.size.contains(&0) || bytes_of(header.size) > MOST_ITEM_BYTES) {
        return Err(format!(
            "its items are of {height}x{width} pixels (height x width), a size that no image has"
        ));
    }
    match header.same {
        Some(size) if header.count > 0 && size.contains(&0) => Err(NO_PIXELS.into()),
        _ => Ok(()),
    }
}

/// Where images lie, each inside `pixel_bytes`.
fn places_of(table: &[u8], pixel_bytes: usize) -> Result<Vec<(usize, [usize; 2])>, String> {
    let place = |entry: &[u8; 16]| {
        let number = |at: usize| {
            u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])
        };
        let start = (u64::from(number(4)) << 32) | u64::from(number(0));
        let size = [number(8) as usize, number(12) as usize];
        let end = (start as usize).checked_add(bytes_of(size));
        let inside = end.is_some_and(|end| end <= pixel_bytes);
        (inside && !size.contains(&0)).then_some((start as usize, size))
    };
    let (entries, _) = table.as_chunks::<16>();
    let places: Option<Vec<_>> = entries.iter().map(place).collect();
    places.ok_or_else(|| "an image lies outside its pixels, or has none".to_owned())
}

/// Takes tables from a file, one after the other.
struct TableReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> TableReader<'a> {
    /// `count` entries of `each` bytes.
    fn take(&mut self, count: usize, each: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count.checked_mul(each)?)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Images in the file.
    pub count: usize,
    /// Height and width of an item.
    pub size: [usize; 2],
    /// Bytes of the file.
    pub bytes: u64,
    /// Images that were left out.
    pub skipped: Vec<Skipped>,
}

/// Decodes all of `source`, a few images at a time, and writes them to the file `path`, which gets its
/// name when it is whole. `progress` is told (done, total).
///
/// # Errors
/// What reading and decoding give where it is not to be skipped, and when the disk refuses.
pub fn write(
    source: &dyn Source,
    options: &LoadOptions,
    path: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Written, DataError> {
    let draft = path.with_extension("aetset.part");
    let written = Draft::fill(source, options, &draft, progress);
    let finished = written.and_then(|written| {
        let renamed = std::fs::rename(&draft, path);
        renamed.map_err(|error| DataError::io(path, error))?;
        Ok(written)
    });
    if finished.is_err() {
        // Of a file that is not whole nothing can be used.
        let _ = std::fs::remove_file(&draft);
    }
    finished
}

/// A file being written.
struct Draft<'a> {
    path: &'a Path,
    file: BufWriter<File>,
    labels: Vec<u8>,
    places: Vec<u8>,
    name_ends: Vec<u8>,
    names: Vec<u8>,
    pixel_bytes: usize,
    sizes: Option<Option<[usize; 2]>>,
    count: usize,
}

impl<'a> Draft<'a> {
    fn fill(
        source: &dyn Source,
        options: &LoadOptions,
        path: &'a Path,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Written, DataError> {
        let fail = |error| DataError::io(path, error);
        let mut draft = Self {
            path,
            file: BufWriter::with_capacity(1 << 20, File::create(path).map_err(fail)?),
            labels: Vec::new(),
            places: Vec::new(),
            name_ends: Vec::new(),
            names: Vec::new(),
            pixel_bytes: 0,
            sizes: None,
            count: 0,
        };
        (draft.file.write_all(&[0; PIXELS_AT])).map_err(fail)?;
        let total = source.len();
        let skips = Arc::new(SkipLog::new(options.on_error, total));
        let mut size = options.size;
        for start in (0..total).step_by(CHUNK) {
            let range = start..total.min(start + CHUNK);
            let options = LoadOptions {
                size,
                ..options.clone()
            };
            if let Some(set) = ImageSet::load_part(source, range.clone(), &options, &skips)? {
                size = Some(set.size());
                draft.add(&set)?;
            }
            progress(range.end, total);
        }
        let description = (size.unwrap_or_default(), options.shorter_side);
        draft.close(description, source.class_names(), skips.list())
    }

    fn add(&mut self, set: &ImageSet) -> Result<(), DataError> {
        for index in 0..set.len() {
            let image = set.image(index);
            let size = [image.height(), image.width()];
            (self.file.write_all(image.pixels()))
                .map_err(|error| DataError::io(self.path, error))?;
            self.sizes = Some(match self.sizes {
                None => Some(size),
                Some(known) => known.filter(|known| *known == size),
            });
            let label = set.label(index).map_or(-1, |label| label as i32);
            self.labels.extend(label.to_le_bytes());
            self.places.extend((self.pixel_bytes as u64).to_le_bytes());
            self.places
                .extend(size.map(|side| (side as u32).to_le_bytes()).concat());
            self.names.extend(set.name(index).as_bytes());
            self.name_ends
                .extend((self.names.len() as u64).to_le_bytes());
            self.pixel_bytes += bytes_of(size);
            self.count += 1;
        }
        Ok(())
    }

    fn close(
        mut self,
        (size, shorter_side): ([usize; 2], Option<usize>),
        class_names: &[String],
        skipped: Vec<Skipped>,
    ) -> Result<Written, DataError> {
        if self.count == 0 {
            return Err(DataError::NothingLeft { skipped });
        }
        let header = Header {
            count: self.count,
            size,
            shorter_side,
            pixel_bytes: self.pixel_bytes,
            same: self.sizes.flatten(),
            name_bytes: self.names.len(),
            class_names: class_names.to_vec(),
        };
        let json = serde_json::to_vec(&header)
            .map_err(|error| DataError::malformed(self.path, error.to_string()))?;
        let places = header.same.is_none().then_some(&self.places);
        let tables = [
            Some(&self.labels),
            places,
            Some(&self.name_ends),
            Some(&self.names),
        ];
        let mut write = || -> std::io::Result<u64> {
            for table in tables.into_iter().flatten() {
                self.file.write_all(table)?;
            }
            let header_at = self.file.stream_position()?;
            self.file.write_all(&json)?;
            let bytes = self.file.stream_position()?;
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&MAGIC)?;
            self.file.write_all(&header_at.to_le_bytes())?;
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            Ok(bytes)
        };
        let bytes = write().map_err(|error| DataError::io(self.path, error))?;
        Ok(Written {
            count: self.count,
            size,
            bytes,
            skipped,
        })
    }
}
