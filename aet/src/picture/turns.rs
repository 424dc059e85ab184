//! The quarter turns of images, and what a model takes them for.

use aet_learn::evaluate::evaluation_batches;
use aet_learn::objective::TURNS;

use super::pairs::{caption, predict, view_of_row};
use super::strips::{Strip, Tile, draw_strips};
use super::{Figure, Subject, TaskPicture};

/// Draws the four turns of the images of `subject`, and, given a model, by how much it says that each
/// was turned.
///
/// # Errors
/// When the images are not square, or the loader fails.
pub fn draw(subject: &Subject<'_>, title: &str) -> anyhow::Result<TaskPicture> {
    let mut strips = Vec::with_capacity(subject.images.len());
    let mut hits = 0;
    for batch in evaluation_batches(subject.experiment, subject.images, 64)? {
        let batch = batch?;
        let rows = batch.indices.len();
        let scores = subject
            .model
            .map(|(model, device)| predict(model, batch.clone(), device));
        for row in 0..rows {
            let mut tiles = Vec::with_capacity(TURNS);
            for turn in 0..TURNS {
                let told = scores.as_ref().map(|scores| {
                    let first = (turn * rows + row) * TURNS;
                    highest(&scores[first..first + TURNS])
                });
                hits += usize::from(told == Some(turn));
                tiles.push(Tile {
                    image: view_of_row(subject.experiment, &batch, turn, row)?,
                    label: label(turn, told),
                    is_right: told.map(|told| told == turn),
                });
            }
            strips.push(Strip {
                caption: caption(subject.images, batch.indices[row], subject.numbers),
                tiles,
            });
        }
    }
    let views = strips.len() * TURNS;
    let accuracy = (subject.model.is_some() && views > 0).then(|| hits as f64 / views as f64);
    let says = match accuracy {
        Some(_) => {
            "degrees counter-clockwise, and what each is taken for: blue frames are right, orange wrong"
        }
        None => "each image by its quarter turns, in degrees counter-clockwise",
    };
    let share = accuracy.map_or_else(String::new, |_| {
        format!(" {hits} of these {views} turns are told right.")
    });
    Ok(TaskPicture {
        image: draw_strips(&strips, title, says),
        heading: "Quarter turns, true and predicted",
        says: format!("{says}.{share}"),
        figure: Figure {
            key: "turn_accuracy",
            value: accuracy,
            line: accuracy.map(|_| format!("turns    {hits} of {views} told right")),
        },
    })
}

/// `90: told 180`, in degrees.
fn label(turn: usize, told: Option<usize>) -> String {
    let degrees = |turn: usize| 360 / TURNS * turn;
    match told {
        None => format!("{}", degrees(turn)),
        Some(told) => format!("{}: told {}", degrees(turn), degrees(told)),
    }
}

/// The place of the highest score.
fn highest(scores: &[f32]) -> usize {
    let places = scores.iter().enumerate();
    let best = places.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(0, |(place, _)| place)
}
