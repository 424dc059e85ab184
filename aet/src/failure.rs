//! How a command fails: one clear line on stderr and an exit code, 1 for work that failed and 2
//! for a request that cannot be met as it is written.

use std::fmt;
use std::io;

use aet_data::DataError;
use aet_learn::{ConfigError, LearnError};

/// A request that cannot be met as it is written: exit code 2.
#[derive(Debug)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// A [`UsageError`] with this message.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    UsageError(message.into()).into()
}

/// clap's refusal of a command line, brought to one line.
pub fn of_command_line(error: &clap::Error) -> anyhow::Error {
    let text = error.to_string();
    let said = text.split("\n\nUsage:").next().unwrap_or(&text);
    let said = said
        .split("\n\nFor more information")
        .next()
        .unwrap_or(said);
    let said = said.strip_prefix("error:").unwrap_or(said);
    let said = said.trim().replace("\n\n", "; ");
    usage(format!("{} (--help explains)", one_line(&said)))
}

/// The exit code that belongs to `outcome`; a failure is told on stderr.
///
/// A reader that closed its end of our stdout, as `head` does, has got all it wanted: exit code 0.
pub fn exit_code(outcome: anyhow::Result<()>) -> u8 {
    let Err(error) = outcome else {
        return 0;
    };
    if is_broken_pipe(&error) {
        return 0;
    }
    eprintln!("error: {}", message(&error));
    if is_usage(&error) { 2 } else { 1 }
}

/// The error and its causes in one line, without saying anything twice.
fn message(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain() {
        let cause = one_line(&cause.to_string());
        if said.ends_with(&cause) {
            continue;
        }
        if !said.is_empty() {
            said.push_str(": ");
        }
        said.push_str(&cause);
    }
    let mixed = |cause: &DataError| matches!(cause, DataError::MixedSizes { .. });
    let data_error = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref() {
        Some(LearnError::Data(error)) => mixed(error),
        _ => cause.downcast_ref().is_some_and(mixed),
    };
    if error.chain().any(data_error) {
        said.push_str(" (--set data.image_size=[64,64], for one)");
    }
    said
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Whether the user asked for something that cannot be, as opposed to work that failed.
fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<UsageError>()
            || cause.is::<ConfigError>()
            || cause.downcast_ref().is_some_and(is_usage_of_learning)
            || cause.downcast_ref().is_some_and(is_usage_of_data)
    })
}

fn is_usage_of_learning(error: &LearnError) -> bool {
    match error {
        LearnError::Config(_)
        | LearnError::Run { .. }
        | LearnError::Probe { .. }
        | LearnError::NoDevice { .. } => true,
        LearnError::Data(data) => is_usage_of_data(data),
        _ => false,
    }
}

fn is_usage_of_data(error: &DataError) -> bool {
    match error {
        DataError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        DataError::UnknownFormat { .. }
        | DataError::NoSplit { .. }
        | DataError::Empty { .. }
        | DataError::MixedSizes { .. }
        | DataError::Invalid { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use anyhow::Context;
    use std::path::PathBuf;

    fn not_found() -> DataError {
        DataError::Io {
            path: PathBuf::from("missing/folder"),
            source: io::Error::from(io::ErrorKind::NotFound),
        }
    }

    #[test]
    fn causes_are_joined_and_said_once() {
        let error = anyhow::Error::from(LearnError::Data(not_found())).context("cannot embed");
        let said = message(&error);
        assert!(
            said.starts_with("cannot embed: cannot read missing/folder: "),
            "{said}"
        );
        assert_eq!(said.matches("missing/folder").count(), 1, "{said}");
    }

    #[test]
    fn a_missing_path_is_usage_and_a_broken_file_is_not() {
        assert!(is_usage(&LearnError::Data(not_found()).into()));
        let broken = DataError::Malformed {
            path: PathBuf::from("data.bin"),
            problem: "truncated".into(),
        };
        assert!(!is_usage(&LearnError::Data(broken).into()));
        let wrapped: anyhow::Result<()> = Err(usage("no such preset")).context("while starting");
        assert!(is_usage(&wrapped.unwrap_err()));
    }
}
