//! Line charts as SVG, with a logarithmic scale on both axes, and nothing else.

use std::fmt::Write as _;

/// A line, and where it goes through.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// `0 < x`, `0 < y`, ascending by `x`.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A chart of several lines.
pub(crate) fn chart(title: &str, x_name: &str, y_name: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| line.points.iter().copied());
    let x = Axis::around(all().map(|(x, _)| x), LEFT, WIDTH - RIGHT);
    // The y axis of SVG points down.
    let y = Axis::around(all().map(|(_, y)| y), HEIGHT - BOTTOM, TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{title}</text>\n"
    );
    for (value, place) in x.ticks() {
        let _ = writeln!(
            svg,
            "<path d=\"M{place:.1} {TOP}V{:.1}\" stroke=\"#ddd\"/><text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 20.0,
            readable(value)
        );
    }
    for (value, place) in y.ticks() {
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {place:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            place + 4.0,
            readable(value)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x_name}</text>\n\
         <text transform=\"translate(18 {:.1}) rotate(-90)\" text-anchor=\"middle\">{y_name}</text>",
        f64::midpoint(LEFT, WIDTH - RIGHT),
        HEIGHT - 12.0,
        f64::midpoint(TOP, HEIGHT - BOTTOM),
    );
    for (index, line) in lines.iter().enumerate() {
        write_line(&mut svg, line, index, &x, &y);
    }
    svg.push_str("</svg>\n");
    svg
}

fn write_line(svg: &mut String, line: &Line, index: usize, x: &Axis, y: &Axis) {
    let color = COLORS[index % COLORS.len()];
    let places: Vec<(f64, f64)> =
        line.points.iter().map(|(a, b)| (x.place(*a), y.place(*b))).collect();
    let path: Vec<String> = places.iter().map(|(a, b)| format!("{a:.1} {b:.1}")).collect();
    let _ = writeln!(
        svg,
        "<path d=\"M{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
        path.join("L")
    );
    for (a, b) in places {
        let _ = writeln!(svg, "<circle cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"3\" fill=\"{color}\"/>");
    }
    let (left, top) = (WIDTH - RIGHT + 12.0, TOP + 12.0 + 22.0 * index as f64);
    let _ = writeln!(
        svg,
        "<rect x=\"{left}\" y=\"{:.1}\" width=\"14\" height=\"4\" fill=\"{color}\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        top - 6.0,
        left + 20.0,
        top,
        line.name
    );
}

/// From a power of ten to a power of ten.
struct Axis {
    least: i32,
    most: i32,
    from: f64,
    to: f64,
}

impl Axis {
    fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Axis {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values {
            least = least.min(value);
            most = most.max(value);
        }
        if most == 0.0 {
            (least, most) = (1.0, 10.0);
        }
        let least = least.log10().floor() as i32;
        let most = (most.log10().ceil() as i32).max(least + 1);
        Axis { least, most, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value.log10() - f64::from(self.least)) / f64::from(self.most - self.least);
        self.from + part * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = (f64, f64)> {
        (self.least..=self.most).map(|power| {
            let value = 10_f64.powi(power);
            (value, self.place(value))
        })
    }
}

fn readable(value: f64) -> String {
    if value < 1.0 { format!("{value}") } else { conbrio_bench_kit::stats::short_whole(value) }
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;

/// Okabe and Ito, "Color universal design": told apart also by those who see fewer colours.
const COLORS: &[&str] =
    &["#d55e00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#e69f00", "#666666", "#000000"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_logarithmic() {
        let axis = Axis::around([10.0, 1_000_000.0].into_iter(), 0.0, 100.0);
        assert_eq!((axis.least, axis.most), (1, 6));
        assert!((axis.place(10.0) - 0.0).abs() < 1e-9 && (axis.place(1e6) - 100.0).abs() < 1e-9);
        assert_eq!(axis.ticks().count(), 6);
    }

    #[test]
    fn a_chart_names_its_lines() {
        let line = Line { name: "conbrio".to_owned(), points: vec![(10.0, 5.0), (100.0, 6.0)] };
        let svg = chart("title", "tasks", "ns", &[line]);
        assert!(svg.contains("conbrio") && svg.ends_with("</svg>\n"));
    }
}
