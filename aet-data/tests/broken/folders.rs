//! Folders: paths where there is no set, classes that do not fit, and shares that are broken.

use aet_data::random::{Purpose, generator};
use rand::Rng;

use super::{Case, GOOD, Outcome, good_image, write_good};
use crate::support::{gzip, sample, tar, write};
use Outcome::{Read, Refused, Skipped, TooMany};

pub fn cases() -> Vec<Case> {
    [sets(), classes(), shares()]
        .into_iter()
        .flatten()
        .collect()
}

/// Paths at which there is no set of images.
fn sets() -> Vec<Case> {
    vec![
        Case::set(
            "no-such-path",
            "a path at which there is nothing",
            ("nowhere", |_| Ok(())),
            Refused("cannot read nowhere: "),
        ),
        Case::set(
            "empty-folder",
            "a folder with nothing in it",
            ("", |_| Ok(())),
            Refused("FOLDER: no image set found here; expected images (jpg, …); the formats are …"),
        ),
        Case::set(
            "folder-without-images",
            "a folder of notes, hidden files and what systems leave behind",
            ("", |folder| {
                write(&folder.join("notes.md"), b"no image");
                write(&folder.join(".hidden.png"), &good_image(0));
                write(&folder.join("__MACOSX/1.png"), &good_image(0));
                Ok(())
            }),
            Refused("FOLDER: no image set found here; expected images (jpg, …); the formats are …"),
        ),
        Case::set(
            "image-in-the-place-of-a-set",
            "an image file, where a set is expected",
            ("one.png", |folder| {
                write(&folder.join("one.png"), &good_image(0));
                Ok(())
            }),
            Refused("one.png: no image set found here; expected a .parquet file, …, or a folder"),
        ),
        Case::set(
            "file-in-the-place-of-a-split",
            "a file named `train`, where a folder is expected",
            ("", |folder| {
                write(&folder.join("train"), b"no folder");
                Ok(())
            }),
            Refused("FOLDER: no image set found here; expected images (jpg, …); the formats are …"),
        ),
        Case::set(
            "no-test-split",
            "the test split of a folder that has none",
            ("", |folder| {
                write_good(folder);
                Ok(())
            }),
            Refused("FOLDER has no test split: hold out a share of the training images, or …"),
        )
        .of_test_split(),
        Case::set(
            "no-training-split",
            "the training split of a folder of test images",
            ("", |folder| {
                write_good(&folder.join("test/one"));
                Ok(())
            }),
            Refused("FOLDER has no train split: there are only test images here; name the folder"),
        ),
        Case::set(
            "archives-beside-images",
            "the archive that a folder of images came in, beside them and cut short",
            ("", |folder| {
                write_good(&folder.join("one"));
                let packed = gzip(&tar(&sample(1)));
                write(&folder.join("images.tar.gz"), &packed[..40]);
                Ok(())
            }),
            Read(
                GOOD,
                "archives beside folders of images are what these came in",
            ),
        ),
    ]
}

fn classes() -> Vec<Case> {
    vec![
        Case::set(
            "image-beside-class-folders",
            "an image beside the folders of classes",
            ("", |folder| {
                write_good(&folder.join("one"));
                write(&folder.join("stray.png"), &good_image(1));
                Ok(())
            }),
            Read(GOOD + 1, "a set with images beside folders has no labels"),
        ),
        Case::set(
            "empty-class-folder",
            "a class folder without images",
            ("", |folder| {
                write_good(&folder.join("one"));
                write(&folder.join("two/notes.txt"), b"no image");
                Ok(())
            }),
            Read(GOOD, "a folder without images is no class"),
        ),
        Case::set(
            "class-folder-named-jpg",
            "a class folder that is named `one.jpg`",
            ("", |folder| {
                write_good(&folder.join("one.jpg"));
                Ok(())
            }),
            Read(GOOD, "a folder is a folder, whatever its name"),
        ),
        Case::set(
            "class-of-the-test-split-alone",
            "a test split with a class that the training split lacks",
            ("", |folder| {
                write_good(&folder.join("train/one"));
                write_good(&folder.join("test/one"));
                write_good(&folder.join("test/two"));
                Ok(())
            }),
            Refused(
                "test/two: class two is not in the training split; add it there, or take it out here",
            ),
        )
        .of_test_split(),
        Case::set(
            "image-beside-test-classes",
            "an image beside the class folders of a test split",
            ("", |folder| {
                write_good(&folder.join("train/one"));
                write_good(&folder.join("test/one"));
                write(&folder.join("test/stray.png"), &good_image(1));
                Ok(())
            }),
            Refused(
                "test/stray.png: this image lies beside class folders; move it into one of them",
            ),
        )
        .of_test_split(),
        Case::set(
            "annotations-without-tabs",
            "the annotations of Tiny-ImageNet with blanks for tabs",
            ("", |folder| {
                write_good(&folder.join("train/one"));
                write_good(&folder.join("val"));
                write(&folder.join("val/val_annotations.txt"), b"good-0.png one\n");
                Ok(())
            }),
            Refused("val/val_annotations.txt: line 1: not a file and a class, parted by a tab"),
        )
        .of_test_split(),
        Case::set(
            "annotations-without-an-image",
            "the annotations of Tiny-ImageNet without a line for an image",
            ("", |folder| {
                write_good(&folder.join("train/one"));
                write_good(&folder.join("val"));
                write(&folder.join("val/val_annotations.txt"), b"good-0.png\tone\n");
                Ok(())
            }),
            Refused("val/good-1.png: not in val_annotations.txt; add a line for it, or …"),
        )
        .of_test_split(),
    ]
}

/// Shares of a set that cannot be used, and names.
fn shares() -> Vec<Case> {
    vec![
        Case::set(
            "two-of-twelve-broken",
            "two broken images of twelve, more than may be left out by default",
            ("", |folder| {
                write_good(folder);
                write(&folder.join("broken-0.png"), b"");
                write(&folder.join("broken-1.png"), b"notes");
                Ok(())
            }),
            TooMany(
                "2 of 12 images cannot be used, and no more than a share of 0.1 may be left out \
                 (most_skipped); the last one: image 1 (broken-1.png): this is text, not an image",
            ),
        ),
        Case::set(
            "all-broken",
            "one image, which is broken",
            ("", |folder| {
                write(&folder.join("broken.png"), b"notes");
                Ok(())
            }),
            TooMany("1 of 1 images cannot be used, …: image 0 (broken.png): this is text"),
        ),
        Case::set(
            "file-too-large",
            "a file of 1 GiB and a byte, named as an image",
            ("", |folder| {
                write_good(folder);
                super::sparse(&folder.join("broken.jpg"), b"\xff\xd8\xff", (1 << 30) + 1)
            }),
            Skipped(
                GOOD,
                "image 0 (broken.jpg): has 1073741825 bytes, but at most 1073741824 are read; \
                 make it smaller",
            ),
        ),
        Case::set(
            "long-names",
            "names of 255 bytes",
            ("", |folder| {
                let class = folder.join("c".repeat(255));
                write_good(&class);
                write(&class.join("n".repeat(251) + ".png"), &good_image(1));
                Ok(())
            }),
            Read(GOOD + 1, "names may be as long as the system takes"),
        ),
        Case::set(
            "deep-folders",
            "images 300 folders deep",
            ("", |folder| {
                let deep: std::path::PathBuf = (0..300).map(|_| "d").collect();
                write_good(&folder.join(deep));
                Ok(())
            }),
            Read(GOOD, "images may lie as deep as the system takes"),
        ),
        Case::set(
            "same-image-many-times",
            "the same bytes under all names",
            ("", |folder| {
                for number in 0..GOOD {
                    write(&folder.join(format!("{number}.png")), &good_image(0));
                }
                Ok(())
            }),
            Read(GOOD, "images are not compared"),
        ),
        Case::set(
            "noise-named-parquet",
            "noise named `.parquet`",
            ("noise.parquet", |folder| {
                write(&folder.join("noise.parquet"), &noise());
                Ok(())
            }),
            Refused("noise.parquet: broken Parquet file; fetch or copy it again: …"),
        ),
    ]
}

/// 10,000 bytes that are no text and no image.
fn noise() -> Vec<u8> {
    let mut bytes = vec![0; 10_000];
    generator(1, 2, 3, Purpose::Noise).fill_bytes(&mut bytes);
    bytes
}
