//! What a client must not send once compression is agreed on: C4, F1, F4.

use websock_core::{CloseReason, Error, Outcome, ProtocolError};

use super::receiving::{fragments, whole};
use super::{
    BAD_TEXT, BYTES, Client, FAR, FOX, OFFER, alone, compressing, echo, stored, takeover,
    twenty_times_sixteen,
};
use crate::case::Case;
use crate::peer::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, header, raw_frame};
use crate::server::Stage;
use crate::site::Site;

const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;

/// The first of the two bytes of a letter.
const HALF_A_LETTER: [u8; 3] = [0x3a, 0x0c, 0x00];

/// The case's name, the rule beside C4, the bytes, and what is wrong with them.
type Row = (&'static str, &'static str, Vec<u8>, ProtocolError);

/// The header of each of these tells, and nothing stands behind it.
fn headers() -> Vec<Row> {
    let reserved = |name, bytes, bits| (name, "F1", bytes, ProtocolError::ReservedBits(bits));
    let (in_compressed, in_plain) = (raw_frame(RSV1 | TEXT, &FOX[..5]), raw_frame(TEXT, "start"));
    vec![
        reserved(
            "rsv1_on_the_continuation_of_a_compressed_message_closes_with_1002",
            [&in_compressed[..], &[FIN | RSV1 | CONTINUATION]].concat(),
            4,
        ),
        reserved(
            "rsv1_on_the_continuation_of_an_uncompressed_message_closes_with_1002",
            [&in_plain[..], &[RSV1 | CONTINUATION]].concat(),
            4,
        ),
        reserved("rsv1_on_a_ping_closes_with_1002_with_compression_too", vec![FIN | RSV1 | PING], 4),
        reserved("rsv1_on_a_pong_closes_with_1002_with_compression_too", vec![FIN | RSV1 | PONG], 4),
        reserved("rsv1_on_a_close_closes_with_1002_with_compression_too", vec![FIN | RSV1 | CLOSE], 4),
        reserved(
            "rsv1_on_a_ping_within_a_compressed_message_closes_with_1002",
            [&in_compressed[..], &[FIN | RSV1 | PING]].concat(),
            4,
        ),
        reserved("rsv2_closes_with_1002_with_compression_too", vec![FIN | RSV2 | TEXT], 2),
        reserved("rsv2_on_a_compressed_message_closes_with_1002", vec![FIN | RSV1 | RSV2 | TEXT], 6),
        reserved("rsv3_on_a_compressed_message_closes_with_1002", vec![FIN | RSV1 | RSV3 | BINARY], 5),
        (
            "a_compressed_message_within_a_compressed_one_closes_with_1002",
            "F3",
            [in_compressed, header(FIN | RSV1 | TEXT, 5, [0; 4])].concat(),
            ProtocolError::UnfinishedMessage,
        ),
        (
            "a_compressed_message_within_an_uncompressed_one_closes_with_1002",
            "F3",
            [in_plain, header(RSV1 | BINARY, 5, [0; 4])].concat(),
            ProtocolError::UnfinishedMessage,
        ),
    ]
}

/// Whole messages that nothing can be made of.
fn data() -> Vec<Row> {
    let broken = |name, bytes| (name, "C4", bytes, ProtocolError::InvalidDeflate);
    let not_utf8 = |name, bytes| (name, "F4", bytes, ProtocolError::TextNotUtf8);
    let wrong_length = [0x00, 0x05, 0x00, 0x05, 0x00, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    vec![
        broken("a_block_of_no_known_type_closes_with_1007", whole(BINARY, [0x06, 0x00])),
        broken("a_stored_block_with_a_wrong_length_closes_with_1007", whole(BINARY, wrong_length)),
        broken("a_reference_to_before_the_beginning_closes_with_1007", whole(BINARY, FAR)),
        broken("data_without_a_meaning_close_with_1007", whole(TEXT, [0xff; 20])),
        broken("plain_text_that_is_marked_as_compressed_closes_with_1007", whole(TEXT, "plain text")),
        // As soon as it is known.
        broken(
            "broken_data_close_with_1007_before_the_message_is_complete",
            raw_frame(RSV1 | BINARY, [0x06, 0x00]),
        ),
        broken(
            "broken_data_in_the_last_fragment_close_with_1007",
            fragments(BINARY, &[&wrong_length[..3], &wrong_length[3..]]).concat(),
        ),
        not_utf8("compressed_text_that_is_not_utf8_closes_with_1007", whole(TEXT, BAD_TEXT)),
        not_utf8("compressed_text_that_ends_within_a_character_closes_with_1007", whole(TEXT, HALF_A_LETTER)),
        not_utf8(
            "compressed_text_that_is_not_utf8_closes_with_1007_before_it_is_complete",
            raw_frame(RSV1 | TEXT, [&BAD_TEXT[..], &[0, 0, 0xff, 0xff]].concat()),
        ),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let row = |code| {
        move |(name, rule, bytes, error): Row| {
            let rules = if rule == "C4" { vec!["C4"] } else { vec!["C4", rule] };
            Case::new(module_path!(), name, rules, move |stage| {
                Box::pin(violate(stage, bytes.clone(), code, error))
            })
        }
    };
    let mut cases: Vec<_> =
        headers().into_iter().map(row(1002)).chain(data().into_iter().map(row(1007))).collect();
    cases.push(Case::new(module_path!(), "data_that_end_too_soon_close_with_1007", vec!["C4"], |stage| {
        Box::pin(end_too_soon(stage))
    }));
    cases
}

/// Behind a message that is right; with contexts that are kept and without.
async fn violate(stage: &Stage, bytes: Vec<u8>, code: u16, expected: ProtocolError) {
    for deflate in [alone(), takeover()] {
        let site = compressing(Site::new(async |_| Ok(Outcome::none())), deflate);
        let mut server = stage.start(site).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        server.init().await;
        client.send(whole(BINARY, BYTES)).await;
        assert_eq!(server.message().await.as_bytes(), twenty_times_sixteen());
        client.send(&bytes).await;
        assert_eq!(client.peer.close_frame().await, (Some(code), String::new()));
        client.peer.end().await;
        let reason = server.terminated().await;
        assert!(
            matches!(reason, CloseReason::Error(Error::Protocol(error)) if error == expected),
            "{reason:?}, not {expected:?}"
        );
        server.expect_nothing_more().await;
    }
}

/// Where each message stands for itself its end is known.
async fn end_too_soon(stage: &Stage) {
    let mut server = stage.start(echo(alone())).await;
    // Without its last byte of zeros the first message is complete too. The second is a stored block.
    let stored = stored(&[0; 100], 100);
    let cuts = (0..FOX.len() - 1).map(|cut| &FOX[..cut]).chain([3, 5, 50, 104].map(|cut| &stored[..cut]));
    for deflated in cuts {
        let mut client = Client::offering(server.addr, OFFER).await;
        server.init().await;
        client.send(whole(TEXT, deflated)).await;
        assert_eq!(client.peer.close_frame().await, (Some(1007), String::new()), "{deflated:x?}");
        let reason = server.terminated().await;
        assert!(
            matches!(reason, CloseReason::Error(Error::Protocol(ProtocolError::InvalidDeflate))),
            "{reason:?} for {deflated:x?}"
        );
    }
    server.expect_nothing_more().await;
}
