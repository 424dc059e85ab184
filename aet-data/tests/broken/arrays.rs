//! Raw pixels: CIFAR, STL-10, SVHN and NumPy arrays.

use std::path::Path;

use super::Outcome::{Read, Refused, Skipped};
use super::{Case, GOOD, sparse};
use crate::support::arrays::{mat_array, mat_compressed, mat_file, npy, npy_of, planes_by_column};
use crate::support::{cifar_record, marked, write};

pub fn cases() -> Vec<Case> {
    [cifar(), stl(), svhn(), npy_images(), npy_labels()]
        .into_iter()
        .flatten()
        .collect()
}

/// Good records of CIFAR-10.
fn records() -> Vec<u8> {
    let record = |number: usize| cifar_record(&[number as u8], &marked(32, 32, number));
    (0..GOOD).flat_map(record).collect()
}

/// Writes one file.
fn file(path: std::path::PathBuf, bytes: &[u8]) -> Result<(), String> {
    write(&path, bytes);
    Ok(())
}

fn cifar() -> Vec<Case> {
    vec![
        Case::set(
            "cifar-cut-short",
            "a batch of CIFAR-10 without its last byte",
            ("", |folder| {
                let bytes = records();
                file(folder.join("data_batch_1.bin"), &bytes[..bytes.len() - 1])
            }),
            Refused(
                "data_batch_1.bin: 30729 bytes are no whole number of records of 3073 bytes; the \
                 file is truncated or of another format",
            ),
        ),
        Case::set(
            "cifar-label-out-of-range",
            "a record of CIFAR-10 with the label 11",
            ("", |folder| {
                let bad = cifar_record(&[11], &marked(32, 32, 3));
                file(folder.join("data_batch_1.bin"), &[records(), bad].concat())
            }),
            Skipped(
                GOOD,
                "image 10 (data_batch_1.bin, record 10): label 11 is none of the 10 classes, from 0 to 9",
            ),
        ),
        Case::set(
            "cifar-100-label-out-of-range",
            "a record of CIFAR-100 with the fine label 100",
            ("", |folder| {
                let record = |label: u8| cifar_record(&[3, label], &marked(32, 32, 1));
                let labels = (0..GOOD as u8).chain([100]);
                file(
                    folder.join("train.bin"),
                    &labels.flat_map(record).collect::<Vec<_>>(),
                )
            }),
            Skipped(
                GOOD,
                "image 10 (train.bin, record 10): label 100 is none of the 100 classes, from 0 to 99",
            ),
        ),
        Case::set(
            "cifar-empty",
            "a batch of CIFAR-10 of no bytes",
            ("", |folder| file(folder.join("data_batch_1.bin"), b"")),
            Refused("data_batch_1.bin holds no image"),
        ),
        Case::set(
            "cifar-of-other-records",
            "a batch of CIFAR-10 in the place of the one of CIFAR-100",
            ("", |folder| file(folder.join("train.bin"), &records())),
            Refused("train.bin: 30730 bytes are no whole number of records of 3074 bytes; "),
        ),
        Case::set(
            "cifar-missing-batch",
            "the first and the third batch of CIFAR-10, without the second",
            ("", |folder| {
                file(folder.join("data_batch_1.bin"), &records())?;
                file(folder.join("data_batch_3.bin"), &records())
            }),
            Read(2 * GOOD, "a set may have any number of batches"),
        ),
        Case::set(
            "cifar-too-few-class-names",
            "class names of CIFAR-10 without the last one",
            ("", |folder| {
                file(
                    folder.join("batches.meta.txt"),
                    b"a\nb\nc\nd\ne\nf\ng\nh\ni\n",
                )?;
                file(folder.join("data_batch_1.bin"), &records())
            }),
            Refused("batches.meta.txt: 9 class names, not 10"),
        ),
        Case::set(
            "cifar-too-large",
            "a batch of CIFAR-10 of 30 GB",
            ("", |folder| {
                sparse(&folder.join("data_batch_1.bin"), b"", 3073 * 10_000_000)
            }),
            Refused(
                "data_batch_1.bin: 30730000000 bytes, but at most 1073741824 are read; split it",
            ),
        ),
    ]
}

/// Good images of STL-10, and these labels beside them.
fn stl_set(folder: &Path, labels: &[u8]) -> Result<(), String> {
    let images = (0..=GOOD).flat_map(|number| planes_by_column(&marked(96, 96, number)));
    file(folder.join("train_X.bin"), &images.collect::<Vec<_>>())?;
    file(folder.join("train_y.bin"), labels)
}

fn stl() -> Vec<Case> {
    vec![
        Case::set(
            "stl-cut-short",
            "images of STL-10 of which the last one is cut short",
            ("", |folder| file(folder.join("train_X.bin"), &[7; 50_000])),
            Refused(
                "train_X.bin: 50000 bytes are no whole number of images of 27648 bytes; the file \
                 is truncated or of another format",
            ),
        ),
        Case::set(
            "stl-too-few-labels",
            "10 labels of STL-10 for 11 images",
            ("", |folder| stl_set(folder, &[1; GOOD])),
            Refused("train_y.bin: 10 labels, a byte each, for the 11 images of train_X.bin"),
        ),
        Case::set(
            "stl-without-labels",
            "images of STL-10 without the file of labels",
            ("", |folder| {
                stl_set(folder, &[1; GOOD + 1])?;
                let removed = std::fs::remove_file(folder.join("train_y.bin"));
                removed.map_err(|error| error.to_string())
            }),
            Read(GOOD + 1, "they are images without labels"),
        ),
        Case::set(
            "stl-label-0",
            "a label of 0, where labels are from 1 to 10",
            ("", |folder| {
                stl_set(folder, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0])
            }),
            Skipped(
                GOOD,
                "image 10 (train_X.bin, image 10): label 0 is none of 1 to 10",
            ),
        ),
        Case::set(
            "stl-label-11",
            "a label of 11, where labels are from 1 to 10",
            ("", |folder| {
                stl_set(folder, &[11, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1])
            }),
            Skipped(
                GOOD,
                "image 0 (train_X.bin, image 0): label 11 is none of 1 to 10",
            ),
        ),
    ]
}

/// A MATLAB file of [`GOOD`] digits with these labels.
fn digits(labels: Vec<u8>) -> Vec<u8> {
    let count = labels.len() as u32;
    let pixels = (0..count as usize).flat_map(|number| planes_by_column(&marked(32, 32, number)));
    let images = mat_array("X", 9, &[32, 32, 3, count], 2, pixels.collect());
    let labels = mat_array("y", 9, &[count, 1], 2, labels);
    mat_file(&[mat_compressed(&images), labels].concat())
}

fn svhn() -> Vec<Case> {
    const FILE: &str = "train_32x32.mat";
    vec![
        Case::set(
            "svhn-cut-short",
            "the first half of a MATLAB file",
            ("", |folder| {
                let bytes = digits(vec![1; GOOD]);
                file(folder.join(FILE), &bytes[..bytes.len() / 2])
            }),
            Refused("train_32x32.mat: byte 128: damaged or cut short; fetch or copy it again: "),
        ),
        Case::set(
            "svhn-empty",
            "a MATLAB file of no bytes",
            ("", |folder| file(folder.join(FILE), b"")),
            Refused("train_32x32.mat: it is too short for a MATLAB file"),
        ),
        Case::set(
            "svhn-version-7.3",
            "a MATLAB file of version 7.3, which is HDF5",
            ("", |folder| {
                let header = format!("{:<600}", "MATLAB 7.3 MAT-file");
                file(folder.join(FILE), header.as_bytes())
            }),
            Refused(
                "train_32x32.mat: MATLAB files of version 7.3 (HDF5) are not read; save it with -v7",
            ),
        ),
        Case::set(
            "svhn-wrong-shape",
            "digits of 64x64 pixels",
            ("", |folder| {
                let images = mat_array("X", 9, &[64, 64, 3, 1], 2, vec![0; 64 * 64 * 3]);
                file(folder.join(FILE), &mat_file(&images))
            }),
            Refused("train_32x32.mat: `X` is [64, 64, 3, 1], not [32, 32, 3, count]"),
        ),
        Case::set(
            "svhn-without-labels",
            "a MATLAB file without `y`",
            ("", |folder| {
                let images = mat_array("X", 9, &[32, 32, 3, 1], 2, vec![0; 32 * 32 * 3]);
                file(folder.join(FILE), &mat_file(&images))
            }),
            Refused("train_32x32.mat: there is no variable `y` in it"),
        ),
        Case::set(
            "svhn-label-out-of-range",
            "a digit with the label 12",
            ("", |folder| {
                file(
                    folder.join(FILE),
                    &digits([vec![10; GOOD], vec![12]].concat()),
                )
            }),
            Skipped(
                GOOD,
                "image 10 (train_32x32.mat, image 10): label 12 is none of 1 to 10",
            ),
        ),
        Case::set(
            "svhn-without-end",
            "a compressed variable of 1 MB that claims to hold 3.7 GB of digits",
            ("", |folder| {
                let count = 1_200_000_u32;
                let lies = mat_array("X", 9, &[32, 32, 3, count], 2, vec![0; 200 << 20]);
                let packed = mat_compressed(&claiming(lies, count * 3072));
                let labels = mat_array("y", 9, &[1, 1], 2, vec![1]);
                file(folder.join(FILE), &mat_file(&[packed, labels].concat()))
            }),
            Refused("train_32x32.mat: byte 128: …: `X` claims … bytes, more than the "),
        ),
    ]
}

/// An array of MATLAB whose data claims to take `bytes`.
fn claiming(mut array: Vec<u8>, bytes: u32) -> Vec<u8> {
    // The tag of the data is the last one: type 2 and its length, in front of the zeros.
    let at = 8 + 16 + 24 + 8;
    array[at + 4..at + 8].copy_from_slice(&bytes.to_le_bytes());
    array
}

/// A folder of `images.npy` with this header and data.
fn with_header(folder: &Path, header: &str, data: &[u8]) -> Result<(), String> {
    file(folder.join("images.npy"), &npy_of(header, data))
}

fn npy_images() -> Vec<Case> {
    vec![
        Case::set(
            "npy-wrong-magic",
            "text named `.npy`",
            ("images.npy", |folder| {
                file(folder.join("images.npy"), b"1, 2, 3\n4, 5, 6\n")
            }),
            Refused("images.npy: this is no NumPy array: it does not start with \\x93NUMPY"),
        ),
        Case::set(
            "npy-unknown-version",
            "an array of version 9 of the format",
            ("", |folder| {
                let mut bytes = npy("|u1", "1, 2, 2", &[1; 4]);
                bytes[6] = 9;
                file(folder.join("images.npy"), &bytes)
            }),
            Refused("images.npy: version 9 of the format is not known"),
        ),
        Case::set(
            "npy-of-floats",
            "an array of floating-point numbers",
            ("", |folder| {
                file(folder.join("images.npy"), &npy("<f4", "1, 2, 2", &[1; 16]))
            }),
            Refused("images.npy: images of type <f4 are not read; save them as uint8"),
        ),
        Case::set(
            "npy-of-objects",
            "an array of Python objects, which only Python can unpickle",
            ("", |folder| {
                file(folder.join("images.npy"), &npy("|O", "3,", b"\x80\x04]."))
            }),
            Refused(
                "images.npy: a header that is not understood: …|O…; save images as uint8 and labels as whole numbers",
            ),
        ),
        Case::set(
            "npy-fortran-order",
            "an array in Fortran order",
            ("", |folder| {
                let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 4, 3), }";
                with_header(folder, header, &[1; 24])
            }),
            Refused("images.npy: its pixels are in Fortran order…save numpy.ascontiguousarray"),
        ),
        Case::set(
            "npy-cut-short",
            "an array without its last bytes",
            ("", |folder| {
                file(folder.join("images.npy"), &npy("|u1", "5, 4, 4", &[1; 70]))
            }),
            Refused(
                "images.npy: 70 bytes after the header do not make [5, 4, 4] numbers of type |u1; \
                 the file is truncated or damaged",
            ),
        ),
        Case::set(
            "npy-cut-in-header",
            "the first 40 bytes of an array",
            ("", |folder| {
                let bytes = npy("|u1", "5, 4, 4", &[1; 80]);
                file(folder.join("images.npy"), &bytes[..40])
            }),
            Refused("images.npy: a header of 118 bytes: it is damaged or cut short"),
        ),
        Case::set(
            "npy-shape-without-end",
            "a shape of 2^40 x 2^40 x 3",
            ("", |folder| {
                let shape = format!("{}, {}, 3", 1_u64 << 40, 1_u64 << 40);
                file(folder.join("images.npy"), &npy("|u1", &shape, &[1; 24]))
            }),
            Refused("images.npy: 24 bytes after the header do not make [1099511627776, "),
        ),
        Case::set(
            "npy-of-no-images-without-end",
            "no images of 2^63 x 2^63 pixels",
            ("", |folder| {
                let shape = format!("0, {}, {}, 3", 1_u64 << 63, 1_u64 << 63);
                file(folder.join("images.npy"), &npy("|u1", &shape, &[]))
            }),
            Refused("images.npy holds no image"),
        ),
        Case::set(
            "npy-without-pixels",
            "3 images of 0x2 pixels",
            ("", |folder| {
                file(folder.join("images.npy"), &npy("|u1", "3, 0, 2", &[]))
            }),
            Refused("images.npy: its shape is [3, 0, 2], without pixels"),
        ),
        Case::set(
            "npy-of-one-image",
            "an array of one image, without a dimension for their number",
            ("", |folder| {
                file(folder.join("images.npy"), &npy("|u1", "24,", &[1; 24]))
            }),
            Refused("images.npy: its shape is [24], not [count, height, width, 3], "),
        ),
    ]
}

/// [`GOOD`] grey images and one more, and these labels beside them.
fn labelled(folder: &Path, labels: &[u8]) -> Result<(), String> {
    let shape = format!("{}, 5, 7", GOOD + 1);
    file(
        folder.join("images.npy"),
        &npy("|u1", &shape, &[9; 35 * (GOOD + 1)]),
    )?;
    file(folder.join("labels.npy"), labels)
}

fn npy_labels() -> Vec<Case> {
    vec![
        Case::set(
            "npy-too-few-labels",
            "10 labels for 11 images",
            ("", |folder| labelled(folder, &npy("|u1", "10,", &[1; 10]))),
            Refused("labels.npy: its shape is [10] for 11 images"),
        ),
        Case::set(
            "npy-labels-of-floats",
            "labels that are no whole numbers",
            ("", |folder| labelled(folder, &npy("<f4", "11,", &[0; 44]))),
            Refused("labels.npy: labels of type <f4 are not read; save whole numbers"),
        ),
        Case::set(
            "npy-label-below-0",
            "a label of -7",
            ("", |folder| {
                let labels = [&[1; GOOD][..], &[(-7_i8) as u8]].concat();
                labelled(folder, &npy("|i1", "11,", &labels))
            }),
            Skipped(
                GOOD,
                "image 10 (images.npy, image 10): label -7 is none of the 1048576 classes",
            ),
        ),
    ]
}
