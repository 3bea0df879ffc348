//! The figures as a picture: a panel for each scenario, a group of bars for each size, a bar for each algorithm up to
//! its p99, with a line on to its p99.9.

use std::fmt::Write;

use super::figures::Row;
use super::scenario::{SCENARIOS, SIZES};
use crate::balancing::ALGORITHMS;

const PANEL: (f64, f64) = (520.0, 240.0);
/// Within a panel, around what is plotted: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (52.0, 44.0, 12.0, 26.0);
const COLUMNS: usize = 2;
const HEAD: f64 = 58.0;
/// One for each algorithm: told apart by people who see few colours, too.
const COLOURS: [&str; ALGORITHMS.len()] = ["#999999", "#56b4e9", "#e69f00", "#0072b2", "#009e73", "#cc79a7"];
/// In milliseconds, on a scale of powers.
const SCALE: (f64, f64) = (10.0, 10_000.0);
const LINES: [f64; 4] = [10.0, 100.0, 1_000.0, 10_000.0];

/// Draws all rows.
pub(super) fn draw(rows: &[Row]) -> String {
    let width = PANEL.0 * COLUMNS as f64;
    let height = HEAD + PANEL.1 * SCENARIOS.len().div_ceil(COLUMNS) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    text(&mut svg, (12.0, 20.0), "start", "Response time in ms: bars to p99, lines to p99.9. Lower is better.");
    for (index, (name, _)) in ALGORITHMS.iter().enumerate() {
        let x = 12.0 + 170.0 * index as f64;
        bar(&mut svg, (x, 32.0), (12.0, 12.0), COLOURS[index]);
        text(&mut svg, (x + 17.0, 42.0), "start", name);
    }
    for (index, scenario) in SCENARIOS.iter().enumerate() {
        let at = (PANEL.0 * (index % COLUMNS) as f64, HEAD + PANEL.1 * (index / COLUMNS) as f64);
        panel(
            &mut svg,
            at,
            &format!("{}: {}", scenario.name, scenario.says),
            |row| row.scenario == scenario.name,
            rows,
        );
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, (x, y): (f64, f64), title: &str, is_here: impl Fn(&Row) -> bool, rows: &[Row]) {
    let (left, top, right, bottom) = MARGIN;
    let (width, height) = (PANEL.0 - left - right, PANEL.1 - top - bottom);
    let level = |ms: f64| {
        let part = (ms.clamp(SCALE.0, SCALE.1) / SCALE.0).log10() / (SCALE.1 / SCALE.0).log10();
        y + top + height * (1.0 - part)
    };
    text(svg, (x + left, y + top - 12.0), "start", title);
    for line_ms in LINES {
        line(svg, (x + left, level(line_ms)), (x + left + width, level(line_ms)), "#dddddd");
        text(svg, (x + left - 6.0, level(line_ms) + 4.0), "end", &line_ms.to_string());
    }
    let group = width / SIZES.len() as f64;
    let thick = group / (ALGORITHMS.len() + 1) as f64;
    for (number, size) in SIZES.iter().enumerate() {
        let start = x + left + group * number as f64;
        let label = format!("{} targets, {} workers", size.targets, size.workers);
        text(svg, (start + group / 2.0, y + PANEL.1 - 10.0), "middle", &label);
        let of_size = |row: &&Row| is_here(row) && row.targets == size.targets && row.workers == size.workers;
        for row in rows.iter().filter(of_size) {
            let Some(index) = ALGORITHMS.iter().position(|(name, _)| *name == row.algorithm) else { continue };
            let at = (start + thick * (index as f64 + 0.5), level(row.p99_ms));
            bar(svg, at, (thick * 0.85, y + top + height - at.1), COLOURS[index]);
            let middle = at.0 + thick * 0.425;
            line(svg, (middle, level(row.p999_ms)), (middle, at.1), COLOURS[index]);
        }
    }
}

fn bar(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
    _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, what: &str) {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#333333\">{what}</text>");
}
