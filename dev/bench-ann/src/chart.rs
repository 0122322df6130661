//! Curves as an SVG with each name at the end of its line, in colours that can be read on white and on black.

use std::path::Path;

use bench::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::curve::Curve;

const SIZE: (u32, u32) = (960, 560);
const NEUTRAL: RGBColor = RGBColor(125, 125, 125);
/// As bright as the neutral grey or a little more.
const COLOURS: [RGBColor; 8] = [
    RGBColor(46, 125, 215),
    RGBColor(214, 96, 36),
    RGBColor(34, 150, 94),
    RGBColor(178, 82, 190),
    RGBColor(190, 140, 20),
    RGBColor(214, 64, 100),
    RGBColor(20, 150, 165),
    RGBColor(130, 120, 230),
];
const LABEL: i32 = 13;
const RECALL_FROM: f64 = 0.8;
const RECALL_TO: f64 = 0.999;

/// Beside ours, one or two of each library: more lines than these cannot be told apart.
const DRAWN: [&str; 11] = [
    "hnswlib",
    "symphonyqg 8 bits",
    "rabitq hnsw",
    "glass sq4",
    "svs f16",
    "faiss hnsw",
    "faiss ivf fastscan",
    "scann",
    "usearch bf16",
    "hnsw_rs",
    "ngt",
];

/// Recalls that the axis names.
const RECALLS: [f64; 7] = [RECALL_FROM, 0.9, 0.95, 0.98, 0.99, 0.995, RECALL_TO];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Where recalls and rates are on the picture, in pixels.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    low: f64,
    high: f64,
}

impl Frame {
    /// Halving what a recall lacks is always as far.
    fn x(&self, recall: f64) -> i32 {
        let place = |recall: f64| -(1.0 - recall).log10();
        let share = (place(recall) - place(RECALL_FROM)) / (place(RECALL_TO) - place(RECALL_FROM));
        pixel(self.left + share * (self.right - self.left))
    }

    fn y(&self, rate: f64) -> i32 {
        let share = (rate / self.low).ln() / (self.high / self.low).ln();
        pixel(self.bottom + share * (self.top - self.bottom))
    }
}

fn pixel(place: f64) -> i32 {
    place.round() as i32
}

/// Draws the curves; `ours` are drawn thick.
pub(crate) fn draw(path: &Path, title: &str, curves: &[Curve], ours: &[&str]) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    let lines: Vec<(&str, Vec<(f64, f64)>)> = curves
        .iter()
        .filter(|curve| ours.contains(&curve.subject) || DRAWN.contains(&curve.subject))
        .map(|curve| {
            let inside = |recall: f64| (RECALL_FROM..=RECALL_TO).contains(&recall);
            let points = curve.points.iter().filter(|point| inside(point.recall));
            let points = points.map(|point| (point.recall, point.rate.median()));
            (curve.subject, points.collect::<Vec<_>>())
        })
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let rates = || lines.iter().flat_map(|(_, points)| points);
    let frame = Frame {
        left: 72.0,
        right: f64::from(SIZE.0) - 190.0,
        top: 48.0,
        bottom: f64::from(SIZE.1) - 60.0,
        low: rates().fold(f64::INFINITY, |low, (_, rate)| low.min(*rate)) / 1.3,
        high: rates().fold(1.0_f64, |high, (_, rate)| high.max(*rate)) * 1.3,
    };
    axes(&area, &frame, title)?;
    let mut ends = Vec::new();
    for (at, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let width = if ours.contains(name) { 4 } else { 2 };
        let points = points
            .iter()
            .map(|(recall, rate)| (frame.x(*recall), frame.y(*rate)));
        let points: Vec<(i32, i32)> = points.collect();
        for point in &points {
            area.draw(&Circle::new(*point, width, colour.filled()))?;
        }
        ends.extend(points.last().map(|last| (*last, *name, colour)));
        area.draw(&PathElement::new(points, colour.stroke_width(width)))?;
    }
    label(&area, &frame, ends)?;
    area.present()?;
    Ok(())
}

fn write(
    area: &Area<'_>,
    text: String,
    at: (i32, i32),
    anchor: HPos,
    colour: RGBColor,
) -> Result<()> {
    let style = ("sans-serif", LABEL).into_font().color(&colour);
    area.draw(&Text::new(
        text,
        at,
        style.pos(Pos::new(anchor, VPos::Center)),
    ))?;
    Ok(())
}

fn axes(area: &Area<'_>, frame: &Frame, title: &str) -> Result<()> {
    let (left, right) = (pixel(frame.left), pixel(frame.right));
    let (top, bottom) = (pixel(frame.top), pixel(frame.bottom));
    let grid = NEUTRAL.mix(0.25);
    for recall in RECALLS {
        let x = frame.x(recall);
        area.draw(&PathElement::new(vec![(x, top), (x, bottom)], grid))?;
        write(
            area,
            recall.to_string(),
            (x, bottom + 14),
            HPos::Center,
            NEUTRAL,
        )?;
    }
    // 1, 2 and 5 times powers of ten.
    let rates = (0..8).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
    for rate in rates.filter(|rate| (frame.low..=frame.high).contains(rate)) {
        let y = frame.y(rate);
        area.draw(&PathElement::new(vec![(left, y), (right, y)], grid))?;
        write(area, rate.to_string(), (left - 8, y), HPos::Right, NEUTRAL)?;
    }
    write(area, title.to_owned(), (left, 14), HPos::Left, NEUTRAL)?;
    let what = "queries a second on one core".to_owned();
    write(area, what, (left, 34), HPos::Left, NEUTRAL)?;
    let middle = i32::midpoint(left, right);
    write(
        area,
        "recall at 10".to_owned(),
        (middle, bottom + 38),
        HPos::Center,
        NEUTRAL,
    )
}

/// Writes the names beside the lines, apart from each other, with a thin line from the end to the name.
fn label(
    area: &Area<'_>,
    frame: &Frame,
    mut ends: Vec<((i32, i32), &str, RGBColor)>,
) -> Result<()> {
    ends.sort_by_key(|((_, y), ..)| *y);
    let right = pixel(frame.right);
    let step = LABEL + 5;
    let mut free = pixel(frame.top);
    let count = i32::try_from(ends.len())?;
    for (at, ((x, y), name, colour)) in (1..).zip(ends) {
        let latest = pixel(frame.bottom) - (count - at) * step;
        let place = y.clamp(free, latest.max(free));
        free = place + step;
        let line = [(x, y), (right + 16, place), (right + 24, place)];
        area.draw(&PathElement::new(line.to_vec(), colour.mix(0.5)))?;
        write(
            area,
            name.to_owned(),
            (right + 28, place),
            HPos::Left,
            colour,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::Point;

    #[test]
    fn every_curve_that_is_drawn_has_its_name() {
        let point = |recall, rate: f64| Point {
            effort: 1,
            recall,
            rate: std::iter::once(rate).collect(),
        };
        let curve = |subject, rate| Curve {
            subject,
            points: vec![
                point(0.7, 3.0 * rate),
                point(0.9, 2.0 * rate),
                point(0.99, rate),
            ],
        };
        let curves = [
            curve("ours", 9e3),
            curve("hnswlib", 1e3),
            curve("not drawn", 2e3),
        ];
        let path = std::env::temp_dir().join(format!("tandemdb-chart-{}.svg", std::process::id()));
        draw(&path, "a title", &curves, &["ours"]).expect("a writable folder");
        let svg = std::fs::read_to_string(&path).expect("the picture");
        std::fs::remove_file(path).expect("the picture");
        for text in ["a title", "ours", "hnswlib", "0.95", "10000"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("not drawn"));
        assert_eq!(svg.matches("<circle").count(), 4);
    }
}
