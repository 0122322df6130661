//! Curves as an SVG with each name at the end of its line, in colours that can be read on white and on black.

use std::path::Path;

use bench::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

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
const RECALL_FROM: f64 = 0.85;
const RECALL_TO: f64 = 1.0;

/// Draws the curves; `ours` are drawn thick.
pub(crate) fn draw(path: &Path, title: &str, curves: &[Curve], ours: &[&str]) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    let lines: Vec<(&str, Vec<(f64, f64)>)> = curves
        .iter()
        .map(|curve| {
            let points = curve
                .points
                .iter()
                .filter(|point| point.recall >= RECALL_FROM);
            let points = points.map(|point| (point.recall, point.rate.median()));
            (curve.subject, points.collect::<Vec<_>>())
        })
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let rates = || {
        lines
            .iter()
            .flat_map(|(_, points)| points.iter().map(|(_, rate)| *rate))
    };
    let low = rates().fold(f64::INFINITY, f64::min) / 1.3;
    let high = rates().fold(1.0, f64::max) * 1.3;
    let style = |size: i32| ("sans-serif", size).into_font().color(&NEUTRAL);
    let (plot, names) = area.split_horizontally(SIZE.0 - 190);
    let mut chart = ChartBuilder::on(&plot)
        .margin(12)
        .caption(title, style(17))
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(RECALL_FROM..RECALL_TO, (low..high).log_scale())?;
    chart
        .configure_mesh()
        .axis_style(NEUTRAL)
        .light_line_style(TRANSPARENT)
        .bold_line_style(NEUTRAL.mix(0.25))
        .label_style(style(LABEL))
        .axis_desc_style(style(LABEL + 1))
        .x_desc("recall at 10")
        .y_desc("queries a second, one core (logarithmic)")
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .draw()?;
    let mut ends = Vec::new();
    for (at, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let width = if ours.contains(name) { 4 } else { 2 };
        chart.draw_series(LineSeries::new(
            points.iter().copied(),
            colour.stroke_width(width),
        ))?;
        chart.draw_series(
            points
                .iter()
                .map(|point| Circle::new(*point, width, colour.filled())),
        )?;
        if let Some(last) = points.last() {
            ends.push((chart.backend_coord(last), *name, colour));
        }
    }
    label(&names, ends)?;
    area.present()?;
    Ok(())
}

/// Writes the names beside the ends of their lines, apart from each other, with a thin line from end to name.
fn label(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    mut ends: Vec<((i32, i32), &str, RGBColor)>,
) -> Result<()> {
    ends.sort_by_key(|((_, y), ..)| *y);
    let (left, _) = area.get_base_pixel();
    let mut free = 20;
    let room = SIZE.1.cast_signed() - 60;
    let count = i32::try_from(ends.len())?;
    for (at, ((x, y), name, colour)) in (0..).zip(ends) {
        let latest = room - (count - at - 1) * (LABEL + 4);
        let place = y.clamp(free, latest.max(free));
        free = place + LABEL + 4;
        let line = [(x - left + 4, y), (2, place), (10, place)];
        area.draw(&PathElement::new(line.to_vec(), colour.mix(0.5)))?;
        let style = ("sans-serif", LABEL).into_font().color(&colour);
        area.draw(&Text::new(name.to_owned(), (14, place - LABEL / 2), style))?;
    }
    Ok(())
}
