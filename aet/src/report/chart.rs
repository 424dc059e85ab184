//! Line charts as SVG. Colours come from the page's style sheet, by class.

use std::fmt::Write;

use super::curves::Points;

/// One line of a chart.
#[derive(Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its class in the style sheet.
    pub class: &'static str,
    /// Its points.
    pub points: Points,
    /// Whether each point is marked.
    pub marked: bool,
}

/// A chart.
#[derive(Debug)]
pub struct Chart {
    /// What it shows, for those who cannot see it.
    pub says: String,
    /// Label of the x axis, with its unit.
    pub x_label: String,
    /// Label of the y axis, with its unit.
    pub y_label: String,
    /// The lines, drawn in this order.
    pub series: Vec<Series>,
    /// Height in units of the drawing, which is 760 wide.
    pub height: f64,
    /// Whether the y axis begins at 0.
    pub from_zero: bool,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;

/// The range of an axis and where it lies on the drawing.
#[derive(Debug, Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
    /// Position of `low` and of `high`.
    ends: [f64; 2],
}

impl Axis {
    fn place(self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.ends[0] + share * (self.ends[1] - self.ends[0])
    }

    /// Round numbers within the range, about `count` of them, and their decimals.
    fn ticks(self, count: usize) -> (Vec<f64>, usize) {
        let step = round_step((self.high - self.low) / count as f64);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let (first, last) = (
            (self.low / step).ceil() as i64,
            (self.high / step + 1e-9).floor() as i64,
        );
        (
            (first..=last).map(|index| index as f64 * step).collect(),
            decimals,
        )
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= step * 0.999);
    factor.unwrap_or(10.0) * power
}

impl Chart {
    /// The chart as an `svg` element; a line of text when there is nothing to draw.
    pub fn svg(&self) -> String {
        let Some((x, y)) = self.axes() else {
            return "<p class=\"faint\">Nothing was logged.</p>".into();
        };
        let mut svg = String::new();
        let _ = write!(
            svg,
            "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">",
            self.height,
            escape(&self.says)
        );
        self.draw_frame(&mut svg, x, y);
        // Lines that leave the axis are cut off; marks at its ends are not.
        let left = LEFT - 6.0;
        let (plot_width, plot_height) = (x.ends[1] - x.ends[0] + 12.0, y.ends[0] - y.ends[1]);
        let _ = write!(
            svg,
            "<svg x=\"{left}\" y=\"{TOP}\" width=\"{plot_width}\" height=\"{plot_height}\" viewBox=\"{left} {TOP} {plot_width} {plot_height}\">"
        );
        for series in &self.series {
            draw_series(&mut svg, series, x, y);
        }
        svg.push_str("</svg>");
        self.draw_legend(&mut svg);
        svg.push_str("</svg>");
        svg
    }

    /// The axes that hold all points of the lines that are not faint.
    fn axes(&self) -> Option<(Axis, Axis)> {
        let points = || {
            self.series
                .iter()
                .filter(|s| s.class != "raw")
                .flat_map(|s| &s.points)
        };
        let range = |side: usize| {
            let values = || {
                points()
                    .map(move |point| point[side])
                    .filter(|v| v.is_finite())
            };
            Some((values().reduce(f64::min)?, values().reduce(f64::max)?))
        };
        let ((_, right), (mut low, mut high)) = (range(0)?, range(1)?);
        if self.from_zero {
            low = low.min(0.0);
        }
        let room = ((high - low) * 0.06).max(high.abs() * 1e-3).max(1e-9);
        low = if low >= 0.0 {
            (low - room).max(0.0)
        } else {
            low - room
        };
        high += room;
        let x = Axis {
            low: 0.0,
            high: right.max(1e-9),
            ends: [LEFT, WIDTH - RIGHT],
        };
        let ends = [self.height - BOTTOM, TOP];
        Some((x, Axis { low, high, ends }))
    }

    fn draw_frame(&self, svg: &mut String, x: Axis, y: Axis) {
        let (values, decimals) = y.ticks(5);
        for value in values {
            let at = y.place(value);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.decimals$}</text>",
                x.ends[0],
                x.ends[1],
                x.ends[0] - 8.0,
                at + 4.0
            );
        }
        let (values, decimals) = x.ticks(8);
        for value in values {
            let _ = write!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value:.decimals$}</text>",
                x.place(value),
                y.ends[0] + 18.0
            );
        }
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{0:.1}\" x2=\"{1:.1}\" y1=\"{2:.1}\" y2=\"{2:.1}\"/>",
            x.ends[0], x.ends[1], y.ends[0]
        );
        let (middle_x, middle_y) = ((x.ends[0] + x.ends[1]) / 2.0, (y.ends[0] + y.ends[1]) / 2.0);
        let _ = write!(
            svg,
            "<text class=\"label\" x=\"{middle_x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text class=\"label\" transform=\"translate(16 {middle_y:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            self.height - 8.0,
            escape(&self.x_label),
            escape(&self.y_label)
        );
    }

    fn draw_legend(&self, svg: &mut String) {
        if self.series.len() < 2 {
            return;
        }
        let mut at = LEFT;
        for series in &self.series {
            let _ = write!(
                svg,
                "<line class=\"series {}\" x1=\"{at:.1}\" x2=\"{:.1}\" y1=\"14\" y2=\"14\"/>",
                series.class,
                at + 22.0
            );
            if series.marked {
                let _ = write!(
                    svg,
                    "<circle class=\"mark {}\" cx=\"{:.1}\" cy=\"14\" r=\"3.5\"/>",
                    series.class,
                    at + 11.0
                );
            }
            let _ = write!(
                svg,
                "<text class=\"legend\" x=\"{:.1}\" y=\"18\">{}</text>",
                at + 28.0,
                escape(&series.name)
            );
            at += 28.0 + 7.0 * series.name.chars().count() as f64 + 22.0;
        }
    }
}

fn draw_series(svg: &mut String, series: &Series, x: Axis, y: Axis) {
    let places: Vec<String> = series
        .points
        .iter()
        .filter(|point| point[1].is_finite())
        .map(|point| format!("{:.1},{:.1}", x.place(point[0]), y.place(point[1])))
        .collect();
    let _ = write!(
        svg,
        "<polyline class=\"series {}\" points=\"{}\"/>",
        series.class,
        places.join(" ")
    );
    if !series.marked {
        return;
    }
    for point in &series.points {
        let _ = write!(
            svg,
            "<circle class=\"mark {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}: {:.4} at {:.2}</title></circle>",
            series.class,
            x.place(point[0]),
            y.place(point[1]),
            escape(&series.name),
            point[1],
            point[0]
        );
    }
}

/// `text` for use in HTML, inside elements and attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_between_ticks_are_round() {
        for (step, expected) in [(0.013, 0.02), (0.3, 0.5), (7.0, 10.0), (100.0, 100.0)] {
            assert!((round_step(step) - expected).abs() < 1e-12, "{step}");
        }
    }

    #[test]
    fn ticks_lie_within_the_axis() {
        let axis = Axis {
            low: 0.32,
            high: 0.58,
            ends: [0.0, 1.0],
        };
        let (ticks, decimals) = axis.ticks(5);
        assert_eq!(decimals, 1);
        assert!(ticks.iter().all(|tick| (0.32..=0.58).contains(tick)));
    }

    #[test]
    fn text_cannot_break_out_of_its_element() {
        assert_eq!(escape("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
    }
}
