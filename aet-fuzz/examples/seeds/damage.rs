//! What can be wrong with a file of any format.

use super::Seed;

/// A seed.
pub fn seed(name: &str, bytes: impl Into<Vec<u8>>) -> Seed {
    (name.to_owned(), bytes.into())
}

/// `valid` cut short, too long, and with another first byte.
pub fn of_any_file(valid: &[u8]) -> Vec<Seed> {
    vec![
        seed("cut-in-half", &valid[..valid.len() / 2]),
        seed("cut-by-one", &valid[..valid.len().saturating_sub(1)]),
        seed("one-byte-more", [valid, &[0]].concat()),
        seed("first-byte-wrong", over(valid, 0, &[valid[0] ^ 1])),
    ]
}

/// `bytes` with `new` written over what is at `at`.
pub fn over(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

/// `bytes` with `new` in the place of `old`, which must be there.
pub fn instead(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut windows = bytes.windows(old.len());
    let at = windows.position(|window| window == old).unwrap();
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}
