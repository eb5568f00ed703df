//! permessage-deflate in the engine (SPEC C4-C7): the examples of RFC 7692, bytes that Python's zlib made, and any
//! messages against miniz_oxide, which shares no code with the library that the engine uses.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by it, and makes bytes by hand"
)]

use std::io::IoSlice;
use std::iter::from_fn;
use std::num::NonZeroUsize;
use std::time::Instant;

use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::inflate::stream::InflateState;
use miniz_oxide::{DataFormat, MZFlush, MZStatus};
use proptest::collection::vec;
use proptest::prelude::*;
use websock_core::protocol::{Event, Protocol};
use websock_core::upgrade::{HttpVersion, negotiate};
use websock_core::{
    Control, ControlPayload, Deflate, DeflateLevel, Frame, Message, Options, Prepared, ProtocolError,
    RequestHead, TooBig, WindowBits,
};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Everything is compressed, and refers to what was before it.
fn takeover() -> Deflate {
    alone().server_context_takeover(true).client_context_takeover(true)
}

/// Everything is compressed, each message for itself.
fn alone() -> Deflate {
    Deflate::default().threshold(0)
}

/// An engine with what comes of this offer.
fn engine_for(options: &Options, offer: &str) -> Protocol {
    let head = RequestHead::new(HttpVersion::Http11, "GET")
        .header("connection", b"upgrade")
        .header("upgrade", b"websocket")
        .header("sec-websocket-version", b"13")
        .header("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-extensions", offer.as_bytes());
    let accepted = negotiate(&head, options).unwrap();
    Protocol::with_deflate(options, Some(accepted.deflate().unwrap()), Instant::now())
}

fn engine(deflate: Deflate) -> Protocol {
    engine_for(&Options::default().deflate(deflate), "permessage-deflate; client_max_window_bits")
}

fn limited(deflate: Deflate, limit: usize) -> Protocol {
    let limit = NonZeroUsize::new(limit).unwrap();
    engine_for(&Options::default().deflate(deflate).max_message_size(limit), "permessage-deflate")
}

/// A client's frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len().to_be_bytes();
    let mut frame = vec![first];
    match payload.len() {
        0..=125 => frame.push(0x80 | length[7]),
        126..=0xffff => frame.extend([0x80 | 126, length[6], length[7]]),
        _ => frame.extend([&[0x80 | 127], &length[..]].concat()),
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn read(engine: &mut Protocol, bytes: &[u8]) -> Vec<Event> {
    let mut buffer = bytes.to_vec();
    engine.receive(&mut buffer, Instant::now());
    let events = from_fn(|| engine.poll_event()).collect();
    engine.reclaim(&mut buffer);
    events
}

fn unsent(engine: &mut Protocol) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 64];
    let filled = engine.poll_transmit(&mut slices);
    let bytes = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
    engine.transmitted(engine.unsent());
    bytes
}

/// What goes over the wire for this frame: its first byte, and its payload.
fn sent(engine: &mut Protocol, frame: impl Into<Frame>) -> (u8, Vec<u8>) {
    engine.send(frame.into());
    let bytes = unsent(engine);
    let header = match bytes[1] {
        127 => 10,
        126 => 4,
        _ => 2,
    };
    (bytes[0], bytes[header..].to_vec())
}

fn text(text: &str) -> Event {
    Event::Message(Message::Text(text.into()))
}

fn binary(bytes: &[u8]) -> Event {
    Event::Message(Message::Binary(bytes.to_vec().into()))
}

fn broken() -> Event {
    Event::Violation(ProtocolError::InvalidDeflate.into())
}

fn too_big(limit: usize) -> Event {
    Event::Violation(TooBig::Message { limit }.into())
}

/// Bytes that no deflating makes smaller.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state as u8)
    };
    from_fn(next).take(count).collect()
}

// An inflater and a deflater that share no code with the engine's.

struct Inflater(Box<InflateState>);

impl Inflater {
    fn new() -> Self {
        Inflater(InflateState::new_boxed(DataFormat::Raw))
    }

    fn message(&mut self, deflated: &[u8]) -> Vec<u8> {
        let (bytes, mut at) = ([deflated, &TAIL].concat(), 0);
        let (mut message, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            let step =
                miniz_oxide::inflate::stream::inflate(&mut self.0, &bytes[at..], &mut chunk, MZFlush::None);
            at += step.bytes_consumed;
            message.extend_from_slice(&chunk[..step.bytes_written]);
            if at == bytes.len() && step.bytes_written < chunk.len() {
                return message;
            }
            assert_eq!(step.status, Ok(MZStatus::Ok));
        }
    }
}

struct Deflater(CompressorOxide);

impl Deflater {
    fn new() -> Self {
        Deflater(CompressorOxide::new(create_comp_flags_from_zip_params(6, 0, 0)))
    }

    fn message(&mut self, payload: &[u8]) -> Vec<u8> {
        let (mut at, mut message, mut chunk) = (0, Vec::new(), vec![0; 1 << 16]);
        loop {
            let step =
                miniz_oxide::deflate::stream::deflate(&mut self.0, &payload[at..], &mut chunk, MZFlush::Sync);
            at += step.bytes_consumed;
            message.extend_from_slice(&chunk[..step.bytes_written]);
            // It may return before it has flushed all, though there is room left.
            if at == payload.len() && step.bytes_written < chunk.len() && message.ends_with(&TAIL) {
                break;
            }
            assert!(step.bytes_consumed + step.bytes_written > 0);
        }
        message.truncate(message.len() - TAIL.len());
        message
    }
}

// From the wire.

/// SPEC C4, RFC 7692 §7.2.3.
#[test]
fn the_examples_of_the_rfc_say_hello() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let scripts = [
        frame(0xc1, &hello),
        [frame(0x41, &hello[..3]), frame(0x80, &hello[3..])].concat(),
        // A stored block.
        frame(0xc1, &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]),
        // The last block of a stream, and the beginning of another.
        frame(0xc1, &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
        // Two blocks.
        frame(0xc1, &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]),
    ];
    for script in scripts {
        for deflate in [alone(), takeover()] {
            let mut whole = engine(deflate);
            assert_eq!(read(&mut whole, &script), [text("Hello")], "{script:x?}");
            // The next message is none the worse for it.
            assert_eq!(read(&mut whole, &frame(0xc1, &hello)), [text("Hello")], "{script:x?}");
            let mut cut = engine(deflate);
            let events: Vec<_> = script.iter().flat_map(|byte| read(&mut cut, &[*byte])).collect();
            assert_eq!(events, [text("Hello")], "{script:x?}");
        }
    }
    let mut engine = engine(takeover());
    assert_eq!(read(&mut engine, &frame(0xc1, &hello)), [text("Hello")]);
    assert_eq!(read(&mut engine, &frame(0xc1, &[0xf2, 0x00, 0x11, 0x00, 0x00])), [text("Hello")]);
}

/// SPEC C4: of each kind of message with others between.
#[test]
fn compressed_messages_come_in_order_with_all_else() {
    // Python's zlib, one stream: three messages, the second of which refers to the first.
    let fox = [
        0x0a, 0xc9, 0x48, 0x55, 0x28, 0x2c, 0xcd, 0x4c, 0xce, 0x56, 0x48, 0x2a, 0xca, 0x2f, 0xcf, 0x53, 0x48,
        0xcb, 0xaf, 0x00, 0x00,
    ];
    let jumps = [0x0a, 0xc1, 0x14, 0x52, 0xc8, 0x2a, 0xcd, 0x2d, 0x28, 0x06, 0x00];
    let greek = [
        0x4a, 0x2f, 0x3a, 0xbc, 0xe7, 0xf0, 0xfc, 0x54, 0x1d, 0x85, 0x73, 0xbb, 0xce, 0xf7, 0x9c, 0x6f, 0x3e,
        0xb7, 0xe7, 0xdc, 0x56, 0x00, 0x00,
    ];
    let script = [
        frame(0x41, &fox[..10]),
        frame(0x89, b"?"),
        frame(0x80, &fox[10..]),
        frame(0x81, b"plain"),
        frame(0xc2, &[0]),
        frame(0x42, &[]),
        frame(0x80, &[0]),
    ]
    .concat();
    let ping = Event::Control(Control::Ping(ControlPayload::try_from("?").unwrap()));
    let expected = [ping, text("The quick brown fox"), text("plain"), binary(b""), binary(b"")];
    for deflate in [alone(), takeover()] {
        assert_eq!(read(&mut engine(deflate), &script), expected);
        let mut cut = engine(deflate);
        let events: Vec<_> = script.chunks(3).flat_map(|bytes| read(&mut cut, bytes)).collect();
        assert_eq!(events, expected);
    }
    let mut engine = engine(takeover());
    let script =
        [frame(0xc1, &fox), frame(0x81, b"plain"), frame(0xc1, &jumps), frame(0xc1, &greek)].concat();
    let expected = ["The quick brown fox", "plain", "The quick brown fox jumps", "grüße, κόσμε"].map(text);
    assert_eq!(read(&mut engine, &script), expected);
}

/// SPEC C4.
#[test]
fn a_violation_is_not_forgotten_when_more_is_read_before_it_is_told() {
    let data = [&Deflater::new().message(&[b'x'; 2000])[..], &TAIL, &[0]].concat();
    let whole = frame(0xc2, &data);
    let last = whole.len() - 1;
    for within in [8, last] {
        let mut engine = limited(alone(), 1000);
        assert_eq!(read(&mut engine, &whole[..8]), []);
        for part in [&whole[8..within], &whole[within..last], &whole[last..], &frame(0x82, b"late")] {
            engine.receive(&mut part.to_vec(), Instant::now());
        }
        assert_eq!(from_fn(|| engine.poll_event()).collect::<Vec<_>>(), [too_big(1000)]);
    }
}

#[test]
fn data_that_cannot_be_inflated_is_a_violation() {
    let hello = Deflater::new().message("hello, hello, hello".as_bytes());
    for (broken_data, why) in [
        (&[0x06, 0x00][..], "a block of no kind"),
        (&[0x00, 0x05, 0x00, 0x05, 0x00, 0x48], "a stored block whose length is not confirmed"),
        (&[0x02, 0x02, 0x00], "a distance to before the beginning"),
        (&[0xff, 0xff, 0xff, 0xff, 0xff], "no code"),
        (&[], "nothing, not even the byte of an empty message"),
    ] {
        for deflate in [alone(), takeover()] {
            let mut engine = engine(deflate);
            assert_eq!(read(&mut engine, &frame(0xc2, broken_data)), [broken()], "{why}");
            assert_eq!(read(&mut engine, &frame(0x81, b"after")), [], "{why}");
        }
    }
    for cut in 0..hello.len() {
        let mut engine = engine(alone());
        assert_eq!(read(&mut engine, &frame(0xc2, &hello[..cut])), [broken()], "cut off at {cut}");
    }
    // What refers to a message before, where each has to stand for itself.
    let mut deflater = Deflater::new();
    let (first, second) = (deflater.message(&noise(200)), deflater.message(&noise(200)));
    let mut engine = engine(alone());
    assert_eq!(read(&mut engine, &frame(0xc2, &first)), [binary(&noise(200))]);
    assert_eq!(read(&mut engine, &frame(0xc2, &second)), [broken()]);
}

/// SPEC F4, C4.
#[test]
fn inflated_text_is_checked_as_soon_as_it_is_there() {
    let bad = Deflater::new().message(b"good \xff bad");
    let not_utf8 = [Event::Violation(ProtocolError::TextNotUtf8.into())];
    assert_eq!(read(&mut engine(alone()), &frame(0xc1, &bad)), not_utf8);
    assert_eq!(read(&mut engine(alone()), &frame(0xc2, &bad)), [binary(b"good \xff bad")]);
    // Not complete, and already known to be wrong.
    assert_eq!(read(&mut engine(alone()), &frame(0x41, &[&bad[..], &TAIL].concat())), not_utf8);
    // Of several things that are wrong, the first is told, however the bytes are cut.
    let script = frame(0xc1, &[0x3b, 0x40, 0x80, 0x00]);
    assert_eq!(read(&mut engine(alone()), &script), not_utf8);
    let mut cut = engine(alone());
    let events: Vec<_> = script.iter().flat_map(|byte| read(&mut cut, &[*byte])).collect();
    assert_eq!(events, not_utf8);
    let bad_and_long = Deflater::new().message(b"\xff and more");
    assert_eq!(read(&mut limited(alone(), 5), &frame(0xc1, &bad_and_long)), not_utf8);
    let cut_off = Deflater::new().message("ß".as_bytes().get(..1).unwrap());
    assert_eq!(read(&mut engine(alone()), &frame(0xc1, &cut_off)), not_utf8);
}

/// SPEC C6.
#[test]
fn the_limit_is_of_inflated_bytes_and_absolute() {
    for deflate in [alone(), takeover()] {
        let zeros = |count| Deflater::new().message(&vec![0; count]);
        assert_eq!(
            read(&mut limited(deflate, 100_000), &frame(0xc2, &zeros(100_000))),
            [binary(&[0; 100_000])]
        );
        assert_eq!(read(&mut limited(deflate, 100_000), &frame(0xc2, &zeros(100_001))), [too_big(100_000)]);
        // A hundred megabytes in a hundred kilobytes.
        let bomb = zeros(100_000_000);
        assert_eq!(read(&mut limited(deflate, 1000), &frame(0x42, &bomb[..500])), [too_big(1000)]);
        assert_eq!(read(&mut limited(deflate, 1_000_000), &frame(0xc2, &bomb)), [too_big(1_000_000)]);
        assert_eq!(read(&mut limited(deflate, 1), &frame(0xc2, &zeros(1))), [binary(&[0])]);
    }
}

/// SPEC C6: stored blocks are longer than what is in them.
#[test]
fn the_bytes_on_the_wire_may_exceed_the_limit_by_what_stored_blocks_need_and_no_more() {
    let stored = |bytes: &[u8], block: usize| -> Vec<u8> {
        let blocks = bytes.chunks(block).flat_map(|bytes| {
            let length = bytes.len() as u16;
            [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat()
        });
        blocks.chain([0]).collect()
    };
    const LIMIT: usize = 65_535;
    let most = LIMIT + LIMIT / 1000 + 64;
    let noise = noise(LIMIT);
    let deflated = stored(&noise, 8192);
    assert!(deflated.len() > LIMIT && deflated.len() <= most);
    assert_eq!(read(&mut limited(alone(), LIMIT), &frame(0xc2, &deflated)), [binary(&noise)]);
    let cut = [frame(0x42, &deflated[..LIMIT]), frame(0x80, &deflated[LIMIT..])].concat();
    assert_eq!(read(&mut limited(alone(), LIMIT), &cut), [binary(&noise)]);
    // Over it, the header tells already.
    let header = |length: u32| [&[0xc2, 0x80 | 127, 0, 0, 0, 0][..], &length.to_be_bytes(), &MASK].concat();
    assert_eq!(read(&mut limited(alone(), LIMIT), &header(most as u32)), []);
    assert_eq!(read(&mut limited(alone(), LIMIT), &header(most as u32 + 1)), [too_big(LIMIT)]);
    let mut engine = limited(alone(), LIMIT);
    assert_eq!(read(&mut engine, &frame(0x42, &deflated[..60_000])), []);
    let next = [&[0x80, 0x80 | 126][..], &((most - 60_000 + 1) as u16).to_be_bytes(), &MASK].concat();
    assert_eq!(read(&mut engine, &next), [too_big(LIMIT)]);
    // Nothing of this is for messages that are not compressed.
    let plain = [&[0x82, 0x80 | 127, 0, 0, 0, 0][..], &(LIMIT as u32 + 1).to_be_bytes(), &MASK].concat();
    assert_eq!(read(&mut limited(alone(), LIMIT), &plain), [too_big(LIMIT)]);
}

// To the wire.

/// SPEC C5.
#[test]
fn a_message_is_compressed_from_the_threshold_on_unless_it_asks_not_to_be() {
    let long = "a".repeat(512);
    let deflate = Deflate::default();
    let mut engine = engine(deflate);
    assert_eq!(sent(&mut engine, &long[1..]), (0x81, long[1..].into()));
    let (first, deflated) = sent(&mut engine, &long);
    assert_eq!((first, Inflater::new().message(&deflated)), (0xc1, long.clone().into_bytes()));
    assert!(deflated.len() < 20);
    assert_eq!(sent(&mut engine, Frame::text(&long).uncompressed()), (0x81, long.clone().into()));
    let prepared = Frame::from(Prepared::text(&long));
    assert_eq!(sent(&mut engine, prepared.clone()), (0xc1, deflated));
    assert_eq!(sent(&mut engine, prepared.uncompressed()), (0x81, long.into()));
}

/// SPEC C4: control frames are never compressed, and what has no bytes, or does not get smaller, is not either.
#[test]
fn what_is_not_to_be_compressed_goes_as_it_is() {
    let mut engine = engine(alone());
    let payload = ControlPayload::try_from(vec![b'a'; 125]).unwrap();
    assert_eq!(sent(&mut engine, Frame::ping(payload.clone())), (0x89, payload.to_vec()));
    assert_eq!(sent(&mut engine, Frame::pong(payload.clone())), (0x8a, payload.to_vec()));
    assert_eq!(read(&mut engine, &frame(0x89, &payload)).len(), 1);
    assert_eq!(unsent(&mut engine)[..2], [0x8a, 125]);
    assert_eq!(sent(&mut engine, ""), (0x81, vec![]));
    assert_eq!(sent(&mut engine, Prepared::text("")), (0x81, vec![]));
    let noise = noise(100_000);
    assert_eq!(sent(&mut engine, noise.clone()), (0x82, noise.clone()));
    assert_eq!(sent(&mut engine, Prepared::binary(&noise)), (0x82, noise));
}

/// SPEC C3.
#[test]
fn context_is_taken_over_where_both_sides_want_it_and_nowhere_else() {
    let noise = noise(1000);
    let all = "permessage-deflate";
    for (deflate, offer, server_takes_over) in [
        (takeover(), all, true),
        (takeover(), "permessage-deflate; server_no_context_takeover", false),
        (alone(), all, false),
    ] {
        let mut engine = engine_for(&Options::default().deflate(deflate), offer);
        let mut inflater = Inflater::new();
        let (first, deflated) = sent(&mut engine, noise.clone());
        assert_eq!(first == 0xc2, server_takes_over, "{offer}");
        if server_takes_over {
            // What does not get smaller has to be sent so all the same: what follows refers to it.
            assert_eq!(inflater.message(&deflated), noise);
            let (first, deflated) = sent(&mut engine, noise.clone());
            assert!(first == 0xc2 && deflated.len() < 50, "{}", deflated.len());
            assert_eq!(inflater.message(&deflated), noise);
            let uncompressed = sent(&mut engine, Frame::binary(noise.clone()).uncompressed());
            assert_eq!(uncompressed, (0x82, noise.clone()));
            let (_, deflated) = sent(&mut engine, noise.clone());
            assert_eq!(inflater.message(&deflated), noise);
        }
    }
}

/// SPEC C3: no reference goes further back than the window.
#[test]
fn the_windows_are_as_small_as_agreed() {
    let far = [noise(600), noise(600)].concat();
    let small = takeover().server_max_window_bits(WindowBits::MIN);
    for (deflate, offer) in [
        (small, "permessage-deflate"),
        (takeover(), "permessage-deflate; server_max_window_bits=9"),
        (alone(), "permessage-deflate; server_max_window_bits=9; server_no_context_takeover"),
    ] {
        let mut engine = engine_for(&Options::default().deflate(deflate), offer);
        for message in [far.clone(), far[300..].to_vec(), vec![b'x'; 5000]] {
            // Within 512 bytes there is nothing to refer to.
            let (first, sent) = sent(&mut engine, message.clone());
            if message == far {
                assert!(sent.len() >= far.len(), "{}", sent.len());
            }
            assert!(first == 0xc2 || sent == message);
        }
    }
    let mut wide = engine(takeover());
    assert!(sent(&mut wide, far).1.len() < 700);
}

#[test]
fn a_prepared_message_is_compressed_once_for_all_that_may_have_it_so() {
    let json = r#"{"kind":"price","value":12.5},"#.repeat(40);
    let prepared = Prepared::text(&json);
    let (first, compressed) = sent(&mut engine(alone()), prepared.clone());
    assert_eq!(first, 0xc1);
    assert_eq!(Inflater::new().message(&compressed), json.as_bytes());
    // The level is that of the connection that asked first.
    let fast = alone().level(DeflateLevel::FASTEST);
    assert_eq!(sent(&mut engine(fast), prepared.clone()), (0xc1, compressed));
    // What it says refers further back than this window.
    let small = alone().server_max_window_bits(WindowBits::MIN);
    assert_eq!(sent(&mut engine(small), prepared.clone()), (0x81, json.clone().into()));
    let (first, compressed) = sent(&mut engine(small), Prepared::text(&json[..512]));
    assert_eq!((first, Inflater::new().message(&compressed)), (0xc1, json[..512].into()));
    // What follows would refer to it.
    let mut taking_over = engine(takeover());
    let mut inflater = Inflater::new();
    let (_, deflated) = sent(&mut taking_over, &json);
    assert_eq!(inflater.message(&deflated), json.as_bytes());
    assert_eq!(sent(&mut taking_over, prepared.clone()), (0x81, json.clone().into()));
    let (_, deflated) = sent(&mut taking_over, &json);
    assert_eq!(inflater.message(&deflated), json.as_bytes());
    // And without compression.
    let mut plain = Protocol::new(&Options::default(), Instant::now());
    assert_eq!(sent(&mut plain, prepared), (0x81, json.into()));
}

// Anything, both ways.

#[derive(Clone, Debug)]
struct Sending {
    payload: Vec<u8>,
    compressed: bool,
    cut: usize,
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => vec(any::<u8>(), 0..300),
        3 => (vec(any::<u8>(), 1..20), 0..2000_usize).prop_map(|(piece, times)| piece.repeat(times)),
        1 => Just(Vec::new()),
        1 => (60_000..140_000_usize).prop_map(noise),
        1 => (60_000..140_000_usize).prop_map(|count| vec![7; count]),
    ]
}

fn sendings() -> impl Strategy<Value = Sending> {
    (payloads(), any::<bool>(), any::<prop::sample::Index>()).prop_map(|(payload, compressed, cut)| {
        let cut = cut.index(payload.len() + 1);
        Sending { payload, compressed, cut }
    })
}

fn settings() -> impl Strategy<Value = Deflate> {
    (any::<[bool; 2]>(), 1..=9_u8, 9..=15_u8, 0..600_usize).prop_map(|(takeover, level, bits, threshold)| {
        Deflate::default()
            .server_context_takeover(takeover[0])
            .client_context_takeover(takeover[1])
            .level(DeflateLevel::new(level).unwrap())
            .server_max_window_bits(WindowBits::new(bits).unwrap())
            .threshold(threshold)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_messages_that_miniz_deflates_arrive_however_they_are_cut(
        sendings in vec(sendings(), 1..6),
        deflate in settings(),
        read_size in prop_oneof![1..40_usize, 1000..100_000_usize],
    ) {
        let mut deflater = Deflater::new();
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        let takes_over = deflate != deflate.client_context_takeover(false);
        for Sending { payload, compressed, cut } in sendings {
            if compressed {
                if !takes_over {
                    deflater = Deflater::new();
                }
                let deflated = deflater.message(&payload);
                let cut = cut.min(deflated.len());
                bytes.extend(frame(0x42, &deflated[..cut]));
                bytes.extend(frame(0x80, &deflated[cut..]));
            } else {
                bytes.extend(frame(0x82, &payload));
            }
            expected.push(binary(&payload));
        }
        let read_size = if bytes.len() > 50_000 { read_size.max(1000) } else { read_size };
        let mut engine = engine(deflate);
        let events: Vec<_> = bytes.chunks(read_size).flat_map(|bytes| read(&mut engine, bytes)).collect();
        prop_assert!(events == expected);
    }

    #[test]
    fn miniz_inflates_whatever_is_sent(payloads in vec(payloads(), 1..6), deflate in settings()) {
        let mut engine = engine(deflate);
        let mut inflater = Inflater::new();
        let takes_over = deflate != deflate.server_context_takeover(false);
        for payload in payloads {
            match sent(&mut engine, payload.clone()) {
                (0xc2, deflated) => {
                    if !takes_over {
                        inflater = Inflater::new();
                    }
                    prop_assert!(inflater.message(&deflated) == payload);
                }
                (first, plain) => prop_assert!(first == 0x82 && plain == payload),
            }
        }
    }

    #[test]
    fn no_bytes_are_too_much_for_the_inflating(bytes in vec(any::<u8>(), 0..300), deflate in settings(), cut in 1..50_usize) {
        let script = [frame(0xc2, &bytes), frame(0xc1, &bytes)].concat();
        let (mut whole, mut cut_up) = (engine(deflate), engine(deflate));
        let at_once = read(&mut whole, &script);
        let in_parts: Vec<_> = script.chunks(cut).flat_map(|bytes| read(&mut cut_up, bytes)).collect();
        prop_assert_eq!(at_once, in_parts);
    }
}
