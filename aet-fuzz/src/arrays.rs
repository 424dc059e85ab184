//! Sets of raw pixels: CIFAR, STL-10, SVHN and NumPy arrays.

use crate::parts::{parted, put};
use crate::place::Place;
use crate::sets;

/// CIFAR-10: the records, and the names of the classes.
pub(crate) fn cifar10(input: &[u8]) {
    static PLACE: Place = Place::empty();
    files(&PLACE, ["data_batch_1.bin", "batches.meta.txt"], input);
}

/// CIFAR-100: the records, and the names of the classes.
pub(crate) fn cifar100(input: &[u8]) {
    static PLACE: Place = Place::empty();
    files(&PLACE, ["train.bin", "fine_label_names.txt"], input);
}

/// STL-10: the images, their labels, and the names of the classes.
pub(crate) fn stl(input: &[u8]) {
    static PLACE: Place = Place::empty();
    files(
        &PLACE,
        ["train_X.bin", "train_y.bin", "class_names.txt"],
        input,
    );
}

/// SVHN: one file.
pub(crate) fn svhn(input: &[u8]) {
    static PLACE: Place = Place::empty();
    files(&PLACE, ["train_32x32.mat"], input);
}

/// NumPy: the images, and their labels.
pub(crate) fn npy(input: &[u8]) {
    static PLACE: Place = Place::empty();
    files(&PLACE, ["train_images.npy", "train_labels.npy"], input);
    PLACE.with(sets::check_loading);
}

/// Reads the set that the files of `input` are under these names.
fn files<const COUNT: usize>(place: &Place, names: [&str; COUNT], input: &[u8]) {
    place.with(|folder| {
        for (name, part) in names.iter().zip(parted::<COUNT>(input)) {
            put(&folder.join(name), part);
        }
        sets::check(folder);
    });
}
