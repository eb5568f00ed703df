//! What a connection asks for besides the upgrade: permessage-deflate (RFC 7692 §7.1).

use serde::Serialize;

/// Whether messages may refer to those before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Offer {
    /// Each stands for itself, in both directions.
    Alone,
    /// They may, in both directions.
    Takeover,
}

impl Offer {
    /// The field of the request. Browsers send what `Takeover` does.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Offer::Alone => {
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 client_max_window_bits"
            }
            Offer::Takeover => "permessage-deflate; client_max_window_bits",
        }
    }

    /// Whether the head of an answer agrees to just that, with the largest windows. Servers need not name those.
    pub(crate) fn is_met(self, head: &str) -> bool {
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-extensions").then(|| value.to_owned())
        };
        let Some(value) = head.lines().find_map(field) else { return false };
        let window = |part: &&str| ["server_max_window_bits=15", "client_max_window_bits=15"].contains(part);
        let mut parts: Vec<_> = value.split(';').map(str::trim).filter(|part| !window(part)).collect();
        parts.sort_unstable();
        match self {
            Offer::Alone => {
                parts == ["client_no_context_takeover", "permessage-deflate", "server_no_context_takeover"]
            }
            Offer::Takeover => parts == ["permessage-deflate"],
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Offer::Alone => "no context takeover",
            Offer::Takeover => "context takeover",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_offered_is_taken_for_agreement() {
        let rows = [
            (None, None),
            (Some(""), Some(Offer::Takeover)),
            (Some("; client_max_window_bits=15; server_max_window_bits=15"), Some(Offer::Takeover)),
            (Some("; client_max_window_bits=9"), None),
            (Some("; server_no_context_takeover"), None),
            (Some("; client_no_context_takeover; server_no_context_takeover"), Some(Offer::Alone)),
            (
                Some(";server_no_context_takeover;client_no_context_takeover;client_max_window_bits=15"),
                Some(Offer::Alone),
            ),
        ];
        for (parameters, agreed) in rows {
            let field =
                parameters.map(|text| format!("sec-websocket-extensions: permessage-deflate{text}\r\n"));
            let head = format!("HTTP/1.1 101 x\r\n{}\r\n", field.unwrap_or_default());
            for offer in [Offer::Alone, Offer::Takeover] {
                assert_eq!(offer.is_met(&head), agreed == Some(offer), "{head}");
            }
        }
    }
}
