//! The answer to a good request (RFC 6455 §4.2.2, SPEC U2).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

use super::error::{KeyDefect, UpgradeError};
use super::head::{Field, RequestHead};
use super::subprotocols::Subprotocol;
use crate::deflate::DeflateParameters;
use crate::options::Options;

/// A request that may become a WebSocket connection, and what was agreed on.
///
/// Made by [`negotiate`](super::negotiate) only. Its headers go on the 101; then, with the feature `driver`,
/// `connection` makes it the connection.
#[derive(Clone, Debug)]
pub struct Accepted {
    accept: String,
    pub(crate) subprotocol: Option<Subprotocol>,
    pub(crate) deflate: Option<DeflateParameters>,
    /// What the 101 says of extensions.
    extensions: Option<String>,
    pub(crate) options: Options,
}

impl Accepted {
    pub(super) fn new(
        accept: String,
        subprotocol: Option<Subprotocol>,
        deflate: Option<DeflateParameters>,
        options: Options,
    ) -> Self {
        let extensions = deflate.map(|parameters| parameters.to_string());
        Accepted { accept, subprotocol, deflate, extensions, options }
    }

    /// The status of the response: 101.
    pub fn status(&self) -> u16 {
        101
    }

    /// The header fields of the 101, names in lower case. The application's own may stand beside them, but no
    /// `Content-Type` and no `Content-Length` or `Transfer-Encoding`.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let subprotocol = self.subprotocol.as_ref();
        [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", &*self.accept)]
            .into_iter()
            .chain(subprotocol.map(|subprotocol| ("sec-websocket-protocol", subprotocol.as_str())))
            .chain(self.extensions.as_deref().map(|extensions| ("sec-websocket-extensions", extensions)))
    }

    /// How messages are compressed, if they are.
    pub fn deflate(&self) -> Option<&DeflateParameters> {
        self.deflate.as_ref()
    }

    /// The subprotocol that was chosen.
    pub fn subprotocol(&self) -> Option<&Subprotocol> {
        self.subprotocol.as_ref()
    }

    /// The options with which the request was negotiated.
    pub fn options(&self) -> &Options {
        &self.options
    }
}

/// Base64 as keys come: with padding, but with whatever bits after the last byte. (RFC 6455's own example of a key,
/// `AQIDBAUGBwgJCgsMDQ4PEC==`, has some.)
const KEY_BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// The `Sec-WebSocket-Accept` for the request's key (RFC 6455 §4.2.2).
pub(super) fn accept_key(head: &RequestHead) -> Result<String, UpgradeError> {
    let key = head.only(Field::Key).map_err(|_| UpgradeError::Key(KeyDefect::Repeated))?;
    let key = key.ok_or(UpgradeError::Key(KeyDefect::Missing))?;
    match KEY_BASE64.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(accept(key)),
        _ => Err(UpgradeError::Key(KeyDefect::Malformed)),
    }
}

fn accept(key: &[u8]) -> String {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    KEY_BASE64.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::HttpVersion;

    fn of_key(key: &str) -> Result<String, UpgradeError> {
        accept_key(&RequestHead::new(HttpVersion::Http11, "GET").header("Sec-WebSocket-Key", key.as_bytes()))
    }

    #[test]
    fn the_key_of_the_rfc() {
        // RFC 6455 §1.3
        assert_eq!(of_key("dGhlIHNhbXBsZSBub25jZQ==").unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn bits_behind_the_last_byte_of_a_key_do_not_matter() {
        // RFC 6455 §4.1
        assert!(of_key("AQIDBAUGBwgJCgsMDQ4PEC==").is_ok());
    }

    #[test]
    fn a_key_has_16_bytes_of_base64() {
        for key in
            ["", "abc", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZQ==x", "!!!!"]
        {
            assert_eq!(of_key(key), Err(UpgradeError::Key(KeyDefect::Malformed)), "{key}");
        }
    }
}
