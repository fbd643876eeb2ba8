//! SVG plots, enough for this report: lines over logarithmic axes, and bars. They bring their own white page, for dark ones.

use std::fmt::Write as _;

use super::columns::number;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 56.0;

/// Told apart by people with any colour vision (Okabe and Ito).
const COLOURS: &[&str] = &[
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];

/// Points in the order of x, each with the spread of its rounds.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
}

pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// One logarithmic axis: values to the pixels between two ends.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Whole decades around all values. `None` where there is no positive value.
    fn of(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let logs: Vec<f64> = values
            .filter(|value| *value > 0.0)
            .map(f64::log10)
            .collect();
        let low = logs.iter().copied().reduce(f64::min)?.floor();
        let high = logs.iter().copied().reduce(f64::max)?.ceil();
        Some(Self {
            low,
            high: if high > low { high } else { low + 1.0 },
            from,
            to,
        })
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value.log10() - self.low) / (self.high - self.low);
        self.from + part * (self.to - self.from)
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        (self.low as i32..=self.high as i32).map(|power| 10f64.powi(power))
    }
}

/// Both axes logarithmic.
pub(crate) fn lines(
    title: &str,
    x_title: &str,
    y_title: &str,
    series: &[Series],
) -> Option<String> {
    let points = || series.iter().flat_map(|series| &series.points);
    let x = Axis::of(points().map(|p| p.x), LEFT, WIDTH - RIGHT)?;
    let y = Axis::of(points().flat_map(|p| [p.min, p.max]), HEIGHT - BOTTOM, TOP)?;
    let mut svg = open(title, HEIGHT);
    for value in x.decades() {
        let at = x.place(value);
        line(&mut svg, "grid", (at, TOP), (at, HEIGHT - BOTTOM));
        text(
            &mut svg,
            (at, HEIGHT - BOTTOM + 18.0),
            "middle",
            &number_short(value),
        );
    }
    for value in y.decades() {
        let at = y.place(value);
        line(&mut svg, "grid", (LEFT, at), (WIDTH - RIGHT, at));
        text(
            &mut svg,
            (LEFT - 8.0, at + 4.0),
            "end",
            &number_short(value),
        );
    }
    text(
        &mut svg,
        (f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 16.0),
        "middle",
        x_title,
    );
    upright(&mut svg, y_title);
    for (index, series) in series.iter().enumerate() {
        draw(&mut svg, series, COLOURS[index % COLOURS.len()], &x, &y);
        let place = (WIDTH - RIGHT, 20.0 + 15.0 * index as f64);
        coloured(
            &mut svg,
            place,
            COLOURS[index % COLOURS.len()],
            &series.name,
        );
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

fn draw(svg: &mut String, series: &Series, colour: &str, x: &Axis, y: &Axis) {
    let mut path = String::new();
    for (index, point) in series.points.iter().enumerate() {
        let (px, py) = (x.place(point.x), y.place(point.median));
        let _ = write!(
            path,
            "{}{px:.1} {py:.1}",
            if index == 0 { "M" } else { " L" }
        );
        let _ = write!(
            svg,
            r#"<line x1="{px:.1}" y1="{:.1}" x2="{px:.1}" y2="{:.1}" stroke="{colour}" stroke-width="1.5"/><circle cx="{px:.1}" cy="{py:.1}" r="4" fill="{colour}"><title>{}: {}</title></circle>"#,
            y.place(point.min),
            y.place(point.max),
            number(point.x),
            number(point.median),
        );
    }
    let _ = writeln!(
        svg,
        r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>"#
    );
}

/// Lying bars from zero, the first one marked as ours.
pub(crate) fn bars(title: &str, unit: &str, bars: &[Bar]) -> Option<String> {
    const NAMES: f64 = 190.0;
    const FIGURES: f64 = 90.0;
    const ROW: f64 = 44.0;
    let most = bars
        .iter()
        .map(|bar| bar.max)
        .reduce(f64::max)
        .filter(|most| *most > 0.0)?;
    let height = TOP + ROW * bars.len() as f64 + 40.0;
    let scale = (WIDTH - NAMES - FIGURES) / most;
    let mut svg = open(title, height);
    for (index, bar) in bars.iter().enumerate() {
        let top = TOP + ROW * index as f64;
        let middle = top + ROW / 2.0;
        let colour = if index == 0 { COLOURS[1] } else { COLOURS[0] };
        text(&mut svg, (NAMES - 8.0, middle + 4.0), "end", &bar.name);
        let _ = write!(
            svg,
            r#"<rect x="{NAMES}" y="{:.1}" width="{:.1}" height="{:.1}" fill="{colour}"/>"#,
            top + ROW * 0.15,
            bar.median * scale,
            ROW * 0.7,
        );
        let ends = (NAMES + bar.min * scale, NAMES + bar.max * scale);
        line(&mut svg, "spread", (ends.0, middle), (ends.1, middle));
        text(
            &mut svg,
            (ends.1 + 6.0, middle + 4.0),
            "start",
            &number(bar.median),
        );
    }
    text(
        &mut svg,
        (NAMES, TOP + ROW * bars.len() as f64 + 20.0),
        "start",
        unit,
    );
    svg.push_str("</svg>\n");
    Some(svg)
}

fn open(title: &str, height: f64) -> String {
    let title = escape(title);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="13" role="img">
<title>{title}</title>
<style>text {{ fill: #24292f }} .grid {{ stroke: #d0d7de }} .spread {{ stroke: #24292f; stroke-width: 1.5 }} .page {{ fill: #ffffff }}</style>
<rect class="page" width="100%" height="100%"/>
<text x="16" y="24" font-size="15" font-weight="600">{title}</text>
"#
    )
}

fn line(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        r#"<line class="{class}" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#,
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let words = escape(words);
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#
    );
}

fn coloured(svg: &mut String, (x, y): (f64, f64), colour: &str, words: &str) {
    let words = escape(words);
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="end" style="fill:{colour}">{words}</text>"#
    );
}

fn upright(svg: &mut String, words: &str) {
    let (words, y) = (escape(words), f64::midpoint(TOP, HEIGHT - BOTTOM));
    let _ = writeln!(
        svg,
        r#"<text x="20" y="{y:.1}" text-anchor="middle" transform="rotate(-90 20 {y:.1})">{words}</text>"#
    );
}

fn escape(words: &str) -> String {
    words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// 100k, 1M: for ticks.
fn number_short(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{}M", value / 1e6),
        _ if value >= 1e3 => format!("{}k", value / 1e3),
        _ => format!("{value}"),
    }
}
