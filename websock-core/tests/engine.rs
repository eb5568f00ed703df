//! The engine by examples: scripts of frames made by hand, and exactly what must come of them (SPEC F, X, T).
//!
//! The frame builder shares no code with the crate.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by it, and makes bytes by hand"
)]

use std::io::IoSlice;
use std::iter::from_fn;
use std::num::NonZeroUsize;
use std::thread::spawn;
use std::time::{Duration, Instant};

use bytes::BufMut;
use websock_core::protocol::{Count, Event, Protocol, Traffic, Violation};
use websock_core::{
    Bytes, CloseCode, CloseFrame, Control, ControlPayload, Frame, Keepalive, Message, Options, Prepared,
    ProtocolError, Timeout, TooBig,
};

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// The masking key of the examples in RFC 6455 §5.7.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const SECOND: Duration = Duration::from_secs(1);

// Frames, made by hand.

fn length_field(masked: u8, length: u64) -> Vec<u8> {
    let extended = length.to_be_bytes();
    match length {
        0..=125 => vec![masked | extended[7]],
        126..=0xffff => [&[masked | 126], &extended[6..]].concat(),
        _ => [&[masked | 127], &extended[..]].concat(),
    }
}

/// A client's header: the first byte as it is, and a length that the payload need not keep.
fn head(first: u8, length: u64) -> Vec<u8> {
    [&[first][..], &length_field(0x80, length), &MASK].concat()
}

fn masked(payload: &[u8]) -> Vec<u8> {
    payload.iter().enumerate().map(|(i, byte)| byte ^ MASK[i % 4]).collect()
}

/// A client's frame.
fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    [head(first, payload.len() as u64), masked(payload)].concat()
}

/// The beginning of a client's frame that claims to be longer.
fn cut_frame(first: u8, length: u64, payload: impl AsRef<[u8]>) -> Vec<u8> {
    [head(first, length), masked(payload.as_ref())].concat()
}

/// A server's frame.
fn server_frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    [&[first][..], &length_field(0, payload.len() as u64), payload].concat()
}

fn close_payload(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_ref()].concat()
}

// What is expected of them.

fn text(text: &str) -> Event {
    Event::Message(Message::Text(text.into()))
}

fn binary(payload: impl AsRef<[u8]>) -> Event {
    Event::Message(Message::Binary(payload.as_ref().into()))
}

fn unchecked(payload: impl AsRef<[u8]>) -> Event {
    Event::Message(Message::UncheckedText(payload.as_ref().into()))
}

fn ping(payload: impl AsRef<[u8]>) -> Event {
    Event::Control(Control::Ping(payload.as_ref().try_into().unwrap()))
}

fn pong(payload: impl AsRef<[u8]>) -> Event {
    Event::Control(Control::Pong(payload.as_ref().try_into().unwrap()))
}

fn close(code: u16, reason: &str) -> Event {
    Event::Close(Some(CloseFrame::new(CloseCode::new(code).unwrap(), reason)))
}

fn size(size: usize) -> NonZeroUsize {
    NonZeroUsize::new(size).unwrap()
}

// What is done with the engine.

fn engine(options: Options) -> Protocol {
    Protocol::new(&options, Instant::now())
}

fn defaults() -> Protocol {
    engine(Options::default())
}

/// All the events there are.
fn events(engine: &mut Protocol) -> Vec<Event> {
    from_fn(|| engine.poll_event()).collect()
}

/// The events of these bytes, which come in one read, as a driver does it.
fn read_at(engine: &mut Protocol, bytes: impl AsRef<[u8]>, now: Instant) -> Vec<Event> {
    let mut buffer = bytes.as_ref().to_vec();
    engine.receive(&mut buffer, now);
    let events = events(engine);
    engine.reclaim(&mut buffer);
    events
}

fn read(engine: &mut Protocol, bytes: impl AsRef<[u8]>) -> Vec<Event> {
    read_at(engine, bytes, Instant::now())
}

/// What is to be written next, in at most `N` slices.
fn shown<const N: usize>(engine: &Protocol) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); N];
    let filled = engine.poll_transmit(&mut slices);
    assert!(slices[filled..].iter().all(|slice| slice.is_empty()));
    slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
}

/// Writes everything, in writes of at most so many bytes.
fn written_in(engine: &mut Protocol, most: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while engine.unsent() > 0 {
        let mut next = shown::<3>(engine);
        next.truncate(most);
        engine.transmitted(next.len());
        all.extend(next);
    }
    assert!(shown::<3>(engine).is_empty());
    all
}

fn written(engine: &mut Protocol) -> Vec<u8> {
    written_in(engine, usize::MAX)
}

/// What is wrong about these bytes. It must be known by the very last of them and not before, must be told as the last
/// event, and must be the same when they come one by one.
#[track_caller]
fn violation(options: &Options, bytes: impl AsRef<[u8]>) -> Violation {
    let (last, before) = bytes.as_ref().split_last().unwrap();
    let is_violation = |event: &Event| matches!(event, Event::Violation(_));

    let mut whole = engine(options.clone());
    let mut told = read(&mut whole, bytes.as_ref());
    let Some(Event::Violation(violation)) = told.pop() else { panic!("no violation in the end: {told:?}") };
    assert!(!told.iter().any(is_violation), "more than one: {told:?}");
    assert_eq!(read(&mut whole, frame(FIN | TEXT, "more")), [], "something follows {violation}");

    let mut halting = engine(options.clone());
    assert_eq!(read(&mut halting, before), told, "{violation} is told too early");
    assert_eq!(read(&mut halting, [*last]), [Event::Violation(violation)]);

    let mut slow = engine(options.clone());
    let pieces: Vec<Event> = bytes.as_ref().iter().flat_map(|byte| read(&mut slow, [*byte])).collect();
    assert_eq!(pieces.split_last(), Some((&Event::Violation(violation), &told[..])));
    violation
}

#[track_caller]
fn protocol_error(options: &Options, bytes: impl AsRef<[u8]>) -> ProtocolError {
    match violation(options, bytes) {
        Violation::Protocol(error) => error,
        Violation::TooBig(error) => panic!("{error}"),
    }
}

#[track_caller]
fn too_big(options: &Options, bytes: impl AsRef<[u8]>) -> TooBig {
    match violation(options, bytes) {
        Violation::TooBig(error) => error,
        Violation::Protocol(error) => panic!("{error}"),
    }
}

// The examples of RFC 6455 §5.7.

const HELLO_MASKED: [u8; 9] = [0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];

#[test]
fn the_hello_of_the_rfc_is_sent_unmasked() {
    let mut engine = defaults();
    engine.send(Frame::text("Hello"));
    assert_eq!(written(&mut engine), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
}

#[test]
fn the_masked_hello_of_the_rfc_is_a_text() {
    let bytes = [&[0x81, 0x85][..], &HELLO_MASKED].concat();
    assert_eq!(read(&mut defaults(), bytes), [text("Hello")]);
}

#[test]
fn the_fragmented_hello_of_the_rfc_is_one_text() {
    let mut engine = defaults();
    assert_eq!(read(&mut engine, [0x01, 0x83, 0, 0, 0, 0, 0x48, 0x65, 0x6c]), []);
    assert_eq!(read(&mut engine, [0x80, 0x82, 0, 0, 0, 0, 0x6c, 0x6f]), [text("Hello")]);
}

#[test]
fn the_ping_of_the_rfc_is_answered_by_the_pong_of_the_rfc() {
    let mut engine = defaults();
    assert_eq!(read(&mut engine, [&[0x89, 0x85][..], &HELLO_MASKED].concat()), [ping("Hello")]);
    assert_eq!(written(&mut engine), [0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(read(&mut engine, [&[0x8a, 0x85][..], &HELLO_MASKED].concat()), [pong("Hello")]);
    assert_eq!(engine.unsent(), 0, "a pong is not answered");
}

#[test]
fn a_binary_message_of_256_bytes_has_a_16_bit_length_both_ways() {
    let payload: Vec<u8> = (0..=255).collect();
    let mut engine = defaults();
    let received = [&[0x82, 0xfe, 0x01, 0x00][..], &MASK, &masked(&payload)].concat();
    assert_eq!(read(&mut engine, received), [binary(&payload)]);
    engine.send(Frame::binary(payload.clone()));
    assert_eq!(written(&mut engine), [&[0x82, 0x7e, 0x01, 0x00][..], &payload].concat());
}

#[test]
fn a_binary_message_of_64_kib_has_a_64_bit_length_both_ways() {
    let payload: Vec<u8> = (0..65_536_u32).map(|i| (i % 251) as u8).collect();
    let mut engine = defaults();
    let received = [&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0][..], &MASK, &masked(&payload)].concat();
    assert_eq!(read(&mut engine, received), [binary(&payload)]);
    engine.send(Frame::binary(payload.clone()));
    assert_eq!(written(&mut engine), [&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0][..], &payload].concat());
}

// F1, F2, F3, F8: headers.

/// The rest of a frame behind its first byte, of which nothing must be needed.
fn opening(rest: &[u8]) -> [Vec<u8>; 3] {
    // At the start, behind a whole frame, and inside a fragmented message.
    [
        rest.to_vec(),
        [frame(FIN | PONG, "ok"), rest.to_vec()].concat(),
        [frame(TEXT, "ok"), rest.to_vec()].concat(),
    ]
}

#[test]
fn every_bad_first_byte_is_refused_by_itself() {
    let options = Options::default();
    for first in 0..=u8::MAX {
        let (fin, reserved, opcode) = (first & FIN != 0, first >> 4 & 0x7, first & 0xf);
        let expected = match (reserved, opcode) {
            (0, 0x3..=0x7 | 0xB..=0xF) => ProtocolError::UnknownOpcode(opcode),
            (0, 0x8..=0xA) if !fin => ProtocolError::FragmentedControl,
            (0, _) => {
                assert_eq!(read(&mut defaults(), [first]), [], "{first:#x}");
                continue;
            }
            _ => ProtocolError::ReservedBits(reserved),
        };
        for bytes in opening(&[first]) {
            let violation = violation(&options, bytes);
            assert_eq!(violation, Violation::Protocol(expected), "{first:#x}");
            assert_eq!(violation.close_code(), CloseCode::PROTOCOL_ERROR);
        }
    }
}

#[test]
fn every_bad_second_byte_is_refused_by_itself() {
    let options = Options::default();
    for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY, FIN | CLOSE, FIN | PING, FIN | PONG] {
        for second in 0..=u8::MAX {
            let expected = match second {
                0..=127 => ProtocolError::Unmasked,
                254.. if first & 0x8 != 0 => ProtocolError::ControlTooLong,
                _ => {
                    assert_eq!(read(&mut defaults(), [first, second]), [], "{first:#x} {second}");
                    continue;
                }
            };
            let violation = violation(&options, [first, second]);
            assert_eq!(violation, Violation::Protocol(expected), "{first:#x} {second}");
            assert_eq!(violation.close_code(), CloseCode::PROTOCOL_ERROR);
        }
    }
}

#[test]
fn a_length_must_be_in_its_shortest_form_and_without_its_top_bit() {
    let options = Options::default();
    let short = |length: u16| [&[FIN | BINARY, 0xfe][..], &length.to_be_bytes()].concat();
    let long = |length: u64| [&[FIN | BINARY, 0xff][..], &length.to_be_bytes()].concat();
    for bytes in [short(0), short(125), long(0), long(125), long(126), long(65_535)] {
        assert_eq!(protocol_error(&options, &bytes), ProtocolError::NonMinimalLength, "{bytes:x?}");
    }
    for bytes in [long(1 << 63), long(u64::MAX)] {
        assert_eq!(protocol_error(&options, &bytes), ProtocolError::LengthTopBit, "{bytes:x?}");
    }
    for error in [ProtocolError::NonMinimalLength, ProtocolError::LengthTopBit] {
        assert_eq!(Violation::from(error).close_code(), CloseCode::PROTOCOL_ERROR);
    }
    for bytes in [short(126), short(65_535), long(65_536)] {
        assert_eq!(read(&mut defaults(), &bytes), [], "{bytes:x?}");
    }
}

#[test]
fn a_control_frame_may_have_125_bytes_whatever_the_limits_for_messages() {
    let options = Options::default().max_frame_size(size(1)).max_message_size(size(1));
    let mut engine = engine(options);
    let payload = [b'p'; 125];
    assert_eq!(read(&mut engine, frame(FIN | PING, payload)), [ping(payload)]);
    assert_eq!(read(&mut engine, frame(FIN | PONG, payload)), [pong(payload)]);
    let reason = "r".repeat(123);
    assert_eq!(read(&mut engine, frame(FIN | CLOSE, close_payload(1000, &reason))), [close(1000, &reason)]);
    assert_eq!(written(&mut engine), server_frame(0x8a, payload));
}

#[test]
fn a_continuation_needs_a_start() {
    let options = Options::default();
    for first in [CONTINUATION, FIN | CONTINUATION] {
        let header = head(first, 5);
        assert_eq!(protocol_error(&options, &header), ProtocolError::UnexpectedContinuation);
        let after = [frame(TEXT, "a"), frame(FIN | CONTINUATION, "b"), header].concat();
        let violation = violation(&options, after);
        assert_eq!(violation, ProtocolError::UnexpectedContinuation.into());
        assert_eq!(violation.close_code(), CloseCode::PROTOCOL_ERROR);
    }
}

#[test]
fn a_new_message_must_not_begin_inside_a_fragmented_one() {
    let options = Options::default();
    for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
        for start in [vec![TEXT], vec![BINARY], vec![BINARY, CONTINUATION]] {
            let start: Vec<u8> = start.into_iter().flat_map(|first| frame(first, "")).collect();
            let violation = violation(&options, [start, head(first, 5)].concat());
            assert_eq!(violation, ProtocolError::UnfinishedMessage.into());
            assert_eq!(violation.close_code(), CloseCode::PROTOCOL_ERROR);
        }
    }
}

#[test]
fn control_frames_between_fragments_are_told_before_the_message() {
    let mut engine = defaults();
    assert_eq!(read(&mut engine, frame(TEXT, "fra")), []);
    assert_eq!(read(&mut engine, frame(FIN | PING, "1")), [ping("1")]);
    assert_eq!(read(&mut engine, [frame(CONTINUATION, "gme"), frame(FIN | PONG, "2")].concat()), [pong("2")]);
    let last = [frame(FIN | PING, ""), frame(FIN | CONTINUATION, "nt"), frame(FIN | PING, "3")].concat();
    assert_eq!(read(&mut engine, last), [ping(""), text("fragment"), ping("3")]);
    let pongs = [server_frame(0x8a, "1"), server_frame(0x8a, ""), server_frame(0x8a, "3")].concat();
    assert_eq!(written(&mut engine), pongs);
}

#[test]
fn a_message_has_the_opcode_of_its_first_fragment() {
    let mut engine = defaults();
    for (first, expected) in [(TEXT, text("ab")), (BINARY, binary("ab"))] {
        assert_eq!(read(&mut engine, [frame(first, "a"), frame(FIN, "b")].concat()), [expected]);
    }
}

#[test]
fn empty_messages_and_empty_fragments_are_messages() {
    let mut engine = defaults();
    assert_eq!(read(&mut engine, frame(FIN | TEXT, "")), [text("")]);
    assert_eq!(read(&mut engine, frame(FIN | BINARY, "")), [binary("")]);
    let empty = [frame(TEXT, ""), frame(CONTINUATION, ""), frame(FIN | CONTINUATION, "")].concat();
    assert_eq!(read(&mut engine, empty), [text("")]);
    let within = [frame(BINARY, ""), frame(CONTINUATION, "x"), frame(FIN | CONTINUATION, "")].concat();
    assert_eq!(read(&mut engine, within), [binary("x")]);
}

#[test]
fn a_script_may_be_cut_in_two_anywhere() {
    let script = [
        frame(FIN | TEXT, "short"),
        frame(BINARY, [7; 130]),
        frame(FIN | PING, "between"),
        frame(FIN | CONTINUATION, "β"),
        frame(FIN | TEXT, "κόσμε".repeat(20)),
        frame(FIN | CLOSE, close_payload(1001, "bye")),
    ]
    .concat();
    let expected = [
        text("short"),
        ping("between"),
        binary([&[7; 130], "β".as_bytes()].concat()),
        text(&"κόσμε".repeat(20)),
        close(1001, "bye"),
    ];
    for cut in 0..=script.len() {
        let mut engine = defaults();
        let mut told = read(&mut engine, &script[..cut]);
        told.extend(read(&mut engine, &script[cut..]));
        assert_eq!(told, expected, "cut at {cut}");
    }
}

/// A short payload is unmasked together with what lies behind it, or alone if that is too little.
#[test]
fn what_lies_behind_a_short_message_makes_no_difference() {
    let next: Vec<u8> = (100..200).collect();
    let next_frame = frame(FIN | BINARY, &next);
    for length in (0..=35).chain([63, 64, 65, 95, 96, 97, 124, 125]) {
        let payload: Vec<u8> = (1..=length).collect();
        for behind in 0..=next_frame.len() {
            let mut engine = defaults();
            let (here, rest) = next_frame.split_at(behind);
            let mut told = read(&mut engine, [&frame(FIN | BINARY, &payload), here].concat());
            assert_eq!(told[..1], [binary(&payload)], "{length}, and {behind} behind it");
            told.extend(read(&mut engine, rest));
            assert_eq!(told, [binary(&payload), binary(&next)], "{length}, and {behind} behind it");
        }
    }
}

// F4: text.

/// Not UTF-8, and the last byte of each is the first by which it is known.
const NOT_UTF8: [&[u8]; 14] = [
    b"\x80",
    b"a\xbf",
    b"\xc0",
    b"\xc1",
    b"\xf5",
    b"\xff",
    b"\xcea",
    b"\xce\xce",
    b"\xe0\x9f",
    b"\xed\xa0",
    b"\xe2\x82\x28",
    b"\xf0\x8f",
    b"\xf4\x90",
    b"\xf0\x9f\x99\x41",
];

#[test]
fn a_text_is_refused_at_the_first_byte_by_which_it_is_known_to_be_bad() {
    let options = Options::default();
    for bad in NOT_UTF8 {
        let whole_before = ["κόσμε".repeat(100).as_bytes(), bad].concat();
        for bytes in [
            // In a frame of which much is still to come, at its start and behind good text.
            cut_frame(FIN | TEXT, 1000, bad),
            cut_frame(FIN | TEXT, 70_000, &whole_before),
            // In a first, a middle and a last fragment that are not over.
            cut_frame(TEXT, 1000, bad),
            [frame(TEXT, "ok"), cut_frame(CONTINUATION, 1000, bad)].concat(),
            [frame(TEXT, ""), frame(CONTINUATION, "ok"), cut_frame(FIN | CONTINUATION, 1000, bad)].concat(),
        ] {
            let violation = violation(&options, bytes);
            assert_eq!(violation, ProtocolError::TextNotUtf8.into(), "{bad:x?}");
            assert_eq!(violation.close_code(), CloseCode::INVALID_DATA);
        }
        // In frames that are over with it.
        for bytes in [
            frame(FIN | TEXT, bad),
            frame(TEXT, bad),
            frame(FIN | TEXT, &whole_before),
            [frame(TEXT, "ok"), frame(FIN | CONTINUATION, bad)].concat(),
        ] {
            assert_eq!(protocol_error(&options, bytes), ProtocolError::TextNotUtf8, "{bad:x?}");
        }
        // Cut by frames, with a control frame at the cut.
        for cut in 0..bad.len() {
            let (start, end) = bad.split_at(cut);
            let bytes =
                [frame(TEXT, start), frame(FIN | PING, "\x7f"), cut_frame(CONTINUATION, 9, end)].concat();
            assert_eq!(protocol_error(&options, bytes), ProtocolError::TextNotUtf8, "{bad:x?} at {cut}");
        }
    }
}

#[test]
fn a_text_must_not_end_inside_a_code_point() {
    let options = Options::default();
    for cut in [&b"\xce"[..], b"ok\xe2\x82", b"\xf0\x9f\x99"] {
        let fragments = [frame(TEXT, cut), frame(CONTINUATION, ""), head(FIN | CONTINUATION, 0)].concat();
        for bytes in [frame(FIN | TEXT, cut), fragments] {
            let violation = violation(&options, bytes);
            assert_eq!(violation, ProtocolError::TextNotUtf8.into(), "{cut:x?}");
            assert_eq!(violation.close_code(), CloseCode::INVALID_DATA);
        }
    }
}

#[test]
fn a_code_point_may_be_split_over_frames_with_a_control_frame_between() {
    let whole = "aß€🙂z";
    for cut in 0..=whole.len() {
        let (start, end) = whole.as_bytes().split_at(cut);
        let mut engine = defaults();
        let bytes = [frame(TEXT, start), frame(FIN | PING, [0xff]), frame(FIN | CONTINUATION, end)].concat();
        assert_eq!(read(&mut engine, bytes), [ping([0xff]), text(whole)], "cut at {cut}");
    }
    let mut engine = defaults();
    let (last, start) = whole.as_bytes().split_last().unwrap();
    let mut told = read(&mut engine, frame(TEXT, ""));
    told.extend(start.iter().flat_map(|byte| read(&mut engine, frame(CONTINUATION, [*byte]))));
    told.extend(read(&mut engine, frame(FIN | CONTINUATION, [*last])));
    assert_eq!(told, [text(whole)]);
}

#[test]
fn a_bad_text_is_refused_in_what_was_read_directly_too() {
    let mut engine = defaults();
    assert_eq!(read(&mut engine, cut_frame(FIN | TEXT, 200_000, "€".repeat(10_000))), []);
    engine.direct_buffer().unwrap().put_slice(&masked(b"\x82"));
    engine.receive_direct(1, Instant::now());
    assert_eq!(events(&mut engine), [Event::Violation(ProtocolError::TextNotUtf8.into())]);
}

#[test]
fn a_binary_message_is_not_checked() {
    let mut engine = defaults();
    for bad in NOT_UTF8 {
        assert_eq!(read(&mut engine, frame(FIN | BINARY, bad)), [binary(bad)]);
        let fragments = [frame(BINARY, bad), frame(FIN | CONTINUATION, "\u{3b1}")].concat();
        assert_eq!(read(&mut engine, fragments), [binary([bad, &b"\xce\xb1"[..]].concat())]);
    }
}

#[test]
fn without_validation_every_text_comes_unchecked() {
    let mut engine = engine(Options::default().validate_utf8(false));
    for payload in NOT_UTF8.into_iter().chain([&b"good"[..]]) {
        assert_eq!(read(&mut engine, frame(FIN | TEXT, payload)), [unchecked(payload)]);
        let fragments = [frame(TEXT, payload), frame(FIN | CONTINUATION, payload)].concat();
        assert_eq!(read(&mut engine, fragments), [unchecked(payload.repeat(2))]);
    }
    // A close reason is text in any case.
    let bad = Event::Violation(ProtocolError::CloseReasonNotUtf8.into());
    assert_eq!(read(&mut engine, frame(FIN | CLOSE, close_payload(1000, b"\xff"))), [bad]);
}

// F5: limits.

#[test]
fn a_frame_over_the_limit_is_refused_by_its_header() {
    for limit in [1, 125, 126, 1000, 65_535, 65_536] {
        let options = Options::default().max_frame_size(size(limit));
        let mut engine = engine(options.clone());
        let payload = vec![7; limit];
        assert_eq!(read(&mut engine, frame(FIN | BINARY, &payload)), [binary(&payload)]);
        let fragments = [frame(BINARY, &payload), frame(FIN | CONTINUATION, &payload)].concat();
        assert_eq!(read(&mut engine, fragments), [binary(payload.repeat(2))]);
        for bytes in [
            head(FIN | BINARY, limit as u64 + 1),
            head(TEXT, limit as u64 + 1),
            head(BINARY, (1 << 63) - 1),
            [frame(BINARY, ""), head(CONTINUATION, limit as u64 + 1)].concat(),
            [frame(TEXT, "x"), head(FIN | CONTINUATION, limit as u64 + 1)].concat(),
        ] {
            let violation = violation(&options, bytes);
            assert_eq!(violation, TooBig::Frame { limit }.into());
            assert_eq!(violation.close_code(), CloseCode::TOO_BIG);
        }
    }
}

#[test]
fn a_message_over_the_limit_is_refused_by_the_header_that_passes_it() {
    for limit in [1, 8, 125, 126, 65_536] {
        let options = Options::default().max_message_size(size(limit));
        let payload = vec![b'm'; limit];
        let (start, end) = payload.split_at(limit / 2);
        let mut engine = engine(options.clone());
        assert_eq!(read(&mut engine, frame(FIN | BINARY, &payload)), [binary(&payload)]);
        let fragments =
            [frame(TEXT, start), frame(CONTINUATION, end), frame(FIN | CONTINUATION, "")].concat();
        assert_eq!(read(&mut engine, fragments), [text(&"m".repeat(limit))]);
        let over = end.len() as u64 + 1;
        for bytes in [
            head(FIN | TEXT, limit as u64 + 1),
            head(BINARY, limit as u64 + 1),
            head(FIN | BINARY, (1 << 63) - 1),
            // In a middle and in the last fragment.
            [frame(BINARY, start), head(CONTINUATION, over)].concat(),
            [frame(BINARY, start), head(FIN | CONTINUATION, over)].concat(),
            [frame(BINARY, start), frame(CONTINUATION, end), head(FIN | CONTINUATION, 1)].concat(),
        ] {
            let violation = violation(&options, bytes);
            assert_eq!(violation, TooBig::Message { limit }.into());
            assert_eq!(violation.close_code(), CloseCode::TOO_BIG);
        }
    }
}

#[test]
fn of_the_limits_for_frames_and_messages_the_stricter_holds() {
    let strict_frame = Options::default().max_frame_size(size(10)).max_message_size(size(20));
    assert_eq!(too_big(&strict_frame, head(FIN | TEXT, 11)), TooBig::Frame { limit: 10 });
    let strict_message = Options::default().max_frame_size(size(20)).max_message_size(size(10));
    assert_eq!(too_big(&strict_message, head(FIN | TEXT, 11)), TooBig::Message { limit: 10 });
}

#[test]
fn without_options_a_message_may_have_ten_million_bytes() {
    let options = Options::default();
    assert_eq!(read(&mut defaults(), head(FIN | BINARY, 10_000_000)), []);
    assert_eq!(too_big(&options, head(FIN | BINARY, 10_000_001)), TooBig::Message { limit: 10_000_000 });
}

#[test]
fn a_message_starts_anew_with_its_limits() {
    let mut engine = engine(Options::default().max_message_size(size(4)).max_fragments(size(2)));
    for _ in 0..3 {
        assert_eq!(read(&mut engine, frame(FIN | TEXT, "1234")), [text("1234")]);
        assert_eq!(read(&mut engine, [frame(TEXT, "12"), frame(FIN, "34")].concat()), [text("1234")]);
    }
}

#[test]
fn more_fragments_than_the_limit_are_refused_by_the_header() {
    for limit in [1, 2, 5] {
        let options = Options::default().max_fragments(size(limit));
        let mut engine = engine(options.clone());
        assert_eq!(read(&mut engine, frame(FIN | TEXT, "one")), [text("one")]);
        let full = [frame(BINARY, "x"), frame(CONTINUATION, "").repeat(limit - 1)].concat();
        for first in [CONTINUATION, FIN | CONTINUATION] {
            let violation = violation(&options, [full.clone(), head(first, 0)].concat());
            assert_eq!(violation, TooBig::Fragments { limit }.into());
            assert_eq!(violation.close_code(), CloseCode::TOO_BIG);
        }
        if limit > 1 {
            // Control frames are no fragments.
            let between = [frame(FIN | PONG, "").repeat(2), frame(CONTINUATION, "x")].concat();
            let fragments = [frame(BINARY, "x"), between.repeat(limit - 2), frame(FIN, "x")].concat();
            assert_eq!(read(&mut engine, fragments).last(), Some(&binary("x".repeat(limit))));
        }
    }
}

#[test]
fn without_options_a_message_may_have_131072_fragments() {
    const LIMIT: usize = 131_072;
    let mut engine = defaults();
    let empty = frame(CONTINUATION, "");
    assert_eq!(read(&mut engine, [frame(TEXT, "a"), empty.repeat(LIMIT - 2)].concat()), []);
    assert_eq!(read(&mut engine, frame(FIN | CONTINUATION, "b")), [text("ab")]);
    assert_eq!(read(&mut engine, [frame(TEXT, ""), empty.repeat(LIMIT - 1)].concat()), []);
    let refused = Event::Violation(TooBig::Fragments { limit: LIMIT }.into());
    assert_eq!(read(&mut engine, head(FIN | CONTINUATION, 0)), [refused]);
}

// F6: memory.

/// The payload's byte at this place.
fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}

/// Reads the payload of a frame that claims `claimed` bytes directly wherever the engine offers it, and gives the message.
/// There must never be more room than the bytes that came, once again, one read buffer, and what may be lent; behind the
/// frame's end only for the next header.
fn read_directly(engine: &mut Protocol, claimed: usize, usually: usize, lent: usize) -> Vec<Event> {
    let mut told = read(engine, head(FIN | BINARY, claimed as u64));
    let mut came = 0;
    while came < claimed {
        let mut directly = 0;
        if let Some(mut room) = engine.direct_buffer() {
            let size = room.remaining_mut();
            assert!(size <= lent.max(came + 64 * 1024), "room for {size} more bytes after {came}");
            assert!(size <= claimed - came + 14, "room behind the frame's end");
            directly = size.min(claimed - came);
            (came..came + directly).for_each(|at| room.put_u8(pattern(at) ^ MASK[at % 4]));
        }
        if directly > 0 {
            engine.receive_direct(directly, Instant::now());
            told.extend(events(engine));
            came += directly;
        } else {
            let next: Vec<u8> =
                (came..claimed.min(came + usually)).map(|at| pattern(at) ^ MASK[at % 4]).collect();
            told.extend(read(engine, &next));
            came += next.len();
        }
    }
    told
}

#[test]
fn the_room_for_a_payload_grows_with_what_came_and_not_with_what_is_claimed() {
    for claimed in [100_000, 300_001, 2_000_003] {
        for usually in [1000, 16_384, 65_536] {
            let expected: Vec<u8> = (0..claimed).map(pattern).collect();
            // A new thread has nothing to lend.
            let told = spawn(move || read_directly(&mut defaults(), claimed, usually, 0)).join().unwrap();
            assert_eq!(told, [binary(expected)]);
        }
    }
}

#[test]
fn the_memory_that_a_message_left_serves_the_next() {
    const SIZE: usize = 2_000_000;
    let expected: Vec<u8> = (0..SIZE).map(pattern).collect();
    let first = read_directly(&mut defaults(), SIZE, 65_536, 0);
    assert_eq!(first, [binary(&expected)]);
    drop(first);
    assert_eq!(read_directly(&mut defaults(), SIZE, 16_384, SIZE + 14), [binary(&expected)]);
}

#[test]
fn there_is_no_room_to_read_to_directly_but_for_the_rest_of_a_large_payload() {
    let mut engine = defaults();
    assert!(engine.direct_buffer().is_none());
    for bytes in [head(FIN | BINARY, 9_000_000), vec![0; 10]] {
        assert_eq!(read(&mut engine, bytes), []);
        assert!(engine.direct_buffer().is_none(), "nearly nothing has come");
    }
    let mut engine = defaults();
    read(&mut engine, cut_frame(FIN | BINARY, 40_000, [7; 39_999]));
    assert!(engine.direct_buffer().is_none(), "nearly everything has come");
}

#[test]
fn after_a_large_message_one_read_is_to_leave_most_of_the_next_to_be_read_directly() {
    let mut engine = defaults();
    assert_eq!(engine.receive_limit(), usize::MAX);
    for (size, expected) in [(131_071, usize::MAX), (131_072, 1024)] {
        let large = frame(FIN | BINARY, vec![1; size]);
        let (start, rest) = large.split_at(large.len() - 1);
        assert_eq!(read(&mut engine, start), []);
        assert_eq!(engine.receive_limit(), usize::MAX);
        assert_eq!(read(&mut engine, rest), [binary(vec![1; size])]);
        assert_eq!(engine.receive_limit(), expected);
        assert_eq!(engine.receive_limit(), expected, "it holds until something comes");
    }
    assert_eq!(read(&mut engine, cut_frame(FIN | BINARY, 131_072, [0; 1024 - 14])), []);
    assert_eq!(engine.receive_limit(), usize::MAX);
    assert!(engine.direct_buffer().is_some());
}

/// An engine on a thread that has memory to lend to a message of this size.
fn with_memory_for(size: usize) -> Protocol {
    let mut engine = defaults();
    assert_eq!(read(&mut engine, frame(FIN | BINARY, vec![1; size])).len(), 1);
    engine
}

/// The events of these bytes, which are read directly.
fn receive_directly(engine: &mut Protocol, bytes: &[u8]) -> Vec<Event> {
    let mut room = engine.direct_buffer().unwrap();
    assert!(room.remaining_mut() >= bytes.len());
    room.put_slice(bytes);
    drop(room);
    engine.receive_direct(bytes.len(), Instant::now());
    events(engine)
}

#[test]
fn a_large_payload_is_read_directly_from_its_first_byte_where_there_is_memory_for_it() {
    let payload: Vec<u8> = (0..300_000).map(pattern).collect();
    let large = frame(FIN | BINARY, &payload);
    let mut engine = with_memory_for(payload.len());
    assert_eq!(read(&mut engine, &large[..14]), []);
    assert_eq!(engine.direct_buffer().unwrap().remaining_mut(), payload.len() + 14);
    assert_eq!(receive_directly(&mut engine, &large[14..]), [binary(payload)]);
}

#[test]
fn the_header_of_the_next_frame_may_come_with_the_end_of_a_large_payload() {
    let payload: Vec<u8> = (0..300_000).map(pattern).collect();
    let large = frame(FIN | BINARY, &payload);
    for next in [
        large.clone(),
        frame(FIN | BINARY, &payload[..1000]),
        [frame(FIN | PING, "p"), frame(FIN | TEXT, "next")].concat(),
        [frame(FIN | CLOSE, ""), frame(FIN | TEXT, "late")].concat(),
        frame(FIN | CONTINUATION, "nothing is continued"),
    ] {
        let mut engine = defaults();
        let separately = [read(&mut engine, &large), read(&mut engine, &next)].concat();
        for surplus in 0..=14.min(next.len()) {
            let mut engine = with_memory_for(payload.len());
            assert_eq!(read(&mut engine, &large[..14]), []);
            let (with_it, behind) = next.split_at(surplus);
            let mut told = receive_directly(&mut engine, &[&large[14..], with_it].concat());
            told.extend(read(&mut engine, behind));
            assert_eq!(told, separately, "{surplus} bytes of the next frame");
        }
    }
}

#[test]
fn the_peers_close_is_found_behind_a_large_payload_that_breaks_a_rule() {
    let large = frame(FIN | TEXT, vec![0xff; 300_000]);
    let mut engine = with_memory_for(300_000);
    assert_eq!(read(&mut engine, &large[..14]), []);
    let told = receive_directly(&mut engine, &[&large[14..], &frame(FIN | CLOSE, "")].concat());
    assert_eq!(told, [Event::Violation(ProtocolError::TextNotUtf8.into())]);
    assert!(engine.has_received_close());
}

#[test]
fn what_was_read_directly_is_followed_by_the_next_frames() {
    let payload = vec![9; 100_000];
    let bytes =
        [frame(BINARY, &payload), frame(FIN | PING, "p"), frame(FIN, "end"), frame(FIN | TEXT, "next")];
    let bytes = bytes.concat();
    let (start, rest) = bytes.split_at(20_000);
    let mut engine = defaults();
    assert_eq!(read(&mut engine, start), []);
    engine.direct_buffer().unwrap().put_slice(&rest[..10_001]);
    engine.receive_direct(10_001, Instant::now());
    assert_eq!(events(&mut engine), []);
    let message = [&payload[..], b"end"].concat();
    assert_eq!(read(&mut engine, &rest[10_001..]), [ping("p"), binary(message), text("next")]);
}

/// What an engine makes of bytes in somebody else's memory, as a driver gives them to it. Besides, how many of them it
/// took at a time: 0 where it left a message to be taken from there.
fn read_shared(engine: &mut Protocol, bytes: impl Into<Bytes>) -> (Vec<Event>, Vec<usize>) {
    let (mut bytes, mut buffer) = (bytes.into(), Vec::new());
    let (mut all, mut taken) = (Vec::new(), Vec::new());
    while !bytes.is_empty() {
        let before = bytes.len();
        engine.receive_shared(&mut bytes, &mut buffer, Instant::now());
        taken.push(before - bytes.len());
        all.extend(from_fn(|| engine.poll_event().or_else(|| engine.poll_shared(&mut bytes))));
        engine.reclaim(&mut buffer);
    }
    (all, taken)
}

#[test]
fn long_messages_that_are_whole_are_taken_from_memory_that_is_not_the_engines() {
    let large = vec![7; 70_000];
    let (long, short) = ("long".repeat(32), "x".repeat(125));
    let bytes = [frame(FIN | TEXT, &long), frame(FIN | BINARY, &large), frame(FIN | TEXT, &short)].concat();
    let expected = vec![text(&long), binary(&large), text(&short)];
    assert_eq!(read_shared(&mut defaults(), bytes), (expected, vec![0, 6 + 125]));
}

#[test]
fn of_one_that_is_cut_only_the_header_is_copied() {
    let payload = "abcdefg".repeat(20);
    let bytes = Bytes::from([frame(FIN | TEXT, &payload), frame(FIN | PING, "p")].concat());
    let mut engine = defaults();
    assert_eq!(read_shared(&mut engine, bytes.slice(..50)), (vec![], vec![8, 42]));
    let told = read_shared(&mut engine, bytes.slice(50..));
    assert_eq!(told, (vec![text(&payload), ping("p")], vec![98, 7]));
}

#[test]
fn memory_of_which_everything_is_taken_is_let_go_at_once() {
    for payload in [&b"short"[..], &[b'x'; 200]] {
        let bytes = Bytes::from(frame(FIN | BINARY, payload));
        let (mut first, mut rest) = (bytes.slice(..7), bytes.slice(7..));
        let mut engine = defaults();
        engine.receive_shared(&mut first, &mut Vec::new(), Instant::now());
        engine.receive_shared(&mut rest, &mut Vec::new(), Instant::now());
        assert!(bytes.is_unique(), "{first:?} {rest:?}");
        let mut whole = bytes.clone();
        let mut engine = defaults();
        engine.receive_shared(&mut whole, &mut Vec::new(), Instant::now());
        engine.poll_shared(&mut whole);
        assert!(bytes.is_unique(), "{whole:?}");
    }
}

#[test]
fn all_else_is_copied_and_told_as_always() {
    let long = "x".repeat(200);
    let scripts = [
        [frame(TEXT, &long), frame(FIN | PING, ""), frame(FIN, &long), frame(FIN | TEXT, &long)].concat(),
        [frame(TEXT, &long), frame(FIN | TEXT, &long)].concat(),
        [frame(FIN | TEXT, ""), frame(FIN | 0x40 | TEXT, &long)].concat(),
        [frame(FIN | TEXT, &long), server_frame(FIN | TEXT, &long)].concat(),
        [frame(FIN | TEXT, &long), head(FIN | TEXT, 1001), vec![0; 2000]].concat(),
        [frame(FIN | CLOSE, ""), frame(FIN | TEXT, &long)].concat(),
        // A payload that looks like a message.
        [frame(FIN | PING, masked(&head(FIN | BINARY, 200))), frame(FIN | TEXT, &long)].concat(),
        [frame(FIN | TEXT, &long)[..7].to_vec()].concat(),
    ];
    for script in scripts {
        let options = Options::default().max_message_size(size(1000));
        let expected = read(&mut engine(options.clone()), &script);
        for at in 0..=script.len() {
            let mut engine = engine(options.clone());
            let mut told = read_shared(&mut engine, script[..at].to_vec()).0;
            told.extend(read_shared(&mut engine, script[at..].to_vec()).0);
            assert_eq!(told, expected, "cut at {at}");
        }
    }
}

#[test]
fn what_is_taken_so_is_checked_at_once() {
    let not_utf8 = Event::Violation(ProtocolError::TextNotUtf8.into());
    let text = [&[b'a'; 150][..], &[0xff], &[b'a'; 150]].concat();
    let whole = [frame(FIN | TEXT, &text), frame(FIN | TEXT, [b'b'; 200])].concat();
    assert_eq!(read_shared(&mut defaults(), whole).0, std::slice::from_ref(&not_utf8));
    let cut = cut_frame(FIN | TEXT, 1000, &text);
    assert_eq!(read_shared(&mut defaults(), cut).0, [not_utf8]);
}

#[test]
fn after_a_violation_or_a_close_of_ours_only_the_peers_close_is_looked_for() {
    let long = frame(FIN | TEXT, "x".repeat(200));
    let mut violated = defaults();
    read(&mut violated, [0xff]);
    let mut closed = defaults();
    closed.close(None);
    for mut engine in [violated, closed] {
        assert_eq!(read_shared(&mut engine, long.clone()).0, []);
        assert!(!engine.has_received_close());
        assert_eq!(read_shared(&mut engine, [long.clone(), frame(FIN | CLOSE, "")].concat()).0, []);
        assert!(engine.has_received_close());
    }
}

// F9, L5: pings.

#[test]
fn the_pong_is_queued_before_its_ping_is_told_and_not_earlier() {
    let mut engine = defaults();
    let pings: Vec<u8> = (0..1000).flat_map(|i: u32| frame(FIN | PING, i.to_be_bytes())).collect();
    engine.receive(&mut pings.clone(), Instant::now());
    let mut expected = Vec::new();
    for i in 0..1000_u32 {
        assert_eq!(engine.unsent(), expected.len());
        assert_eq!(engine.poll_event(), Some(ping(i.to_be_bytes())));
        expected.extend(server_frame(0x8a, i.to_be_bytes()));
    }
    assert_eq!(engine.poll_event(), None);
    assert_eq!(written(&mut engine), expected);
}

#[test]
fn a_pong_takes_its_place_among_what_is_sent() {
    let mut engine = defaults();
    engine.send(Frame::text("before"));
    read(&mut engine, frame(FIN | PING, "p"));
    engine.send(Frame::text("after"));
    let expected = [server_frame(0x81, "before"), server_frame(0x8a, "p"), server_frame(0x81, "after")];
    assert_eq!(written(&mut engine), expected.concat());
}

// X: closing.

#[test]
fn every_close_code_that_must_not_be_sent_is_a_protocol_error() {
    for code in 0..=u16::MAX {
        let told = read(&mut defaults(), frame(FIN | CLOSE, close_payload(code, "why")));
        let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let expected = match may_be_sent {
            true => close(code, "why"),
            false => Event::Violation(ProtocolError::CloseCode(code).into()),
        };
        assert_eq!(told, [expected]);
    }
    let violation = Violation::from(ProtocolError::CloseCode(1005));
    assert_eq!(violation.close_code(), CloseCode::PROTOCOL_ERROR);
}

#[test]
fn a_close_frame_may_be_empty_or_have_a_code_alone() {
    assert_eq!(read(&mut defaults(), frame(FIN | CLOSE, "")), [Event::Close(None)]);
    assert_eq!(read(&mut defaults(), frame(FIN | CLOSE, [0x03, 0xe8])), [close(1000, "")]);
}

#[test]
fn a_close_frame_with_one_byte_is_a_protocol_error() {
    let violation = violation(&Options::default(), frame(FIN | CLOSE, [0x03]));
    assert_eq!(violation, ProtocolError::TruncatedCloseCode.into());
    assert_eq!(violation.close_code(), CloseCode::PROTOCOL_ERROR);
}

#[test]
fn a_close_reason_that_is_not_utf8_is_invalid_data() {
    for bad in NOT_UTF8.into_iter().chain([&b"cut \xe2\x82"[..]]) {
        let violation = violation(&Options::default(), frame(FIN | CLOSE, close_payload(1000, bad)));
        assert_eq!(violation, ProtocolError::CloseReasonNotUtf8.into(), "{bad:x?}");
        assert_eq!(violation.close_code(), CloseCode::INVALID_DATA);
    }
}

#[test]
fn a_close_inside_a_fragmented_message_drops_the_message() {
    let mut engine = defaults();
    let bytes = [frame(TEXT, b"half \xce"), frame(FIN | CLOSE, close_payload(1001, ""))].concat();
    assert_eq!(read(&mut engine, bytes), [close(1001, "")]);
    assert_eq!(read(&mut engine, frame(FIN | CONTINUATION, b"\xb1")), []);
    assert_eq!(engine.received().text, Count::default());
}

#[test]
fn messages_before_the_peers_close_are_told_and_data_after_it_is_not() {
    let mut engine = defaults();
    let bytes = [
        frame(FIN | TEXT, "before"),
        frame(FIN | CLOSE, close_payload(4000, "")),
        frame(FIN | TEXT, "after"),
        frame(FIN | PING, "after"),
        frame(FIN | CLOSE, close_payload(4001, "")),
    ];
    assert_eq!(read(&mut engine, bytes.concat()), [text("before"), close(4000, "")]);
    for late in bytes {
        assert_eq!(read(&mut engine, late), []);
    }
    assert_eq!(read(&mut engine, [0xff, 0xff]), [], "nor are violations");
    assert_eq!(engine.poll_message(), None);
    assert_eq!(engine.unsent(), 0, "the engine answers a close only when it is told to");
}

#[test]
fn what_is_sent_between_the_peers_close_and_ours_goes_out() {
    let mut engine = defaults();
    read(&mut engine, frame(FIN | CLOSE, ""));
    engine.send(Frame::text("last words"));
    engine.close(None);
    assert_eq!(written(&mut engine), [server_frame(0x81, "last words"), server_frame(0x88, "")].concat());
}

#[test]
fn nothing_is_sent_after_our_close_and_there_is_only_one() {
    let frame_of = |code, reason: &str| CloseFrame::new(code, reason);
    let mut engine = defaults();
    engine.send(Frame::text("first"));
    engine.close(Some(&frame_of(CloseCode::POLICY, "go")));
    engine.close(Some(&frame_of(CloseCode::NORMAL, "again")));
    engine.close(None);
    engine.send(Frame::text("late"));
    engine.send(Prepared::text("late").into());
    engine.send(Frame::ping(ControlPayload::EMPTY));
    engine.send(Frame::pong(ControlPayload::EMPTY));
    let expected = [server_frame(0x81, "first"), server_frame(0x88, close_payload(1008, "go"))].concat();
    assert_eq!(written(&mut engine), expected);
    // Also when it is written, and the peer's Close has come.
    assert_eq!(read(&mut engine, frame(FIN | CLOSE, "")), []);
    engine.send(Frame::text("late"));
    engine.close(None);
    assert_eq!(engine.unsent(), 0);
}

#[test]
fn nothing_is_told_after_our_close_and_no_ping_is_answered() {
    let mut engine = defaults();
    let bytes = [frame(FIN | TEXT, "1"), frame(FIN | TEXT, "2"), frame(FIN | PING, ""), frame(BINARY, "3")];
    engine.receive(&mut bytes.concat(), Instant::now());
    assert_eq!(engine.poll_event(), Some(text("1")));
    engine.close(None);
    assert_eq!(engine.poll_message(), None);
    assert_eq!(engine.poll_event(), None);
    assert_eq!(read(&mut engine, bytes.concat()), []);
    assert_eq!(written(&mut engine), server_frame(0x88, ""));
}

#[test]
fn after_our_close_the_peers_is_found_behind_everything_however_it_is_cut() {
    let rest = [
        [9; 700].to_vec(),
        frame(FIN | PING, "ping"),
        frame(FIN | BINARY, [0x88; 70_000]),
        frame(FIN | TEXT, ""),
        frame(FIN | CLOSE, close_payload(1000, "answer")),
    ]
    .concat();
    for size in [1, 2, 7, 1000, 100_000] {
        for close_first in [true, false] {
            let mut engine = defaults();
            // Our Close comes in the middle of a frame.
            assert_eq!(read(&mut engine, cut_frame(FIN | BINARY, 1000, [9; 300])), []);
            if close_first {
                engine.close(None);
            }
            let mut reads = rest.chunks(size).peekable();
            while let Some(bytes) = reads.next() {
                assert!(!engine.has_received_close());
                if !close_first && reads.peek().is_none() {
                    let mut bytes = bytes.to_vec();
                    engine.receive(&mut bytes, Instant::now());
                    engine.close(None);
                    engine.reclaim(&mut bytes);
                } else if close_first {
                    assert_eq!(read(&mut engine, bytes), []);
                } else {
                    read(&mut engine, bytes);
                }
            }
            assert!(engine.has_received_close());
            assert!(written(&mut engine).ends_with(&server_frame(0x88, "")));
        }
    }
}

#[test]
fn after_what_breaks_a_rule_the_peers_close_is_found_too() {
    let text_of = |payload: &[u8]| frame(FIN | TEXT, payload);
    for bad in [
        text_of(b"short \xff and more"),
        text_of(&[&[b'a'; 70_000][..], b"\xff", &[b'b'; 70_000]].concat()),
        frame(FIN | BINARY, vec![0; 200_000]),
        frame(FIN | CONTINUATION, "no start"),
        frame(0x70 | TEXT, "reserved"),
        frame(FIN | 0x3, "unknown"),
        server_frame(0x81, "unmasked"),
        server_frame(0x82, vec![0; 500]),
        server_frame(0x82, vec![0; 70_000]),
    ] {
        for size in [1, 5, 1000, 500_000] {
            let mut engine = engine(Options::default().max_frame_size(NonZeroUsize::new(150_000)));
            let bytes = [&bad[..], &frame(FIN | PING, ""), &frame(FIN | CLOSE, "")].concat();
            let mut told = Vec::new();
            for bytes in bytes.chunks(size) {
                assert!(!engine.has_received_close());
                told.extend(read(&mut engine, bytes));
                if !told.is_empty() {
                    engine.close(Some(&CloseCode::PROTOCOL_ERROR.into()));
                }
            }
            assert!(matches!(told[..], [Event::Violation(_)]), "{told:?}");
            assert!(engine.has_received_close(), "{:?} by {size}", &bad[..10]);
            assert_eq!(written(&mut engine), server_frame(0x88, close_payload(1002, "")));
        }
    }
}

#[test]
fn nothing_follows_a_close_that_was_looked_for() {
    let rest = [frame(FIN | CLOSE, ""), frame(FIN | TEXT, "late")].concat();
    let told = read(&mut defaults(), [frame(FIN | CONTINUATION, "no start"), rest.clone()].concat());
    assert_eq!(told, [Event::Violation(ProtocolError::UnexpectedContinuation.into())]);

    let mut engine = defaults();
    let mut buffer = rest.clone();
    engine.receive(&mut buffer, Instant::now());
    engine.close(None);
    assert!(engine.has_received_close());
    assert_eq!(events(&mut engine), []);
    engine.reclaim(&mut buffer);

    let mut engine = defaults();
    engine.close(None);
    assert_eq!(read(&mut engine, rest), []);
}

#[test]
fn a_close_that_breaks_a_rule_is_the_peers_last_word_too() {
    for payload in [vec![3], close_payload(5000, ""), vec![3, 232, 0xff]] {
        let mut engine = defaults();
        let told = read(&mut engine, frame(FIN | CLOSE, payload));
        assert!(matches!(told[..], [Event::Violation(_)]), "{told:?}");
        assert!(engine.has_received_close());
    }
}

#[test]
fn a_close_ends_a_large_message_that_is_read_directly() {
    let mut engine = defaults();
    read(&mut engine, cut_frame(FIN | BINARY, 200_000, [1; 50_000]));
    assert!(engine.direct_buffer().is_some());
    engine.close(None);
    assert!(engine.direct_buffer().is_none());
    assert_eq!(read(&mut engine, [0; 1000]), []);
}

// T: time, with a clock made by hand.

fn timed(options: Options) -> (Protocol, Instant) {
    let start = Instant::now();
    (Protocol::new(&options, start), start)
}

#[test]
fn an_idle_peer_is_given_up_after_the_timeout_and_not_before() {
    let (mut engine, start) = timed(Options::default().timeout(10 * SECOND));
    assert_eq!(engine.poll_timeout(), Some(start + 10 * SECOND));
    assert_eq!(engine.handle_timeout(start + 10 * SECOND - Duration::from_nanos(1)), None);
    assert_eq!(engine.handle_timeout(start + 10 * SECOND), Some(Timeout::Idle));
    assert_eq!(engine.unsent(), 0);
}

#[test]
fn any_byte_from_the_peer_restarts_the_idle_timeout_and_what_is_sent_does_not() {
    let (mut engine, start) = timed(Options::default().timeout(10 * SECOND));
    for (second, byte) in (1..).zip(frame(FIN | PONG, "xy")) {
        read_at(&mut engine, [byte], start + second * SECOND);
        engine.send(Frame::text("a"));
        engine.transmitted(engine.unsent());
        assert_eq!(engine.poll_timeout(), Some(start + (second + 10) * SECOND));
    }
    let mut engine = timed(Options::default().timeout(10 * SECOND)).0;
    read_at(&mut engine, cut_frame(FIN | BINARY, 100_000, [0; 20_000]), start);
    engine.direct_buffer().unwrap().put_u8(0);
    engine.receive_direct(1, start + 3 * SECOND);
    assert_eq!(engine.poll_timeout(), Some(start + 13 * SECOND));
}

#[test]
fn a_timeout_that_is_off_never_comes() {
    let (mut engine, start) = timed(Options::default().timeout(None).message_timeout(None));
    read_at(&mut engine, frame(TEXT, "half"), start);
    assert_eq!(engine.poll_timeout(), None);
    assert_eq!(engine.handle_timeout(start + 1_000_000 * SECOND), None);
}

/// A ping after 5 s, given up after 3 more.
fn keepalive() -> Options {
    Options::default().timeout(60 * SECOND).keepalive(Keepalive::new(5 * SECOND, 3 * SECOND).unwrap())
}

#[test]
fn a_silent_peer_gets_one_ping_and_is_given_up_without_an_answer() {
    let (mut engine, start) = timed(keepalive());
    assert_eq!(engine.poll_timeout(), Some(start + 5 * SECOND));
    assert_eq!(engine.handle_timeout(start + 4 * SECOND), None);
    assert_eq!(engine.unsent(), 0, "too early");
    assert_eq!(engine.handle_timeout(start + 5 * SECOND), None);
    assert_eq!(written(&mut engine), [0x89, 0]);
    assert_eq!(engine.sent().ping, Count { messages: 1, bytes: 0 });
    assert_eq!(engine.poll_timeout(), Some(start + 8 * SECOND));
    assert_eq!(engine.handle_timeout(start + 7 * SECOND), None);
    assert_eq!(engine.unsent(), 0, "once");
    assert_eq!(engine.handle_timeout(start + 8 * SECOND), Some(Timeout::Keepalive));
}

#[test]
fn any_byte_answers_a_keepalive_ping() {
    let (mut engine, start) = timed(keepalive());
    engine.handle_timeout(start + 5 * SECOND);
    assert_eq!(read_at(&mut engine, [FIN | TEXT], start + 7 * SECOND), []);
    assert_eq!(engine.poll_timeout(), Some(start + 12 * SECOND));
    assert_eq!(engine.handle_timeout(start + 12 * SECOND), None);
    assert_eq!(written(&mut engine), [0x89, 0, 0x89, 0]);
}

#[test]
fn the_answer_to_a_keepalive_ping_is_told_like_any_pong() {
    let (mut engine, start) = timed(keepalive());
    engine.handle_timeout(start + 5 * SECOND);
    assert_eq!(read_at(&mut engine, frame(FIN | PONG, ""), start + 6 * SECOND), [pong("")]);
    assert_eq!(engine.poll_timeout(), Some(start + 11 * SECOND));
}

#[test]
fn a_peer_that_talks_is_not_pinged() {
    let (mut engine, start) = timed(keepalive());
    for second in 1..30 {
        read_at(&mut engine, frame(FIN | TEXT, "talk"), start + 4 * second * SECOND);
        assert_eq!(engine.handle_timeout(start + (4 * second + 3) * SECOND), None);
    }
    assert_eq!(engine.unsent(), 0);
}

#[test]
fn no_ping_follows_our_close() {
    let (mut engine, start) = timed(keepalive());
    engine.close(None);
    engine.handle_timeout(start + 5 * SECOND);
    assert_eq!(written(&mut engine), [0x88, 0]);
    assert_eq!(engine.sent().ping, Count::default());
}

/// A message may take 10 s.
fn message_timeout() -> Options {
    Options::default().timeout(None).message_timeout(10 * SECOND)
}

#[test]
fn a_message_that_trickles_in_is_timed_from_its_first_byte() {
    let (mut engine, start) = timed(message_timeout());
    assert_eq!(engine.poll_timeout(), None, "no message has begun");
    for (second, byte) in (3..).zip(&frame(FIN | TEXT, "slow")[..9]) {
        assert_eq!(read_at(&mut engine, [*byte], start + second * SECOND), []);
        assert_eq!(engine.poll_timeout(), Some(start + 13 * SECOND));
    }
    assert_eq!(engine.handle_timeout(start + 12 * SECOND), None);
    assert_eq!(engine.handle_timeout(start + 13 * SECOND), Some(Timeout::Message));
}

#[test]
fn a_message_in_fragments_is_timed_from_its_first_byte() {
    let (mut engine, start) = timed(message_timeout());
    read_at(&mut engine, frame(TEXT, ""), start + SECOND);
    for second in 2..9 {
        read_at(&mut engine, frame(CONTINUATION, "x"), start + second * SECOND);
        read_at(&mut engine, frame(FIN | PING, ""), start + second * SECOND);
    }
    assert_eq!(engine.poll_timeout(), Some(start + 11 * SECOND));
    assert_eq!(read_at(&mut engine, frame(FIN, ""), start + 10 * SECOND), [text("xxxxxxx")]);
    assert_eq!(engine.poll_timeout(), None);
}

#[test]
fn a_message_that_begins_where_another_ends_has_its_own_time() {
    let (mut engine, start) = timed(message_timeout());
    read_at(&mut engine, frame(TEXT, "one"), start);
    let next = [frame(FIN, "end"), frame(BINARY, "two")].concat();
    assert_eq!(read_at(&mut engine, next, start + 4 * SECOND), [text("oneend")]);
    assert_eq!(engine.poll_timeout(), Some(start + 14 * SECOND));
}

#[test]
fn a_control_frame_in_two_reads_is_not_a_message_that_goes_on() {
    for opcode in [PING, PONG] {
        let (mut engine, start) = timed(message_timeout());
        let bytes = frame(FIN | opcode, "control");
        assert_eq!(read_at(&mut engine, &bytes[..3], start), []);
        assert_eq!(read_at(&mut engine, &bytes[3..], start + SECOND).len(), 1);
        assert_eq!(engine.poll_timeout(), None);
        // A message that begins in the same read as the rest of one has its own time.
        assert_eq!(read_at(&mut engine, &bytes[..3], start + 2 * SECOND), []);
        let rest = [&bytes[3..], &frame(TEXT, "half")].concat();
        assert_eq!(read_at(&mut engine, rest, start + 5 * SECOND).len(), 1);
        assert_eq!(engine.poll_timeout(), Some(start + 15 * SECOND));
        // Inside a message it changes nothing.
        assert_eq!(read_at(&mut engine, &bytes[..3], start + 6 * SECOND), []);
        assert_eq!(read_at(&mut engine, &bytes[3..], start + 7 * SECOND).len(), 1);
        assert_eq!(engine.poll_timeout(), Some(start + 15 * SECOND));
    }
}

#[test]
fn no_time_passes_while_nothing_is_read() {
    let options = keepalive().timeout(20 * SECOND).message_timeout(15 * SECOND);
    let (mut engine, start) = timed(options);
    read_at(&mut engine, frame(TEXT, "half"), start);
    engine.handle_timeout(start + 5 * SECOND);
    engine.pause(start + 6 * SECOND);
    engine.pause(start + 90 * SECOND);
    assert_eq!(engine.poll_timeout(), None);
    assert_eq!(engine.handle_timeout(start + 1000 * SECOND), None);
    engine.resume(start + 106 * SECOND);
    // The ping's answer was due at 8, the message at 15, and the peer is idle at 20.
    assert_eq!(engine.poll_timeout(), Some(start + 108 * SECOND));
    read_at(&mut engine, frame(CONTINUATION, "more"), start + 107 * SECOND);
    assert_eq!(engine.handle_timeout(start + 112 * SECOND), None, "another ping");
    read_at(&mut engine, frame(CONTINUATION, "more"), start + 113 * SECOND);
    assert_eq!(engine.poll_timeout(), Some(start + 115 * SECOND));
    assert_eq!(engine.handle_timeout(start + 115 * SECOND), Some(Timeout::Message));
}

#[test]
fn a_resume_without_a_pause_changes_nothing() {
    let (mut engine, start) = timed(Options::default().timeout(10 * SECOND));
    engine.resume(start + 5 * SECOND);
    assert_eq!(engine.poll_timeout(), Some(start + 10 * SECOND));
    engine.pause(start + 5 * SECOND);
    engine.resume(start + 6 * SECOND);
    engine.resume(start + 9 * SECOND);
    assert_eq!(engine.poll_timeout(), Some(start + 11 * SECOND));
}

// Writing.

#[test]
fn every_kind_of_frame_is_sent_unmasked_with_the_shortest_length() {
    for length in [0, 1, 31, 32, 33, 125, 126, 127, 16_383, 16_384, 65_535, 65_536, 70_000] {
        let payload: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
        let string = String::from_utf8(payload.clone()).unwrap();
        for (frame, first) in [
            (Frame::text(string.as_str()), 0x81),
            (Frame::binary(payload.clone()), 0x82),
            (Frame::binary(&payload[..]), 0x82),
            (Frame::unchecked_text(payload.clone()), 0x81),
            (Prepared::text(&string).into(), 0x81),
            (Prepared::binary(&payload).into(), 0x82),
        ] {
            let mut engine = defaults();
            engine.send(frame);
            assert_eq!(engine.unsent(), server_frame(first, &payload).len());
            assert_eq!(written(&mut engine), server_frame(first, &payload), "{first:#x}, {length}");
        }
        if let Ok(payload) = ControlPayload::try_from(&payload[..]) {
            let mut engine = defaults();
            engine.send(Frame::ping(payload.clone()));
            engine.send(Frame::pong(payload.clone()));
            let expected = [server_frame(0x89, &*payload), server_frame(0x8a, &*payload)].concat();
            assert_eq!(written(&mut engine), expected);
        }
    }
}

#[test]
fn a_partial_write_goes_on_where_it_stopped() {
    let payloads: Vec<Vec<u8>> =
        [5, 16_384, 0, 300, 16_384, 20_000, 1].into_iter().map(|length| vec![length as u8; length]).collect();
    let expected: Vec<u8> = payloads.iter().flat_map(|payload| server_frame(0x82, payload)).collect();
    for most in [13, 1000, 16_384, 16_400, usize::MAX] {
        let mut engine = defaults();
        payloads.iter().for_each(|payload| engine.send(Frame::binary(payload.clone())));
        assert_eq!(engine.unsent(), expected.len());
        assert_eq!(shown::<64>(&engine), expected, "everything can be shown at once");
        assert_eq!(written_in(&mut engine, most), expected, "{most} bytes a write");
    }
}

#[test]
fn what_is_sent_between_partial_writes_comes_behind() {
    let mut engine = defaults();
    let (mut all, mut expected) = (Vec::new(), Vec::new());
    for round in 0..200_usize {
        let length = [3, 0, 200, 17_000][round % 4];
        engine.send(Frame::binary(vec![round as u8; length]));
        expected.extend(server_frame(0x82, vec![round as u8; length]));
        let next = shown::<2>(&engine);
        let count = next.len().min(1 + round * 37 % 500);
        engine.transmitted(count);
        all.extend(&next[..count]);
        assert_eq!(engine.unsent(), expected.len() - all.len());
    }
    all.extend(written(&mut engine));
    assert_eq!(all, expected);
}

#[test]
fn a_large_payload_is_written_from_where_it_lies_and_let_go_when_it_is_written() {
    let payload = Bytes::from(vec![1; 100_000]);
    let mut engine = defaults();
    engine.send(Frame::binary(payload.clone()));
    engine.send(Frame::text("behind"));
    let mut slices = [IoSlice::new(&[]); 8];
    let filled = engine.poll_transmit(&mut slices);
    assert!(slices[..filled].iter().any(|slice| slice.as_ptr() == payload.as_ptr()));
    engine.transmitted(10 + 99_999);
    assert!(!payload.is_unique());
    engine.transmitted(1);
    assert!(payload.is_unique());
    assert_eq!(written(&mut engine), server_frame(0x81, "behind"));
}

#[test]
fn no_slice_to_fill_shows_nothing() {
    let mut engine = defaults();
    engine.send(Frame::text("a"));
    assert_eq!(engine.poll_transmit(&mut []), 0);
    assert_eq!(engine.unsent(), 3);
}

#[test]
fn what_is_discarded_is_not_written() {
    let mut engine = defaults();
    engine.send(Frame::text("gone"));
    engine.send(Frame::binary(vec![0; 20_000]));
    engine.transmitted(2);
    engine.discard_unsent();
    assert_eq!(engine.unsent(), 0);
    engine.send(Frame::text("here"));
    assert_eq!(written(&mut engine), server_frame(0x81, "here"));
}

#[test]
#[should_panic]
fn more_than_is_unsent_cannot_be_written() {
    let mut engine = defaults();
    engine.send(Frame::text("a"));
    engine.transmitted(4);
}

// What is counted.

#[test]
fn whole_messages_are_counted_by_opcode_both_ways() {
    let mut engine = defaults();
    let count = |messages, bytes| Count { messages, bytes };
    let script = [
        frame(FIN | TEXT, "äöü"),
        frame(TEXT, "12"),
        frame(FIN | PING, "123"),
        frame(CONTINUATION, ""),
        frame(FIN | CONTINUATION, "345"),
        frame(FIN | BINARY, [0; 70_000]),
        frame(FIN | BINARY, ""),
        frame(FIN | PONG, "1234"),
        frame(FIN | PONG, ""),
        frame(BINARY, "never whole"),
        frame(FIN | CLOSE, close_payload(1000, "1")),
    ];
    read(&mut engine, script.concat());
    let expected = Traffic {
        text: count(2, 11),
        binary: count(2, 70_000),
        ping: count(1, 3),
        pong: count(2, 4),
        close: count(1, 3),
    };
    assert_eq!(engine.received(), &expected);

    engine.send(Frame::text("ab"));
    engine.send(Prepared::text("cde").into());
    engine.send(Frame::unchecked_text("f"));
    engine.send(Frame::binary(vec![0; 70_000]));
    engine.send(Prepared::binary([0; 126]).into());
    engine.send(Frame::ping(ControlPayload::try_from("p").unwrap()));
    engine.send(Frame::pong(ControlPayload::try_from("po").unwrap()));
    engine.close(Some(&CloseCode::NORMAL.into()));
    engine.send(Frame::text("late"));
    let expected = Traffic {
        text: count(3, 6),
        binary: count(2, 70_126),
        ping: count(1, 1),
        pong: count(2, 5), // Beside ours, the answer to the ping.
        close: count(1, 2),
    };
    assert_eq!(engine.sent(), &expected);
}

#[test]
fn a_text_that_came_unchecked_counts_as_text() {
    let mut engine = engine(Options::default().validate_utf8(false));
    read(&mut engine, frame(FIN | TEXT, b"\xff\xff"));
    assert_eq!(engine.received().text, Count { messages: 1, bytes: 2 });
}

// The driver's buffer.

#[test]
fn the_same_buffer_comes_back_whatever_was_in_it() {
    let large = frame(FIN | BINARY, [3; 2000]);
    for bytes in [
        frame(FIN | TEXT, "whole"),
        frame(FIN | TEXT, "cut")[..8].to_vec(),
        large.clone(),
        large[..1000].to_vec(),
        frame(FIN | CLOSE, ""),
        vec![0xff, 0xff],
        Vec::new(),
    ] {
        let mut engine = defaults();
        let mut buffer = Vec::with_capacity(4096);
        buffer.extend_from_slice(&bytes);
        let (address, capacity) = (buffer.as_ptr(), buffer.capacity());
        engine.receive(&mut buffer, Instant::now());
        events(&mut engine);
        engine.reclaim(&mut buffer);
        assert_eq!((buffer.as_ptr(), buffer.capacity()), (address, capacity), "{} bytes", bytes.len());
        // What the driver reads next belongs to nobody else.
        engine.reclaim(&mut buffer);
        assert_eq!((buffer.as_ptr(), buffer.capacity()), (address, capacity));
    }
}

#[test]
fn what_is_cut_off_survives_the_buffers_return() {
    for script in [
        frame(FIN | TEXT, "a short text"),
        frame(FIN | PING, "a ping"),
        frame(FIN | BINARY, [5; 70_000]),
        [frame(TEXT, "frag"), frame(FIN | CONTINUATION, "ments")].concat(),
    ] {
        let expected = read(&mut defaults(), &script);
        for cut in (0..script.len()).step_by(script.len().div_ceil(50)) {
            let mut engine = defaults();
            let mut buffer = [frame(FIN | TEXT, "before"), script[..cut].to_vec()].concat();
            engine.receive(&mut buffer, Instant::now());
            assert_eq!(events(&mut engine), [text("before")]);
            engine.reclaim(&mut buffer);
            buffer.fill(0xff);
            buffer.clear();
            buffer.extend_from_slice(&script[cut..]);
            engine.receive(&mut buffer, Instant::now());
            assert_eq!(events(&mut engine), expected, "cut at {cut}");
        }
    }
}

#[test]
fn a_buffer_may_be_taken_back_between_events() {
    let bytes = [frame(FIN | TEXT, "1"), frame(FIN | PING, "2"), frame(FIN | BINARY, [3; 200])].concat();
    let mut engine = defaults();
    let mut buffer = Vec::with_capacity(1000);
    buffer.extend_from_slice(&bytes);
    engine.receive(&mut buffer, Instant::now());
    for expected in [text("1"), ping("2"), binary([3; 200])] {
        assert_eq!(engine.poll_event(), Some(expected));
        engine.reclaim(&mut buffer);
        assert_eq!(buffer.capacity(), 1000);
        buffer.fill(0xff);
    }
    assert_eq!(engine.poll_event(), None);
}

#[test]
fn two_reads_may_come_before_their_events_are_asked_for() {
    let bytes = [frame(FIN | TEXT, "1"), frame(FIN | PING, "2"), frame(FIN | BINARY, [3; 20_000])].concat();
    for cut in (0..bytes.len()).step_by(7) {
        let mut engine = defaults();
        engine.receive(&mut bytes[..cut].to_vec(), Instant::now());
        engine.receive(&mut bytes[cut..].to_vec(), Instant::now());
        assert_eq!(events(&mut engine), [text("1"), ping("2"), binary([3; 20_000])], "cut at {cut}");
    }
}

#[test]
fn a_short_message_may_be_asked_for_by_itself_and_anything_else_waits_its_turn() {
    let mut engine = defaults();
    let bytes =
        [frame(FIN | TEXT, "1"), frame(FIN | PING, "2"), frame(FIN | TEXT, "3"), frame(FIN | TEXT, b"\xff")];
    engine.receive(&mut bytes.concat(), Instant::now());
    let short = |text: &str| Some(Message::Text(text.into()));
    assert_eq!(engine.poll_message(), short("1"));
    assert_eq!(engine.poll_message(), None);
    assert_eq!(engine.poll_event(), Some(ping("2")));
    assert_eq!(engine.poll_message(), short("3"));
    assert_eq!(engine.poll_message(), None);
    assert_eq!(engine.poll_message(), None);
    let refused = Event::Violation(ProtocolError::TextNotUtf8.into());
    assert_eq!(engine.poll_event(), Some(refused));
    assert_eq!(engine.received().text, Count { messages: 2, bytes: 2 });
}
