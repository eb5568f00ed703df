//! The compressed messages that a connection receives: inflated, and compared.

use flate2::{Decompress, FlushDecompress};

use crate::Result;
use crate::documents::{Document, TAIL};
use crate::frames;
use crate::offer::Offer;

/// What a connection receives: document after document, each as it was sent.
#[derive(Debug)]
pub(crate) struct Answers {
    offer: Offer,
    /// The document that comes next.
    next: usize,
    context: Decompress,
    /// A frame that has not come whole.
    begun: Vec<u8>,
    inflated: Vec<u8>,
    /// How many have come.
    pub(crate) count: usize,
    /// How many bytes they were.
    pub(crate) bytes: usize,
}

impl Answers {
    /// Beginning with the document of this number.
    pub(crate) fn new(offer: Offer, first: usize) -> Self {
        Answers {
            offer,
            next: first,
            context: Decompress::new(false),
            begun: Vec::new(),
            inflated: Vec::new(),
            count: 0,
            bytes: 0,
        }
    }

    pub(crate) fn take(&mut self, came: &[u8], documents: &[Document]) -> Result<()> {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(came);
        let mut rest = &bytes[..];
        while let Some((header, length)) = frames::answered(rest)?
            && let Some(body) = rest.get(header..header + length)
        {
            if !self.holds(body, &documents[self.next].text)? {
                return Err(format!("a wrong answer after {} right ones", self.count).into());
            }
            self.next = (self.next + 1) % documents.len();
            self.count += 1;
            self.bytes += header + length;
            rest = &rest[header + length..];
        }
        let done = bytes.len() - rest.len();
        bytes.drain(..done);
        self.begun = bytes;
        Ok(())
    }

    /// Whether this body is that text.
    fn holds(&mut self, body: &[u8], text: &str) -> Result<bool> {
        if self.offer == Offer::Alone {
            self.context.reset(false);
        }
        self.inflated.clear();
        // Room for more, or else what is too long would look right.
        self.inflated.reserve(text.len() + 64);
        let before = self.context.total_in();
        for part in [body, &TAIL] {
            self.context.decompress_vec(part, &mut self.inflated, FlushDecompress::Sync)?;
        }
        let taken = self.context.total_in() - before;
        Ok(taken == (body.len() + TAIL.len()) as u64 && self.inflated == text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;
    use crate::documents;

    const SIZE: usize = 100;

    /// What a server sends that keeps its context, or does not.
    fn served(documents: &[Document], offer: Offer) -> Vec<u8> {
        let mut context = Compress::new(Compression::new(6), false);
        let mut out = Vec::new();
        for document in documents {
            if offer == Offer::Alone {
                context.reset();
            }
            let mut body = Vec::with_capacity(2 * SIZE);
            context.compress_vec(document.text.as_bytes(), &mut body, FlushCompress::Sync).unwrap();
            body.truncate(body.len() - TAIL.len());
            out.extend([0xC1, u8::try_from(body.len()).unwrap()]);
            out.extend(body);
        }
        out
    }

    #[test]
    fn answers_are_inflated_however_they_are_cut() {
        let documents = documents::make(SIZE).unwrap();
        for offer in [Offer::Alone, Offer::Takeover] {
            let served = served(&documents, offer);
            for piece in [1, 7, served.len()] {
                let mut answers = Answers::new(offer, 0);
                served.chunks(piece).for_each(|came| answers.take(came, &documents).unwrap());
                assert_eq!((answers.count, answers.bytes), (documents.len(), served.len()));
            }
        }
    }

    #[test]
    fn another_document_is_noticed() {
        let documents = documents::make(SIZE).unwrap();
        for offer in [Offer::Alone, Offer::Takeover] {
            let served = served(&documents, offer);
            Answers::new(offer, 1).take(&served, &documents).unwrap_err();
        }
    }
}
