//! Strips: the views of one image side by side, each with a line under it.

use image::RgbImage;

use super::canvas::{Canvas, Clip};
use super::grid::{
    CAPTION, CAPTION_FONT, GAP, LEAST_WIDTH, PAPER, PREDICTION, TITLE_FONT, TRUTH, enlarged,
    shortened,
};

/// Longer side of an image as drawn, in canvas pixels.
const SIDE: f32 = 112.0;
/// Width of the frame around an image that is right or wrong, in canvas pixels.
const FRAME: f32 = 4.0;
const HEADER: u32 = 72;

/// One image of a strip.
#[derive(Debug, Clone)]
pub struct Tile {
    /// The image.
    pub image: RgbImage,
    /// What it is.
    pub label: String,
    /// Whether a model was right about it; none where it was not asked.
    pub is_right: Option<bool>,
}

/// The views of one image.
#[derive(Debug, Clone)]
pub struct Strip {
    /// Which image it is.
    pub caption: String,
    /// Its views, at least one, all of one size, as many in every strip.
    pub tiles: Vec<Tile>,
}

/// Draws strips two in a row if they are short, else below each other, under `title` and a line that
/// `says` how to read them.
pub fn draw_strips(strips: &[Strip], title: &str, says: &str) -> RgbImage {
    let Some(first) = strips.first().and_then(|strip| strip.tiles.first()) else {
        return RgbImage::new(1, 1);
    };
    let tiles = strips[0].tiles.len() as u32;
    let (width, height) = (first.image.width(), first.image.height());
    let scale = SIDE / width.max(height).max(1) as f32;
    let size = [width, height].map(|side| ((side as f32 * scale).round() as u32).max(1));
    let step = size[0].max(SIDE as u32) + GAP;
    let strip = [tiles * step + GAP, CAPTION + size[1] + CAPTION + GAP];
    let columns = if tiles < 4 { 2 } else { 1 };
    let rows = (strips.len() as u32).div_ceil(columns);
    let canvas_width = (GAP + columns * strip[0]).max(LEAST_WIDTH);
    let mut canvas = Canvas::new(canvas_width, HEADER + rows * strip[1], PAPER);
    let letters = (canvas_width - 2 * GAP) / TITLE_FONT.letter_width();
    canvas.text(&shortened(title, letters), GAP, 12, TITLE_FONT);
    let letters = (canvas_width - 2 * GAP) / CAPTION_FONT.letter_width();
    canvas.text(&shortened(says, letters), GAP, 42, CAPTION_FONT);
    for (index, drawn) in strips.iter().enumerate() {
        let (row, column) = (index as u32 / columns, index as u32 % columns);
        let place = [GAP + column * strip[0], HEADER + row * strip[1]];
        let letters = (strip[0] - GAP) / CAPTION_FONT.letter_width();
        let caption = shortened(&drawn.caption, letters);
        canvas.text(&caption, place[0], place[1], CAPTION_FONT);
        for (number, tile) in drawn.tiles.iter().enumerate() {
            let left = place[0] + number as u32 * step;
            draw_tile(&mut canvas, tile, size, [left, place[1] + CAPTION]);
        }
    }
    canvas.into_image()
}

fn draw_tile(canvas: &mut Canvas, tile: &Tile, size: [u32; 2], [left, top]: [u32; 2]) {
    if let Some(is_right) = tile.is_right {
        let colour = if is_right { TRUTH } else { PREDICTION };
        let [width, height] = size.map(|side| side as f32);
        let (left, top) = (left as f32, top as f32);
        let frame = [
            left - FRAME,
            top - FRAME,
            left + width + FRAME,
            top + height + FRAME,
        ];
        canvas.fill(Clip(frame), colour);
    }
    canvas.paste(&enlarged(&tile.image, size), left, top);
    let letters = (size[0].max(SIDE as u32) + GAP / 2) / CAPTION_FONT.letter_width();
    let label = shortened(&tile.label, letters);
    canvas.text(&label, left, top + size[1] + 4, CAPTION_FONT);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strips(count: usize, tiles: usize, is_right: Option<bool>) -> Vec<Strip> {
        let tile = Tile {
            image: RgbImage::from_pixel(30, 20, image::Rgb([120, 120, 120])),
            label: "90, taken for 270".into(),
            is_right,
        };
        let strip = Strip {
            caption: "#3".into(),
            tiles: vec![tile; tiles],
        };
        vec![strip; count]
    }

    fn count(image: &RgbImage, colour: [u8; 3]) -> usize {
        image.pixels().filter(|pixel| pixel.0 == colour).count()
    }

    #[test]
    fn every_image_is_drawn_once() {
        for tiles in 1..5 {
            let picture = draw_strips(&strips(5, tiles, None), "title", "says");
            // 30x20 pixels become 112x75.
            assert_eq!(count(&picture, [120, 120, 120]), 5 * tiles * 112 * 75);
            assert_eq!(count(&picture, TRUTH) + count(&picture, PREDICTION), 0);
        }
    }

    #[test]
    fn right_and_wrong_answers_have_frames_of_their_own() {
        let right = draw_strips(&strips(2, 4, Some(true)), "title", "says");
        assert!(count(&right, TRUTH) > 1000 && count(&right, PREDICTION) == 0);
        let wrong = draw_strips(&strips(2, 4, Some(false)), "title", "says");
        assert!(count(&wrong, PREDICTION) > 1000 && count(&wrong, TRUTH) == 0);
    }
}
