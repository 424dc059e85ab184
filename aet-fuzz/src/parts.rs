//! Several files in one input: their bytes, with a line between them.

use std::path::Path;

/// What stands between two files of an input.
pub const NEXT_FILE: &[u8] = b"\n--- next file ---\n";

/// The input that `files` make.
pub fn joined(files: &[&[u8]]) -> Vec<u8> {
    files.join(NEXT_FILE)
}

/// The files of `input`: as many as there are, `COUNT` at most. The last one takes all that is left.
pub(crate) fn parted<const COUNT: usize>(input: &[u8]) -> [Option<&[u8]>; COUNT] {
    let mut parts = [None; COUNT];
    let mut rest = Some(input);
    for (number, part) in parts.iter_mut().enumerate() {
        let Some(bytes) = rest else { break };
        let at = (number + 1 < COUNT).then(|| place_of_next(bytes)).flatten();
        *part = Some(at.map_or(bytes, |at| &bytes[..at]));
        rest = at.map(|at| &bytes[at + NEXT_FILE.len()..]);
    }
    parts
}

fn place_of_next(bytes: &[u8]) -> Option<usize> {
    let mut windows = bytes.windows(NEXT_FILE.len());
    windows.position(|window| window == NEXT_FILE)
}

/// Makes `content` the file at `path`, or sees to it that there is none.
///
/// # Panics
/// When the disk refuses.
pub(crate) fn put(path: &Path, content: Option<&[u8]>) {
    let done = match content {
        Some(bytes) => std::fs::write(path, bytes),
        None if path.exists() => std::fs::remove_file(path),
        None => Ok(()),
    };
    done.expect("the temporary folder can be written to");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_parted_as_it_was_joined() {
        let input = joined(&[b"one", b"", b"three"]);
        let three: [Option<&[u8]>; 3] = [Some(b"one"), Some(b""), Some(b"three")];
        assert_eq!(parted(&input), three);
        let two: [Option<&[u8]>; 2] = [Some(b"one"), Some(&joined(&[b"", b"three"]))];
        assert_eq!(parted(&input), two);
        assert_eq!(parted(b"one"), [Some(&b"one"[..]), None]);
    }
}
