//! Weights in files of safetensors.

use std::path::Path;

use aet_data::Normalisation;
use aet_learn::Device;
use aet_learn::generator::LocalGenerator;
use aet_learn::state::{
    NamedTensors, named_tensors, read_description, read_safetensors, to_safetensors,
};

use crate::claims::{same, told};
use crate::parts::put;
use crate::place::Place;
use crate::runs::{furnish, opened};

/// `encoder.safetensors`. What is written again is read as the same, and an encoder that takes the
/// weights has them.
pub(crate) fn encoder(input: &[u8]) {
    static PLACE: Place = Place::new(furnish);
    PLACE.with(|folder| {
        let path = folder.join("encoder.safetensors");
        put(&path, Some(input));
        let description = told(read_description(&path));
        let Ok(tensors) = told(read_safetensors(&path)) else {
            return;
        };
        if let Ok(encoder) = told(opened(folder).load_encoder(&Device::flex())) {
            for (name, tensor) in named_tensors(&encoder) {
                same(
                    &Some(bits(&tensor.values)),
                    &tensors.get(&name).map(|read| bits(&read.values)),
                );
            }
        }
        let description = description.expect("a file of tensors has a header");
        check_written(&path, &tensors, description);
    });
}

fn check_written(path: &Path, tensors: &NamedTensors, description: Option<String>) {
    let written = told(to_safetensors(tensors, description.clone()));
    put(path, Some(&written.expect("tensors can be written")));
    same(&told(read_description(path)), &Ok(description));
    let again = told(read_safetensors(path)).expect("tensors that were written can be read");
    let all = |tensors: &NamedTensors| -> Vec<(String, Vec<usize>, Vec<u32>)> {
        let each = tensors.iter();
        each.map(|(name, tensor)| (name.clone(), tensor.shape.clone(), bits(&tensor.values)))
            .collect()
    };
    same(&all(tensors), &all(&again));
}

/// `generator.safetensors`. A generator that was read is the same after it is written.
pub(crate) fn generator(input: &[u8]) {
    static PLACE: Place = Place::empty();
    PLACE.with(|folder| {
        let path = folder.join("generator.safetensors");
        put(&path, Some(input));
        let opened = || LocalGenerator::open(folder, &Normalisation::default(), &Device::flex());
        let Ok(generator) = told(opened()) else {
            return;
        };
        let written = told(generator.to_bytes()).expect("a generator can be written");
        put(&path, Some(&written));
        let again = told(opened()).expect("a generator that was written can be read");
        same(&told(again.to_bytes()), &Ok(written));
    });
}

/// Numbers as bits, since one that is no number is not equal to itself.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
