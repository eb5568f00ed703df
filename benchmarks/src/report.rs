//! The results as a table, as a chart and as JSON.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Result;
use crate::chart;
use crate::runner::Results;
use crate::scenario::{Group, Scenario};
use crate::servers;
use crate::summary::{Range, Row};

#[derive(Serialize)]
struct Summary<'a> {
    scenario: &'a str,
    server: &'static str,
    #[serde(flatten)]
    row: Row,
}

/// Writes the files. After each round, so that nothing is lost.
pub(crate) fn write(results: &Results, out: &Path) -> Result<()> {
    fs::create_dir_all(out)?;
    let mut json = serde_json::to_value(results)?;
    json["summary"] = serde_json::to_value(summary(results))?;
    json["remarks"] = serde_json::to_value(results.remarks())?;
    fs::write(out.join("results.json"), serde_json::to_string_pretty(&json)?)?;
    fs::write(out.join("table.md"), format!("{}{}", overview(results), details(results)))?;
    fs::write(out.join("chart.svg"), chart::draw(results))?;
    Ok(())
}

/// Prints the most important of it.
pub(crate) fn show(results: &Results, out: &Path) {
    println!("{}", overview(results));
    println!("Everything is in {}: table.md, chart.svg, results.json", out.display());
}

fn summary(results: &Results) -> Vec<Summary<'_>> {
    let mut all = Vec::new();
    for scenario in &results.scenarios {
        for server in results.servers(&[scenario]) {
            let row = results.row(scenario, server);
            all.extend(row.map(|row| Summary { scenario: &scenario.name, server: server.name, row }));
        }
    }
    all
}

fn overview(results: &Results) -> String {
    let machine = &results.machine;
    let mut out = format!(
        "# Results\n\n{}, {} cores, Linux {}, {}. Server on core {:?}, generator on core {}, TCP congestion control \
         {}. {} rounds of {} s each.\n\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.rustc,
        results.cores.server,
        results.cores.generator,
        machine.congestion,
        results.rounds,
        results.seconds
    );
    for remark in results.remarks() {
        let _ = writeln!(out, "- {remark}");
    }
    for (group, title) in [
        (Group::Messages, "CPU time per message, over that of the floor: median (least-most)"),
        (Group::Growth, "20 B pipelined, with more connections and threads: the same ratio"),
        (Group::Fanout, "Fan-out: CPU time per delivered message, the same ratio"),
        (Group::Connect, "Connect, one message, close: CPU time per connection, the same ratio"),
    ] {
        ratios(&mut out, results, group, title);
        if group == Group::Messages {
            pairs(&mut out, results);
        }
    }
    deflate(&mut out, results);
    memory(&mut out, results);
    out
}

fn ratios(out: &mut String, results: &Results, group: Group, title: &str) {
    let scenarios = of(results, group);
    if scenarios.is_empty() {
        return;
    }
    // What growth is compared with.
    let base =
        results.scenarios.iter().filter(|scenario| group == Group::Growth && scenario.name == "pipe-20");
    let scenarios: Vec<_> = base.chain(scenarios).collect();
    let servers = results.servers(&scenarios);
    if servers.is_empty() {
        return;
    }
    let mut table = vec![vec![String::new()], vec!["floor, us".to_owned()]];
    for scenario in &scenarios {
        table[0].push(scenario.name.clone());
        let floor = results.floor(scenario).and_then(|floor| results.row(scenario, floor));
        table[1].push(floor.map_or_else(String::new, |row| number(row.cpu.median)));
    }
    for server in servers {
        let ratio = |scenario: &&Scenario| range(results.row(scenario, server).and_then(|row| row.ratio));
        let row = [server.name.to_owned()].into_iter().chain(scenarios.iter().map(ratio));
        table.push(row.collect());
    }
    let _ = writeln!(out, "\n## {title}\n");
    print(out, &table);
    out.push('\n');
    for scenario in scenarios {
        let floor = results.floor(scenario).map_or("none", |floor| floor.name);
        let _ = writeln!(out, "- `{}`: {}. The floor is {floor}.", scenario.name, scenario.describe());
    }
}

/// What each framework ships, beside what we make of it.
fn pairs(out: &mut String, results: &Results) {
    let scenarios = of(results, Group::Messages);
    let mut table = vec![vec![String::new()]];
    table[0].extend(scenarios.iter().map(|scenario| scenario.name.clone()));
    for (shipped, ours) in servers::PAIRS {
        let (Some(server), Some(to)) = (servers::find(shipped), servers::find(ours)) else { continue };
        let ratios: Vec<_> = scenarios.iter().map(|scenario| results.ratio(scenario, server, to)).collect();
        if ratios.iter().any(Option::is_some) {
            let row = [format!("{shipped} / {ours}")].into_iter().chain(ratios.into_iter().map(range));
            table.push(row.collect());
        }
    }
    if table.len() > 1 {
        out.push_str(
            "\n## Each framework's own WebSocket: its CPU time per message, over that of ours on it\n\n",
        );
        print(out, &table);
    }
}

/// Bytes that are only moved are no measure for what is inflated and deflated, so here it is the best.
fn deflate(out: &mut String, results: &Results) {
    let mut title = "\n## Compressed: CPU time per message, over that of the best: median (least-most)\n\n";
    for scenario in of(results, Group::Deflate) {
        let mut table = vec![
            ["", "CPU, us", "over the best", "messages/s", "bytes per answer"].map(str::to_owned).to_vec(),
        ];
        for server in results.servers(&[scenario]) {
            if let Some(Row { speed, ratio, cpu }) = results.row(scenario, server) {
                let figures = [speed.per_second, speed.answer.unwrap_or_default()];
                let row = [server.name.to_owned(), range(Some(cpu)), range(ratio)];
                table.push(row.into_iter().chain(figures.map(|figure| format!("{figure:.0}"))).collect());
            }
        }
        if table.len() == 1 {
            continue;
        }
        out.push_str(std::mem::replace(&mut title, "\n"));
        print(out, &table);
        let _ = writeln!(out, "\n- `{}`: {}.", scenario.name, scenario.describe());
    }
}

fn memory(out: &mut String, results: &Results) {
    for scenario in of(results, Group::Idle) {
        let mut table = vec![["KiB", "process", "fresh", "after a message"].map(str::to_owned).to_vec()];
        for server in results.servers(&[scenario]) {
            if let Some(memory) = results.memory(scenario, server) {
                let figures = [memory.process, memory.fresh, memory.after].map(|kib| format!("{kib:.1}"));
                table.push([server.name.to_owned()].into_iter().chain(figures).collect());
            }
        }
        if table.len() == 1 {
            continue;
        }
        let _ = writeln!(out, "\n## Resident memory per connection\n");
        print(out, &table);
        let _ = writeln!(out, "\n- `{}`: {}.", scenario.name, scenario.describe());
    }
}

fn details(results: &Results) -> String {
    let mut out =
        "\n## All figures\n\nMedians. CPU, user and system are microseconds per message; p50 and p99 are \
                   microseconds from sending a batch to having all of it back.\n"
            .to_owned();
    for scenario in &results.scenarios {
        let heads = ["", "CPU", "user", "system", "least", "most", "messages/s", "p50", "p99", "cores"];
        let mut table = vec![heads.map(str::to_owned).to_vec()];
        for server in results.servers(&[scenario]) {
            if let Some(Row { speed, cpu, .. }) = results.row(scenario, server) {
                let times = [speed.cpu, speed.user, speed.system, cpu.least, cpu.most].map(number);
                let others = [speed.per_second, speed.p50, speed.p99].map(|figure| format!("{figure:.0}"));
                let row = [server.name.to_owned()].into_iter().chain(times).chain(others);
                table.push(row.chain([format!("{:.2}", speed.server_cores)]).collect());
            }
        }
        if table.len() > 1 {
            let _ = writeln!(out, "\n### {}: {}\n", scenario.name, scenario.describe());
            print(&mut out, &table);
        }
    }
    out.push_str("\n## Servers\n\n");
    let scenarios: Vec<_> = results.scenarios.iter().collect();
    let mut table = vec![["name", "crate", "loop"].map(str::to_owned).to_vec()];
    for server in results.servers(&scenarios) {
        let package = format!("{} {}", server.package, server.version());
        table.push(vec![server.name.to_owned(), package, format!("[{}]({})", server.how, server.docs)]);
    }
    print(&mut out, &table);
    out
}

fn of(results: &Results, group: Group) -> Vec<&Scenario> {
    results.scenarios.iter().filter(|scenario| scenario.group == group).collect()
}

fn number(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.3}"),
        _ => format!("{value:.1}"),
    }
}

fn range(range: Option<Range>) -> String {
    let Some(Range { median, least, most }) = range else { return String::new() };
    if most < 10.0 {
        format!("{median:.2} ({least:.2}-{most:.2})")
    } else {
        format!("{median:.1} ({least:.1}-{most:.1})")
    }
}

/// A Markdown table whose columns stand below each other in a terminal too. The first row is the head.
fn print(out: &mut String, table: &[Vec<String>]) {
    let width =
        |column| table.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..table[0].len()).map(width).collect();
    for (number, row) in table.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(out, "| {cell:width$} ");
        }
        out.push_str("|\n");
        if number == 0 {
            widths.iter().for_each(|width| _ = write!(out, "|{}", "-".repeat(width + 2)));
            out.push_str("|\n");
        }
    }
}
