//! Which members of an archive are one sample: [`Grouping`], and what comes out, [`Samples`].

use std::collections::HashMap;
use std::io::{self, Read};

use super::archive::{Damage, Member};
use crate::source::{MOST_CLASSES, class_of};

const IMAGES: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif"];
/// Where a label may be in a JSON object.
const KEYS: [&str; 3] = ["label", "cls", "class"];
/// Text of a label is no longer than this, in bytes.
const MOST_TEXT: u64 = 64;
/// A JSON file of more bytes is passed over.
const MOST_JSON: u64 = 1 << 20;

/// Name of what follows damage.
const REST: &str = "the rest";

/// What was found of a label; the error says what is wrong with it.
type Label = Result<Option<u32>, String>;

/// The images of an archive, in the order of their members.
#[derive(Debug, Default)]
pub(super) struct Samples {
    places: Vec<Place>,
    /// All names, one after the other.
    names: String,
    /// What is wrong with images or their labels.
    problems: HashMap<usize, String>,
    /// Bytes of the archive that can be read, where it is damaged.
    pub(super) whole: Option<u64>,
}

#[derive(Debug)]
struct Place {
    offset: u64,
    length: u64,
    /// Where its name ends in the text of all names.
    name_end: usize,
    label: Option<u32>,
}

/// One image.
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) label: Label,
}

impl Samples {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Image `at`, which must be there.
    pub(super) fn get(&self, at: usize) -> Sample<'_> {
        let place = &self.places[at];
        let start = at
            .checked_sub(1)
            .map_or(0, |before| self.places[before].name_end);
        Sample {
            name: &self.names[start..place.name_end],
            offset: place.offset,
            length: place.length,
            label: match self.problems.get(&at) {
                Some(problem) => Err(problem.clone()),
                None => Ok(place.label),
            },
        }
    }

    fn pop(&mut self) {
        self.places.pop();
        self.problems.remove(&self.places.len());
        self.names
            .truncate(self.places.last().map_or(0, |place| place.name_end));
    }

    /// All labels; none for one that cannot be used.
    pub(super) fn labels(&self) -> impl Iterator<Item = Option<u32>> {
        self.places.iter().map(|place| place.label)
    }
}

/// Members that were seen, by what their names have in common.
#[derive(Debug, Default)]
pub(super) struct Grouping {
    drafts: HashMap<String, Draft>,
    images: Vec<Image>,
}

#[derive(Debug, Default)]
struct Draft {
    has_image: bool,
    text: Option<Label>,
    json: Option<Label>,
}

#[derive(Debug)]
struct Image {
    key: String,
    name: String,
    offset: u64,
    length: u64,
}

impl Grouping {
    /// Takes a member in; reads `data` if it is a label.
    pub(super) fn add(&mut self, member: &Member, data: &mut dyn Read) -> io::Result<()> {
        let Some((key, extension)) = key_and_extension(&member.name) else {
            return Ok(());
        };
        let extension = extension.to_ascii_lowercase();
        let is_image = IMAGES.contains(&extension.as_str());
        if !is_image && extension != "cls" && extension != "json" {
            return Ok(());
        }
        let draft = self.drafts.entry(key.to_owned()).or_default();
        match extension.as_str() {
            "cls" => draft.text = Some(label_of_text(data)?),
            "json" if member.length > MOST_JSON => {}
            "json" => draft.json = label_of_json(data)?,
            // The first of several images of one name is the image.
            _ if draft.has_image => {}
            _ => {
                draft.has_image = true;
                self.images.push(Image {
                    key: key.to_owned(),
                    name: member.name.clone(),
                    offset: member.offset,
                    length: member.length,
                });
            }
        }
        Ok(())
    }

    /// The images that lie before the damage, and one more in the place of all that came after,
    /// which cannot be read. None where nothing lies before it.
    pub(super) fn finish_damaged(mut self, damage: &Damage) -> Option<Samples> {
        (self.images).retain(|image| image.offset.saturating_add(image.length) <= damage.at);
        let mut samples = self.finish();
        // The label of the last image may have been lost.
        let is_labelled = samples.labels().any(|label| label.is_some());
        if is_labelled && samples.places.last()?.label.is_none() {
            samples.pop();
        }
        let last = samples.places.last()?.name_end;
        samples
            .problems
            .insert(samples.len(), damage.problem.clone());
        samples.names.push_str(REST);
        samples.places.push(Place {
            offset: damage.at,
            length: 0,
            name_end: last + REST.len(),
            label: None,
        });
        samples.whole = Some(damage.at);
        Some(samples)
    }

    /// The images with their labels.
    pub(super) fn finish(mut self) -> Samples {
        let mut samples = Samples::default();
        for (at, image) in self.images.into_iter().enumerate() {
            let draft = self.drafts.remove(&image.key).unwrap_or_default();
            let label = match draft.text.or(draft.json).unwrap_or(Ok(None)) {
                Ok(label) => label,
                Err(problem) => {
                    samples.problems.insert(at, problem);
                    None
                }
            };
            samples.names.push_str(&image.name);
            samples.places.push(Place {
                offset: image.offset,
                length: image.length,
                name_end: samples.names.len(),
                label,
            });
        }
        samples
    }
}

/// Whether a file is an image, by its name.
pub(super) fn is_image(name: &str) -> bool {
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_some_and(|found| IMAGES.contains(&found.as_str()))
}

/// `train/0001` and `seg.png` of `train/0001.seg.png`. Hidden files have none.
fn key_and_extension(name: &str) -> Option<(&str, &str)> {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = base + name[base..].find('.')?;
    (dot > base).then(|| (&name[..dot], &name[dot + 1..]))
}

fn label_of_text(data: &mut dyn Read) -> io::Result<Label> {
    let mut bytes = Vec::new();
    data.take(MOST_TEXT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    Ok(match text.parse() {
        Ok(number) => class_from(number),
        Err(_) => Err(format!("label {text:?} is no whole number")),
    })
}

fn label_of_json(data: &mut dyn Read) -> io::Result<Option<Label>> {
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes)?;
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&bytes) else {
        return Ok(None);
    };
    let number = KEYS.iter().find_map(|key| json.get(key)?.as_i64());
    Ok(number.map(class_from))
}

/// A sample without a label has no file of one, so that a -1 is wrong too.
fn class_from(number: i64) -> Label {
    match number {
        -1 => Err("label -1 is below 0".to_owned()),
        _ => class_of(number, MOST_CLASSES),
    }
}
