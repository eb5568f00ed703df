//! [`html`]: the report as a page that needs nothing else.

use std::fmt::{self, Display, Write};
use std::time::SystemTime;

use websock_conformance::cases;
use websock_conformance::results::{Outcome, Record};

use crate::report::{Column, Report, Row, split};
use crate::rules;

const STYLE: &str = include_str!("page.css");

/// The page.
pub(crate) fn html(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut page, report);
    page
}

fn write(page: &mut String, report: &Report) -> fmt::Result {
    let sum = |outcome| report.counts(outcome).iter().sum::<usize>();
    let (passed, failed, skipped) = (sum(Outcome::Pass), sum(Outcome::Fail), sum(Outcome::Skip));
    let verdict = match (report.is_good(), failed) {
        (true, _) if report.rows.len() < cases().len() => {
            "<p class='verdict pass'>Every server passed the cases that were chosen.</p>".to_owned()
        }
        (true, _) => "<p class='verdict pass'>Every server keeps the rules.</p>".to_owned(),
        (false, 0) => "<p class='verdict fail'>Not everything could be run.</p>".to_owned(),
        (false, 1) => "<p class='verdict fail'>One case failed.</p>".to_owned(),
        (false, _) => format!("<p class='verdict fail'>{failed} cases failed.</p>"),
    };
    let icon = if report.is_good() { "2ea043" } else { "d1242f" };
    writeln!(
        page,
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>WebSock conformance: {passed} passed, {failed} \
         failed</title>\n<meta name=viewport content='width=device-width, initial-scale=1'>\n\
         <meta name=color-scheme content='light dark'>\n<link rel=icon href=\"data:image/svg+xml,\
         <svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'><circle cx='4' cy='4' r='4' fill='%23{icon}'/>\
         </svg>\">\n<style>\n{STYLE}</style>\n<main>\n<header>\n<h1>WebSock conformance</h1>\n{verdict}\n\
         <p>{} cases by {} servers: {passed} passed, {failed} failed, {skipped} skipped. \
         <time>{}</time></p>",
        report.rows.len(),
        report.columns.len(),
        httpdate::fmt_http_date(SystemTime::now()),
    )?;
    contents(page, report)?;
    writeln!(page, "</header>")?;
    totals(page, report)?;
    problems(page, report)?;
    failures(page, report)?;
    groups(page, report)?;
    skips(page, report)?;
    writeln!(page, "<section class=rules id=rules>\n{}</section>", rules::html(|rule| proof(report, rule)))?;
    writeln!(page, "</main>\n</html>")
}

fn contents(page: &mut String, report: &Report) -> fmt::Result {
    write!(page, "<nav>")?;
    if report.failures().next().is_some() {
        write!(page, "<a href=#failed>failed</a> ")?;
    }
    for (group, _) in report.groups() {
        write!(page, "<a href='#{0}'>{0}</a> ", Escaped(group))?;
    }
    if !report.skips().is_empty() {
        write!(page, "<a href=#skipped>skipped</a> ")?;
    }
    writeln!(page, "<a href=#rules>the rules</a></nav>")
}

/// The counts of each server.
fn totals(page: &mut String, report: &Report) -> fmt::Result {
    writeln!(
        page,
        "<div class=wide><table class=totals>\n<thead><tr><th>server<th>passed<th>failed<th>skipped<th>total\
         <th>time</thead>"
    )?;
    let (passed, failed) = (report.counts(Outcome::Pass), report.counts(Outcome::Fail));
    let skipped = report.counts(Outcome::Skip);
    let mut package = None;
    for (at, column) in report.columns.iter().enumerate() {
        let (passed, failed, skipped) = (passed[at], failed[at], skipped[at]);
        let class = if failed > 0 { " class=fail" } else { "" };
        write!(
            page,
            "<tr><th>{}<td>{passed}<td{class}>{failed}<td>{skipped}<td>{}",
            Escaped(&column.label),
            passed + failed + skipped
        )?;
        // The servers of a package run together, and the time is that of them all.
        if package.replace(&column.package) != Some(&column.package) {
            let rows = report.columns.iter().filter(|other| other.package == column.package).count();
            write!(page, "<td rowspan={rows}>{:.1} s", column.seconds)?;
        }
        writeln!(page)?;
    }
    writeln!(page, "</table></div>")
}

fn problems(page: &mut String, report: &Report) -> fmt::Result {
    for (package, problem) in &report.problems {
        writeln!(page, "<p class=problem><b>{}</b>: {}</p>", Escaped(package), Escaped(problem))?;
    }
    Ok(())
}

/// What was expected and seen.
fn failures(page: &mut String, report: &Report) -> fmt::Result {
    let mut any = false;
    for (column, record) in report.failures() {
        if !std::mem::replace(&mut any, true) {
            writeln!(page, "<section id=failed>\n<h2>failed</h2>")?;
        }
        write!(page, "<article id='{}'>\n<h3>", Escaped(&failure(column, &record.case)))?;
        write!(page, "<a href='#{}'>{}</a>", Escaped(&record.case), Escaped(&sentence(&record.case)))?;
        write!(page, " <span class=server>on {}</span> ", Escaped(&column.label))?;
        chips(page, &record.rules)?;
        write!(page, "</h3>\n<pre>{}</pre>\n", Escaped(record.message.trim_end()))?;
        writeln!(page, "<p>Again: <code>{}</code></p>\n</article>", Escaped(&column.command(record)))?;
    }
    if any { writeln!(page, "</section>") } else { Ok(()) }
}

fn groups(page: &mut String, report: &Report) -> fmt::Result {
    for (group, rows) in report.groups() {
        write!(
            page,
            "<section id='{0}'>\n<h2>{0}</h2>\n<table class=cases>\n<thead><tr><th>",
            Escaped(group)
        )?;
        write!(page, "<span class=count>{} cases</span>", rows.len())?;
        for column in &report.columns {
            write!(page, "<th class=server><span>{}</span>", Escaped(&column.label))?;
        }
        writeln!(page, "</thead>")?;
        for row in rows {
            case(page, report, row)?;
        }
        writeln!(page, "</table>\n</section>")?;
    }
    Ok(())
}

fn case(page: &mut String, report: &Report, row: &Row) -> fmt::Result {
    let name = Escaped(&row.case);
    write!(page, "<tr id='{name}'><th title='{name}'>{} ", Escaped(&sentence(&row.case)))?;
    chips(page, &row.rules)?;
    for (column, cell) in report.columns.iter().zip(&row.cells) {
        cell_of(page, column, cell.as_ref())?;
    }
    writeln!(page)
}

fn cell_of(page: &mut String, column: &Column, cell: Option<&Record>) -> fmt::Result {
    let Some(record) = cell else { return write!(page, "<td class=none title='did not run'>·") };
    let title = format!("{}, {:.2} s", column.label, record.seconds);
    match record.outcome {
        Outcome::Pass => write!(page, "<td class=pass title='{}: passed'>✓", Escaped(&title)),
        Outcome::Fail => write!(
            page,
            "<td class=fail title='{}: failed'><a href='#{}'>✗</a>",
            Escaped(&title),
            Escaped(&failure(column, &record.case))
        ),
        Outcome::Skip => write!(
            page,
            "<td class=skip title='{}: skipped: {}'><a href='#{}'>–</a>",
            Escaped(&column.label),
            Escaped(&record.message),
            Escaped(&skip(&record.case))
        ),
    }
}

fn skips(page: &mut String, report: &Report) -> fmt::Result {
    let skips = report.skips();
    if skips.is_empty() {
        return Ok(());
    }
    writeln!(page, "<section id=skipped>\n<h2>skipped</h2>\n<dl>")?;
    let mut last = None;
    for (case, reason, labels) in skips {
        if last.replace(case) != Some(case) {
            write!(page, "<dt id='{}'>", Escaped(&skip(case)))?;
            writeln!(page, "<a href='#{}'>{}</a>", Escaped(case), Escaped(&sentence(case)))?;
        }
        write!(page, "<dd><span class=server>{}</span>: ", Escaped(&labels.join(", ")))?;
        writeln!(page, "{}", Escaped(reason))?;
    }
    writeln!(page, "</dl>\n</section>")
}

/// The cases that prove a rule.
fn proof(report: &Report, rule: &str) -> String {
    let cases = report.cases_of(rule);
    let mut html = match cases.len() {
        0 => return String::new(),
        1 => "<details><summary>1 case</summary>\n<ul>\n".to_owned(),
        count => format!("<details><summary>{count} cases</summary>\n<ul>\n"),
    };
    for case in cases {
        let _ = writeln!(html, "<li><a href='#{}'>{}</a>", Escaped(case), Escaped(&sentence(case)));
    }
    html + "</ul></details>\n"
}

fn chips(page: &mut String, rules: &[String]) -> fmt::Result {
    write!(page, "<span class=chips>")?;
    for rule in rules {
        write!(page, "<a href='#{0}'>{0}</a> ", Escaped(rule))?;
    }
    write!(page, "</span>")
}

/// A case's name as the sentence that it is. The callbacks keep their names.
fn sentence(case: &str) -> String {
    split(case)
        .1
        .replace('_', " ")
        .replace("handle in", "handle_in")
        .replace("handle control", "handle_control")
        .replace("handle info", "handle_info")
}

fn failure(column: &Column, case: &str) -> String {
    format!("failed-{}-{case}", column.label.replace(' ', "-"))
}

fn skip(case: &str) -> String {
    format!("skipped-{case}")
}

/// Text that is shown as it is, also within an attribute's quotes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            let (before, special) = rest.split_at(at);
            f.write_str(before)?;
            f.write_str(match special.as_bytes()[0] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &special[1..];
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{FAILS, report};

    #[test]
    fn what_a_failure_tells_is_text_and_never_markup() {
        let page = html(&report());
        assert!(!page.contains("<script") && !page.contains("<b>bold") && !page.contains("<cannot>"));
        assert!(
            page.contains("<pre>left: &quot;&lt;script&gt;alert(1)&lt;/script&gt;&quot; &amp; more</pre>")
        );
        assert!(page.contains("it &lt;cannot&gt;"));
    }

    #[test]
    fn quotes_do_not_end_an_attribute() {
        assert_eq!(Escaped("it's \"<&>\"").to_string(), "it&#39;s &quot;&lt;&amp;&gt;&quot;");
    }

    #[test]
    fn every_link_leads_somewhere_within_the_page() {
        let page = html(&report());
        let ends = |text: &str| text.starts_with('\'');
        let mut links = 0;
        for part in page.split("href=").skip(1) {
            let quoted = ends(part);
            let target =
                if quoted { part[1..].split('\'').next() } else { part.split(['>', ' ']).next() }.unwrap();
            let Some(anchor) = target.strip_prefix('#') else { continue };
            links += 1;
            let found = [format!("id='{anchor}'"), format!("id={anchor}>")];
            assert!(found.iter().any(|id| page.contains(id)), "{anchor}");
        }
        assert!(links > 10, "{links}");
    }

    #[test]
    fn a_failure_a_skip_and_a_missing_run_are_told_apart() {
        let page = html(&report());
        let failed = Escaped(FAILS).to_string();
        let row = page.split(&format!("<tr id='{failed}'")).nth(1).unwrap().lines().next().unwrap();
        for part in [
            "<a href='#F1'>F1</a>",
            "<td class=none",
            &format!("<a href='#failed-double-one-{failed}'>✗</a>"),
            &format!("<a href='#skipped-{failed}'>–</a>"),
        ] {
            assert!(row.contains(part), "{part} is not in {row}");
        }
        assert!(page.contains("One case failed.") && page.contains("<b>mine</b>: does not compile"));
    }
}
