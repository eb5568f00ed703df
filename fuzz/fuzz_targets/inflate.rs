//! Whatever bytes a compressed message has: the engine does not panic, stays within its limit, and makes the same of
//! them however they are cut; and where it accepts a message, miniz_oxide inflates the same.
#![no_main]
#![allow(clippy::unwrap_used, reason = "a finding is a panic")]

use std::num::NonZeroUsize;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::DecompressorOxide;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use websock_core::protocol::{Event, Protocol};
use websock_core::upgrade::{HttpVersion, negotiate};
use websock_core::{Deflate, Message, Options, RequestHead};

const LIMIT: usize = 1 << 20;

fuzz_target!(|input: (bool, bool, u8, &[u8], &[u8])| {
    let (takeover, text, cut, first, second) = input;
    let opcode = if text { 1 } else { 2 };
    let (begin, end) = first.split_at(first.len().min(usize::from(cut)));
    let script = [
        frame(0x40 | opcode, begin),
        frame(0x89, b"between"),
        frame(0x80, end),
        frame(0xc0 | opcode, second),
    ]
    .concat();
    let at_once = events(takeover, &script, script.len());
    let in_parts = events(takeover, &script, usize::from(cut) % 40 + 1);
    assert_eq!(at_once, in_parts);
    let messages = at_once.iter().filter_map(|event| match event {
        Event::Message(message) => Some(message),
        _ => None,
    });
    for (message, deflated) in messages.zip([first, second]) {
        assert!(message.len() <= LIMIT);
        if !takeover {
            check(message, deflated);
        }
    }
});

/// What miniz_oxide makes of it is what the message begins with; it knows no second stream behind the last block.
fn check(message: &Message, deflated: &[u8]) {
    let bytes = [deflated, &[0, 0, 0xff, 0xff]].concat();
    let mut inflated = vec![0; LIMIT + 1];
    let mut state = Box::<DecompressorOxide>::default();
    let flags = TINFL_FLAG_HAS_MORE_INPUT
        | miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, _, count) =
        miniz_oxide::inflate::core::decompress(&mut state, &bytes, &mut inflated, 0, flags);
    match status {
        TINFLStatus::NeedsMoreInput => assert_eq!(message.as_bytes(), &inflated[..count]),
        TINFLStatus::Done => assert!(message.as_bytes().starts_with(&inflated[..count])),
        other => panic!("accepted what miniz_oxide does not: {other:?}"),
    }
}

fn events(takeover: bool, bytes: &[u8], read_size: usize) -> Vec<Event> {
    let mut engine = engine(takeover);
    let mut events = Vec::new();
    for read in bytes.chunks(read_size) {
        let mut buffer = read.to_vec();
        engine.receive(&mut buffer, Instant::now());
        events.extend(std::iter::from_fn(|| engine.poll_event()));
        engine.reclaim(&mut buffer);
    }
    events
}

fn engine(takeover: bool) -> Protocol {
    let options = Options::default()
        .deflate(Deflate::default().client_context_takeover(takeover))
        .max_message_size(NonZeroUsize::new(LIMIT).unwrap());
    let head = RequestHead::new(HttpVersion::Http11, "GET")
        .header("connection", b"upgrade")
        .header("upgrade", b"websocket")
        .header("sec-websocket-version", b"13")
        .header("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-extensions", b"permessage-deflate");
    let accepted = negotiate(&head, &options).unwrap();
    Protocol::with_deflate(&options, accepted.deflate(), Instant::now())
}

/// A client's frame, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len().to_be_bytes();
    let header = match payload.len() {
        0..=125 => vec![first, 0x80 | length[7]],
        126..=0xffff => vec![first, 0x80 | 126, length[6], length[7]],
        _ => [&[first, 0x80 | 127], &length[..]].concat(),
    };
    [&header, &[0; 4][..], payload].concat()
}
