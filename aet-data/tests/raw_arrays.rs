//! STL-10, SVHN and NumPy arrays: what is beside the images, other shapes and types, damage.
#![allow(clippy::unwrap_used)]

mod support;

use aet_data::{Split, open};
use aet_geometry::RgbImage;
use support::arrays::{mat_array, mat_compressed, mat_file, npy, npy_of, planes_by_column};
use support::{at, failure, marked, open_and_load, write};
use tempfile::TempDir;

fn stl_images(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|at| planes_by_column(&marked(96, 96, at)))
        .collect()
}

#[test]
fn unlabelled_images_of_stl_are_read_where_they_are_named() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("unlabeled_X.bin"), &stl_images(2));
    for place in [folder.path(), &folder.path().join("unlabeled_X.bin")] {
        let set = open_and_load(place, Split::Train).unwrap();
        assert_eq!(
            (set.labels.clone(), set.class_names.len()),
            (vec![None, None], 0)
        );
        assert_eq!(set.image(1).to_image(), marked(96, 96, 1));
    }
    write(&folder.path().join("train_X.bin"), &stl_images(3));
    write(&folder.path().join("train_y.bin"), &[10, 1, 9]);
    write(&folder.path().join("fold_indices.txt"), b"0 1\n2\n");
    let set = open_and_load(folder.path(), Split::Train).unwrap();
    assert_eq!(set.labels, [Some(9), Some(0), Some(8)]);
    assert_eq!(set.class_names[9], "truck");
    let error = open(&at(folder.path()), Split::Test).unwrap_err();
    assert!(error.is_no_split());
}

#[test]
fn stl_reads_class_names_and_checks_labels() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("train_X.bin"), &stl_images(2));
    for bad in [0, 11, 255] {
        write(&folder.path().join("train_y.bin"), &[bad, 2]);
        let source = open(&at(folder.path()), Split::Train).unwrap();
        let error = source.read(0).unwrap_err();
        assert!(error.is_about_one_image());
        assert!(
            error.to_string().contains(&format!("label {bad}")),
            "{error}"
        );
        assert_eq!(source.labels().unwrap(), [None, Some(1)]);
        assert_eq!(source.read(1).unwrap().label, Some(1));
    }
    let names: String = (0..10).map(|class| format!("class{class}\n")).collect();
    write(&folder.path().join("class_names.txt"), names.as_bytes());
    let source = open(&at(folder.path()), Split::Train).unwrap();
    assert_eq!(source.class_names()[3], "class3");
    write(&folder.path().join("train_y.bin"), &[1]);
    let message = failure(folder.path(), Split::Train);
    assert!(
        message.contains("train_y.bin") && message.contains("1 labels"),
        "{message}"
    );
}

/// Labels as MATLAB stores those of class `double`.
fn doubles(values: &[f64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

#[test]
fn svhn_takes_labels_of_any_type_and_names_what_is_wrong() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("extra_32x32.mat");
    let images = || {
        (0..2)
            .flat_map(|at| planes_by_column(&marked(32, 32, at)))
            .collect()
    };
    let pixels = || mat_array("X", 9, &[32, 32, 3, 2], 2, images());
    let file = |labels: Vec<u8>| mat_file(&[mat_compressed(&labels), pixels()].concat());
    for labels in [
        mat_array("y", 6, &[2, 1], 9, doubles(&[10.0, 4.0])),
        mat_array("y", 12, &[1, 2], 5, vec![0, 0, 0, 0, 4, 0, 0, 0]),
        mat_array("y", 9, &[2, 1], 2, vec![10, 4]),
    ] {
        write(&path, &file(labels));
        let set = open_and_load(&path, Split::Train).unwrap();
        assert_eq!(set.labels, [Some(0), Some(4)]);
        assert_eq!(set.image(1).to_image(), marked(32, 32, 1));
    }
    write(
        &path,
        &file(mat_array("y", 6, &[2, 1], 9, doubles(&[1.5, 4.0]))),
    );
    let source = open(&at(&path), Split::Train).unwrap();
    assert!(source.read(0).unwrap_err().is_about_one_image());
    assert_eq!(source.labels().unwrap(), [None, Some(4)]);
    let cases = [
        (pixels(), "no variable `y`"),
        (
            mat_array("y", 9, &[2, 1], 2, vec![10, 4]),
            "no variable `X`",
        ),
        (
            [pixels(), mat_array("y", 9, &[3, 1], 2, vec![10, 4, 1])].concat(),
            "3 labels for 2 images",
        ),
        (
            [pixels(), mat_array("y", 6, &[2, 1], 7, vec![0; 8])].concat(),
            "type 7 cannot be read",
        ),
        (
            mat_array("X", 9, &[32, 32, 3, u32::MAX], 2, images()),
            "not [32, 32, 3, count]",
        ),
        (
            mat_array("X", 9, &[32, 32, 3, 9], 2, images()),
            "other than one byte",
        ),
        (
            mat_array("X", 9, &[64, 64, 3, 2], 2, images()),
            "not [32, 32, 3, count]",
        ),
    ];
    for (elements, expected) in cases {
        write(&path, &mat_file(&elements));
        let message = failure(&path, Split::Train);
        assert!(
            message.contains(expected) && message.contains("extra_32x32.mat"),
            "{message}"
        );
    }
    write(&path, format!("{:<600}", "MATLAB 7.3 MAT-file").as_bytes());
    assert!(failure(&path, Split::Train).contains("save it with -v7"));
}

#[test]
fn damaged_matlab_files_give_errors_and_no_panic() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("some.mat");
    let images = planes_by_column(&marked(32, 32, 1));
    let elements = [
        mat_array("y", 9, &[1, 1], 2, vec![3]),
        mat_compressed(&mat_array("X", 9, &[32, 32, 3, 1], 2, images)),
    ];
    let whole = mat_file(&elements.concat());
    for place in (0..whole.len()).step_by(3) {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[place] ^= flip;
            write(&path, &damaged);
            // Some damage goes unseen; none may end in a panic.
            let _ = open_and_load(&path, Split::Train);
        }
    }
}

#[test]
fn npy_takes_grey_and_planes_and_labels_of_any_whole_type() {
    let folder = TempDir::new().unwrap();
    let images = folder.path().join("images.npy");
    let labels = folder.path().join("labels.npy");
    let planes: Vec<u8> = (0..2)
        .flat_map(|at| {
            let image = marked(5, 7, at);
            (0..3).flat_map(move |channel| {
                image
                    .pixels()
                    .iter()
                    .copied()
                    .skip(channel)
                    .step_by(3)
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    write(&images, &npy("|u1", "2, 3, 5, 7", &planes));
    for (descr, data) in [
        ("|i1", vec![5, 255]),
        ("|u1", vec![5, 9]),
        (">i4", [5i32.to_be_bytes(), (-1i32).to_be_bytes()].concat()),
        ("<i8", [5i64.to_le_bytes(), (-1i64).to_le_bytes()].concat()),
        (">u2", vec![0, 5, 0, 9]),
    ] {
        write(&labels, &npy(descr, "2,", &data));
        let set = open_and_load(folder.path(), Split::Train).unwrap();
        let second = (descr.contains('u')).then_some(9);
        assert_eq!(set.labels, [Some(5), second], "{descr}");
        assert_eq!(set.image(1).to_image(), marked(5, 7, 1));
    }
    std::fs::remove_file(&labels).unwrap();
    write(&images, &npy("|u1", "1, 2, 3", &[1, 2, 3, 4, 5, 6]));
    let set = open_and_load(folder.path(), Split::Train).unwrap();
    let grey = [1, 2, 3, 4, 5, 6].map(|value| [value; 3]).concat();
    assert_eq!(set.image(0).to_image(), RgbImage::new(2, 3, grey).unwrap());
    assert_eq!(set.labels, [None]);
}

#[test]
fn npy_names_what_it_cannot_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("images.npy");
    let dictionary = |descr: &str, order: &str, shape: &str| {
        format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': ({shape}), }}")
    };
    let cases = [
        (
            dictionary("'<f4'", "False", "1, 2, 3"),
            "images of type <f4",
        ),
        (dictionary("'|u1'", "True", "2, 4, 3"), "Fortran order"),
        (dictionary("'|u1'", "False", "24,"), "its shape is [24]"),
        (
            dictionary("'|u1'", "False", "2, 3, 2, 3"),
            "24 bytes after the header do not make",
        ),
        (
            dictionary("'|u1'", "False", "99999999999, 9999999999, 9999"),
            "truncated or damaged",
        ),
        (
            dictionary("[('a', '<i4')]", "False", "6,"),
            "not understood",
        ),
        (dictionary("'|O'", "False", "3,"), "not understood"),
        (dictionary("'|u1'", "False", "-1, 2, 2"), "not understood"),
        ("no dictionary".to_owned(), "not understood"),
    ];
    for (header, expected) in cases {
        write(&path, &npy_of(&header, &[1; 24]));
        let message = failure(&path, Split::Train);
        assert!(
            message.contains(expected) && message.contains("images.npy"),
            "{message}"
        );
    }
    write(&path, &npy("|u1", "3, 0, 2", &[]));
    assert!(failure(&path, Split::Train).contains("without pixels"));
    write(&path, &npy("|u1", "2, 2, 2", &[7; 8]));
    let labels = folder.path().join("labels.npy");
    write(&labels, &npy("|u1", "3,", &[1, 2, 3]));
    let message = failure(&path, Split::Train);
    assert!(
        message.contains("labels.npy") && message.contains("for 2 images"),
        "{message}"
    );
    write(&labels, &npy("<i4", "2,", &[0, 0, 0, 0x40, 1, 0, 0, 0]));
    let source = open(&at(&path), Split::Train).unwrap();
    assert!(source.read(0).unwrap_err().is_about_one_image());
    assert_eq!(source.labels().unwrap(), [None, Some(1)]);
}

#[test]
fn npy_pairs_are_found_in_folders_of_splits() {
    let folder = TempDir::new().unwrap();
    for (split, value) in [("train", 1), ("val", 2)] {
        let file = |name: &str| folder.path().join(split).join(name);
        write(&file("images.npy"), &npy("|u1", "1, 2, 2", &[value; 4]));
        write(&file("labels.npy"), &npy("|u1", "1, 1", &[value]));
    }
    for (split, value) in [(Split::Train, 1), (Split::Test, 2)] {
        let set = open_and_load(folder.path(), split).unwrap();
        assert_eq!(set.labels, [Some(u32::from(value))]);
        assert_eq!(set.image(0).pixel(1, 1), [value; 3]);
    }
}
