//! Broken inputs: [`cases`], each with what is wrong with it, what comes of it, and the message.
//!
//! The example `broken_inputs` writes them to a folder and makes the table of `docs/broken-input.md`;
//! the test of that name opens all of them. Nothing here is random, and nothing is read but the files
//! of `fixtures/decoding`.

mod archives;
mod arrays;
mod bytes;
mod cached;
mod claims;
mod folders;
mod lists;
mod pictures;
mod tables;
#[cfg(unix)]
mod unix;

use std::path::{Path, PathBuf};

use aet_data::Split;

use crate::support::{marked, png, write};

/// Good images beside a broken one: so many that one in all of them may be left out by default.
pub const GOOD: usize = 10;

/// Writes a case into its folder; the error says why this system cannot have it.
type Make = fn(&Path) -> Result<(), String>;
/// Makes the content of a file.
type Bytes = fn() -> Vec<u8>;

/// One broken input.
pub struct Case {
    /// Its name, unique, in lower case with dashes.
    pub name: &'static str,
    /// What is wrong.
    pub wrong: &'static str,
    /// What is opened: a path inside the folder of the case, empty for the folder itself.
    pub open: &'static str,
    /// The split that is asked for.
    pub split: Split,
    /// What is written to the folder of the case, which is there and empty.
    pub made: Made,
    /// What comes of it.
    pub outcome: Outcome,
}

/// How a case is written to disk.
pub enum Made {
    /// A file of this name and content, beside [`GOOD`] good images.
    Image(&'static str, Bytes),
    /// Whatever the function writes into the folder. An error says why this system cannot have it.
    Folder(Make),
}

/// What comes of an input. Messages are given with paths relative to the folder of the case, which
/// itself is called `FOLDER`; a `…` in them stands for any text.
pub enum Outcome {
    /// The whole set is refused.
    Refused(&'static str),
    /// The image in the message is left out and this many remain; `data.on_error = "fail"` makes it
    /// an error.
    Skipped(usize, &'static str),
    /// So many images are left out that the set is refused.
    TooMany(&'static str),
    /// All of this many images are read; why that is right.
    Read(usize, &'static str),
}

impl Outcome {
    /// In a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Refused(_) => "set refused",
            Self::Skipped(..) => "image skipped",
            Self::TooMany(_) => "too many skipped, set refused",
            Self::Read(..) => "read",
        }
    }

    /// The message, or why there is none.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Refused(words)
            | Self::Skipped(_, words)
            | Self::TooMany(words)
            | Self::Read(_, words) => words,
        }
    }

    /// How many images are read.
    pub fn images(&self) -> usize {
        match self {
            Self::Skipped(images, _) | Self::Read(images, _) => *images,
            Self::Refused(_) | Self::TooMany(_) => 0,
        }
    }
}

impl Case {
    /// One broken image file beside [`GOOD`] good ones, of which the broken one is left out.
    const fn skipped(
        name: &'static str,
        wrong: &'static str,
        (file, bytes): (&'static str, Bytes),
        message: &'static str,
    ) -> Self {
        Self::image(name, wrong, (file, bytes), Outcome::Skipped(GOOD, message))
    }

    /// One odd image file beside [`GOOD`] good ones, which is read like them.
    const fn read(
        name: &'static str,
        wrong: &'static str,
        (file, bytes): (&'static str, Bytes),
        why: &'static str,
    ) -> Self {
        Self::image(name, wrong, (file, bytes), Outcome::Read(GOOD + 1, why))
    }

    const fn image(
        name: &'static str,
        wrong: &'static str,
        (file, bytes): (&'static str, Bytes),
        outcome: Outcome,
    ) -> Self {
        Self {
            name,
            wrong,
            open: "",
            split: Split::Train,
            made: Made::Image(file, bytes),
            outcome,
        }
    }

    /// A training set of any kind, at `open`.
    const fn set(
        name: &'static str,
        wrong: &'static str,
        (open, make): (&'static str, Make),
        outcome: Outcome,
    ) -> Self {
        Self {
            name,
            wrong,
            open,
            split: Split::Train,
            made: Made::Folder(make),
            outcome,
        }
    }

    /// The test split of the same.
    const fn of_test_split(mut self) -> Self {
        self.split = Split::Test;
        self
    }

    /// Writes it into the new folder `folder`.
    ///
    /// # Errors
    /// Why this system cannot have it.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        match &self.made {
            Made::Image(file, bytes) => {
                write(&folder.join(file), &bytes());
                write_good(folder);
                Ok(())
            }
            Made::Folder(make) => make(folder),
        }
    }

    /// What is opened, of the case written to `folder`.
    pub fn path(&self, folder: &Path) -> PathBuf {
        match self.open {
            "" => folder.to_path_buf(),
            open => folder.join(open),
        }
    }
}

/// All cases, numbered from 1 in the names of their folders.
pub fn cases() -> Vec<Case> {
    let groups = [
        pictures::cases(),
        claims::cases(),
        folders::cases(),
        #[cfg(unix)]
        unix::cases(),
        lists::cases(),
        arrays::cases(),
        tables::cases(),
        archives::cases(),
        cached::cases(),
    ];
    groups.into_iter().flatten().collect()
}

/// The name of the folder of case `number`, counted from 0.
pub fn folder_name(number: usize, case: &Case) -> String {
    format!("{:03}-{}", number + 1, case.name)
}

/// `message`, about the case in `folder`, with paths that do not vary from one place to the next.
pub fn relative(message: &str, folder: &Path) -> String {
    let folder = folder.display().to_string();
    message
        .replace(&format!("{folder}/"), "")
        .replace(&folder, "FOLDER")
}

/// Whether `message` holds `expected`, in which a `…` stands for any text.
pub fn says(message: &str, expected: &str) -> bool {
    let mut rest = message;
    expected.split('…').all(|part| {
        let found = rest.find(part);
        rest = found.map_or("", |at| &rest[at + part.len()..]);
        found.is_some()
    })
}

/// The table of all cases, in Markdown.
pub fn table() -> String {
    let mut text = "| input | what is wrong | what aet does | message, or why there is none |\n\
                    |---|---|---|---|\n"
        .to_owned();
    for case in cases() {
        let words = case.outcome.words().replace('|', "\\|");
        let words = match case.outcome {
            Outcome::Read(..) => words,
            _ if words.contains('`') => format!("`` {words} ``"),
            _ => format!("`{words}`"),
        };
        let split = match case.split {
            Split::Train => "",
            Split::Test => " (test split)",
        };
        text += &format!(
            "| {}{split} | {} | {} | {words} |\n",
            case.name,
            case.wrong,
            case.outcome.word()
        );
    }
    text
}

/// A file of `length` bytes that begins with `start`; the rest is zeros and takes no room where the
/// file system knows holes.
fn sparse(path: &Path, start: &[u8], length: u64) -> Result<(), String> {
    write(path, start);
    let file = std::fs::File::options().write(true).open(path);
    let grown = file.and_then(|file| file.set_len(length));
    grown.map_err(|error| error.to_string())
}

/// [`GOOD`] images of 5x7, which sort behind a file named `broken`.
fn write_good(folder: &Path) {
    for number in 0..GOOD {
        write(
            &folder.join(format!("good-{number}.png")),
            &good_image(number),
        );
    }
}

fn good_image(number: usize) -> Vec<u8> {
    png(&marked(5, 7, number))
}
