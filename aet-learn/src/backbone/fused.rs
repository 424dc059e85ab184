//! Plain chains of units and pools as one operation on the CPU, through Burn's backend extension: the
//! whole chain forward, and the whole chain backward, by `aet-kernels`.
//!
//! Parameters travel as one flat tensor, so that the operation has two parents whatever its length.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use aet_kernels::chain::{Chain, Form, Layer, Trace};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, Flex, TensorMetadata, backend_extension,
};
use burn::tensor::{DType, Tensor, TensorData};

use super::unit::Unit;
use crate::device::is_cpu;
use crate::replica;

/// The operations that a backend needs for chains.
#[backend_extension(Autodiff, Flex)]
pub trait ChainBackend: Backend {
    /// Features of images, both of the chain's forms, each of the `views` equal parts of the batch
    /// normalised with its own statistics, and those statistics.
    fn chain_train(
        images: FloatTensor<Self>,
        views: usize,
        parameters: FloatTensor<Self>,
        chain: Arc<Chain>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Features normalised with running statistics.
    fn chain_frozen(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        chain: Arc<Chain>,
    ) -> FloatTensor<Self>;
}

/// The values of a tensor, contiguous.
struct Values(FloatTensor<Flex>);

impl Values {
    fn of(tensor: FloatTensor<Flex>) -> Self {
        Self(tensor.to_contiguous())
    }

    fn get(&self) -> &[f32] {
        let start = self.0.layout().start_offset();
        let count = self.0.layout().num_elements();
        &self.0.storage::<f32>()[start..start + count]
    }
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FloatTensor<Flex> {
    Flex::float_from_data(TensorData::new(values, shape), &Default::default())
}

/// The features of a chain as a tensor.
fn features(values: Vec<f32>, chain: &Chain) -> FloatTensor<Flex> {
    let form = chain.forms()[1];
    let each: usize = form.shape(1, chain.output()).iter().product();
    let batch = values.len() / each;
    tensor(values, form.shape(batch, chain.output()))
}

impl ChainBackend for Flex {
    fn chain_train(
        images: FloatTensor<Self>,
        views: usize,
        parameters: FloatTensor<Self>,
        chain: Arc<Chain>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (images, parameters) = (Values::of(images), Values::of(parameters));
        let (values, statistics, _) = chain.forward(images.get(), views, parameters.get(), false);
        let count = statistics.len();
        (features(values, &chain), tensor(statistics, [count]))
    }

    fn chain_frozen(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        chain: Arc<Chain>,
    ) -> FloatTensor<Self> {
        let [images, parameters, statistics] = [images, parameters, statistics].map(Values::of);
        let values = chain.frozen_features(images.get(), parameters.get(), statistics.get());
        features(values, &chain)
    }
}

/// What the backward pass starts from. Burn asks for a state that can be cloned; it is used once.
#[derive(Clone)]
struct Kept {
    chain: Arc<Chain>,
    images: FloatTensor<Flex>,
    trace: Arc<Mutex<Option<Trace>>>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Kept")
    }
}

#[derive(Debug)]
struct ChainBackward;

impl Backward<Flex, 2> for ChainBackward {
    type State = Kept;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [images_node, parameters_node] = ops.parents;
        let gradient = Values::of(gradients.consume::<Flex>(&ops.node));
        let Kept {
            chain,
            images,
            trace,
        } = ops.state;
        let trace = trace.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(trace) = trace else {
            panic!("a chain's backward pass is done once");
        };
        let shape = images.shape().dims::<4>();
        let images = Values::of(images);
        let (values, images_values) = chain.backward(images.get(), trace, gradient.get());
        if let Some(node) = parameters_node {
            let count = values.len();
            gradients.register::<Flex>(node.id, tensor(values, [count]));
        }
        if let (Some(node), Some(values)) = (images_node, images_values) {
            gradients.register::<Flex>(node.id, tensor(values, shape));
        }
    }
}

impl<C: CheckpointStrategy> ChainBackend for Autodiff<Flex, C> {
    fn chain_train(
        images: FloatTensor<Self>,
        views: usize,
        parameters: FloatTensor<Self>,
        chain: Arc<Chain>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let images_gradient = images.is_tracked();
        let nodes = [images.node(), parameters.node()];
        let prepared = ChainBackward.prepare::<C>(nodes).compute_bound().stateful();
        let images = images.into_primitive();
        let parameters = parameters.into_primitive();
        match prepared {
            OpsKind::Tracked(prepared) => {
                let (pixels, weights) = (Values::of(images.clone()), Values::of(parameters));
                let (values, statistics, trace) =
                    chain.forward(pixels.get(), views, weights.get(), images_gradient);
                let count = statistics.len();
                let output = features(values, &chain);
                let kept = Kept {
                    chain,
                    images,
                    trace: Arc::new(Mutex::new(Some(trace))),
                };
                (
                    prepared.finish(kept, output),
                    Self::from_inner(tensor(statistics, [count])),
                )
            }
            OpsKind::UnTracked(prepared) => {
                let (output, statistics) = Flex::chain_train(images, views, parameters, chain);
                (prepared.finish(output), Self::from_inner(statistics))
            }
        }
    }

    fn chain_frozen(
        images: FloatTensor<Self>,
        parameters: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        chain: Arc<Chain>,
    ) -> FloatTensor<Self> {
        let [images, parameters, statistics] = [images, parameters, statistics].map(Self::inner);
        Self::from_inner(Flex::chain_frozen(images, parameters, statistics, chain))
    }
}

/// The chains of a network, built when they are first needed, for each place in it and size of
/// images. Clones of the network share them.
#[derive(Clone, Default)]
pub struct Chains(Arc<Mutex<HashMap<Key, Arc<Chain>>>>);

/// Number of the place; forms of images and features; channels, height and width of the images.
type Key = (usize, [Form; 2], [usize; 3]);

impl std::fmt::Debug for Chains {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Chains")
    }
}

impl Chains {
    /// The chain of `layers` at `place`, between these forms, for images of channels, height and width
    /// `input`.
    pub(super) fn get(
        &self,
        (place, forms): (usize, [Form; 2]),
        input: [usize; 3],
        layers: &[Layer],
    ) -> Option<Arc<Chain>> {
        let key = (place, forms, input);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chain) = known.get(&key) {
            return Some(Arc::clone(chain));
        }
        let chain = Arc::new(Chain::between(forms, input, layers).ok()?);
        known.insert(key, Arc::clone(&chain));
        Some(chain)
    }
}

/// Whether fused operations are used where they can be; `AET_FUSED=off` in the environment turns them
/// off, to compare.
pub(crate) fn is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| std::env::var("AET_FUSED").as_deref() != Ok("off"))
}

/// Whether `images` can go through [`forward`]; if not, the log says so once.
pub(super) fn applies(images: &Tensor<4>) -> bool {
    static SAID: Once = Once::new();
    let on = is_on();
    let (cpu, dtype) = (is_cpu(&images.device()), images.dtype());
    // A chain takes its statistics by itself.
    if replica::is_sharing() {
        return false;
    }
    let applies = on && cpu && dtype == DType::F32;
    // Elsewhere nobody expects them.
    if cpu && !applies {
        SAID.call_once(|| {
            tracing::warn!(
                ?dtype,
                "the encoder runs on Burn's operations, not on the fused ones for the CPU"
            );
        });
    }
    applies
}

/// Features of `images`, `views` equal parts one after the other, after `chain`, whose units are
/// `units`; training on an autodiff device, frozen off it.
pub(super) fn forward(
    chain: Arc<Chain>,
    units: &[&Unit],
    (images, views): (Tensor<4>, usize),
) -> Tensor<4> {
    let parameters = units.iter().flat_map(|unit| {
        let kernel = unit.conv.val();
        let count: usize = kernel.dims().iter().product();
        [
            kernel.reshape([count]),
            unit.norm.gamma.val(),
            unit.norm.beta.val(),
        ]
    });
    let parameters = Tensor::cat(parameters.collect(), 0).into_dispatch();
    let training = images.device().is_autodiff();
    let images = images.into_dispatch();
    if !training {
        let statistics = units
            .iter()
            .flat_map(|unit| [&unit.norm.running_mean, &unit.norm.running_var])
            .map(|running| running.value_sync());
        let statistics = Tensor::cat(statistics.collect(), 0).into_dispatch();
        let features = Dispatch::chain_frozen(images, parameters, statistics, chain);
        return Tensor::from_dispatch(features);
    }
    let pixels = chain.unit_pixels();
    let (features, statistics) = Dispatch::chain_train(images, views, parameters, chain);
    let features = Tensor::<4>::from_dispatch(features);
    let statistics = Tensor::<1>::from_dispatch(statistics);
    let [batch, _, _, _] = features.dims();
    let mut first = 0;
    for _ in 0..views {
        for (unit, pixels) in units.iter().zip(&pixels) {
            let [channels] = unit.norm.gamma.dims();
            let part = |start: usize| statistics.clone().narrow(0, start, channels);
            let (mean, variance) = (part(first), part(first + channels));
            unit.norm.follow(mean, variance, batch / views * pixels);
            first += 2 * channels;
        }
    }
    features
}
