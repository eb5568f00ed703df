//! [`html`]: the rules as a part of the page, each with an anchor of its own.

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

const SPEC: &str = include_str!("../SPEC.md");

/// The rules. What `behind` gives for a rule's id stands behind its text.
pub(crate) fn html(behind: impl Fn(&str) -> String) -> String {
    let mut events: Vec<_> = Parser::new_ext(SPEC, Options::ENABLE_TABLES).collect();
    let mut written = Vec::with_capacity(events.len());
    let mut rule = None;
    for at in 0..events.len() {
        // The page has a title and a heading above these.
        let event = match std::mem::replace(&mut events[at], Event::SoftBreak) {
            Event::Start(Tag::Heading { level, id, classes, attrs }) => {
                Event::Start(Tag::Heading { level: below(level), id, classes, attrs })
            }
            Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(below(level))),
            Event::Start(Tag::Paragraph) => {
                rule = id(&events[at + 1..]);
                match &rule {
                    Some(id) => raw(format!("<p class=rule id={id}>")),
                    None => Event::Start(Tag::Paragraph),
                }
            }
            Event::End(TagEnd::Paragraph) => match rule.take() {
                Some(id) => raw(format!("</p>\n{}", behind(&id))),
                None => Event::End(TagEnd::Paragraph),
            },
            Event::Start(Tag::Table(columns)) => {
                written.push(raw("<div class=wide>".to_owned()));
                Event::Start(Tag::Table(columns))
            }
            Event::End(TagEnd::Table) => {
                written.push(Event::End(TagEnd::Table));
                raw("</div>".to_owned())
            }
            other => other,
        };
        written.push(event);
    }
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, written.into_iter());
    html
}

fn raw(html: String) -> Event<'static> {
    Event::Html(CowStr::from(html))
}

fn below(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H2,
        HeadingLevel::H2 => HeadingLevel::H3,
        _ => HeadingLevel::H4,
    }
}

/// The id of the rule whose paragraph begins so: `**L1** The order`.
fn id(events: &[Event<'_>]) -> Option<String> {
    let [Event::Start(Tag::Strong), Event::Text(id), Event::End(TagEnd::Strong), ..] = events else {
        return None;
    };
    let (letter, number) = id.split_at_checked(1)?;
    let is_id =
        letter.starts_with(|letter: char| letter.is_ascii_uppercase()) && number.parse::<u8>().is_ok();
    is_id.then(|| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_that_a_case_names_has_an_anchor() {
        let html = html(|_| String::new());
        for case in websock_conformance::cases() {
            for rule in case.rules() {
                assert_eq!(html.matches(&format!("<p class=rule id={rule}>")).count(), 1, "{rule}");
            }
        }
    }

    #[test]
    fn what_belongs_to_a_rule_stands_behind_its_text() {
        let html = html(|id| format!("[{id}]"));
        let rule = html.split("id=L2>").nth(1).unwrap();
        let rule = rule.split("<p ").next().unwrap();
        assert!(rule.contains("never run at once") && rule.trim_end().ends_with("[L2]"), "{rule}");
    }
}
