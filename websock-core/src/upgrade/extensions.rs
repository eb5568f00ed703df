//! Extensions (RFC 6455 §9.1) and the only one that is known, permessage-deflate (RFC 7692 §7.1, SPEC C1-C3).

use super::head::{Field, RequestHead};
use crate::deflate::{Deflate, DeflateParameters, Window, WindowBits};

/// What is agreed on of the first offer that can be accepted. What cannot is passed over: a request is never refused
/// for an extension.
pub(super) fn choose(head: &RequestHead, deflate: Option<&Deflate>) -> Option<DeflateParameters> {
    let deflate = deflate?;
    let offers = head.all(Field::Extensions).flat_map(|value| split(value, b','));
    offers.filter_map(Offer::parse).find_map(|offer| offer.accept(deflate))
}

/// An offer of permessage-deflate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// Whether the client takes a limit, and from which it starts.
    client_max_window_bits: Option<Option<u8>>,
}

impl Offer {
    /// Reads an element of the list; `None` if it is another extension, or not as RFC 7692 §7.1 has it.
    fn parse(element: &[u8]) -> Option<Self> {
        let mut parts = split(element, b';');
        if parts.next()? != b"permessage-deflate" {
            return None;
        }
        let mut offer = Offer::default();
        for part in parts {
            let (name, value) = match part.iter().position(|byte| *byte == b'=') {
                Some(at) => (part[..at].trim_ascii(), Some(unquoted(part[at + 1..].trim_ascii()))),
                None => (part, None),
            };
            let is_new = match (name, value) {
                (b"server_no_context_takeover", None) => {
                    !std::mem::replace(&mut offer.server_no_context_takeover, true)
                }
                (b"client_no_context_takeover", None) => {
                    !std::mem::replace(&mut offer.client_no_context_takeover, true)
                }
                (b"server_max_window_bits", Some(value)) => {
                    offer.server_max_window_bits.replace(window_bits(&value)?).is_none()
                }
                (b"client_max_window_bits", None) => offer.client_max_window_bits.replace(None).is_none(),
                (b"client_max_window_bits", Some(value)) => {
                    offer.client_max_window_bits.replace(Some(window_bits(&value)?)).is_none()
                }
                _ => return None,
            };
            if !is_new {
                return None;
            }
        }
        Some(offer)
    }

    /// What becomes of the offer under the server's settings; `None` if they do not go together.
    fn accept(self, deflate: &Deflate) -> Option<DeflateParameters> {
        let (server, client) = (deflate.server(), deflate.client());
        let server_bits = match self.server_max_window_bits {
            Some(bits) => WindowBits::new(bits)?.min(server.max_window_bits),
            None => server.max_window_bits,
        };
        let client_window = match self.client_max_window_bits {
            // A client that may not be told has the largest window.
            None if client.max_window_bits < WindowBits::MAX => return None,
            None => Window { bits: WindowBits::MAX, named: false },
            Some(bits) => match WindowBits::new(bits.unwrap_or(15)) {
                Some(bits) => Window { bits: bits.min(client.max_window_bits), named: true },
                // 8 bits: zlib's clients say so and use 9.
                None => Window { bits: WindowBits::MAX, named: false },
            },
        };
        Some(DeflateParameters {
            server_context_takeover: server.context_takeover && !self.server_no_context_takeover,
            client_context_takeover: client.context_takeover && !self.client_no_context_takeover,
            server_window: Window {
                bits: server_bits,
                named: self.server_max_window_bits.is_some() || server_bits < WindowBits::MAX,
            },
            client_window,
        })
    }
}

/// A number of bits as RFC 7692 §7.1.2 has it: from 8 to 15, without leading zeros.
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ (b'8' | b'9')] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// The parts between delimiters that do not stand within quotes, without the spaces around them.
fn split(value: &[u8], delimiter: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |&byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => return byte == delimiter && !quoted,
            }
            false
        })
        .map(<[u8]>::trim_ascii)
}

/// A value without its quotes, if it has any (RFC 6455 §9.1). One whose end is not quoted stays as it is.
fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return value.to_vec();
    };
    let mut escaped = false;
    let is_content = |byte: &u8| {
        escaped = *byte == b'\\' && !escaped;
        !escaped
    };
    let content = inner.iter().copied().filter(is_content).collect();
    if escaped { value.to_vec() } else { content }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::HttpVersion;

    fn bits(bits: u8) -> WindowBits {
        WindowBits::new(bits).unwrap()
    }

    fn answer_under(deflate: Deflate, fields: &[&str]) -> Option<String> {
        let head = fields.iter().fold(RequestHead::new(HttpVersion::Http11, "GET"), |head, value| {
            head.header("Sec-WebSocket-Extensions", value.as_bytes())
        });
        choose(&head, Some(&deflate)).map(|parameters| parameters.to_string())
    }

    fn answer(field: &str) -> Option<String> {
        answer_under(takeover(), &[field])
    }

    fn takeover() -> Deflate {
        Deflate::default().server_context_takeover(true).client_context_takeover(true)
    }

    #[test]
    fn nothing_is_agreed_on_where_one_side_does_not_want_it() {
        assert_eq!(answer_under(takeover(), &[]), None);
        assert_eq!(answer("x-webkit-deflate-frame, foo; bar=\"a, permessage-deflate\""), None);
        let head = RequestHead::new(HttpVersion::Http11, "GET")
            .header("Sec-WebSocket-Extensions", b"permessage-deflate");
        assert_eq!(choose(&head, None), None);
    }

    #[test]
    fn each_parameter_is_answered_as_rfc_7692_says() {
        let rows = [
            ("", ""),
            ("; server_no_context_takeover", "; server_no_context_takeover"),
            ("; client_no_context_takeover", "; client_no_context_takeover"),
            ("; server_max_window_bits=15", "; server_max_window_bits=15"),
            ("; server_max_window_bits=10", "; server_max_window_bits=10"),
            ("; client_max_window_bits", "; client_max_window_bits=15"),
            ("; client_max_window_bits=15", "; client_max_window_bits=15"),
            ("; client_max_window_bits=9", "; client_max_window_bits=9"),
            ("; client_max_window_bits=8", ""),
            ("; server_max_window_bits=\"12\"", "; server_max_window_bits=12"),
            (" ;client_max_window_bits = \"1\\2\"", "; client_max_window_bits=12"),
            (
                "; client_max_window_bits=11; server_max_window_bits=10; client_no_context_takeover; \
                 server_no_context_takeover",
                "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; \
                 client_max_window_bits=11",
            ),
        ];
        for (offer, accepted) in rows {
            let field = format!("permessage-deflate{offer}");
            assert_eq!(answer(&field).unwrap(), format!("permessage-deflate{accepted}"), "{offer}");
        }
    }

    #[test]
    fn what_is_not_as_the_rfc_has_it_is_passed_over_for_the_next_offer() {
        let bad = [
            "; unknown",
            "; server_no_context_takeover=1",
            "; server_no_context_takeover; server_no_context_takeover",
            "; client_no_context_takeover=\"\"",
            "; client_no_context_takeover; client_no_context_takeover",
            "; client_max_window_bits; client_max_window_bits=10",
            "; server_max_window_bits=10; server_max_window_bits=10",
            "; server_max_window_bits",
            "; server_max_window_bits=",
            "; server_max_window_bits=8",
            "; server_max_window_bits=7",
            "; server_max_window_bits=16",
            "; server_max_window_bits=09",
            "; server_max_window_bits=010",
            "; server_max_window_bits=+9",
            "; server_max_window_bits=1O",
            "; client_max_window_bits=7",
            "; client_max_window_bits=0",
            "; client_max_window_bits=16",
            "; client_max_window_bits=\"\"",
            "; client_max_window_bits=\"10",
            "; SERVER_NO_CONTEXT_TAKEOVER",
            ";",
            "; ",
            "=1",
        ];
        for offer in bad {
            assert_eq!(answer(&format!("permessage-deflate{offer}")), None, "{offer}");
            if !offer.contains("\"10") {
                let two = format!("permessage-deflate{offer}, permessage-deflate; server_max_window_bits=9");
                assert_eq!(answer(&two).unwrap(), "permessage-deflate; server_max_window_bits=9", "{offer}");
            }
        }
    }

    #[test]
    fn the_first_offer_that_can_be_accepted_wins_over_all_fields() {
        let fields =
            ["foo, bar; x=\"y, z\"", "permessage-deflate; x", "permessage-deflate; client_max_window_bits=9"];
        assert_eq!(
            answer_under(takeover(), &fields).unwrap(),
            "permessage-deflate; client_max_window_bits=9"
        );
    }

    #[test]
    fn the_servers_settings_are_limits_that_it_tells() {
        let none = Deflate::default();
        let no_takeover = "; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(
            answer_under(none, &["permessage-deflate"]).unwrap(),
            format!("permessage-deflate{no_takeover}")
        );
        let small = takeover().server_max_window_bits(bits(11)).client_max_window_bits(bits(10));
        for (offer, accepted) in [
            ("; client_max_window_bits", "; server_max_window_bits=11; client_max_window_bits=10"),
            (
                "; client_max_window_bits=9; server_max_window_bits=9",
                "; server_max_window_bits=9; client_max_window_bits=9",
            ),
            (
                "; client_max_window_bits=15; server_max_window_bits=15",
                "; server_max_window_bits=11; client_max_window_bits=10",
            ),
        ] {
            let field = format!("permessage-deflate{offer}");
            assert_eq!(
                answer_under(small, &[&field]).unwrap(),
                format!("permessage-deflate{accepted}"),
                "{offer}"
            );
        }
        // This client does not take a limit.
        assert_eq!(answer_under(small, &["permessage-deflate"]), None);
    }
}
