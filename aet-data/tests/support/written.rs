//! Every format, written to disk: [`WRITTEN`].

use std::path::Path;

use aet_data::source::decoded;
use aet_data::{LoadOptions, Split, open};
use tempfile::TempDir;

use super::arrays::{mat_array, mat_compressed, mat_file, npy, planes_by_column};
use super::{CLASSES, Table, at as at_path, cifar_record, gzip, marked, png, sample, tar, write};

/// A set of three images, labelled 0, 1, 2, in both splits.
pub struct Format {
    pub name: &'static str,
    /// Height and width of its images.
    pub size: [usize; 2],
    pub write: fn(&Path),
    /// A file of it, to be broken.
    pub file: &'static str,
}

pub const WRITTEN: [Format; 11] = [
    Format {
        name: "parquet",
        size: [5, 7],
        write: |folder| {
            Table::of(3).write(&folder.join("train-00000-of-00001.parquet"));
            Table::of(3).write(&folder.join("test-00000-of-00001.parquet"));
        },
        file: "train-00000-of-00001.parquet",
    },
    Format {
        name: "cifar10-binary",
        size: [32, 32],
        write: |folder| {
            let records =
                |_: usize| (0..3).flat_map(|at| cifar_record(&[at as u8], &marked(32, 32, at)));
            write(
                &folder.join("data_batch_1.bin"),
                &records(0).collect::<Vec<_>>(),
            );
            write(
                &folder.join("test_batch.bin"),
                &records(1).collect::<Vec<_>>(),
            );
        },
        file: "data_batch_1.bin",
    },
    Format {
        name: "cifar100-binary",
        size: [32, 32],
        write: |folder| {
            let record = |at: usize| cifar_record(&[19, at as u8], &marked(32, 32, at));
            let records: Vec<u8> = (0..3).flat_map(record).collect();
            write(&folder.join("train.bin"), &records);
            write(&folder.join("test.bin"), &records);
        },
        file: "train.bin",
    },
    Format {
        name: "decoded",
        size: [5, 7],
        write: |folder| {
            let images = TempDir::new().unwrap();
            for (at, class) in CLASSES.iter().enumerate() {
                let path = images.path().join(class).join(format!("{at}.png"));
                write(&path, &png(&marked(5, 7, at)));
            }
            let source = open(&at_path(images.path()), Split::Train).unwrap();
            for split in [Split::Train, Split::Test] {
                let path = decoded::file_of(folder, split);
                let options = LoadOptions::default();
                decoded::write(source.as_ref(), &options, &path, &mut |_, _| ()).unwrap();
            }
        },
        file: "train.aetset",
    },
    Format {
        name: "image-folder",
        size: [5, 7],
        write: |folder| {
            for split in ["train", "val"] {
                for (at, class) in CLASSES.iter().enumerate() {
                    let path = folder.join(split).join(class).join(format!("{at}.png"));
                    write(&path, &png(&marked(5, 7, at)));
                }
            }
        },
        file: "train/ant/0.png",
    },
    Format {
        name: "stl10-binary",
        size: [96, 96],
        write: |folder| {
            for split in ["train", "test"] {
                let images = (0..3).flat_map(|at| planes_by_column(&marked(96, 96, at)));
                write(
                    &folder.join(format!("{split}_X.bin")),
                    &images.collect::<Vec<_>>(),
                );
                write(&folder.join(format!("{split}_y.bin")), &[1, 2, 3]);
            }
        },
        file: "train_X.bin",
    },
    Format {
        name: "svhn-mat",
        size: [32, 32],
        write: |folder| {
            let images = || {
                (0..3)
                    .flat_map(|at| planes_by_column(&marked(32, 32, at)))
                    .collect()
            };
            let variables = [
                mat_array("X", 9, &[32, 32, 3, 3], 2, images()),
                mat_array("y", 9, &[3, 1], 2, vec![10, 1, 2]),
            ];
            let packed = variables.clone().map(|variable| mat_compressed(&variable));
            write(&folder.join("train_32x32.mat"), &mat_file(&packed.concat()));
            write(
                &folder.join("test_32x32.mat"),
                &mat_file(&variables.concat()),
            );
        },
        file: "train_32x32.mat",
    },
    Format {
        name: "npy",
        size: [5, 7],
        write: |folder| {
            for (images, labels) in [
                ("train_images.npy", "train_labels.npy"),
                ("x_test.npy", "y_test.npy"),
            ] {
                let pixels: Vec<u8> = (0..3)
                    .flat_map(|at| marked(5, 7, at).into_pixels())
                    .collect();
                write(&folder.join(images), &npy("|u1", "3, 5, 7, 3", &pixels));
                write(&folder.join(labels), &npy("<i2", "3,", &[0, 0, 1, 0, 2, 0]));
            }
        },
        file: "train_images.npy",
    },
    Format {
        name: "file-list",
        size: [5, 7],
        write: |folder| {
            for (list, class) in [("train.txt", "one"), ("val.csv", "two")] {
                let mut text = String::new();
                for at in 0..3 {
                    write(
                        &folder.join(class).join(format!("{at} a.png")),
                        &png(&marked(5, 7, at)),
                    );
                    text += &format!("{class}/{at} a.png {at}\n");
                }
                write(&folder.join(list), text.as_bytes());
            }
        },
        file: "one/1 a.png",
    },
    Format {
        name: "webdataset",
        size: [5, 7],
        write: |folder| {
            let samples = |range: std::ops::Range<usize>| {
                let members: Vec<(String, Vec<u8>)> = range.flat_map(sample).collect();
                tar(&members)
            };
            write(&folder.join("train-0.tar"), &samples(0..3));
            write(&folder.join("val-0.tar"), &samples(0..1));
            write(&folder.join("val-1.tar.gz"), &gzip(&samples(1..3)));
        },
        file: "train-0.tar",
    },
    Format {
        name: "webdataset",
        size: [5, 7],
        write: |folder| {
            let members: Vec<(String, Vec<u8>)> = (0..3).flat_map(sample).collect();
            write(&folder.join("train/0.tgz"), &gzip(&tar(&members)));
            write(&folder.join("test/0.tgz"), &gzip(&tar(&members)));
        },
        file: "train/0.tgz",
    },
];
