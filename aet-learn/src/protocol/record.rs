//! What a protocol found, as JSON: kept piece by piece, so that an interrupted protocol goes on, and
//! complete enough for tables, intervals and paired tests without the encoder or the images.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::config::{EncoderKind, Protocol, ProtocolConfig};
use crate::backbone::BackboneConfig;
use crate::checkpoint;
use crate::error::LearnError;
use crate::probe::{Marks, ProbeResult};

/// What the files say they are.
const FORMAT: &str = "aet protocol 1";

/// Everything that a protocol found on one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProtocolRecord {
    /// What the file is.
    pub format: String,
    /// Name of the protocol.
    pub protocol: String,
    /// The protocol as it was carried out.
    pub definition: ProtocolConfig,
    /// How that differs from what was shipped under its name.
    pub reductions: Vec<String>,
    /// What was judged, and on what.
    pub subject: Subject,
    /// What was found so far.
    pub pieces: Vec<Piece>,
}

/// What was judged, and on what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Name of the run.
    pub run: String,
    /// The experiment that it came from.
    pub preset: String,
    /// Its seed.
    pub seed: u64,
    /// The objective and the family of transformations, such as `aet projective`.
    pub method: String,
    /// The network.
    pub backbone: BackboneConfig,
    /// Epochs of pretraining done.
    pub epochs: u64,
    /// Steps of pretraining done.
    pub step: u64,
    /// Version and revision of the binary that judged.
    pub revision: String,
    /// The command that was given.
    pub command: String,
    /// The machine that it ran on.
    pub machine: String,
    /// The day that it was begun on, such as `2026-11-25`.
    pub day: String,
    /// The format of the images.
    pub data: String,
    /// Labelled training images.
    pub train_images: usize,
    /// Test images.
    pub test_images: usize,
    /// Classes.
    pub classes: usize,
    /// Height and width of the images, in pixels.
    pub image_size: [usize; 2],
    /// Fingerprints of training and test images with their labels, hexadecimal.
    pub fingerprints: [String; 2],
}

/// What is found in one go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// Seed of the repetition.
    pub seed: u64,
    /// Labelled images of each class; None for all.
    pub labels_per_class: Option<usize>,
    /// The encoder that was judged.
    pub encoder: EncoderKind,
    /// Whether this is the supervised network as a whole, not probes on its features.
    pub whole_network: bool,
    /// Seconds that it took.
    pub seconds: f64,
    /// The results, a probe each.
    pub results: Vec<ProtocolResult>,
}

/// What a probe found, with the test images that it was right on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProtocolResult {
    /// What it found.
    #[serde(flatten)]
    pub result: ProbeResult,
    /// A bit for each test image, 1 where it was right, hexadecimal: image 0 is the highest bit of
    /// the first digit.
    pub correct: String,
}

impl ProtocolResult {
    /// `result` with its marks written out.
    pub fn new(result: ProbeResult) -> Self {
        Self {
            correct: to_hex(&result.marks),
            result,
        }
    }
}

impl ProtocolRecord {
    /// A record of `protocol` on `subject` with nothing found yet.
    pub fn new(protocol: &Protocol, subject: Subject) -> Self {
        Self {
            format: FORMAT.into(),
            protocol: protocol.name().into(),
            definition: protocol.config().clone(),
            reductions: protocol.reductions().to_vec(),
            subject,
            pieces: Vec::new(),
        }
    }

    /// The record in `path`.
    ///
    /// # Errors
    /// When the file cannot be read or is no record.
    pub fn read(path: &Path) -> Result<Self, LearnError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| LearnError::io("read", path, source))?;
        let damaged = |message: String| LearnError::Damaged {
            path: path.to_path_buf(),
            message,
        };
        let mut record: Self = serde_json::from_str(&text)
            .map_err(|error| damaged(format!("it is no record of a protocol ({error})")))?;
        if record.format != FORMAT {
            return Err(damaged(format!(
                "it is {:?}, and this version reads {FORMAT:?}",
                record.format
            )));
        }
        let count = record.subject.test_images;
        for result in record
            .pieces
            .iter_mut()
            .flat_map(|piece| &mut piece.results)
        {
            result.result.marks = from_hex(&result.correct, count);
        }
        Ok(record)
    }

    /// Writes the record to `path`, whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, path: &Path) -> Result<(), LearnError> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| LearnError::Damaged {
            path: path.to_path_buf(),
            message: error.to_string(),
        })?;
        text.push('\n');
        checkpoint::replace(path, text.as_bytes())
    }

    /// Whether `other` may go on with this record: the same protocol on the same subject. The binary
    /// may be another one.
    pub fn continues(&self, other: &Self) -> bool {
        let subject = Subject {
            revision: other.subject.revision.clone(),
            command: other.subject.command.clone(),
            machine: other.subject.machine.clone(),
            day: other.subject.day.clone(),
            ..self.subject.clone()
        };
        self.definition == other.definition && subject == other.subject
    }

    /// What should be known about the figures, a sentence each: how protocol and data differ from
    /// what was shipped, and which bound is missing.
    pub fn remarks(&self) -> Vec<String> {
        let (definition, subject) = (&self.definition, &self.subject);
        let mut remarks: Vec<String> = self
            .reductions
            .iter()
            .map(|change| format!("not the protocol as shipped: {change}"))
            .collect();
        if let Some(claim) = &definition.data {
            let (claimed, found) = (
                (claim.classes, claim.train, claim.test, claim.image_size),
                (
                    subject.classes,
                    subject.train_images,
                    subject.test_images,
                    subject.image_size,
                ),
            );
            let words = |(classes, train, test, [height, width]): (
                usize,
                usize,
                usize,
                [usize; 2],
            )| {
                format!(
                    "{train} training and {test} test images of {height}x{width} in {classes} classes"
                )
            };
            if found != claimed {
                remarks.push(format!(
                    "not the data of the protocol: {} has {}, these are {}",
                    claim.name,
                    words(claimed),
                    words(found)
                ));
            }
        }
        let thawed = definition.probes.iter().all(|probe| probe.thaw);
        if !thawed && !definition.encoders.contains(&EncoderKind::Random) {
            remarks.push("no lower bound: the encoder random is not among those judged".into());
        }
        if !thawed && !definition.encoders.contains(&EncoderKind::Supervised) {
            remarks.push(
                "no upper bound: --set 'encoders=[\"random\",\"trained\",\"supervised\"]' trains the same \
                 network with labels"
                    .into(),
            );
        }
        remarks
    }

    /// The piece with these coordinates, if it is done.
    pub fn piece(
        &self,
        seed: u64,
        labels_per_class: Option<usize>,
        encoder: EncoderKind,
        whole_network: bool,
    ) -> Option<&Piece> {
        self.pieces.iter().find(|piece| {
            piece.seed == seed
                && piece.labels_per_class == labels_per_class
                && piece.encoder == encoder
                && piece.whole_network == whole_network
        })
    }
}

/// Marks as bits, four to a digit.
fn to_hex(marks: &Marks) -> String {
    let digit = |bits: &[bool]| {
        let value = (0..4).fold(0, |value, bit| {
            2 * value + u32::from(bits.get(bit).copied().unwrap_or(false))
        });
        char::from_digit(value, 16).unwrap_or('0')
    };
    marks.0.chunks(4).map(digit).collect()
}

/// The first `count` bits of `text`.
fn from_hex(text: &str, count: usize) -> Marks {
    let bits = text.chars().flat_map(|digit| {
        let value = digit.to_digit(16).unwrap_or(0);
        (0..4).rev().map(move |bit| value >> bit & 1 == 1)
    });
    Marks(bits.take(count).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_being_written() {
        for count in [0, 1, 4, 7, 13] {
            let marks = Marks((0..count).map(|i| i * i % 3 == 1).collect());
            assert_eq!(from_hex(&to_hex(&marks), count), marks);
        }
        assert_eq!(to_hex(&Marks(vec![true, false, false, false, true])), "88");
    }
}
