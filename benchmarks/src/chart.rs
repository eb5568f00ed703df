//! The chart: a panel for each scenario, a bar for each server, on a logarithmic scale.

use std::fmt::Write;

use crate::runner::Results;
use crate::scenario::{Group, Scenario};
use crate::servers::{Kind, Server};

const BAR: f64 = 15.0;
const NAMES: f64 = 130.0;
const PLOT: f64 = 220.0;
const PANEL: f64 = NAMES + PLOT + 60.0;
const TITLE: f64 = 44.0;
const HEAD: f64 = 46.0;
const COLUMNS: usize = 2;

/// The ratios that the scale shows.
const LEAST: f64 = 0.5;
const MOST: f64 = 64.0;

/// An SVG, readable on light and on dark ground.
pub(crate) fn draw(results: &Results) -> String {
    let of = |group| results.scenarios.iter().filter(move |scenario| scenario.group == group);
    let scenarios: Vec<&Scenario> = of(Group::Messages).chain(of(Group::Fanout)).collect();
    let rows = scenarios.iter().map(|scenario| servers(results, scenario).len()).max().unwrap_or(0);
    let panel = TITLE + rows as f64 * BAR + 24.0;
    let height = panel * scenarios.len().div_ceil(COLUMNS) as f64 + HEAD;
    let width = PANEL * COLUMNS as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"20\" font-size=\"14\">Server CPU time per message, over that of a bare TCP echo</text>\n\
         <text x=\"8\" y=\"37\" fill=\"#666\">Shorter is better; the line at 1 is the bare echo. Medians of {} rounds, and the \
         least and the most of them.</text>\n",
        results.rounds
    );
    for (number, scenario) in scenarios.into_iter().enumerate() {
        let left = PANEL * (number % COLUMNS) as f64;
        let top = HEAD + panel * (number / COLUMNS) as f64;
        let _ = writeln!(out, "<g transform=\"translate({left} {top})\">");
        draw_panel(&mut out, results, scenario);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

fn draw_panel(out: &mut String, results: &Results, scenario: &Scenario) {
    let servers: Vec<&Server> =
        results.servers(&[scenario]).into_iter().filter(|server| server.kind != Kind::Floor).collect();
    let bottom = TITLE + servers.len() as f64 * BAR;
    let _ = writeln!(
        out,
        "<text x=\"8\" y=\"24\" font-weight=\"bold\">{}</text><text x=\"8\" y=\"37\" fill=\"#666\">{}</text>",
        scenario.name,
        scenario.describe()
    );
    for tick in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0] {
        let (x, color) = (scale(tick), if tick == 1.0 { "#333" } else { "#ddd" });
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TITLE}\" y2=\"{bottom}\" stroke=\"{color}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{tick}</text>",
            bottom + 13.0
        );
    }
    for (number, server) in servers.into_iter().enumerate() {
        let Some(ratio) = results.row(scenario, server).and_then(|row| row.ratio) else { continue };
        let middle = TITLE + (number as f64 + 0.5) * BAR;
        let color = if server.package.starts_with("websock-") { "#2563eb" } else { "#a8b0bd" };
        let [end, least, most] = [ratio.median, ratio.least, ratio.most].map(scale);
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{NAMES}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{color}\"/>\
             <line x1=\"{least:.1}\" x2=\"{most:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"#111\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.2}</text>",
            NAMES - 6.0,
            middle + 4.0,
            server.name,
            middle - BAR * 0.35,
            end - NAMES,
            BAR * 0.7,
            most.max(end) + 5.0,
            middle + 4.0,
            ratio.median
        );
    }
}

/// Those that are compared with the floor.
fn servers(results: &Results, scenario: &Scenario) -> Vec<&'static Server> {
    results.servers(&[scenario]).into_iter().filter(|server| server.kind != Kind::Floor).collect()
}

/// Where a ratio is.
fn scale(ratio: f64) -> f64 {
    NAMES + (ratio.clamp(LEAST, MOST) / LEAST).log2() / (MOST / LEAST).log2() * PLOT
}
