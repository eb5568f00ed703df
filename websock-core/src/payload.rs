//! [`Payload`]: the bytes of a message, which lie in the value itself where they are few.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZero;
use std::ops::Deref;

use bytes::{Bytes, BytesMut};

/// The bytes of a message. They cannot be changed and are cheap to clone.
///
/// A few bytes, at most 32, may lie in the value itself, so that most short messages need no memory of their own; more
/// are shared, as [`Bytes`] are, which [`into_bytes`](Payload::into_bytes) gives where parts are to be shared, too.
///
/// ```
/// use websock_core::{Bytes, Payload};
///
/// let payload = Payload::from([1, 2, 3]);
/// assert_eq!(payload, [1, 2, 3]);
/// assert_eq!(payload.first(), Some(&1));
/// assert_eq!(Bytes::from(payload), vec![1, 2, 3]);
/// ```
#[derive(Clone)]
pub struct Payload(Repr);

/// How many bytes lie in the value itself.
pub(crate) const INLINE: usize = 32;

#[derive(Clone)]
enum Repr {
    Inline(Inline),
    Shared(Bytes),
}

/// All parts are whole words, and lie where those of [`Bytes`] do: a message is moved in the pieces in which it was
/// stored, and no move has to wait until two stores have come together, or one of a single byte has become a word.
/// That would take longer than the allocation which all this spares.
#[derive(Clone)]
#[repr(C)]
struct Inline {
    bytes: [u8; INLINE],
    /// One more than how many of the bytes count. Never zero: by that a [`Repr`] knows that its bytes are shared.
    beyond: NonZero<usize>,
}

impl Payload {
    /// No bytes.
    pub const EMPTY: Payload = Payload::from_static(&[]);

    /// Bytes that live as long as the program; nothing is copied or counted.
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        Payload(Repr::Shared(Bytes::from_static(bytes)))
    }

    /// The first `length` of these bytes; those behind them are of no meaning.
    #[inline(always)]
    pub(crate) fn inline(bytes: [u8; INLINE], length: usize) -> Self {
        debug_assert!(length <= INLINE);
        Payload(Repr::Inline(Inline { bytes, beyond: NonZero::<usize>::MIN.saturating_add(length) }))
    }

    /// Where the bytes lie in the value itself: they, with others behind them, and how many count.
    #[inline(always)]
    pub(crate) fn as_inline(&self) -> Option<(&[u8; INLINE], usize)> {
        match &self.0 {
            Repr::Inline(inline) => Some((&inline.bytes, inline.len())),
            Repr::Shared(_) => None,
        }
    }

    /// The bytes as [`Bytes`]. Copies those that lie in the value itself, and no others.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Repr::Inline(inline) => Bytes::copy_from_slice(inline.as_slice()),
            Repr::Shared(bytes) => bytes,
        }
    }

    /// The same bytes, holding no memory but their own (SPEC B9). Copies.
    #[must_use]
    pub fn detach(&self) -> Self {
        Payload::from(&**self)
    }
}

impl Inline {
    #[inline(always)]
    fn len(&self) -> usize {
        (self.beyond.get() - 1).min(INLINE)
    }

    #[inline(always)]
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }
}

impl Default for Payload {
    fn default() -> Self {
        Payload::EMPTY
    }
}

impl Deref for Payload {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(inline) => inline.as_slice(),
            Repr::Shared(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Payload {
    fn borrow(&self) -> &[u8] {
        self
    }
}

/// As a literal, `b"\x01\x02"`.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl From<&[u8]> for Payload {
    /// Copies; [`Payload::from_static`] does not.
    #[inline]
    fn from(bytes: &[u8]) -> Self {
        if bytes.len() <= INLINE {
            let mut inline = [0; INLINE];
            inline[..bytes.len()].copy_from_slice(bytes);
            Payload::inline(inline, bytes.len())
        } else {
            Bytes::copy_from_slice(bytes).into()
        }
    }
}

impl<const N: usize> From<&[u8; N]> for Payload {
    /// Copies; [`Payload::from_static`] does not.
    fn from(bytes: &[u8; N]) -> Self {
        bytes[..].into()
    }
}

impl<const N: usize> From<[u8; N]> for Payload {
    fn from(bytes: [u8; N]) -> Self {
        bytes[..].into()
    }
}

impl From<&str> for Payload {
    /// Copies; [`Payload::from_static`] does not.
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<Bytes> for Payload {
    #[inline]
    fn from(bytes: Bytes) -> Self {
        Payload(Repr::Shared(bytes))
    }
}

macro_rules! from_owned {
    ($($owned:ty),*) => {$(
        impl From<$owned> for Payload {
            /// Without a copy.
            fn from(owned: $owned) -> Self {
                Bytes::from(owned).into()
            }
        }
    )*};
}

from_owned!(BytesMut, Vec<u8>, Box<[u8]>, String);

impl FromIterator<u8> for Payload {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        Vec::from_iter(bytes).into()
    }
}

impl<'a> IntoIterator for &'a Payload {
    type Item = &'a u8;
    type IntoIter = std::slice::Iter<'a, u8>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Payload> for Bytes {
    fn from(payload: Payload) -> Self {
        payload.into_bytes()
    }
}

impl From<Payload> for Vec<u8> {
    /// Without a copy, where nothing else shares the bytes and they do not lie in the value itself.
    fn from(payload: Payload) -> Self {
        match payload.0 {
            Repr::Inline(inline) => inline.as_slice().to_vec(),
            Repr::Shared(bytes) => bytes.into(),
        }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload {}

/// Both ways.
macro_rules! equal_to {
    ($([$($generics:tt)*] $other:ty),*) => {$(
        impl<$($generics)*> PartialEq<$other> for Payload {
            fn eq(&self, other: &$other) -> bool {
                let other: &[u8] = other.as_ref();
                **self == *other
            }
        }

        impl<$($generics)*> PartialEq<Payload> for $other {
            fn eq(&self, other: &Payload) -> bool {
                other == self
            }
        }
    )*};
}

equal_to!([] [u8], [] &[u8], [const N: usize] [u8; N], [const N: usize] &[u8; N], [] Vec<u8>, [] Bytes);
equal_to!([] str, [] &str, [] String);

impl PartialOrd for Payload {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Payload {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(other)
    }
}

impl Hash for Payload {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::message::Message;

    /// The same bytes in both places, and others of the same size.
    fn inline_and_shared(size: usize) -> [Payload; 2] {
        let bytes: Vec<u8> = (1..=size as u8).collect();
        [Payload::from(&bytes[..]), Payload::from(Bytes::from(bytes))]
    }

    #[test]
    fn where_the_bytes_lie_makes_no_difference() {
        for size in 0..=INLINE {
            let [inline, shared] = inline_and_shared(size);
            assert!(inline.as_inline().is_some() && shared.as_inline().is_none());
            let expected: Vec<u8> = (1..=size as u8).collect();
            for payload in [&inline, &shared, &inline.clone(), &inline.detach(), &shared.detach()] {
                assert_eq!(payload, &expected);
                assert_eq!(payload.len(), size);
                assert_eq!(format!("{payload:?}"), format!("{:?}", Bytes::from(expected.clone())));
                assert_eq!(Bytes::from(payload.clone()), expected);
                assert_eq!(Vec::from(payload.clone()), expected);
                assert_eq!((payload == &inline, payload.cmp(&shared)), (true, Ordering::Equal));
            }
            assert_eq!(HashSet::from([inline, shared]).len(), 1);
        }
    }

    /// A larger one is no error, but see [`Inline`].
    #[test]
    fn nothing_is_larger_than_it_has_to_be() {
        assert_eq!(size_of::<Payload>(), size_of::<Bytes>() + size_of::<usize>());
        assert_eq!(size_of::<Message>(), size_of::<Payload>() + size_of::<usize>());
    }

    #[test]
    fn it_equals_whatever_has_the_same_bytes() {
        fn are_equal<T: PartialEq<Payload> + ?Sized>(payload: &Payload, other: &T) -> bool
        where
            Payload: PartialEq<T>,
        {
            assert_eq!(payload == other, other == payload);
            payload == other
        }
        let payload = Payload::from("ab");
        assert!(are_equal(&payload, "ab") && are_equal(&payload, &"ab"));
        assert!(are_equal(&payload, &String::from("ab")) && are_equal(&payload, &b"ab".to_vec()));
        assert!(are_equal(&payload, b"ab") && are_equal(&payload, &b"ab") && are_equal(&payload, &b"ab"[..]));
        assert!(!are_equal(&payload, &Bytes::from_static(b"abc")) && !are_equal(&payload, &&b"ac"[..]));
        assert_eq!((&payload).into_iter().copied().collect::<Payload>(), payload);
    }

    #[test]
    fn what_lies_behind_the_bytes_does_not_count() {
        let (ones, twos) = (Payload::inline([1; INLINE], 5), Payload::inline([2; INLINE], 5));
        assert_ne!(ones, twos);
        let mut behind = [1; INLINE];
        behind[5..].fill(9);
        assert_eq!(ones, Payload::inline(behind, 5));
        assert_eq!(Payload::inline(behind, 5).into_bytes(), vec![1; 5]);
    }

    #[test]
    fn more_bytes_are_shared() {
        let payload = Payload::from(&[7; INLINE + 1]);
        assert_eq!(payload.as_ptr(), payload.clone().as_ptr());
        let address = payload.as_ptr();
        assert_eq!(payload.into_bytes().as_ptr(), address);
    }
}
