//! Named tensors of a module: reading them out, putting them back, and safetensors files of them.
//!
//! A tensor's name is its path in the module, such as `network.blocks.0.units.2.conv`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::LearnError;

/// One float tensor on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// Length of every dimension.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: Vec<f32>,
}

/// Float tensors by name, in the order of their names.
pub type NamedTensors = BTreeMap<String, HostTensor>;

/// Every float tensor of `module`, weights and running statistics alike.
pub fn named_tensors<M: Module>(module: &M) -> NamedTensors {
    let mut reader = Reader::default();
    module.visit(&mut reader);
    reader.tensors
}

/// `module` with every float tensor replaced by that of its name.
///
/// # Errors
/// When a tensor is missing or its shape differs, naming it.
pub fn with_named_tensors<M: Module>(module: M, tensors: &NamedTensors) -> Result<M, LearnError> {
    let mut writer = Writer {
        path: Vec::new(),
        tensors,
        failure: None,
    };
    let module = module.map(&mut writer);
    match writer.failure {
        Some(message) => Err(LearnError::Weights { message }),
        None => Ok(module),
    }
}

/// `module` with the identity of every parameter made from its name, so that optimiser state saved
/// by one process finds its parameters in another.
pub fn with_stable_ids<M: Module>(module: M) -> M {
    module.map(&mut Renamer::default())
}

#[derive(Default)]
struct Reader {
    path: Vec<String>,
    tensors: NamedTensors,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let values = host_values(tensor);
        self.tensors
            .insert(self.path.join("."), HostTensor { shape, values });
    }
}

/// The values of a float tensor, row-major, as f32.
pub fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

struct Writer<'a> {
    path: Vec<String>,
    tensors: &'a NamedTensors,
    failure: Option<String>,
}

impl ModuleMapper for Writer<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let shape = param.val().dims().to_vec();
        let Some(found) = self.tensors.get(&name) else {
            self.failure
                .get_or_insert(format!("{name} is missing from the file"));
            return param;
        };
        if found.shape != shape {
            self.failure.get_or_insert(format!(
                "{name} is {:?} in the file but {shape:?} in the network",
                found.shape
            ));
            return param;
        }
        param.map(|old| {
            let data = TensorData::new(found.values.clone(), found.shape.clone());
            let requires_gradient = old.is_require_grad();
            Tensor::from_data(data, &old.device()).set_require_grad(requires_gradient)
        })
    }
}

#[derive(Default)]
struct Renamer {
    path: Vec<String>,
}

impl ModuleMapper for Renamer {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (_, value, mapper) = param.consume();
        Param::from_mapped_value(ParamId::from(fnv1a(&self.path.join("."))), value, mapper)
    }
}

/// The 64-bit FNV-1a hash of `text`.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The bytes of a safetensors file of `tensors`, with `description` under the key `aet` of its
/// header. One key only, so that the same tensors always give the same bytes.
///
/// # Errors
/// When a tensor's shape and values disagree.
pub fn to_safetensors(
    tensors: &NamedTensors,
    description: Option<String>,
) -> Result<Vec<u8>, LearnError> {
    let bytes: Vec<(&String, &HostTensor, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let bytes = tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name, tensor, bytes)
        })
        .collect();
    let mut views = BTreeMap::new();
    for (name, tensor, bytes) in &bytes {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(|error| {
            LearnError::Weights {
                message: format!("{name}: {error}"),
            }
        })?;
        views.insert(name.as_str(), view);
    }
    let metadata = description.map(|text| HashMap::from([("aet".to_string(), text)]));
    safetensors::serialize(views, metadata).map_err(|error| LearnError::Weights {
        message: error.to_string(),
    })
}

/// The description in the header of a safetensors file, as [`to_safetensors`] takes it.
///
/// # Errors
/// When the file cannot be read or is not safetensors.
pub fn read_description(path: &Path) -> Result<Option<String>, LearnError> {
    let bytes = std::fs::read(path).map_err(|source| LearnError::io("read", path, source))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| LearnError::Damaged {
        path: path.to_path_buf(),
        message: error.to_string(),
    })?;
    let described = header.metadata().as_ref().and_then(|map| map.get("aet"));
    Ok(described.cloned())
}

/// The f32 tensors of a safetensors file.
///
/// # Errors
/// When the file cannot be read, is not safetensors, or holds another type than f32.
pub fn read_safetensors(path: &Path) -> Result<NamedTensors, LearnError> {
    let bytes = std::fs::read(path).map_err(|source| LearnError::io("read", path, source))?;
    let damaged = |message: String| LearnError::Damaged {
        path: path.to_path_buf(),
        message,
    };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    let mut tensors = NamedTensors::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(damaged(format!("{name} is {:?}, not f32", view.dtype())));
        }
        let values = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let shape = view.shape().to_vec();
        tensors.insert(name, HostTensor { shape, values });
    }
    Ok(tensors)
}
