//! How large a compressed message may become: C6.

use std::num::NonZeroUsize;

use websock_core::{CloseReason, Deflate, Error, Outcome, TooBig};

use super::receiving::whole;
use super::{Client, OFFER, alone, compressing, echo, limited, million, noise, stored, takeover};
use crate::peer::{BINARY, CONTINUATION, FIN, Frame, RSV1, TEXT, frame, header, raw_frame};
use crate::server::{Server, Stage};
use crate::site::Site;

cases! {
    a_message_that_becomes_as_large_as_the_limit_is_handled: C6,
    a_message_that_becomes_one_byte_larger_closes_with_1009: C6,
    a_message_in_fragments_may_become_as_large_as_the_limit: C6,
    a_fragment_that_passes_the_limit_when_it_is_inflated_closes_with_1009: C6,
    ten_megabytes_in_ten_kilobytes_close_with_1009: C6,
    a_bomb_is_not_inflated_any_further_than_the_limit: C6,
    no_ratio_is_too_high_within_the_limit: C6,
    messages_that_refer_to_those_before_them_are_limited_one_by_one: C6,
    stored_blocks_of_exactly_the_limit_are_handled: C6,
    more_than_stored_blocks_need_closes_with_1009_from_the_header: C6 F5,
    a_fragment_with_more_than_stored_blocks_need_closes_with_1009_from_its_header: C6 F5,
    uncompressed_messages_have_no_allowance: C6 F5,
    the_limit_of_frames_counts_compressed_bytes: C6 F5,
}

/// 1000, 1001 and 10 000 zeros.
const ZEROS: [u8; 11] = [0x62, 0x60, 0x18, 0x05, 0xa3, 0x60, 0x14, 0x0c, 0x77, 0x00, 0x00];
const ONE_MORE: [u8; 11] = [0x62, 0x60, 0x18, 0x05, 0xa3, 0x60, 0x14, 0x0c, 0x7b, 0x00, 0x00];
const MANY_ZEROS: [u8; 27] = [
    0xec, 0xc1, 0x01, 0x0d, 0x00, 0x00, 0x00, 0xc2, 0xa0, 0xf7, 0x4f, 0x6d, 0x0e, 0x37, 0xa0, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xe0, 0xdf, 0x00,
];

async fn connect(stage: &Stage, deflate: Deflate, limit: usize) -> (Server, Client) {
    let mut server = stage.start(limited(deflate, limit)).await;
    let client = Client::offering(server.addr, OFFER).await;
    server.init().await;
    (server, client)
}

/// The message is over its limit, and the handler sees nothing of it.
async fn expect_too_big(mut server: Server, mut client: Client, limit: usize) {
    assert_eq!(client.peer.close_frame().await, (Some(1009), String::new()));
    client.peer.end().await;
    let reason = server.terminated().await;
    assert!(
        matches!(reason, CloseReason::Error(Error::TooBig(TooBig::Message { limit: told })) if told == limit),
        "{reason:?}"
    );
    server.expect_nothing_more().await;
}

async fn a_message_that_becomes_as_large_as_the_limit_is_handled(stage: &Stage) {
    for deflate in [alone(), takeover()] {
        for (limit, deflated, length) in
            [(1000, &ZEROS[..], 1000), (1001, &ONE_MORE, 1001), (1001, &ZEROS, 1000)]
        {
            let (mut server, mut client) = connect(stage, deflate, limit).await;
            client.send(whole(BINARY, deflated)).await;
            assert_eq!(client.compressed().await.0, Frame::new(BINARY, vec![0; length]));
            assert_eq!(server.message().await.len(), length);
        }
    }
}

async fn a_message_that_becomes_one_byte_larger_closes_with_1009(stage: &Stage) {
    for deflate in [alone(), takeover()] {
        for (limit, deflated) in [(1000, &ONE_MORE), (999, &ZEROS)] {
            let (server, mut client) = connect(stage, deflate, limit).await;
            client.send(whole(BINARY, deflated)).await;
            expect_too_big(server, client, limit).await;
        }
    }
}

/// In three segments.
async fn a_message_in_fragments_may_become_as_large_as_the_limit(stage: &Stage) {
    let (mut server, mut client) = connect(stage, alone(), 1000).await;
    client.send(raw_frame(RSV1 | BINARY, &ZEROS[..4])).await;
    client.send(raw_frame(CONTINUATION, &ZEROS[4..8])).await;
    client.send(raw_frame(FIN | CONTINUATION, &ZEROS[8..])).await;
    assert_eq!(client.compressed().await.0, Frame::new(BINARY, [0; 1000]));
    assert_eq!(server.message().await.len(), 1000);
}

async fn a_fragment_that_passes_the_limit_when_it_is_inflated_closes_with_1009(stage: &Stage) {
    let (server, mut client) = connect(stage, alone(), 1000).await;
    client.send(raw_frame(RSV1 | BINARY, &ONE_MORE[..4])).await;
    client.send(raw_frame(CONTINUATION, &ONE_MORE[4..8])).await;
    client.send(raw_frame(FIN | CONTINUATION, &ONE_MORE[8..])).await;
    expect_too_big(server, client, 1000).await;
}

async fn ten_megabytes_in_ten_kilobytes_close_with_1009(stage: &Stage) {
    for deflate in [alone(), takeover()] {
        let (server, mut client) = connect(stage, deflate, 1_000_000).await;
        client.send(whole(TEXT, [million().repeat(10), vec![0]].concat())).await;
        expect_too_big(server, client, 1_000_000).await;
    }
}

/// The Close is there before the message has come whole.
async fn a_bomb_is_not_inflated_any_further_than_the_limit(stage: &Stage) {
    for deflate in [alone(), takeover()] {
        let (server, mut client) = connect(stage, deflate, 1_000_000).await;
        let bomb = million().repeat(9);
        client.send(header(FIN | RSV1 | TEXT, bomb.len() as u64, [0; 4])).await;
        client.send(&bomb[..1100]).await;
        expect_too_big(server, client, 1_000_000).await;
    }
}

/// A thousand to one.
async fn no_ratio_is_too_high_within_the_limit(stage: &Stage) {
    let site = Site::new(async |_| Ok(Outcome::push("got it")));
    let mut server = stage.start(compressing(site, takeover())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    server.init().await;
    for times in [1, 10] {
        client.send(whole(TEXT, [million().repeat(times), vec![0]].concat())).await;
        assert_eq!(client.any().await, Frame::new(TEXT, "got it"));
        assert_eq!(server.message().await.len(), times * 1_000_000);
    }
}

/// A context that is kept counts for nothing.
async fn messages_that_refer_to_those_before_them_are_limited_one_by_one(stage: &Stage) {
    let (mut server, mut client) = connect(stage, takeover(), 600).await;
    let noise = noise(500);
    for _ in 0..20 {
        client.send(whole(BINARY, stored(&noise, 500))).await;
        assert_eq!(client.any().await, Frame::new(BINARY, &noise));
        assert_eq!(server.message().await.len(), 500);
    }
}

const LIMIT: usize = 65_535;
/// The same, with what stored blocks need.
const ON_THE_WIRE: usize = LIMIT + 65 + 64;

async fn stored_blocks_of_exactly_the_limit_are_handled(stage: &Stage) {
    let noise = noise(LIMIT);
    for deflate in [alone(), takeover()] {
        let (mut server, mut client) = connect(stage, deflate, LIMIT).await;
        let deflated = stored(&noise, 8192);
        assert!(deflated.len() > LIMIT && deflated.len() <= ON_THE_WIRE);
        client.send(whole(BINARY, &deflated)).await;
        assert!(client.any().await == Frame::new(BINARY, &noise));
        assert_eq!(server.message().await.len(), LIMIT);
        let (first, second) = deflated.split_at(LIMIT - 1);
        client.send([raw_frame(RSV1 | BINARY, first), raw_frame(FIN | CONTINUATION, second)].concat()).await;
        assert!(client.any().await == Frame::new(BINARY, &noise));
        assert_eq!(server.message().await.len(), LIMIT);
    }
}

async fn more_than_stored_blocks_need_closes_with_1009_from_the_header(stage: &Stage) {
    for length in [ON_THE_WIRE as u64 + 1, 1 << 40] {
        for deflate in [alone(), takeover()] {
            let (server, mut client) = connect(stage, deflate, LIMIT).await;
            client.send(header(FIN | RSV1 | BINARY, length, [0; 4])).await;
            expect_too_big(server, client, LIMIT).await;
        }
    }
}

async fn a_fragment_with_more_than_stored_blocks_need_closes_with_1009_from_its_header(stage: &Stage) {
    let (server, mut client) = connect(stage, alone(), LIMIT).await;
    let deflated = stored(&noise(LIMIT), 8192);
    client.send(raw_frame(RSV1 | BINARY, &deflated[..60_000])).await;
    client.send(header(CONTINUATION, (ON_THE_WIRE - 60_000 + 1) as u64, [0; 4])).await;
    expect_too_big(server, client, LIMIT).await;
}

async fn uncompressed_messages_have_no_allowance(stage: &Stage) {
    let (mut server, mut client) = connect(stage, alone(), LIMIT).await;
    let noise = noise(LIMIT);
    client.send(frame(BINARY, &noise)).await;
    assert!(client.any().await == Frame::new(BINARY, &noise));
    server.message().await;
    client.send(header(FIN | BINARY, LIMIT as u64 + 1, [0; 4])).await;
    expect_too_big(server, client, LIMIT).await;
}

async fn the_limit_of_frames_counts_compressed_bytes(stage: &Stage) {
    let site = echo(alone());
    let options = site.options().clone().max_frame_size(NonZeroUsize::new(MANY_ZEROS.len()));
    let mut server = stage.start(site.with_options(options)).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    server.init().await;
    client.send(whole(BINARY, MANY_ZEROS)).await;
    assert_eq!(client.compressed().await.0, Frame::new(BINARY, [0; 10_000]));
    assert_eq!(server.message().await.len(), 10_000);
    client.send(header(FIN | RSV1 | BINARY, MANY_ZEROS.len() as u64 + 1, [0; 4])).await;
    assert_eq!(client.peer.close_frame().await, (Some(1009), String::new()));
    let reason = server.terminated().await;
    assert!(matches!(reason, CloseReason::Error(Error::TooBig(TooBig::Frame { .. }))), "{reason:?}");
}
