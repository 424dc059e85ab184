//! Every format: labels, channel order and layout on images with one marked corner, splits, and
//! errors in the place of panics.
#![allow(clippy::unwrap_used)]

mod support;

use aet_data::{FORMATS, Location, ShapesConfig, Split, open};
use support::written::WRITTEN;
use support::{at, cifar_record, failure, load, marked, open_and_load, png, write};
use tempfile::TempDir;

#[test]
fn every_format_gives_labels_channels_and_layout() {
    for format in WRITTEN {
        let folder = TempDir::new().unwrap();
        (format.write)(folder.path());
        for split in [Split::Train, Split::Test] {
            let source = open(&at(folder.path()), split).unwrap();
            assert_eq!(source.format(), format.name);
            assert!(FORMATS.iter().any(|(name, _)| *name == format.name));
            let set = load(source.as_ref()).unwrap();
            let [height, width] = format.size;
            assert_eq!(
                [set.len(), set.height(), set.width()],
                [3, height, width],
                "{}",
                format.name
            );
            assert!(set.labelled());
            for index in 0..3 {
                assert_eq!(set.label(index), Some(index as u32), "{}", format.name);
                let expected = marked(height, width, index);
                assert_eq!(set.image(index).to_image(), expected, "{}", format.name);
                assert_eq!(set.image(index).pixel(0, width - 1), [250, 10, 20]);
                assert!(!set.name(index).is_empty());
            }
            assert!(set.class_names.len() >= 3, "{}", format.name);
            let labels: Vec<Option<u32>> = (0..3).map(Some).collect();
            assert_eq!(source.labels().unwrap(), labels, "{}", format.name);
            if let Some(blocks) = source.blocks() {
                let ends = blocks.ranges.iter();
                let ends = ends.flat_map(|block| [block.start, block.end]);
                let ends: Vec<usize> = ends.collect();
                assert_eq!((ends[0], ends[ends.len() - 1]), (0, 3), "{}", format.name);
                assert!(
                    ends[1..ends.len() - 1]
                        .chunks(2)
                        .all(|pair| pair[0] == pair[1])
                );
            }
            let outside = source.read(3).unwrap_err().to_string();
            assert!(outside.contains("index 3"), "{outside}");
        }
    }
}

#[test]
fn truncated_and_empty_files_give_errors_that_name_them() {
    for format in WRITTEN {
        let folder = TempDir::new().unwrap();
        (format.write)(folder.path());
        let path = folder.path().join(format.file);
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        for kept in [0, 1, 5, bytes.len() / 2, bytes.len() - 1] {
            // A PNG without its end marker is whole as far as its pixels go.
            let in_files = ["image-folder", "file-list"].contains(&format.name);
            if kept == bytes.len() - 1 && in_files {
                continue;
            }
            std::fs::write(&path, &bytes[..kept]).unwrap();
            let message = failure(folder.path(), Split::Train);
            assert!(
                message.contains(name) || message.contains("holds no image"),
                "{} of {kept} bytes: {message}",
                format.name
            );
        }
    }
}

#[test]
fn cifar_reads_class_names_and_checks_labels() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("data_batch_1.bin");
    write(&path, &cifar_record(&[9], &marked(32, 32, 1)));
    let set = open_and_load(folder.path(), Split::Train).unwrap();
    assert_eq!(set.class_names[9], "truck");
    let names: String = (0..10).map(|class| format!("class{class}\n")).collect();
    write(
        &folder.path().join("batches.meta.txt"),
        format!("{names}\n").as_bytes(),
    );
    let set = open_and_load(folder.path(), Split::Train).unwrap();
    assert_eq!(set.class_names[9], "class9");
    write(&folder.path().join("batches.meta.txt"), b"one\ntwo\n");
    assert!(failure(folder.path(), Split::Train).contains("2 class names, not 10"));
    std::fs::remove_file(folder.path().join("batches.meta.txt")).unwrap();
    write(&path, &cifar_record(&[10], &marked(32, 32, 1)));
    let source = open(&at(folder.path()), Split::Train).unwrap();
    assert!(source.read(0).unwrap_err().is_about_one_image());
    assert_eq!(source.labels().unwrap(), [None]);
    assert!(failure(folder.path(), Split::Train).contains("record 0): label 10"));
    assert!(
        open(&at(folder.path()), Split::Test)
            .unwrap_err()
            .is_no_split()
    );
}

#[test]
fn a_single_cifar_file_tells_its_kind_by_its_size() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mine.bin");
    write(&path, &cifar_record(&[3], &marked(32, 32, 1)));
    assert_eq!(
        open(&at(&path), Split::Train).unwrap().format(),
        "cifar10-binary"
    );
    write(&path, &cifar_record(&[3, 77], &marked(32, 32, 1)));
    let set = open_and_load(&path, Split::Train).unwrap();
    assert_eq!(
        (set.label(0), set.class_names[77].as_str()),
        (Some(77), "77")
    );
    write(&path, &[1, 2, 3]);
    assert!(failure(&path, Split::Train).contains("no whole number of records"));
    write(&path, &[]);
    assert!(failure(&path, Split::Train).contains("holds no image"));
    let named = folder.path().join("train.bin");
    write(&named, &[]);
    assert!(failure(&named, Split::Train).contains("holds no image"));
}

#[test]
fn a_flat_folder_has_no_labels_and_no_test_split() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("b.PNG"), &png(&marked(5, 7, 2)));
    write(&folder.path().join("a.png"), &png(&marked(5, 7, 1)));
    write(&folder.path().join("notes.txt"), b"no image");
    write(&folder.path().join(".hidden.png"), b"no image");
    let set = open_and_load(folder.path(), Split::Train).unwrap();
    assert_eq!(set.labels, [None, None]);
    assert_eq!(set.image(0).to_image(), marked(5, 7, 1));
    assert!(
        open(&at(folder.path()), Split::Test)
            .unwrap_err()
            .is_no_split()
    );
    write(&folder.path().join("dog/c.png"), &png(&marked(5, 7, 2)));
    let set = open_and_load(folder.path(), Split::Train).unwrap();
    assert_eq!(set.labels, [None, None, None]);
}

#[test]
fn test_labels_of_a_folder_are_those_of_its_training_split() {
    let folder = TempDir::new().unwrap();
    for class in ["train/ant", "train/bee", "train/cat", "test/cat"] {
        write(
            &folder.path().join(class).join("deep/1.png"),
            &png(&marked(5, 7, 1)),
        );
    }
    let set = open_and_load(folder.path(), Split::Test).unwrap();
    assert_eq!(set.labels, [Some(2)]);
    assert_eq!(set.class_names, ["ant", "bee", "cat"]);
    write(
        &folder.path().join("test/dog/1.png"),
        &png(&marked(5, 7, 1)),
    );
    assert!(failure(folder.path(), Split::Test).contains("class dog"));
    std::fs::remove_dir_all(folder.path().join("train")).unwrap();
    let set = open_and_load(folder.path(), Split::Test).unwrap();
    assert_eq!(set.class_names, ["cat", "dog"]);
    assert!(
        open(&at(folder.path()), Split::Train)
            .unwrap_err()
            .is_no_split()
    );
}

#[test]
fn annotations_give_the_labels_of_a_validation_folder() {
    let folder = TempDir::new().unwrap();
    for class in [
        "train/n1/images/1.png",
        "train/n2/images/1.png",
        "val/images/v0.png",
    ] {
        write(&folder.path().join(class), &png(&marked(5, 7, 1)));
    }
    let lines = folder.path().join("val/val_annotations.txt");
    write(&lines, b"v0.png\tn2\t0\t0\t5\t5\n");
    assert_eq!(
        open_and_load(folder.path(), Split::Test).unwrap().labels,
        [Some(1)]
    );
    let alone = open_and_load(&folder.path().join("val"), Split::Train).unwrap();
    assert_eq!(
        (alone.labels, alone.class_names),
        (vec![Some(0)], vec!["n2".to_owned()])
    );
    write(&lines, b"other.png\tn2\n");
    assert!(failure(folder.path(), Split::Test).contains("v0.png"));
    write(&lines, b"no tab\n");
    assert!(failure(folder.path(), Split::Test).contains("line 1"));
}

#[test]
fn what_is_no_set_is_named() {
    let folder = TempDir::new().unwrap();
    let message = failure(folder.path(), Split::Train);
    assert!(message.contains("no image set found"), "{message}");
    for (name, _) in FORMATS {
        assert!(message.contains(name), "{message}");
    }
    let missing = folder.path().join("missing");
    assert!(failure(&missing, Split::Train).contains("missing"));
    let text = folder.path().join("text.md");
    write(&text, b"text");
    assert!(failure(&text, Split::Train).contains("text.md"));
    assert!(failure(&text, Split::Train).contains(".tar.gz"));
}

#[test]
fn a_location_is_read_from_text_and_written_back() {
    for text in ["shapes", "./shapes", "/some/folder"] {
        let location: Location = text.parse().unwrap();
        assert_eq!(matches!(location, Location::Shapes(_)), text == "shapes");
        assert_eq!(location.to_string(), text);
    }
}

#[test]
fn a_split_of_no_shapes_is_missing() {
    let config = ShapesConfig {
        test: 0,
        ..ShapesConfig::default()
    };
    let error = open(&Location::Shapes(config), Split::Test).unwrap_err();
    assert!(error.is_no_split());
}

#[test]
fn every_file_of_a_set_is_a_training_split_of_its_own() {
    for format in WRITTEN {
        if ["image-folder", "file-list"].contains(&format.name) {
            continue;
        }
        let folder = TempDir::new().unwrap();
        (format.write)(folder.path());
        let file = at(&folder.path().join(format.file));
        let source = open(&file, Split::Train).unwrap();
        assert_eq!((source.format(), source.len()), (format.name, 3));
        let error = open(&file, Split::Test).unwrap_err();
        assert!(error.is_no_split(), "{}: {error}", format.name);
    }
}

#[test]
fn bytes_that_are_no_set_end_in_errors_under_every_name() {
    let folder = TempDir::new().unwrap();
    let noise: Vec<u8> = (0..5_000u32).map(|at| (at * at % 251) as u8).collect();
    let names = [
        "a.parquet",
        "a.tar",
        "a.tar.gz",
        "a.tgz",
        "train_X.bin",
        "a.bin",
        "a.mat",
        "a.npy",
        "a.txt",
        "a.csv",
    ];
    for name in names {
        let path = folder.path().join(name);
        for content in [noise.as_slice(), &[0; 600], &noise[..17]] {
            write(&path, content);
            let message = failure(&path, Split::Train);
            assert!(
                message.contains(name) || message.contains("holds no image"),
                "{message}"
            );
        }
    }
}
