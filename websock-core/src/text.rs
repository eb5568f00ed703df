//! [`Text`]: bytes that are known to be UTF-8, and the buffer in which arriving bytes become one.
//!
//! The two live in one file because together they are the proof: nothing outside can make a `Text` of bytes
//! that were not checked.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::{BufMut, Bytes};

use crate::payload::Payload;
use crate::protocol::extend_unmasked;
use crate::spare;

/// Text that is UTF-8 by its type and cheap to clone: a [`Payload`] that dereferences to [`str`].
///
/// ```
/// use websock_core::Text;
///
/// let text = Text::from("hello");
/// assert!(text.starts_with("he"));
/// assert_eq!(text, "hello");
/// ```
///
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(Payload, Utf8);

/// Says nothing that a [`Text`] does not say. But its many values that do not occur are where a
/// [`Message`](crate::Message) keeps its tag: a whole word beside the payload, so that all of it is moved as it was
/// stored. Otherwise each move waits for the stores before it, as in a [`Payload`].
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
enum Utf8 {
    #[default]
    Checked,
}

/// Up to here it is worth while to see first whether a text is ASCII: simdutf8's own start and end take longer.
const SHORT: usize = 256;

/// The bytes are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not valid UTF-8")]
pub struct InvalidUtf8;

impl Text {
    /// The empty text.
    pub const EMPTY: Text = Text::from_static("");

    /// A text that lives as long as the program; nothing is copied or counted.
    pub const fn from_static(text: &'static str) -> Self {
        Text::checked(Payload::from_static(text.as_bytes()))
    }

    /// These bytes, which were seen to be UTF-8.
    #[inline]
    const fn checked(payload: Payload) -> Self {
        Text(payload, Utf8::Checked)
    }

    /// The text as a string slice.
    pub fn as_str(&self) -> &str {
        // SAFETY: a `Text` is built only from a `str` or a `String`, or from bytes that `TryFrom` below or
        // `Utf8Buffer::into_text` has seen to be UTF-8 from the first to the last; a `Payload` cannot be changed.
        #[allow(unsafe_code)]
        unsafe {
            std::str::from_utf8_unchecked(&self.0)
        }
    }

    /// The text's bytes as [`Bytes`]: [`Payload::into_bytes`].
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }

    /// A text that holds no memory but its own bytes (SPEC B9). Copies.
    #[must_use]
    pub fn detach(&self) -> Self {
        Text::checked(self.0.detach())
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

/// As a [`str`], so that one finds the other in a map.
impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl From<&str> for Text {
    /// Copies; [`Text::from_static`] does not.
    fn from(text: &str) -> Self {
        Text::checked(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text::checked(text.into())
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Text::from(text.as_str())
    }
}

impl TryFrom<Payload> for Text {
    type Error = InvalidUtf8;

    /// # Errors
    /// When the bytes are not UTF-8.
    #[inline]
    fn try_from(payload: Payload) -> Result<Self, InvalidUtf8> {
        if payload.len() <= SHORT && is_ascii(&payload) {
            return Ok(Text::checked(payload));
        }
        simdutf8::basic::from_utf8(&payload).map_err(|_| InvalidUtf8)?;
        Ok(Text::checked(payload))
    }
}

impl TryFrom<Bytes> for Text {
    type Error = InvalidUtf8;

    /// # Errors
    /// When the bytes are not UTF-8.
    fn try_from(bytes: Bytes) -> Result<Self, InvalidUtf8> {
        Payload::from(bytes).try_into()
    }
}

/// Whether all of this is ASCII, without a look at single bytes where that can be helped.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else { return bytes.is_ascii() };
    let words = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word));
    words.fold(u64::from_ne_bytes(*last), |all, word| all | word) & 0x8080_8080_8080_8080 == 0
}

/// Both ways.
macro_rules! equal_to {
    ($($other:ty),*) => {$(
        impl PartialEq<$other> for Text {
            fn eq(&self, other: &$other) -> bool {
                let other: &str = other.as_ref();
                self.as_str() == other
            }
        }

        impl PartialEq<Text> for $other {
            fn eq(&self, other: &Text) -> bool {
                other == self
            }
        }
    )*};
}

equal_to!(str, &str, String);

impl From<Text> for String {
    /// Copies.
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

/// The payload of a message while it arrives in pieces: bytes are only ever added at the end, and can be changed
/// (unmasked) only as long as they are not checked.
#[derive(Debug, Default)]
pub(crate) struct Utf8Buffer {
    bytes: Vec<u8>,
    /// Where in `bytes` the payload begins.
    lead: usize,
    /// Up to here the bytes are whole, valid code points.
    checked: usize,
    /// Where memory was lent for a size that was only claimed: until the payload is whole.
    _loan: Option<spare::Loan>,
}

impl Utf8Buffer {
    /// A buffer for a payload of which this size is claimed: with memory that is there already, or none.
    pub(crate) fn for_claim(size: usize) -> Self {
        let (bytes, loan) = spare::lend(size).unzip();
        let bytes = bytes.unwrap_or_default();
        Utf8Buffer { lead: bytes.len(), checked: bytes.len(), bytes, _loan: loan }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.lead
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity() - self.lead
    }

    /// Makes room for exactly `capacity` bytes in all, never less than is held.
    pub(crate) fn grow_to(&mut self, capacity: usize) {
        self.bytes.reserve_exact(capacity.saturating_sub(self.len()));
    }

    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn extend_unmasked(&mut self, bytes: &[u8], mask: [u8; 4]) {
        extend_unmasked(&mut self.bytes, bytes, mask);
    }

    /// The room behind the bytes, at most `limit` of it, for a transport to read into.
    pub(crate) fn spare(&mut self, limit: usize) -> impl BufMut + '_ {
        let spare = self.bytes.capacity() - self.bytes.len();
        (&mut self.bytes).limit(limit.min(spare))
    }

    /// Takes away the last `count` bytes, which must not have been checked yet.
    pub(crate) fn split_off(&mut self, count: usize) -> Vec<u8> {
        let end = (self.bytes.len() - count).max(self.checked);
        self.bytes.split_off(end)
    }

    /// The last `count` bytes, which must not have been checked yet.
    pub(crate) fn tail_mut(&mut self, count: usize) -> &mut [u8] {
        let start = (self.bytes.len() - count).max(self.checked);
        &mut self.bytes[start..]
    }

    /// Checks what came since the last time. A code point that is only cut off is not an error yet, one that can
    /// no longer become valid is (SPEC F4).
    pub(crate) fn check(&mut self) -> Result<(), InvalidUtf8> {
        match simdutf8::compat::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(InvalidUtf8),
        }
        Ok(())
    }

    /// The whole as a text.
    pub(crate) fn into_text(mut self) -> Result<Text, InvalidUtf8> {
        self.check()?;
        if self.checked < self.bytes.len() {
            Err(InvalidUtf8)
        } else {
            Ok(Text::checked(self.into_payload()))
        }
    }

    /// The whole as bytes of which nothing is claimed.
    pub(crate) fn into_payload(self) -> Payload {
        spare::message(self.bytes, self.lead).into()
    }
}

impl From<Text> for Payload {
    #[inline(always)]
    fn from(text: Text) -> Self {
        text.0
    }
}

impl From<Text> for Bytes {
    fn from(text: Text) -> Self {
        text.into_bytes()
    }
}

impl Text {
    /// The longest beginning of the text that has at most `limit` bytes and ends at a character's end.
    pub(crate) fn truncate(self, limit: usize) -> Self {
        if self.len() <= limit { self } else { Text::from(&self[..self.floor_char_boundary(limit)]) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_text_is_its_string() {
        let text = Text::from("grüße");
        assert_eq!(text, "grüße");
        assert_eq!(text.len(), 7);
        assert_eq!(text.to_string(), "grüße");
        assert_eq!(format!("{text:?}"), "\"grüße\"");
        assert_eq!(Text::from_static("a"), Text::from(String::from("a")));
        assert_eq!((String::from(text.clone()), Bytes::from(text.clone())), ("grüße".into(), "grüße".into()));
        assert!("grüße" == text && text != "grüß" && *"grüße" == text);
        assert_ne!("b".to_owned(), text);
    }

    #[test]
    fn a_text_in_a_map_is_found_by_its_string() {
        let map = HashMap::from([(Text::from("a"), 1), (Text::from("b".repeat(100)), 2)]);
        assert_eq!((map.get("a"), map.get("b".repeat(100).as_str())), (Some(&1), Some(&2)));
    }

    #[test]
    fn bytes_that_are_not_utf8_do_not_become_a_text() {
        assert_eq!(Text::try_from(Bytes::from_static(b"\xff")), Err(InvalidUtf8));
        assert_eq!(Text::try_from(Bytes::from_static("ß".as_bytes())).unwrap(), "ß");
    }

    #[test]
    fn truncate_never_splits_a_character() {
        assert_eq!(Text::from("aß").truncate(2), "a");
        assert_eq!(Text::from("aß").truncate(3), "aß");
        assert_eq!(Text::from("aß").truncate(9), "aß");
        assert_eq!(Text::from("ß".repeat(100)).truncate(121), "ß".repeat(60).as_str());
    }

    #[test]
    fn a_detached_text_is_not_a_slice_of_the_same_memory() {
        let whole = Bytes::from(vec![b'x'; 64]);
        for size in [3, 50] {
            let text = Text::try_from(whole.slice(3..3 + size)).unwrap();
            let detached = text.detach();
            assert_eq!(text, detached);
            assert_ne!(text.as_ptr(), detached.as_ptr());
        }
    }

    #[test]
    fn a_code_point_may_arrive_in_any_pieces() {
        for text in ["κόσμε", "a\u{10FFFF}b", "\u{800}\u{FFFF}"] {
            let mut buffer = Utf8Buffer::default();
            for byte in text.bytes() {
                buffer.extend_from_slice(&[byte]);
                buffer.check().unwrap();
            }
            assert_eq!(buffer.into_text().unwrap(), text);
        }
    }

    #[test]
    fn a_code_point_that_can_no_longer_be_valid_is_refused_at_once() {
        // The last byte of each is the first by which it is known.
        for bad in [&b"\xc0"[..], b"\xe0\x80", b"\xed\xa0", b"\xf4\x90", b"\xf5", b"\x80", b"a\xce\xce"] {
            let mut buffer = Utf8Buffer::default();
            let (last, before) = bad.split_last().unwrap();
            for byte in before {
                buffer.extend_from_slice(&[*byte]);
                assert_eq!(buffer.check(), Ok(()), "{bad:x?}");
            }
            buffer.extend_from_slice(&[*last]);
            assert_eq!(buffer.check(), Err(InvalidUtf8), "{bad:x?}");
        }
    }

    #[test]
    fn a_text_must_not_end_inside_a_code_point() {
        let mut buffer = Utf8Buffer::default();
        buffer.extend_from_slice(b"a\xce");
        assert_eq!(buffer.check(), Ok(()));
        assert_eq!(buffer.into_text(), Err(InvalidUtf8));
    }

    #[test]
    fn one_wrong_byte_is_found_wherever_it_is() {
        for length in 0..2 * SHORT {
            let bytes = vec![b'a'; length];
            assert!(Text::try_from(Bytes::from(bytes.clone())).is_ok());
            for wrong in 0..length {
                let mut bytes = bytes.clone();
                bytes[wrong] = 0x80;
                assert_eq!(Text::try_from(Bytes::from(bytes)), Err(InvalidUtf8), "{wrong} of {length}");
            }
        }
    }
}
