//! The grid of pairs. On the left each original, with the outline of its transformed copy; on the
//! right the copy, with the outline of the original as the transformation moved it. Both in truth
//! and, given a model, as it tells them.

use aet_geometry::{Homography, Window};
use image::RgbImage;
use image::imageops::{FilterType, resize};

use super::canvas::{Canvas, Clip, Colour, Font, Stroke};
use super::pairs::{PairSample, PairSamples, corners};

/// What a grid says and how wide it is.
#[derive(Debug, Clone)]
pub struct GridStyle {
    /// The heading.
    pub title: String,
    /// Pairs in a row.
    pub columns: usize,
}

pub(super) const PAPER: Colour = [250, 250, 248];
const MARGIN_OF_IMAGE: Colour = [226, 226, 222];
const INK: Colour = [32, 33, 36];
const FAINT_INK: Colour = [92, 94, 99];
/// Blue and orange of Okabe and Ito's palette, which colour-blind readers tell apart; brightened so
/// that both stand out on photographs. Dashes tell them apart without any colour.
pub(super) const TRUTH: Colour = [0, 158, 255];
pub(super) const PREDICTION: Colour = [255, 140, 0];
const WINDOW: Colour = [255, 255, 255];
const HALO: Colour = [20, 20, 20];

/// Longer side of an image as drawn, in canvas pixels.
const SIDE: f32 = 128.0;
/// Room around an image for what leaves it, as a share of the longer side.
const ROOM: f32 = 0.34;
pub(super) const GAP: u32 = 16;
pub(super) const CAPTION: u32 = 20;
const HEADER: u32 = 104;
/// Least width, which the header needs.
pub(super) const LEAST_WIDTH: u32 = 800;

pub(super) const TITLE_FONT: Font = Font {
    colour: INK,
    bold: true,
    large: true,
};
const LEGEND_FONT: Font = Font {
    colour: INK,
    bold: false,
    large: false,
};
pub(super) const CAPTION_FONT: Font = Font {
    colour: FAINT_INK,
    bold: false,
    large: false,
};

/// Sizes of one pair, in canvas pixels.
#[derive(Debug, Clone, Copy)]
struct Layout {
    scale: f32,
    /// Drawn width and height of an image.
    image: [u32; 2],
    /// Room around it, left and right, above and below.
    room: u32,
    /// Width and height of a pair with its caption.
    pair: [u32; 2],
}

impl Layout {
    fn of(image: &RgbImage) -> Self {
        let scale = SIDE / image.width().max(image.height()).max(1) as f32;
        let drawn = |side: u32| ((side as f32 * scale).round() as u32).max(1);
        let image = [drawn(image.width()), drawn(image.height())];
        let room = (SIDE * ROOM).round() as u32;
        let pair = [
            2 * image[0] + 4 * room + GAP / 4,
            image[1] + 2 * room + CAPTION,
        ];
        Self {
            scale,
            image,
            room,
            pair,
        }
    }
}

/// Draws the grid.
pub fn draw_grid(samples: &PairSamples, style: &GridStyle) -> RgbImage {
    let Some(first) = samples.pairs.first() else {
        return RgbImage::new(1, 1);
    };
    let layout = Layout::of(&first.original);
    let columns = style.columns.clamp(1, samples.pairs.len()) as u32;
    let rows = (samples.pairs.len() as u32).div_ceil(columns);
    let [pair_width, pair_height] = layout.pair;
    let width = (GAP + columns * (pair_width + GAP)).max(LEAST_WIDTH);
    let height = HEADER + rows * (pair_height + GAP);
    let mut canvas = Canvas::new(width, height, PAPER);
    draw_header(&mut canvas, samples, style, width);
    for (index, pair) in samples.pairs.iter().enumerate() {
        let (row, column) = (index as u32 / columns, index as u32 % columns);
        let left = GAP + column * (pair_width + GAP);
        let top = HEADER + row * (pair_height + GAP);
        let window = samples.window;
        draw_pair(&mut canvas, (pair, window), layout, [left, top]);
    }
    canvas.into_image()
}

fn draw_header(canvas: &mut Canvas, samples: &PairSamples, style: &GridStyle, width: u32) {
    let room = (width - 2 * GAP) / TITLE_FONT.letter_width();
    canvas.text(&shortened(&style.title, room), GAP, 12, TITLE_FONT);
    let top = 44;
    let mut at = legend(canvas, [GAP, top], truth_stroke(), "truth");
    if samples.has_predictions {
        at = legend(canvas, [at + GAP, top], prediction_stroke(), "prediction");
    }
    if samples.window.is_some() {
        at = legend(
            canvas,
            [at + GAP, top],
            window_stroke(),
            "what the encoder sees",
        );
    }
    let clip = canvas.bounds();
    let middle = [(at + GAP + 6) as f32, (top + 8) as f32];
    canvas.dot(middle, 5.5, HALO, clip);
    canvas.dot(middle, 4.0, TRUTH, clip);
    canvas.text("top left corner", at + GAP + 18, top, LEGEND_FONT);
    let says = "left: the original, and where its copy was taken from; right: the copy, and where the original went";
    canvas.text(says, GAP, top + 24, CAPTION_FONT);
}

/// A sample of `stroke` and what it stands for; gives the position after it.
fn legend(canvas: &mut Canvas, place: [u32; 2], stroke: Stroke, meaning: &str) -> u32 {
    let [left, top] = place;
    let y = (top + 8) as f32;
    let ends = [[left as f32, y], [(left + 34) as f32, y]];
    let clip = canvas.bounds();
    draw_stroke(canvas, ends, stroke, clip);
    canvas.text(meaning, left + 44, top, LEGEND_FONT)
}

fn draw_pair(
    canvas: &mut Canvas,
    (pair, window): (&PairSample, Option<Window>),
    layout: Layout,
    place: [u32; 2],
) {
    let [left, top] = place;
    let letters = layout.pair[0] / CAPTION_FONT.letter_width();
    canvas.text(&shortened(&pair.caption, letters), left, top, CAPTION_FONT);
    let top = top + CAPTION;

    let width = layout.image[0] + 2 * layout.room;
    let truth = pair.truth.as_ref();
    let predicted = pair.predicted.as_ref();
    let strokes = [(truth, truth_stroke()), (predicted, prediction_stroke())];

    let pen = draw_panel(canvas, &pair.original, layout, [left, top]);
    draw_window(canvas, window, pen);
    for (map, stroke) in strokes {
        if let Some(original_from_copy) = map {
            draw_outline(
                canvas,
                &pair.original,
                original_from_copy,
                Pen { stroke, ..pen },
            );
        }
    }
    let place = [left + width + GAP / 4, top];
    let pen = draw_panel(canvas, &pair.transformed, layout, place);
    draw_window(canvas, window, pen);
    for (map, stroke) in strokes {
        if let Some(copy_from_original) = map.and_then(|map| map.inverse().ok()) {
            draw_outline(
                canvas,
                &pair.original,
                &copy_from_original,
                Pen { stroke, ..pen },
            );
        }
    }
}

/// Draws `image` with room around it, its top left corner at `place`; gives the pen that draws on
/// it in its own pixels.
fn draw_panel(canvas: &mut Canvas, image: &RgbImage, layout: Layout, place: [u32; 2]) -> Pen {
    let [left, top] = place;
    let room = layout.room;
    let [width, height] = layout.image.map(|side| side + 2 * room);
    let clip = Clip([left, top, left + width, top + height].map(|value| value as f32));
    canvas.fill(clip, MARGIN_OF_IMAGE);
    let origin = [left + room, top + room];
    canvas.paste(&enlarged(image, layout.image), origin[0], origin[1]);
    Pen {
        scale: layout.scale,
        origin: origin.map(|value| value as f32),
        clip,
        stroke: truth_stroke(),
    }
}

/// Where and how an outline is drawn.
#[derive(Debug, Clone, Copy)]
struct Pen {
    scale: f32,
    origin: [f32; 2],
    clip: Clip,
    stroke: Stroke,
}

/// Draws the square of `image` as `map` moves it, with a dot on its top left corner. Sides with an
/// end behind the horizon are left out.
fn draw_outline(canvas: &mut Canvas, image: &RgbImage, map: &Homography, pen: Pen) {
    let points = corners(image).map(|corner| {
        let [x, y] = map.apply(corner)?;
        Some([
            pen.origin[0] + x as f32 * pen.scale,
            pen.origin[1] + y as f32 * pen.scale,
        ])
    });
    for side in 0..4 {
        if let (Some(from), Some(to)) = (points[side], points[(side + 1) % 4]) {
            draw_stroke(canvas, [from, to], pen.stroke, pen.clip);
        }
    }
    if let Some(first) = points[0] {
        canvas.dot(first, 6.0, HALO, pen.clip);
        canvas.dot(first, 4.5, pen.stroke.colour, pen.clip);
    }
}

/// Draws the outline of the part that the encoder is shown, if that is not all.
fn draw_window(canvas: &mut Canvas, window: Option<Window>, pen: Pen) {
    let Some(window) = window else {
        return;
    };
    let [left, top] = [window.left, window.top].map(|side| side as f32);
    let (right, bottom) = (left + window.width as f32, top + window.height as f32);
    let corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
    let at = corners.map(|[x, y]| [pen.origin[0] + x * pen.scale, pen.origin[1] + y * pen.scale]);
    for side in 0..4 {
        draw_stroke(
            canvas,
            [at[side], at[(side + 1) % 4]],
            window_stroke(),
            pen.clip,
        );
    }
}

/// A line with a dark edge, so that it stands out on any picture.
fn draw_stroke(canvas: &mut Canvas, ends: [[f32; 2]; 2], stroke: Stroke, clip: Clip) {
    let halo = Stroke {
        colour: HALO,
        width: stroke.width + 2.0,
        ..stroke
    };
    canvas.line(ends, halo, clip);
    canvas.line(ends, stroke, clip);
}

fn truth_stroke() -> Stroke {
    Stroke {
        colour: TRUTH,
        width: 2.0,
        dash: None,
    }
}

fn prediction_stroke() -> Stroke {
    Stroke {
        colour: PREDICTION,
        width: 2.0,
        dash: Some([8.0, 7.0]),
    }
}

fn window_stroke() -> Stroke {
    Stroke {
        colour: WINDOW,
        width: 1.5,
        dash: Some([2.0, 4.0]),
    }
}

/// `image` at the width and height in which it is drawn.
pub(super) fn enlarged(image: &RgbImage, [width, height]: [u32; 2]) -> RgbImage {
    let filter = if width.max(height) > image.width().max(image.height()) {
        FilterType::CatmullRom
    } else {
        FilterType::Triangle
    };
    resize(image, width, height, filter)
}

/// At most `letters` letters of `text`.
pub(super) fn shortened(text: &str, letters: u32) -> String {
    let letters = letters as usize;
    if text.chars().count() <= letters {
        return text.to_string();
    }
    let kept: String = text.chars().take(letters.saturating_sub(2)).collect();
    format!("{}..", kept.trim_end())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample(truth: Homography, predicted: Option<Homography>) -> PairSample {
        let grey = RgbImage::from_pixel(30, 20, image::Rgb([120, 120, 120]));
        PairSample {
            original: grey.clone(),
            transformed: grey,
            truth: Some(truth),
            predicted,
            caption: "#3 a class with a name that is much too long for its place".into(),
        }
    }

    fn grid(predicted: Option<Homography>) -> RgbImage {
        grid_with(predicted, None)
    }

    fn grid_with(predicted: Option<Homography>, window: Option<Window>) -> RgbImage {
        let samples = PairSamples {
            window,
            pairs: vec![sample(Homography::translation(3.0, -2.0), predicted); 5],
            has_predictions: predicted.is_some(),
        };
        let style = GridStyle {
            title: "test".into(),
            columns: 2,
        };
        draw_grid(&samples, &style)
    }

    fn count(image: &RgbImage, colour: Colour) -> usize {
        image.pixels().filter(|pixel| pixel.0 == colour).count()
    }

    #[test]
    fn truth_is_drawn_and_prediction_only_with_a_model() {
        assert!(count(&grid(None), TRUTH) > 500);
        assert_eq!(count(&grid(None), PREDICTION), 0);
        let far = Homography::translation(-5.0, 4.0);
        assert!(count(&grid(Some(far)), PREDICTION) > 200);
    }

    #[test]
    fn the_window_is_drawn_where_there_is_one() {
        let window = Window {
            top: 4,
            left: 6,
            height: 12,
            width: 18,
        };
        let shown = count(&grid_with(None, Some(window)), WINDOW);
        assert!(shown > count(&grid(None), WINDOW) + 300, "{shown}");
    }

    #[test]
    fn a_prediction_without_an_inverse_shows_on_the_original() {
        let to_a_point =
            Homography::from_rows([[0.0, 0.0, 15.0], [0.0, 0.0, 10.0], [0.0, 0.0, 1.0]]);
        assert!(count(&grid(Some(to_a_point)), PREDICTION) > 5 * 30);
    }

    #[test]
    fn a_map_behind_the_horizon_is_left_out() {
        let behind = Homography::from_rows([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-0.2, 0.0, 1.0]]);
        assert!(count(&grid(Some(behind)), TRUTH) > 500);
    }

    #[test]
    fn the_median_of_the_corner_errors_is_in_pixels_of_the_image() {
        let truth = Homography::translation(3.0, -2.0);
        let predicted = Homography::translation(6.0, 2.0);
        let samples = PairSamples {
            pairs: vec![sample(truth, Some(predicted))],
            window: None,
            has_predictions: true,
        };
        assert!((samples.corner_error_px().unwrap() - 5.0).abs() < 1e-9);
    }
}
