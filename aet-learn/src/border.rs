//! What is seen of the border of an image that was transformed: `border` of `[warp]`.
//!
//! What a copy reads from outside the image tells what was done to it, whatever the image shows. With
//! one colour it tells at a glance, mirrored it tells less, and with `crop` the encoder is shown none
//! of it: only the centred window ([`Window`]) that copies read from inside, of originals and copies
//! alike. There is one window in a run, from family and image size, so that its size tells nothing.

use aet_data::Normalisation;
use aet_data::random::{Purpose, generator};
use aet_geometry::{Border, Window, WindowFit};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::batch::PairBatch;
use crate::config::{Experiment, WarpConfig};
use crate::error::ConfigError;

/// What becomes of what a transformation reads from outside the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BorderMode {
    /// One colour, `warp.fill`, as released.
    #[default]
    Fill,
    /// The image mirrored at its sides.
    Reflect,
    /// The encoder is shown only a centred window of both views that is read from inside.
    Crop,
}

/// What the warp of a batch reads from outside its images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outside {
    /// One normalised colour.
    Fill([f32; 3]),
    /// The image mirrored at its sides.
    Reflect,
}

/// What a decoder has to know about borders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Framing {
    /// What is read from outside an image.
    pub outside: Outside,
    /// The part of all views that the encoder is shown; none for the whole.
    pub window: Option<Window>,
}

impl Framing {
    /// Whole images with one normalised colour outside of them.
    pub fn filled(colour: [f32; 3]) -> Self {
        Self {
            outside: Outside::Fill(colour),
            window: None,
        }
    }

    /// The part of images `[batch, channels, height, width]` that is shown.
    pub fn seen(&self, images: Tensor<4>) -> Tensor<4> {
        let Some(window) = self.window else {
            return images;
        };
        let rows = images.narrow(2, window.top, window.height);
        rows.narrow(3, window.left, window.width)
    }

    /// The part of both views that is shown.
    pub fn seen_pair(&self, batch: &PairBatch) -> PairBatch {
        PairBatch {
            original: self.seen(batch.original.clone()),
            transformed: self.seen(batch.transformed.clone()),
            target: batch.target.clone(),
        }
    }
}

impl WarpConfig {
    /// What the warps of the loader read from outside an image.
    pub fn host_border(&self) -> Border {
        match self.border {
            BorderMode::Fill => Border::Fill(self.fill),
            BorderMode::Reflect | BorderMode::Crop => Border::Reflect,
        }
    }

    fn outside(&self, normalisation: &Normalisation) -> Outside {
        match self.border {
            BorderMode::Fill => Outside::Fill(std::array::from_fn(|channel| {
                let value = f32::from(self.fill[channel]) / 255.0;
                (value - normalisation.mean[channel]) / normalisation.std[channel]
            })),
            BorderMode::Reflect | BorderMode::Crop => Outside::Reflect,
        }
    }
}

impl Experiment {
    /// The window that `warp.border = "crop"` shows of images of a height and width, in pixels; none
    /// with another border, or an objective that transforms no images by families.
    pub fn window(&self, image_size: [usize; 2]) -> Option<WindowFit> {
        let families = self.families();
        let crops = self.warp.border == BorderMode::Crop && !families.is_empty();
        // The same draws in every run, so that runs of one family and size show the same.
        let mut rng = generator(0, 0, 0, Purpose::Transform);
        crops.then(|| Window::fit(&families, image_size, &mut rng))
    }

    /// What decoders have to know about the borders of images of a height and width, in pixels.
    pub fn framing(&self, image_size: [usize; 2]) -> Framing {
        Framing {
            outside: self.warp.outside(&self.data.normalisation),
            window: self.window(image_size).map(|fit| fit.window),
        }
    }

    /// Refuses to crop images of a height and width, in pixels, whose window would show the border
    /// all the same, or be too small for the encoder.
    ///
    /// # Errors
    /// Names `warp.border` and what it may be.
    pub fn check_window(&self, image_size: [usize; 2]) -> Result<(), ConfigError> {
        let Some(fit) = self.window(image_size) else {
            return Ok(());
        };
        if !fit.holds() {
            let range = "\"fill\" or \"reflect\" for transformations that reach so far: less than 95% of them read a centred window of a quarter of the sides (8 px at the least) from inside the image";
            return Err(ConfigError::range("warp.border", range, "\"crop\""));
        }
        let size = fit.window.size();
        self.backbone.check_image_size(size).map_err(|_| {
            let range = "\"fill\" or \"reflect\", or the images larger: the window is too small for this encoder";
            let found = format!("\"crop\" (a window of {}x{} px)", size[0], size[1]);
            ConfigError::range("warp.border", range, found)
        })
    }
}
