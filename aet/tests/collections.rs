//! A folder of images of different sizes, some of them broken, with the real binary: in memory,
//! streamed, from decoded files, and embedded.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use image::{Rgb, RgbImage};
use serde_json::Value;
use support::{aet, printed};

/// 48 pictures of two classes, of different sizes; every twelfth is cut short.
fn write_images(folder: &Path) {
    for index in 0..48_u32 {
        let (width, height) = (20 + index % 5, 18 + index % 7);
        let image = RgbImage::from_fn(width, height, |x, y| {
            let stripe = if index % 2 == 0 { x } else { y };
            Rgb([(stripe * 12) as u8, (index * 5) as u8, (x * y % 251) as u8])
        });
        let class = ["columns", "rows"][index as usize % 2];
        let path = folder.join(class).join(format!("{index:02}.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image.save(&path).unwrap();
        if index % 12 == 0 {
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
    }
}

fn pretrain(folder: &Path, data: &str, name: &str, changes: &[&str]) -> Value {
    let arguments = [
        "pretrain",
        data,
        "--json",
        "--epochs=2",
        "--set=data.image_size=[16,16]",
        "--set=data.hold_out=0.25",
        "--set=backbone.blocks=3",
        "--set=backbone.width=0.1",
        "--set=training.batch_size=8",
        "--set=training.log_every=1",
        "--set=evaluation.probes=[{method={kind='knn',neighbours=3}}]",
        "--name",
        name,
    ];
    let text = printed(folder, &[arguments.as_slice(), changes].concat());
    serde_json::from_str(&text).unwrap()
}

fn skipped(folder: &Path, name: &str) -> Vec<Value> {
    let path = folder.join("runs").join(name).join("skipped.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn broken_images_are_left_out_listed_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("photos"));
    let result = pretrain(folder.path(), "photos", "kept", &[]);
    assert!(result["train_loss"].as_f64().unwrap().is_finite());
    let listed = skipped(folder.path(), "kept");
    assert_eq!(listed.len(), 4);
    assert_eq!(listed[0]["split"], "train");
    let error = listed[0]["error"].as_str().unwrap();
    assert!(error.contains("00.png"), "{error}");

    let streamed = ["--set=data.access=stream", "--threads=2"];
    let result = pretrain(folder.path(), "photos", "streamed", &streamed);
    assert!(result["train_loss"].as_f64().unwrap().is_finite());
    assert_eq!(result["probes"].as_array().unwrap().len(), 1);
    assert_eq!(skipped(folder.path(), "streamed").len(), 4);

    let strict = ["--set=data.on_error=fail", "--set=data.most_skipped=0.02"];
    for change in strict {
        let output = aet(
            folder.path(),
            &[
                "pretrain",
                "photos",
                "--set=data.image_size=[16,16]",
                change,
            ],
        );
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(line.contains(".png"), "{line}");
    }
}

#[test]
fn streamed_and_decoded_files_train_as_memory_does_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    write_images(&photos);
    for index in (0..48).step_by(12) {
        std::fs::remove_file(photos.join("columns").join(format!("{index:02}.png"))).unwrap();
    }
    let losses = |name: &str| {
        let path = folder.path().join("runs").join(name).join("metrics.jsonl");
        let text = std::fs::read_to_string(path).unwrap();
        let records = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let losses = records.filter(|record| record["event"] == "step");
        losses
            .map(|record| record["loss"].as_f64().unwrap())
            .collect::<Vec<_>>()
    };
    pretrain(folder.path(), "photos", "memory", &[]);
    pretrain(
        folder.path(),
        "photos",
        "stream",
        &["--set=data.access=stream"],
    );
    let written = printed(
        folder.path(),
        &["cache", "photos", "--size=16", "--out=decoded"],
    );
    assert!(written.contains("44 images of 16x16"), "{written}");
    pretrain(folder.path(), "decoded", "mapped", &[]);
    let expected = losses("memory");
    assert_eq!(expected.len(), 8);
    assert_eq!(losses("stream"), expected);
    assert_eq!(losses("mapped"), expected);
    let found: Value =
        serde_json::from_str(&printed(folder.path(), &["inspect", "decoded", "--json"])).unwrap();
    assert_eq!(
        (&found["format"], &found["images"]),
        (&"decoded".into(), &44.into())
    );
}

#[test]
fn crops_of_resized_images_are_taken_from_decoded_files_and_from_the_images() {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("photos"));
    let resized = [
        "--set=augment.resize=18",
        "--set=augment.horizontal_flip=true",
    ];
    pretrain(folder.path(), "photos", "kept", &resized);
    let arguments = [
        "cache",
        "photos",
        "--size=16",
        "--shorter-side=18",
        "--out=decoded",
        "--json",
    ];
    let written: Value = serde_json::from_str(&printed(folder.path(), &arguments)).unwrap();
    assert_eq!(written[0]["images"], 44);
    assert_eq!(written[0]["skipped"].as_array().unwrap().len(), 4);
    pretrain(folder.path(), "decoded", "mapped", &resized);
    let crop = "--set=augment.resized_crop={scale=[0.3,1.0]}";
    pretrain(
        folder.path(),
        "photos",
        "cropped",
        &[crop, "--set=data.access=stream"],
    );
}

#[test]
fn embedding_leaves_broken_images_out_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    write_images(&folder.path().join("photos"));
    pretrain(folder.path(), "photos", "kept", &[]);
    let arguments = ["embed", "kept", "photos", "--out=all.parquet", "--json"];
    let found: Value = serde_json::from_str(&printed(folder.path(), &arguments)).unwrap();
    assert_eq!(
        (&found["rows"], &found["embedded"]),
        (&44.into(), &44.into())
    );
    assert_eq!(found["skipped"].as_array().unwrap().len(), 4);
    let sharded = ["embed", "kept", "photos", "--out=parts", "--shard-rows=10"];
    printed(folder.path(), &sharded);
    std::fs::remove_file(folder.path().join("parts/part-00002.parquet")).unwrap();
    let again = [sharded.as_slice(), &["--resume", "--json"]].concat();
    let found: Value = serde_json::from_str(&printed(folder.path(), &again)).unwrap();
    assert!(found["embedded"].as_u64().unwrap() <= 10, "{found}");
}
