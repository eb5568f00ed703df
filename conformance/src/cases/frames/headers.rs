//! Frames that a peer must not send: F1-F3, F8. The rows of one table, each of which is a case. No payload follows
//! any of the headers, which have to be enough.

use websock_core::{CloseReason, Error, ProtocolError};

use crate::case::Case;
use crate::peer::{
    BINARY, CLOSE, CONTINUATION, FIN, Frame, PING, PONG, Peer, RSV1, TEXT, frame, header, raw_frame,
};
use crate::server::Stage;
use crate::site::Site;

/// The case's name, the rule, the bytes, and what is wrong with them.
type Row = (&'static str, &'static str, Vec<u8>, ProtocolError);

const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;
const MASKED: u8 = 0x80;
const ZERO: [u8; 4] = [0; 4];

fn rows() -> Vec<Row> {
    use ProtocolError::*;
    let long = |length: u64| [&[FIN | BINARY, MASKED | 127][..], &length.to_be_bytes()].concat();
    let start = |opcode| raw_frame(opcode, "start");
    vec![
        ("an_unmasked_text_closes_with_1002", "F1", vec![FIN | TEXT, 5], Unmasked),
        ("an_unmasked_close_closes_with_1002", "F1", vec![FIN | CLOSE, 0], Unmasked),
        ("an_unmasked_ping_closes_with_1002", "F1", vec![FIN | PING, 0], Unmasked),
        (
            "an_unmasked_frame_with_a_16_bit_length_closes_before_its_length",
            "F1",
            vec![FIN | TEXT, 126],
            Unmasked,
        ),
        (
            "an_unmasked_frame_with_a_64_bit_length_closes_before_its_length",
            "F1",
            vec![FIN | TEXT, 127],
            Unmasked,
        ),
        ("rsv1_on_text_without_compression_closes_with_1002", "F1", vec![FIN | RSV1 | TEXT], ReservedBits(4)),
        (
            "rsv1_on_bytes_without_compression_closes_with_1002",
            "F1",
            vec![FIN | RSV1 | BINARY],
            ReservedBits(4),
        ),
        (
            "rsv1_on_a_continuation_closes_with_1002",
            "F1",
            [start(TEXT), vec![FIN | RSV1]].concat(),
            ReservedBits(4),
        ),
        ("rsv1_on_a_close_closes_with_1002", "F1", vec![FIN | RSV1 | CLOSE], ReservedBits(4)),
        ("rsv1_on_a_ping_closes_with_1002", "F1", vec![FIN | RSV1 | PING], ReservedBits(4)),
        ("rsv1_on_a_pong_closes_with_1002", "F1", vec![FIN | RSV1 | PONG], ReservedBits(4)),
        (
            "rsv1_on_a_fragmented_control_frame_closes_with_1002",
            "F1",
            vec![RSV1 | PING, MASKED],
            ReservedBits(4),
        ),
        ("rsv2_closes_with_1002", "F1", vec![FIN | RSV2 | TEXT], ReservedBits(2)),
        ("rsv3_closes_with_1002", "F1", vec![FIN | RSV3 | BINARY], ReservedBits(1)),
        ("all_reserved_bits_close_with_1002", "F1", vec![FIN | 0x70 | CONTINUATION], ReservedBits(7)),
        ("a_fragmented_close_closes_with_1002", "F2", vec![CLOSE, MASKED | 2], FragmentedControl),
        ("a_fragmented_ping_closes_with_1002", "F2", vec![PING], FragmentedControl),
        ("a_fragmented_pong_closes_with_1002", "F2", vec![PONG, MASKED], FragmentedControl),
        ("a_close_of_126_bytes_closes_with_1002", "F2", header(FIN | CLOSE, 126, ZERO), ControlTooLong),
        ("a_ping_of_126_bytes_closes_with_1002", "F2", vec![FIN | PING, MASKED | 126], ControlTooLong),
        ("a_pong_of_126_bytes_closes_with_1002", "F2", vec![FIN | PONG, MASKED | 126], ControlTooLong),
        (
            "a_pong_with_a_64_bit_length_closes_with_1002",
            "F2",
            vec![FIN | PONG, MASKED | 127],
            ControlTooLong,
        ),
        (
            "a_last_continuation_without_a_start_closes_with_1002",
            "F3",
            header(FIN | CONTINUATION, 5, ZERO),
            UnexpectedContinuation,
        ),
        (
            "a_continuation_without_a_start_closes_with_1002",
            "F3",
            header(CONTINUATION, 0, ZERO),
            UnexpectedContinuation,
        ),
        (
            "a_continuation_behind_a_whole_message_closes_with_1002",
            "F3",
            [start(FIN | TEXT), header(FIN | CONTINUATION, 5, ZERO)].concat(),
            UnexpectedContinuation,
        ),
        (
            "a_text_within_a_fragmented_text_closes_with_1002",
            "F3",
            [start(TEXT), header(FIN | TEXT, 5, ZERO)].concat(),
            UnfinishedMessage,
        ),
        (
            "bytes_within_fragmented_bytes_close_with_1002",
            "F3",
            [start(BINARY), header(BINARY, 5, ZERO)].concat(),
            UnfinishedMessage,
        ),
        (
            "bytes_behind_a_ping_within_a_fragmented_text_close_with_1002",
            "F3",
            [start(TEXT), frame(PING, "ping"), header(FIN | BINARY, 5, ZERO)].concat(),
            UnfinishedMessage,
        ),
        (
            "a_16_bit_length_of_125_closes_with_1002",
            "F8",
            vec![FIN | TEXT, MASKED | 126, 0, 125],
            NonMinimalLength,
        ),
        (
            "a_16_bit_length_of_0_closes_with_1002",
            "F8",
            vec![FIN | BINARY, MASKED | 126, 0, 0],
            NonMinimalLength,
        ),
        ("a_64_bit_length_of_65535_closes_with_1002", "F8", long(0xffff), NonMinimalLength),
        ("a_64_bit_length_of_0_closes_with_1002", "F8", long(0), NonMinimalLength),
        ("a_length_with_its_top_bit_set_closes_with_1002", "F8", long(1 << 63), LengthTopBit),
        ("a_length_of_all_ones_closes_with_1002", "F8", long(u64::MAX), LengthTopBit),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let rows = rows().into_iter().map(|(name, rule, bytes, error)| {
        Case::new(module_path!(), name, vec![rule], move |stage| {
            Box::pin(violate(stage, bytes.clone(), error))
        })
    });
    let opcodes = [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf].map(|opcode| {
        Case::new(
            module_path!(),
            format!("the_opcode_{opcode:x}_closes_with_1002"),
            vec!["F1"],
            move |stage| Box::pin(violate(stage, vec![FIN | opcode], ProtocolError::UnknownOpcode(opcode))),
        )
    });
    rows.chain(opcodes).collect()
}

async fn violate(stage: &Stage, bytes: Vec<u8>, expected: ProtocolError) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(&bytes).await;
    // A whole message or a ping before the violation is answered first.
    if bytes.starts_with(&[FIN | TEXT, MASKED | 5]) {
        assert_eq!(peer.frame().await, Frame::new(TEXT, "start"));
        server.message().await;
    }
    if bytes.ends_with(&header(FIN | BINARY, 5, ZERO)) {
        assert_eq!(peer.frame().await, Frame::new(PONG, "ping"));
        server.control().await;
    }
    assert_eq!(peer.close_frame().await, (Some(1002), String::new()));
    peer.end().await;
    let reason = server.terminated().await;
    assert!(
        matches!(reason, CloseReason::Error(Error::Protocol(error)) if error == expected),
        "{reason:?}, not {expected:?}"
    );
    server.expect_nothing_more().await;
}
