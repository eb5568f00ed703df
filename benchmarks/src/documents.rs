//! Texts that are worth compressing, and the frames that carry them.

use std::fmt::Write;

use flate2::{Compress, Compression, FlushCompress};

use crate::Result;
use crate::frames::{Random, compressed};

/// What ends a message's deflate data, and is not sent (RFC 7692 §7.2.1).
pub(crate) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// So many bytes of documents go by before the first one comes again: a window of 32 KiB has lost it long before.
const ROUND: usize = 64 * 1024;
const LEAST: usize = 16;

/// A text, and the masked frame with it deflated. It refers to nothing before it, so it can be sent at any time.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) frame: Vec<u8>,
}

/// As many as it takes, the same on every run.
pub(crate) fn make(size: usize) -> Result<Vec<Document>> {
    let mut random = Random::new();
    (0..LEAST.max(ROUND / size)).map(|_| Document::make(size, &mut random)).collect()
}

impl Document {
    fn make(size: usize, random: &mut Random) -> Result<Self> {
        let text = orders(size, random);
        let mut deflated = Vec::with_capacity(size + 64);
        Compress::new(Compression::new(6), false).compress_vec(
            text.as_bytes(),
            &mut deflated,
            FlushCompress::Sync,
        )?;
        let body = deflated.strip_suffix(&TAIL).ok_or("the deflated text has no end")?;
        let mut frame = Vec::new();
        compressed(&mut frame, body, random);
        Ok(Document { text, frame })
    }
}

/// A list of orders as JSON, cut off at the size.
fn orders(size: usize, random: &mut Random) -> String {
    const NAMES: [&str; 8] = ["Ada", "Berta", "Chiara", "Dmitri", "Emeka", "Frida", "Goran", "Hana"];
    const CITIES: [&str; 8] = ["Aarhus", "Bilbao", "Cork", "Dresden", "Espoo", "Ghent", "Lyon", "Porto"];
    const STATES: [&str; 4] = ["open", "paid", "shipped", "returned"];
    let mut text = format!("{{\"feed\":\"orders\",\"sequence\":{},\"orders\":[", random.below(1 << 30));
    while text.len() < size {
        let mut below = |limit| random.below(limit);
        let (id, serial, amount, cents) = (below(1 << 30), below(100_000), below(40) + 1, below(20_000));
        let (name, city, state) = (NAMES[below(8)], CITIES[below(8)], STATES[below(4)]);
        let (day, hour, minute, second) = (below(28) + 1, below(24), below(60), below(60));
        let _ = write!(
            text,
            "{{\"id\":\"{id:08x}\",\"created\":\"2026-05-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z\",\
             \"customer\":{{\"name\":\"{name}\",\"city\":\"{city}\",\"number\":{serial}}},\"state\":\"{state}\",\
             \"amount\":{amount},\"price\":{}.{:02},\"express\":{}}},",
            below(1000),
            cents / 100,
            cents % 100,
            below(4) == 0
        );
    }
    text.truncate(size);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_differ_have_their_size_and_are_long_gone_when_they_come_again() {
        for size in [1024, 16 * 1024] {
            let documents = make(size).unwrap();
            assert!(documents.iter().all(|document| document.text.len() == size));
            assert!(documents.len() >= LEAST && documents.len() * size >= ROUND);
            let mut texts: Vec<_> = documents.iter().map(|document| &document.text).collect();
            texts.sort_unstable();
            texts.dedup();
            assert_eq!(texts.len(), documents.len());
        }
    }
}
