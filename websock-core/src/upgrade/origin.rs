//! Which pages may connect (SPEC U5).
//!
//! A browser lets any page open a WebSocket to any server, with the visitor's cookies, and only names the page's
//! origin in the request (RFC 6455 §10.2). So the server has to look.

use std::fmt;
use std::str::FromStr;

use super::error::UpgradeError;
use super::head::{Field, RequestHead};

/// Which origins may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Pages of the host (and port) that the request itself is for. Clients that are no browsers send no origin and
    /// are let in.
    ///
    /// Schemes are not compared, since TLS may end in front of the server, and neither are `Forwarded` and
    /// `X-Forwarded-Host`, since anybody can send them.
    SameHost,
    /// Pages of these origins. Clients that send no origin are let in.
    List(Vec<Origin>),
    /// Every page in the world, with its visitors' cookies: only for services that know no visitor, or that check
    /// something else, such as a token in the first message.
    InsecureAny,
}

/// Scheme, host and port of a page (RFC 6454 §4).
///
/// ```
/// use websock_core::{Options, Origins};
///
/// let origins = vec!["https://example.com".parse()?, "https://example.com:8443".parse()?];
/// let options = Options::default().origins(Origins::List(origins));
/// # Ok::<(), websock_core::upgrade::InvalidOrigin>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    authority: Authority,
}

/// The text is not an origin: a scheme, `://`, a host and perhaps a port, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin such as \"https://example.com\" or \"http://localhost:3000\"")]
pub struct InvalidOrigin(pub String);

/// A host in lower case, and its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Authority {
    host: String,
    port: Option<u16>,
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    /// # Errors
    /// When the text is not a scheme, a host and perhaps a port.
    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        Origin::parse(text).ok_or_else(|| InvalidOrigin(text.into()))
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (first, rest) = scheme.as_bytes().split_first()?;
        let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        if !first.is_ascii_alphabetic() || !rest.iter().all(valid) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
        let authority = Authority::parse(authority)?.less_port(|port| Some(port) == default_port);
        Some(Origin { scheme, authority })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority.host)?;
        self.authority.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Authority {
    fn parse(text: &str) -> Option<Self> {
        let port_at = match text.rfind(':') {
            Some(colon) if !text[colon..].contains(']') => Some(colon),
            _ => None,
        };
        let (host, port) = match port_at {
            Some(colon) => (&text[..colon], parse_port(&text[colon + 1..])?),
            None => (text, None),
        };
        let valid = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse::<core::net::Ipv6Addr>().is_ok(),
            None => {
                let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
                !host.is_empty() && host.bytes().all(name)
            }
        };
        valid.then(|| Authority { host: host.to_ascii_lowercase(), port })
    }

    fn less_port(mut self, is_default: impl Fn(u16) -> bool) -> Self {
        self.port = self.port.filter(|port| !is_default(*port));
        self
    }
}

/// The port, which may be left out behind its colon (RFC 3986 §3.2.3); `None`, if it is none.
fn parse_port(digits: &str) -> Option<Option<u16>> {
    match digits {
        "" => Some(None),
        // `parse` takes a sign, too.
        _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(Some(digits.parse().ok()?)),
        _ => None,
    }
}

/// Lets a request in, or says why not.
pub(super) fn check(head: &RequestHead, origins: &Origins) -> Result<(), UpgradeError> {
    if *origins == Origins::InsecureAny {
        return Ok(());
    }
    let refused = |origin: &[u8]| {
        Err(UpgradeError::Origin {
            origin: String::from_utf8_lossy(origin).into_owned(),
            host: head.host().map(str::to_owned),
        })
    };
    let value = match head.only(Field::Origin) {
        Ok(None) => return Ok(()),
        Ok(Some(value)) => value,
        Err(_) => return refused(&head.all(Field::Origin).collect::<Vec<_>>().join(&b", "[..])),
    };
    let Some(origin) = std::str::from_utf8(value).ok().and_then(Origin::parse) else { return refused(value) };
    let allowed = match origins {
        Origins::SameHost => head
            .host()
            .and_then(Authority::parse)
            .is_some_and(|host| host.less_port(|port| port == 80 || port == 443) == origin.authority),
        Origins::List(list) => list.contains(&origin),
        Origins::InsecureAny => true,
    };
    if allowed { Ok(()) } else { refused(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::HttpVersion;

    fn allowed(host: &str, origin: &str, origins: &Origins) -> bool {
        let head = RequestHead::new(HttpVersion::Http11, "GET")
            .header("Host", host.as_bytes())
            .header("Origin", origin.as_bytes());
        check(&head, origins).is_ok()
    }

    #[test]
    fn a_page_of_the_same_host_and_port_may_connect() {
        for (host, origin) in [
            ("example.com", "http://example.com"),
            ("example.com", "https://example.com"),
            ("example.com", "https://example.com:443"),
            ("example.com:443", "https://example.com"),
            ("example.com:80", "http://example.com:80"),
            ("example.com:", "http://example.com"),
            ("example.com", "https://example.com:"),
            ("EXAMPLE.com", "HTTPS://Example.COM"),
            ("localhost:8080", "http://localhost:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("[::1]", "http://[::1]"),
        ] {
            assert!(allowed(host, origin, &Origins::SameHost), "{host} {origin}");
        }
    }

    #[test]
    fn any_other_page_may_not() {
        for (host, origin) in [
            ("example.com", "https://evil.com"),
            ("example.com", "https://example.com.evil.com"),
            ("example.com", "https://evilexample.com"),
            ("example.com", "https://example.com:8443"),
            ("example.com:8443", "https://example.com"),
            ("example.com", "http://example.com:443"),
            ("example.com", "null"),
            ("example.com", ""),
            ("example.com", "example.com"),
            ("example.com", "https://example.com/"),
            ("example.com", "https://example.com/path"),
            ("example.com", "https://user@example.com"),
            ("example.com", "https://example.com https://example.com"),
            ("example.com", "https://example.com:99999"),
            ("example.com", "https://example.com:+443"),
            ("example.com", "https://"),
            ("example.com", "://example.com"),
            ("", "https://"),
            ("[::1", "http://[::1"),
        ] {
            assert!(!allowed(host, origin, &Origins::SameHost), "{host} {origin}");
        }
    }

    #[test]
    fn without_an_origin_anybody_may_connect_and_with_two_nobody() {
        let head = RequestHead::new(HttpVersion::Http11, "GET").header("Host", b"a");
        assert_eq!(check(&head, &Origins::SameHost), Ok(()));
        assert_eq!(check(&head, &Origins::List(Vec::new())), Ok(()));
        let head = head.header("Origin", b"http://a").header("Origin", b"http://a");
        let refused = UpgradeError::Origin { origin: "http://a, http://a".into(), host: Some("a".into()) };
        assert_eq!(check(&head, &Origins::SameHost), Err(refused));
        assert_eq!(check(&head, &Origins::InsecureAny), Ok(()));
    }

    #[test]
    fn a_list_compares_scheme_host_and_port() {
        let list = Origins::List(vec!["https://a.example".parse().unwrap(), "http://b:81".parse().unwrap()]);
        assert!(allowed("x", "https://a.example", &list));
        assert!(allowed("x", "https://A.example:443", &list));
        assert!(allowed("x", "http://b:81", &list));
        for origin in ["http://a.example", "https://a.example:444", "http://b", "null", "https://x"] {
            assert!(!allowed("x", origin, &list), "{origin}");
        }
        assert!(allowed("x", "null", &Origins::InsecureAny));
    }

    #[test]
    fn an_origin_is_written_without_its_default_port() {
        assert_eq!("HTTPS://A:443".parse::<Origin>().unwrap().to_string(), "https://a");
        assert_eq!("http://[::1]:443".parse::<Origin>().unwrap().to_string(), "http://[::1]:443");
        assert_eq!("a".parse::<Origin>(), Err(InvalidOrigin("a".into())));
    }
}
