//! The decoded set: kinds of images, sizes, errors, subsets, and the same set from any number of
//! threads.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Cursor;
use std::path::Path;
use std::sync::Mutex;

use aet_data::{DataError, ImageSet, LoadOptions, Location, ShapesConfig, Split, hold_out, open};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbaImage};
use support::{marked, png, write};
use tempfile::TempDir;

fn load(path: &Path, size: Option<[usize; 2]>) -> Result<ImageSet, DataError> {
    let source = open(&Location::Path(path.to_path_buf()), Split::Train)?;
    ImageSet::load(source.as_ref(), size, 2, &|_, _| {})
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn grey_sixteen_bit_and_transparent_images_become_rgb() {
    let folder = TempDir::new().unwrap();
    let grey = GrayImage::from_pixel(3, 2, Luma([90]));
    let deep = image::ImageBuffer::<Rgb<u16>, _>::from_pixel(3, 2, Rgb([65_535, 0, 257 * 7]));
    let clear = RgbaImage::from_pixel(3, 2, image::Rgba([10, 20, 30, 0]));
    let place = |name: &str| folder.path().join(name);
    write(&place("0.png"), &encoded(grey.clone(), ImageFormat::Png));
    write(&place("1.png"), &encoded(deep, ImageFormat::Png));
    write(&place("2.png"), &encoded(clear, ImageFormat::Png));
    write(&place("3.jpg"), &encoded(grey, ImageFormat::Jpeg));
    let set = load(folder.path(), None).unwrap();
    let colours: Vec<[u8; 3]> = (0..4).map(|index| set.image(index).pixel(1, 2)).collect();
    assert_eq!(colours, [[90; 3], [255, 0, 7], [10, 20, 30], [90; 3]]);
}

#[test]
fn images_of_different_sizes_need_a_size() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("0.png"), &png(&marked(5, 7, 0)));
    write(&folder.path().join("1.png"), &png(&marked(6, 9, 0)));
    let message = load(folder.path(), None).unwrap_err().to_string();
    for part in ["0.png", "5x7", "1.png (index 1)", "6x9", "name a size"] {
        assert!(message.contains(part), "{message}");
    }
    let set = load(folder.path(), Some([5, 7])).unwrap();
    assert_eq!(set.image(0).to_image(), marked(5, 7, 0));
    let message = load(folder.path(), Some([5, 0])).unwrap_err().to_string();
    assert!(message.contains("5x0"), "{message}");
}

#[test]
fn a_range_is_loaded_as_that_part_of_the_set() {
    let config = ShapesConfig {
        train: 100,
        ..ShapesConfig::default()
    };
    let source = open(&Location::Shapes(config), Split::Train).unwrap();
    let load = |range| {
        let options = LoadOptions::default();
        ImageSet::load_range(source.as_ref(), range, &options, &|_, _| {})
    };
    let all = load(0..100).unwrap();
    let part = load(37..91).unwrap();
    assert_eq!(part, all.subset(&(37..91).collect::<Vec<_>>()));
    assert!(load(5..5).is_err());
    assert!(load(90..101).is_err());
}

#[test]
fn fitting_keeps_proportions_and_cuts_the_middle_out() {
    // Left third red, middle third green, right third blue.
    let pixels = (0..20 * 60).flat_map(|at| match at % 60 / 20 {
        0 => [255, 0, 0],
        1 => [0, 255, 0],
        _ => [0, 0, 255],
    });
    let wide = aet_geometry::RgbImage::new(20, 60, pixels.collect()).unwrap();
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("0.png"), &png(&wide));
    let set = load(folder.path(), Some([10, 10])).unwrap();
    for (row, column) in [(0, 2), (5, 5), (9, 7)] {
        assert_eq!(
            set.image(0).pixel(row, column),
            [0, 255, 0],
            "{row}, {column}"
        );
    }
    let set = load(folder.path(), Some([10, 30])).unwrap();
    assert_eq!(set.image(0).pixel(5, 2), [255, 0, 0]);
    assert_eq!(set.image(0).pixel(5, 27), [0, 0, 255]);
}

#[test]
fn the_first_broken_image_is_named_with_its_index() {
    let folder = TempDir::new().unwrap();
    for number in 0..40 {
        let path = folder.path().join(format!("{number:02}.png"));
        let broken = number == 17 || number == 30;
        let bytes = if broken {
            b"no image".to_vec()
        } else {
            png(&marked(5, 7, number))
        };
        write(&path, &bytes);
    }
    let message = load(folder.path(), None).unwrap_err().to_string();
    assert!(
        message.contains("image 17") && message.contains("17.png"),
        "{message}"
    );
}

/// The decoder itself fills the missing part of a JPEG with grey.
#[test]
fn a_jpeg_without_its_end_is_broken_and_one_with_more_is_not() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.jpg");
    let pixels = marked(40, 56, 3);
    let picture = image::RgbImage::from_raw(56, 40, pixels.into_pixels()).unwrap();
    let whole = encoded(picture, ImageFormat::Jpeg);
    for kept in [3, whole.len() / 2, whole.len() - 20, whole.len() - 1] {
        write(&path, &whole[..kept]);
        let error = load(folder.path(), None).unwrap_err();
        assert!(error.to_string().contains("a.jpg"), "{kept}: {error}");
    }
    write(&path, &[whole, vec![0; 100]].concat());
    assert_eq!(load(folder.path(), None).unwrap().height(), 40);
}

#[test]
fn any_number_of_workers_loads_the_same_set_and_tells_how_far_it_is() {
    let config = ShapesConfig {
        train: 100,
        ..ShapesConfig::default()
    };
    let source = open(&Location::Shapes(config), Split::Train).unwrap();
    let mut sets = Vec::new();
    for workers in [0, 1, 2, 7] {
        let told = Mutex::new(Vec::new());
        let progress = |done, total| told.lock().unwrap().push((done, total));
        sets.push(ImageSet::load(source.as_ref(), None, workers, &progress).unwrap());
        assert_eq!(told.lock().unwrap().last(), Some(&(100, 100)));
    }
    assert!(sets.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_subset_has_the_chosen_images_in_order() {
    let pixels: Vec<u8> = (0..4 * 2 * 3 * 3).map(|at| at as u8).collect();
    let labels = vec![Some(0), Some(2), None, Some(1)];
    let set = ImageSet::new([2, 3], pixels, labels).unwrap();
    assert_eq!(set.class_names, ["0", "1", "2"]);
    let subset = set.subset(&[3, 1, 3]);
    assert_eq!(subset.labels, [Some(1), Some(2), Some(1)]);
    assert_eq!(subset.names, ["3", "1", "3"]);
    assert_eq!(subset.image(1).pixels(), set.image(1).pixels());
    assert_eq!(subset.image(2).pixels(), set.image(3).pixels());
    assert!(!set.labelled() && subset.labelled() && !set.subset(&[]).labelled());
    assert!(ImageSet::new([2, 3], vec![0; 17], vec![None]).is_err());
}

#[test]
fn a_hold_out_takes_a_share_and_leaves_the_rest() {
    let (train, test) = hold_out(1000, 0.1, 7);
    assert_eq!((train.len(), test.len()), (900, 100));
    let mut all = [train.clone(), test.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, (0..1000).collect::<Vec<_>>());
    assert!(train.is_sorted() && test.is_sorted());
    assert_eq!(hold_out(1000, 0.1, 7), (train, test.clone()));
    assert_ne!(hold_out(1000, 0.1, 8).1, test);
    assert!(test.iter().any(|&index| index < 500) && test.iter().any(|&index| index >= 500));
    assert_eq!(hold_out(10, 0.0, 1).1.len(), 0);
    assert_eq!(hold_out(10, 2.0, 1).1.len(), 10);
    assert_eq!(hold_out(0, 0.5, 1), (vec![], vec![]));
}
