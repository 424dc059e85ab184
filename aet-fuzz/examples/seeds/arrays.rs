//! CIFAR, STL-10, SVHN and NumPy arrays.

use aet_fuzz::joined;

use super::Seed;
use super::damage::{instead, of_any_file, seed};
use super::support::arrays::{
    mat_array, mat_compressed, mat_file, npy as array, npy_of, planes_by_column,
};
use super::support::{cifar_record, marked};

/// Names of classes, a line each.
fn names(count: usize) -> Vec<u8> {
    let names = (0..count).map(|class| format!("class {class}\n"));
    names.collect::<String>().into_bytes()
}

/// Seeds of CIFAR-10.
pub fn cifar10() -> Vec<Seed> {
    let record = |label: u8| cifar_record(&[label], &marked(32, 32, 0));
    vec![
        seed("two-records", [record(3), record(9)].concat()),
        seed("label-10", record(10)),
        seed("named", joined(&[&record(0), &names(10)])),
        seed("a-name-missing", joined(&[&record(0), &names(9)])),
        seed("names-are-no-text", joined(&[&record(0), b"\xff\xfe"])),
        seed("cut-short", &record(1)[..100]),
        seed("empty", []),
    ]
}

/// Seeds of CIFAR-100.
pub fn cifar100() -> Vec<Seed> {
    let record = |fine: u8| cifar_record(&[19, fine], &marked(32, 32, 1));
    vec![
        seed("a-record", record(99)),
        seed("label-100", record(100)),
        seed("named", joined(&[&record(0), &names(100)])),
        seed("a-name-missing", joined(&[&record(0), &names(99)])),
        seed("cut-short", &record(1)[..100]),
        seed("empty", []),
    ]
}

/// Seeds of STL-10.
pub fn stl() -> Vec<Seed> {
    let image = planes_by_column(&marked(96, 96, 2));
    vec![
        seed("named", joined(&[&image, &[10], &names(10)])),
        seed("cut-short", joined(&[&image[..300], &[1]])),
        seed("no-image", joined(&[&[], &[]])),
    ]
}

/// Seeds of SVHN.
pub fn svhn() -> Vec<Seed> {
    let pixels = planes_by_column(&marked(32, 32, 3));
    let images = mat_array("X", 9, &[32, 32, 3], 2, pixels.clone());
    let labels = |kind: u32, data: &[u8]| mat_array("y", 9, &[1, 1], kind, data.to_vec());
    let y = labels(2, &[10]);
    let packed = |elements: &[&[u8]]| {
        let packed = elements.iter().map(|element| mat_compressed(element));
        mat_file(&packed.collect::<Vec<_>>().concat())
    };
    let valid = packed(&[&images, &y]);
    let of_shape = |shape: &[u32]| packed(&[&mat_array("X", 9, shape, 2, pixels.clone()), &y]);
    let two = [
        mat_array("X", 9, &[32, 32, 3, 2], 2, [&pixels[..], &pixels].concat()),
        mat_array(
            "y",
            9,
            &[2, 1],
            9,
            [1f64, 0.5].map(f64::to_le_bytes).concat(),
        ),
    ];
    let mut seeds = vec![
        seed("packed", valid.clone()),
        seed("plain", mat_file(&[&images[..], &y].concat())),
        seed("labels-first", packed(&[&y, &images])),
        seed("two-images", packed(&[&two[0], &two[1]])),
        seed("no-labels", packed(&[&images])),
        seed("no-images", packed(&[&y])),
        seed("count-largest", of_shape(&[32, 32, 3, u32::MAX])),
        seed("count-0", of_shape(&[32, 32, 3, 0])),
        seed("of-no-shape", of_shape(&[])),
        seed(
            "labels-of-8-bytes",
            packed(&[&images, &labels(12, &[10; 8])]),
        ),
        seed("labels-of-no-type", packed(&[&images, &labels(99, &[1])])),
        seed("label-11", packed(&[&images, &labels(2, &[11])])),
        seed("version-7.3", instead(&valid, b"MATLAB 5.0", b"MATLAB 7.3")),
        seed(
            "an-element-too-long",
            mat_file(&[15, 0, 0, 0, 255, 255, 255, 255]),
        ),
        seed(
            "a-name-too-long",
            mat_file(&mat_array(&"n".repeat(300), 9, &[1, 1], 2, vec![1])),
        ),
        seed(
            "another-variable",
            packed(&[&mat_array("z", 4, &[2, 2], 1, vec![1; 4]), &images, &y]),
        ),
    ];
    seeds.extend(of_any_file(&valid));
    seeds
}

/// Seeds of NumPy arrays.
pub fn npy() -> Vec<Seed> {
    let pixels = |count: usize| (0..count).flat_map(|at| marked(5, 7, at).into_pixels());
    let pixels: Vec<u8> = pixels(2).collect();
    let images = array("|u1", "2, 5, 7, 3", &pixels);
    let labelled = |labels: &[u8]| joined(&[&images, labels]);
    let valid = labelled(&array("<i2", "2,", &[0, 0, 1, 0]));
    let of_shape = |shape: &str| array("|u1", shape, &pixels);
    let mut version_2 = b"\x93NUMPY\x02\x00".to_vec();
    version_2.extend((images.len() as u32 - 210 - 10).to_le_bytes());
    version_2.extend(&images[10..]);
    let mut seeds = vec![
        seed("labelled", valid.clone()),
        seed("planes", of_shape("2, 3, 7, 5")),
        seed("grey", of_shape("6, 5, 7")),
        seed("version-2", version_2),
        seed("label-minus-1", labelled(&array("|i1", "2,", &[255, 0]))),
        seed(
            "labels-big-endian",
            labelled(&array(">u4", "2,", &[0, 0, 0, 1, 0, 16, 0, 0])),
        ),
        seed(
            "labels-largest",
            labelled(&array("<u8", "2, 1", &[255; 16])),
        ),
        seed("labels-of-floats", labelled(&array("<f4", "2,", &[0; 8]))),
        seed("a-label-missing", labelled(&array("|u1", "1,", &[1]))),
        seed(
            "fortran",
            npy_of(
                "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 5, 7, 3)}",
                &pixels,
            ),
        ),
        seed("shape-largest", of_shape("18446744073709551615, 5, 7, 3")),
        seed(
            "shape-overflows",
            of_shape("4294967296, 4294967296, 4294967296, 3"),
        ),
        seed("shape-0", array("|u1", "0, 5, 7, 3", &[])),
        seed(
            "no-pixels",
            array("|u1", "4611686018427387904, 0, 7, 3", &[]),
        ),
        seed("no-dictionary", npy_of("of no use", &pixels)),
        seed(
            "type-of-several-bytes",
            npy_of(
                "{'descr': '\u{e9}1', 'fortran_order': False, 'shape': (1,)}",
                &[0],
            ),
        ),
        seed("header-too-long", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
    ];
    seeds.extend(of_any_file(&images));
    seeds
}
