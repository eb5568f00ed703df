//! What the server compresses: C3-C5. However small it makes a message, it has to be the same message.

use websock_core::{
    CloseCode, ControlPayload, Deflate, DeflateLevel, Frame as Push, Message, Outcome, Prepared, WindowBits,
};

use super::{Client, OFFER, alone, compressing, echo, noise, prose, takeover};
use crate::payload::text;
use crate::peer::{BINARY, CLOSE, Frame, PING, PONG, TEXT, frame};
use crate::server::Stage;
use crate::site::Site;

cases! {
    a_message_is_compressed_from_the_threshold_on: C5,
    the_default_threshold_is_512_bytes: C5,
    a_push_may_ask_not_to_be_compressed: C5,
    an_uncompressed_push_between_messages_that_refer_to_each_other_does_not_disturb_them: C4 C5,
    a_prepared_message_comes_to_everybody_as_was_agreed_on: C4 C5,
    a_prepared_message_may_ask_not_to_be_compressed: C5,
    control_frames_of_the_server_are_never_compressed: C4,
    an_empty_message_of_the_server_arrives: C4,
    messages_of_the_server_refer_to_those_before_them_where_that_is_agreed_on: C3 C4,
    each_message_of_the_server_stands_for_itself_where_the_client_wants_it: C3 C4,
    each_message_of_the_server_stands_for_itself_where_the_server_wants_it: C3 C4,
    the_servers_window_is_as_small_as_agreed_on: C3,
    large_messages_are_compressed: C4,
    what_does_not_become_smaller_arrives_all_the_same: C4,
    every_level_makes_the_same_message_of_it: C4,
    the_last_messages_of_a_stop_are_compressed_and_its_close_is_not: C4 O6,
    what_init_pushes_is_compressed: C4 O2,
}

async fn a_message_is_compressed_from_the_threshold_on(stage: &Stage) {
    for threshold in [1, 200, 70_000] {
        let server = stage.start(echo(Deflate::default().threshold(threshold))).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        let (below, at) = ("a".repeat(threshold - 1), "a".repeat(threshold.max(100)));
        client
            .send([frame(TEXT, &below), frame(BINARY, &below), frame(TEXT, &at), frame(BINARY, &at)].concat())
            .await;
        assert_eq!(client.plain().await, Frame::new(TEXT, &below), "under {threshold}");
        assert_eq!(client.plain().await, Frame::new(BINARY, &below), "under {threshold}");
        assert_eq!(client.compressed().await.0, Frame::new(TEXT, &at), "from {threshold} on");
        assert_eq!(client.compressed().await.0, Frame::new(BINARY, &at), "from {threshold} on");
    }
}

async fn the_default_threshold_is_512_bytes(stage: &Stage) {
    for deflate in [Deflate::default(), Deflate::default().server_context_takeover(true)] {
        let server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        client
            .send([frame(TEXT, prose(511)), frame(TEXT, prose(512)), frame(TEXT, prose(511))].concat())
            .await;
        assert_eq!(client.plain().await, Frame::new(TEXT, prose(511)));
        assert_eq!(client.compressed().await.0, Frame::new(TEXT, prose(512)));
        assert_eq!(client.plain().await, Frame::new(TEXT, prose(511)));
    }
}

/// Sends each message twice: as it is, and with the wish.
fn twice() -> Site {
    Site::new(async |message: Message| {
        let push = Push::from(message);
        Ok(Outcome::push(vec![push.clone(), push.uncompressed()]))
    })
}

async fn a_push_may_ask_not_to_be_compressed(stage: &Stage) {
    let server = stage.start(compressing(twice(), alone())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    for opcode in [TEXT, BINARY] {
        client.send(frame(opcode, prose(2000))).await;
        assert_eq!(client.compressed().await.0, Frame::new(opcode, prose(2000)));
        assert_eq!(client.plain().await, Frame::new(opcode, prose(2000)));
    }
}

async fn an_uncompressed_push_between_messages_that_refer_to_each_other_does_not_disturb_them(stage: &Stage) {
    let server = stage.start(compressing(twice(), takeover())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    let mut lengths = Vec::new();
    for _ in 0..3 {
        client.send(frame(BINARY, noise(2000))).await;
        let (frame, length) = client.compressed().await;
        assert_eq!(frame, Frame::new(BINARY, noise(2000)));
        lengths.push(length);
        assert_eq!(client.plain().await, Frame::new(BINARY, noise(2000)));
    }
    assert!(lengths[1] < 100 && lengths[2] < 100, "{lengths:?}");
}

async fn a_prepared_message_comes_to_everybody_as_was_agreed_on(stage: &Stage) {
    let prepared = Prepared::text(prose(3000));
    let first = prepared.clone();
    // In front of it what the next message may refer to.
    let site = Site::new(move |message: Message| {
        let frames = vec![Push::from(message), first.clone().into()];
        async move { Ok(Outcome::push(frames)) }
    });
    let mut server = stage.start(compressing(site, takeover())).await;
    let mut lengths = Vec::new();
    for offer in [
        "permessage-deflate; server_no_context_takeover",
        "x-unknown",
        OFFER,
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
        "permessage-deflate; server_no_context_takeover",
    ] {
        let mut client = Client::offering(server.addr, offer).await;
        for _ in 0..2 {
            client.send(frame(TEXT, prose(2900))).await;
            assert_eq!(client.any().await, Frame::new(TEXT, prose(2900)), "{offer}");
            if offer == "permessage-deflate; server_no_context_takeover" {
                let (frame, length) = client.compressed().await;
                assert_eq!(frame, Frame::new(TEXT, prose(3000)), "{offer}");
                lengths.push(length);
            } else {
                assert_eq!(client.any().await, Frame::new(TEXT, prose(3000)), "{offer}");
            }
        }
        // And from another task.
        let socket = server.init().await;
        socket.mailbox().send(Outcome::push(prepared.clone())).await.unwrap();
        assert_eq!(client.any().await, Frame::new(TEXT, prose(3000)), "{offer}");
        server.message().await;
        server.message().await;
        drop(client);
        server.terminated().await;
    }
    assert!(lengths.iter().all(|length| *length == lengths[0] && *length < 500), "{lengths:?}");
}

async fn a_prepared_message_may_ask_not_to_be_compressed(stage: &Stage) {
    let site = Site::new(async |_| {
        let prepared = Push::from(Prepared::text(prose(3000)));
        Ok(Outcome::push(vec![prepared.clone(), prepared.uncompressed()]))
    });
    let server = stage.start(compressing(site, alone())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    client.send(frame(TEXT, "x")).await;
    assert_eq!(client.compressed().await.0, Frame::new(TEXT, prose(3000)));
    assert_eq!(client.plain().await, Frame::new(TEXT, prose(3000)));
}

async fn control_frames_of_the_server_are_never_compressed(stage: &Stage) {
    let payload = "a".repeat(125);
    for deflate in [alone(), takeover()] {
        let control = ControlPayload::try_from(&*payload).unwrap();
        let site = Site::new(move |_| {
            let frames = vec![Push::ping(control.clone()), Push::pong(control.clone())];
            async move {
                let code = CloseCode::new(4000).unwrap();
                Ok(Outcome::stop().with(frames).close(code, "a".repeat(123)))
            }
        });
        let server = stage.start(compressing(site, deflate)).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        client.send([frame(PING, &payload), frame(TEXT, "x")].concat()).await;
        assert_eq!(client.plain().await, Frame::new(PONG, &payload));
        assert_eq!(client.plain().await, Frame::new(PING, &payload));
        assert_eq!(client.plain().await, Frame::new(PONG, &payload));
        assert_eq!(
            client.plain().await,
            Frame::new(CLOSE, [&4000_u16.to_be_bytes()[..], &[b'a'; 123]].concat())
        );
    }
}

async fn an_empty_message_of_the_server_arrives(stage: &Stage) {
    for deflate in [alone(), takeover()] {
        let server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        client
            .send(
                [frame(TEXT, prose(600)), frame(TEXT, ""), frame(BINARY, ""), frame(TEXT, prose(600))]
                    .concat(),
            )
            .await;
        assert_eq!(client.any().await, Frame::new(TEXT, prose(600)));
        assert_eq!(client.any().await, Frame::new(TEXT, ""));
        assert_eq!(client.any().await, Frame::new(BINARY, ""));
        assert_eq!(client.any().await, Frame::new(TEXT, prose(600)));
    }
}

/// Nothing is repeated within a message, so that all of its lengths tell of what it refers to.
async fn lengths_of_the_same_noise(stage: &Stage, deflate: Deflate, offer: &str) -> Vec<usize> {
    let server = stage.start(echo(deflate)).await;
    let mut client = Client::offering(server.addr, offer).await;
    let mut lengths = Vec::new();
    // So many letters that all of it becomes smaller.
    let message = [&noise(1000)[..], &[b'a'; 1000]].concat();
    for _ in 0..3 {
        client.send(frame(BINARY, &message)).await;
        let (frame, length) = client.compressed().await;
        assert_eq!(frame, Frame::new(BINARY, &message), "{offer}");
        lengths.push(length);
    }
    lengths
}

async fn messages_of_the_server_refer_to_those_before_them_where_that_is_agreed_on(stage: &Stage) {
    for (deflate, offer) in [
        (takeover(), OFFER),
        (alone().server_context_takeover(true), OFFER),
        (takeover(), "permessage-deflate; client_no_context_takeover"),
    ] {
        let lengths = lengths_of_the_same_noise(stage, deflate, offer).await;
        assert!(lengths[0] > 1000 && lengths[1] < 100 && lengths[2] < 100, "{offer}: {lengths:?}");
    }
}

async fn each_message_of_the_server_stands_for_itself_where_the_client_wants_it(stage: &Stage) {
    for deflate in [takeover(), alone().server_context_takeover(true)] {
        let offer = "permessage-deflate; server_no_context_takeover";
        let lengths = lengths_of_the_same_noise(stage, deflate, offer).await;
        assert!(lengths.iter().all(|length| *length == lengths[0] && *length > 1000), "{lengths:?}");
    }
}

async fn each_message_of_the_server_stands_for_itself_where_the_server_wants_it(stage: &Stage) {
    for deflate in [alone(), alone().client_context_takeover(true)] {
        let lengths = lengths_of_the_same_noise(stage, deflate, OFFER).await;
        assert!(lengths.iter().all(|length| *length == lengths[0] && *length > 1000), "{lengths:?}");
    }
}

/// What is repeated stands further back than the window reaches; the client sees to it that no reference does.
async fn the_servers_window_is_as_small_as_agreed_on(stage: &Stage) {
    let message = [noise(600), vec![b'a'; 600], noise(600)].concat();
    let small = WindowBits::MIN;
    for (deflate, offer) in [
        (takeover().server_max_window_bits(small), OFFER),
        (alone().server_max_window_bits(small), OFFER),
        (takeover(), "permessage-deflate; server_max_window_bits=9"),
        (alone(), "permessage-deflate; server_max_window_bits=9"),
        (takeover(), "permessage-deflate; server_max_window_bits=15"),
    ] {
        let server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, offer).await;
        let is_small = client.agreed.as_deref().unwrap().contains("server_max_window_bits=9");
        assert_eq!(is_small, !offer.contains("15"), "{offer}");
        for _ in 0..2 {
            client.send(frame(BINARY, &message)).await;
            let (frame, length) = client.compressed().await;
            assert_eq!(frame, Frame::new(BINARY, &message), "{offer}");
            assert_eq!(length > 1200, is_small, "{offer}: {length}");
        }
    }
}

async fn large_messages_are_compressed(stage: &Stage) {
    for deflate in [alone(), takeover()] {
        let server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        for (opcode, payload) in [(TEXT, text(1_000_000).into_bytes()), (BINARY, vec![7; 4 << 20])] {
            client.send(frame(opcode, &payload)).await;
            let (frame, length) = client.compressed().await;
            assert!(frame == Frame::new(opcode, &payload), "{opcode}");
            assert!(length < 10_000, "{length}");
        }
    }
}

async fn what_does_not_become_smaller_arrives_all_the_same(stage: &Stage) {
    for deflate in [alone(), takeover(), alone().level(DeflateLevel::FASTEST)] {
        let server = stage.start(echo(deflate)).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        for count in [1, 2, 10, 1000, 100_000] {
            client.send(frame(BINARY, noise(count))).await;
            assert!(client.any().await == Frame::new(BINARY, noise(count)), "{count} bytes");
        }
    }
}

async fn every_level_makes_the_same_message_of_it(stage: &Stage) {
    let mut lengths = Vec::new();
    for level in 1..=9 {
        let server = stage.start(echo(alone().level(DeflateLevel::new(level).unwrap()))).await;
        let mut client = Client::offering(server.addr, OFFER).await;
        let words: String =
            (0..3000_u32).map(|number| format!("{} ", number.wrapping_mul(2_654_435_761) >> 22)).collect();
        client.send(frame(TEXT, &words)).await;
        let (frame, length) = client.compressed().await;
        assert_eq!(frame, Frame::new(TEXT, &words), "level {level}");
        lengths.push(length);
    }
    assert!(lengths[8] < lengths[0], "{lengths:?}");
}

async fn the_last_messages_of_a_stop_are_compressed_and_its_close_is_not(stage: &Stage) {
    let site = Site::new(async |message: Message| {
        Ok(Outcome::stop().with([Push::from(message)]).close(CloseCode::RESTART, "a".repeat(100)))
    });
    let server = stage.start(compressing(site, takeover())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    client.send(frame(TEXT, prose(2000))).await;
    assert_eq!(client.compressed().await.0, Frame::new(TEXT, prose(2000)));
    assert_eq!(client.peer.close_frame().await, (Some(1012), "a".repeat(100)));
    client.peer.end().await;
}

async fn what_init_pushes_is_compressed(stage: &Stage) {
    let site = Site::echo().on_init(async |_| Ok(Outcome::push(prose(2000))));
    let server = stage.start(compressing(site, alone())).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    assert_eq!(client.compressed().await.0, Frame::new(TEXT, prose(2000)));
}
