//! What a request must look like (RFC 6455 §4.2.1, SPEC U1), checked in the order of SPEC U3.

use super::accept::{Accepted, accept_key};
use super::error::UpgradeError;
use super::head::{Field, HttpVersion, RequestHead};
use super::{extensions, origin, subprotocols};
use crate::options::Options;

/// Decides whether a request becomes a WebSocket connection under these options.
///
/// # Errors
/// The first of the defects in SPEC U3 that the request has.
pub fn negotiate(head: &RequestHead, options: &Options) -> Result<Accepted, UpgradeError> {
    if head.version() >= HttpVersion::Http2 {
        return Err(UpgradeError::HttpVersion(head.version()));
    }
    if head.method() != "GET" {
        return Err(UpgradeError::Method(head.method().into()));
    }
    if head.version() == HttpVersion::Http10 {
        return Err(UpgradeError::Http10);
    }
    if !has_token(head, Field::Connection, b"upgrade") {
        return Err(UpgradeError::NoConnectionUpgrade);
    }
    if !has_token(head, Field::Upgrade, b"websocket") {
        return Err(UpgradeError::NoUpgradeWebSocket);
    }
    if has_body(head) {
        return Err(UpgradeError::Body);
    }
    version(head)?;
    let accept = accept_key(head)?;
    origin::check(head, options.get_origins())?;
    if let Some(retry_after) = options.get_retry_after() {
        return Err(UpgradeError::Draining { retry_after });
    }
    let subprotocol = subprotocols::choose(head, options.get_subprotocols());
    let deflate = extensions::choose(head, options.get_deflate());
    Ok(Accepted::new(accept, subprotocol, deflate, options.clone()))
}

/// Whether the list has the token, compared whole.
fn has_token(head: &RequestHead, field: Field, token: &[u8]) -> bool {
    head.list(field).any(|element| element.eq_ignore_ascii_case(token))
}

fn has_body(head: &RequestHead) -> bool {
    let is_zero = |length: &[u8]| !length.is_empty() && length.iter().all(|digit| *digit == b'0');
    head.all(Field::TransferEncoding).next().is_some() || !head.all(Field::ContentLength).all(is_zero)
}

fn version(head: &RequestHead) -> Result<(), UpgradeError> {
    match head.only(Field::Version) {
        Ok(Some(b"13")) => Ok(()),
        Ok(None) => Err(UpgradeError::Version(None)),
        _ => {
            let named: Vec<_> = head.all(Field::Version).map(String::from_utf8_lossy).collect();
            Err(UpgradeError::Version(Some(named.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::{KeyDefect, Subprotocol};

    const GOOD: [(&str, &str); 5] = [
        ("Host", "example.com"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn request(version: HttpVersion, method: &str, fields: &[(&str, &str)]) -> RequestHead {
        fields.iter().fold(RequestHead::new(version, method), |head, (name, value)| {
            head.header(name, value.as_bytes())
        })
    }

    /// A good request, but for the fields that are given: those replace the good ones, empty ones only remove.
    fn changed(fields: &[(&str, &str)]) -> Result<Accepted, UpgradeError> {
        let kept = GOOD.into_iter().filter(|(name, _)| !fields.iter().any(|(other, _)| other == name));
        let all: Vec<_> = kept.chain(fields.iter().copied().filter(|(_, value)| !value.is_empty())).collect();
        negotiate(&request(HttpVersion::Http11, "GET", &all), &Options::default())
    }

    #[test]
    fn a_good_request_gets_a_101_with_the_headers_of_the_rfc() {
        let accepted = changed(&[]).unwrap();
        assert_eq!(accepted.status(), 101);
        let headers: Vec<_> = accepted.headers().collect();
        assert_eq!(
            headers,
            [
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
                ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            ]
        );
    }

    #[test]
    fn tokens_are_compared_whole_and_without_case_in_lists_and_repeated_fields() {
        for (connection, upgrade) in [
            ("keep-alive, Upgrade", "WebSocket"),
            ("UPGRADE", "h2c, WEBSOCKET"),
            (" x ,upgrade", "a,websocket"),
        ] {
            assert!(
                changed(&[("Connection", connection), ("Upgrade", upgrade)]).is_ok(),
                "{connection} {upgrade}"
            );
        }
        assert!(changed(&[("Connection", "close"), ("Connection", "upgrade")]).is_ok());
        for connection in ["", "close", "not-upgrade", "upgrade-not", "upgrade;x", "up grade"] {
            assert_eq!(
                changed(&[("Connection", connection)]).unwrap_err(),
                UpgradeError::NoConnectionUpgrade
            );
        }
        for upgrade in ["", "h2c", "websockets", "websocket/13", "not-websocket"] {
            assert_eq!(changed(&[("Upgrade", upgrade)]).unwrap_err(), UpgradeError::NoUpgradeWebSocket);
        }
    }

    #[test]
    fn each_defect_has_its_own_error() {
        use UpgradeError::{Body, Http10, Key, Method, Origin, Version};
        let of =
            |version, method| negotiate(&request(version, method, &GOOD), &Options::default()).unwrap_err();
        assert_eq!(of(HttpVersion::Http2, "CONNECT"), UpgradeError::HttpVersion(HttpVersion::Http2));
        assert_eq!(of(HttpVersion::Http3, "GET"), UpgradeError::HttpVersion(HttpVersion::Http3));
        assert_eq!(of(HttpVersion::Http11, "POST"), Method("POST".into()));
        assert_eq!(of(HttpVersion::Http11, "HEAD"), Method("HEAD".into()));
        assert_eq!(of(HttpVersion::Http11, "get"), Method("get".into()));
        assert_eq!(of(HttpVersion::Http10, "GET"), Http10);
        assert_eq!(changed(&[("Content-Length", "5")]).unwrap_err(), Body);
        assert_eq!(changed(&[("Content-Length", "0"), ("Content-Length", "x")]).unwrap_err(), Body);
        assert_eq!(changed(&[("Transfer-Encoding", "chunked")]).unwrap_err(), Body);
        assert!(changed(&[("Content-Length", "0")]).is_ok());
        assert_eq!(changed(&[("Sec-WebSocket-Version", "")]).unwrap_err(), Version(None));
        for version in ["12", "8", "13, 8", "013", "99"] {
            assert_eq!(
                changed(&[("Sec-WebSocket-Version", version)]).unwrap_err(),
                Version(Some(version.into()))
            );
        }
        let twice = [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Version", "13")];
        assert_eq!(changed(&twice).unwrap_err(), Version(Some("13, 13".into())));
        assert_eq!(changed(&[("Sec-WebSocket-Key", "")]).unwrap_err(), Key(KeyDefect::Missing));
        let twice = [("Sec-WebSocket-Key", "x"), ("Sec-WebSocket-Key", "y")];
        assert_eq!(changed(&twice).unwrap_err(), Key(KeyDefect::Repeated));
        assert_eq!(changed(&[("Sec-WebSocket-Key", "x")]).unwrap_err(), Key(KeyDefect::Malformed));
        let origin = Origin { origin: "http://evil".into(), host: Some("example.com".into()) };
        assert_eq!(changed(&[("Origin", "http://evil")]).unwrap_err(), origin);
    }

    #[test]
    fn the_first_defect_of_the_table_decides() {
        // A request with every defect: mended from the top, the next one shows.
        let bad = [("Content-Length", "1"), ("Sec-WebSocket-Version", "8"), ("Origin", "null")];
        let with = |good: &[(&'static str, &'static str)], version, method| {
            let fields: Vec<_> = good.iter().chain(&bad).copied().collect();
            negotiate(&request(version, method, &fields), &Options::default()).unwrap_err().status()
        };
        assert_eq!(with(&[], HttpVersion::Http2, "POST"), 501);
        assert_eq!(with(&[], HttpVersion::Http10, "POST"), 405);
        assert_eq!(with(&[], HttpVersion::Http10, "GET"), 426);
        assert_eq!(with(&[], HttpVersion::Http11, "GET"), 426);
        assert_eq!(with(&GOOD[1..3], HttpVersion::Http11, "GET"), 400);
        assert_eq!(
            changed(&[("Sec-WebSocket-Version", "8"), ("Sec-WebSocket-Key", "x")]).unwrap_err().status(),
            426
        );
        assert_eq!(changed(&[("Sec-WebSocket-Key", "x"), ("Origin", "null")]).unwrap_err().status(), 400);
        assert_eq!(changed(&[("Origin", "null")]).unwrap_err().status(), 403);
    }

    #[test]
    fn a_refusal_is_a_whole_response() {
        let headers = |error: &UpgradeError| {
            let headers = error.headers().map(|(name, value)| format!("{name}: {value}"));
            headers.collect::<Vec<_>>()
        };
        let plain = "content-type: text/plain; charset=utf-8";
        let upgrade = ["upgrade: websocket", "connection: upgrade"];
        assert_eq!(headers(&UpgradeError::Method("PUT".into())), ["allow: GET", plain]);
        assert_eq!(headers(&UpgradeError::Http10), [upgrade[0], upgrade[1], plain]);
        assert_eq!(headers(&UpgradeError::NoConnectionUpgrade), [upgrade[0], upgrade[1], plain]);
        let version = "sec-websocket-version: 13";
        assert_eq!(headers(&UpgradeError::Version(None)), [upgrade[0], upgrade[1], version, plain]);
        assert_eq!(headers(&UpgradeError::NoTransport), [plain]);
        assert_eq!(headers(&UpgradeError::Draining { retry_after: 7 }), ["retry-after: 7", plain]);
        assert_eq!(UpgradeError::Draining { retry_after: 7 }.status(), 503);
        assert_eq!(UpgradeError::NoTransport.status(), 500);
    }

    #[test]
    fn a_body_is_one_line_and_names_what_can_be_mended() {
        let long = "x\r\n".repeat(1000);
        let error = UpgradeError::Origin { origin: long, host: Some("a".into()) };
        let body = error.body();
        assert_eq!(body.lines().count(), 1);
        assert!(body.len() < 600, "{body}");
        assert!(body.contains("\"a\"") && body.contains("`origins`"), "{body}");
        assert!(UpgradeError::NoConnectionUpgrade.body().contains("`Connection: Upgrade`"));
    }

    #[test]
    fn the_chosen_subprotocol_is_on_the_101() {
        let options =
            Options::default().subprotocols([Subprotocol::new("b").unwrap(), Subprotocol::new("a").unwrap()]);
        let fields: Vec<_> = GOOD.into_iter().chain([("Sec-WebSocket-Protocol", "a, b")]).collect();
        let accepted = negotiate(&request(HttpVersion::Http11, "GET", &fields), &options).unwrap();
        assert!(accepted.headers().any(|field| field == ("sec-websocket-protocol", "b")));
        assert_eq!(accepted.subprotocol().unwrap().as_str(), "b");
    }
}
