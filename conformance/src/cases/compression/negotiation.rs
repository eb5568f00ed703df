//! What is offered, and what the 101 says: C1-C3. A request is never refused for its offers.

use websock_core::{Deflate, Outcome, WindowBits};

use super::{Client, FOX, FOX_TEXT, OFFER, alone, echo, noise, offering, prose, stored, takeover};
use crate::peer::{BINARY, FIN, Frame, RSV1, TEXT, ask, frame, raw_frame};
use crate::server::Stage;
use crate::site::Site;

cases! {
    compression_is_off_unless_it_is_turned_on: C1,
    nothing_is_compressed_for_a_client_that_offers_nothing: C1,
    a_plain_offer_is_accepted_without_contexts: C1 C3,
    a_handler_knows_whether_its_messages_are_compressed: C1,
    a_plain_offer_is_accepted_with_contexts_where_the_server_keeps_them: C3,
    each_parameter_is_answered: C3,
    the_servers_own_settings_are_told: C3,
    the_smaller_of_two_windows_is_agreed_on: C3,
    a_client_that_cannot_be_told_of_its_window_is_passed_over: C3,
    unknown_parameters_are_passed_over: C2,
    repeated_parameters_are_passed_over: C2,
    malformed_parameters_are_passed_over: C2,
    windows_of_less_than_8_and_more_than_15_bits_are_passed_over: C2,
    numbers_with_leading_zeros_are_passed_over: C2,
    values_may_be_quoted: C2,
    spaces_around_parameters_do_not_matter: C2,
    a_server_window_of_8_bits_is_passed_over: C2,
    a_client_window_of_8_bits_is_accepted_and_not_named: C2,
    the_first_acceptable_offer_wins: C2,
    offers_may_stand_in_several_fields: C2,
    other_extensions_are_not_accepted_beside_it: C2,
    a_refused_upgrade_accepts_no_offer: C1 U3,
}

/// What a site with these settings answers to each offer. The connection echoes, whatever was agreed on.
async fn expect_answers(stage: &Stage, deflate: Deflate, rows: &[(&str, Option<&str>)]) {
    let server = stage.start(echo(deflate)).await;
    for (offer, answer) in rows {
        let mut client = Client::offering(server.addr, offer).await;
        assert_eq!(client.agreed.as_deref(), *answer, "{offer}");
        client.send(frame(TEXT, prose(100))).await;
        assert_eq!(client.any().await, Frame::new(TEXT, prose(100)), "{offer}");
    }
}

/// Each of these is passed over, whether another follows or not.
async fn expect_passed_over(stage: &Stage, parameters: &[&str]) {
    let good = "permessage-deflate; server_max_window_bits=11";
    let server = stage.start(echo(takeover())).await;
    for parameters in parameters {
        let bad = format!("{OFFER}; {parameters}");
        assert_eq!(Client::offering(server.addr, &bad).await.agreed, None, "{bad}");
        let both = format!("{bad}, {good}");
        assert_eq!(Client::offering(server.addr, &both).await.agreed.as_deref(), Some(good), "{both}");
    }
}

async fn compression_is_off_unless_it_is_turned_on(stage: &Stage) {
    let site = Site::echo();
    let off = site.options().clone().compress(true).compress(false);
    for site in [site, Site::echo().with_options(off)] {
        let mut server = stage.start(site).await;
        let mut client = Client::offering(server.addr, "permessage-deflate; client_max_window_bits").await;
        assert_eq!(client.agreed, None);
        assert!(!server.init().await.is_compressed());
        client.send(frame(TEXT, prose(2000))).await;
        assert_eq!(client.plain().await, Frame::new(TEXT, prose(2000)));
    }
}

async fn nothing_is_compressed_for_a_client_that_offers_nothing(stage: &Stage) {
    let mut server = stage.start(echo(alone())).await;
    for offer in
        ["", "x-webkit-deflate-frame", "permessage-bzip2", "x; y=\"a, permessage-deflate, b\"", "permessage"]
    {
        let mut client = Client::offering(server.addr, offer).await;
        assert_eq!(client.agreed, None, "{offer}");
        assert!(!server.init().await.is_compressed(), "{offer}");
        client.send(frame(TEXT, prose(2000))).await;
        assert_eq!(client.plain().await, Frame::new(TEXT, prose(2000)), "{offer}");
        server.message().await;
        client.send([FIN | RSV1 | TEXT]).await;
        assert_eq!(client.peer.close_frame().await, (Some(1002), String::new()), "{offer}");
        server.terminated().await;
    }
}

async fn a_plain_offer_is_accepted_without_contexts(stage: &Stage) {
    let site = Site::echo();
    let options = site.options().clone().compress(true);
    let server = stage.start(site.with_options(options)).await;
    let mut client = Client::offering(server.addr, OFFER).await;
    let answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(client.agreed.as_deref(), Some(answer));
    client.send(raw_frame(FIN | RSV1 | TEXT, FOX)).await;
    assert_eq!(client.plain().await, Frame::new(TEXT, FOX_TEXT));
    client.send(frame(TEXT, prose(2000))).await;
    assert_eq!(client.compressed().await.0, Frame::new(TEXT, prose(2000)));
}

async fn a_handler_knows_whether_its_messages_are_compressed(stage: &Stage) {
    let site = echo(alone()).on_init(async |socket| Ok(Outcome::push(format!("{}", socket.is_compressed()))));
    let mut server = stage.start(site).await;
    for (offer, told) in [(OFFER, "true"), ("permessage-bzip2", "false")] {
        let mut client = Client::offering(server.addr, offer).await;
        assert_eq!(client.any().await, Frame::new(TEXT, told));
        assert_eq!(server.init().await.is_compressed().to_string(), told);
        drop(client);
        server.terminated().await;
    }
}

async fn a_plain_offer_is_accepted_with_contexts_where_the_server_keeps_them(stage: &Stage) {
    let rows = [(OFFER, Some(OFFER))];
    expect_answers(stage, takeover(), &rows).await;
    let half = "permessage-deflate; client_no_context_takeover";
    expect_answers(stage, alone().server_context_takeover(true), &[(OFFER, Some(half))]).await;
    let half = "permessage-deflate; server_no_context_takeover";
    expect_answers(stage, alone().client_context_takeover(true), &[(OFFER, Some(half))]).await;
}

async fn each_parameter_is_answered(stage: &Stage) {
    // The same in the answer as in the offer.
    let same = [
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=15",
        "permessage-deflate; server_max_window_bits=12",
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; client_max_window_bits=15",
        "permessage-deflate; client_max_window_bits=12",
        "permessage-deflate; client_max_window_bits=9",
    ];
    expect_answers(stage, takeover(), &same.map(|offer| (offer, Some(offer)))).await;
    let rows = [
        ("permessage-deflate; client_max_window_bits", Some("permessage-deflate; client_max_window_bits=15")),
        (
            "permessage-deflate; client_max_window_bits=11; server_max_window_bits=10; client_no_context_takeover; \
             server_no_context_takeover",
            Some(
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=10; client_max_window_bits=11",
            ),
        ),
    ];
    expect_answers(stage, takeover(), &rows).await;
}

const NO_CONTEXTS: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Under the default, and under smaller windows.
async fn the_servers_own_settings_are_told(stage: &Stage) {
    let windows = format!("{NO_CONTEXTS}; client_max_window_bits=15");
    let rows = [
        (OFFER, Some(NO_CONTEXTS)),
        ("permessage-deflate; server_no_context_takeover", Some(NO_CONTEXTS)),
        ("permessage-deflate; client_no_context_takeover", Some(NO_CONTEXTS)),
        ("permessage-deflate; client_max_window_bits", Some(&windows)),
    ];
    expect_answers(stage, alone(), &rows).await;
    let small = WindowBits::new(11).unwrap();
    let rows = [(OFFER, Some("permessage-deflate; server_max_window_bits=11"))];
    expect_answers(stage, takeover().server_max_window_bits(small), &rows).await;
    let rows = [(
        "permessage-deflate; client_max_window_bits",
        Some("permessage-deflate; server_max_window_bits=11; client_max_window_bits=9"),
    )];
    let deflate = takeover().server_max_window_bits(small).client_max_window_bits(WindowBits::MIN);
    expect_answers(stage, deflate, &rows).await;
}

async fn the_smaller_of_two_windows_is_agreed_on(stage: &Stage) {
    let bits = |bits| WindowBits::new(bits).unwrap();
    let deflate = takeover().server_max_window_bits(bits(11)).client_max_window_bits(bits(10));
    let rows = [
        (
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
            Some("permessage-deflate; server_max_window_bits=9; client_max_window_bits=9"),
        ),
        (
            "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15",
            Some("permessage-deflate; server_max_window_bits=11; client_max_window_bits=10"),
        ),
        (
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=11",
            Some("permessage-deflate; server_max_window_bits=10; client_max_window_bits=10"),
        ),
    ];
    expect_answers(stage, deflate, &rows).await;
}

async fn a_client_that_cannot_be_told_of_its_window_is_passed_over(stage: &Stage) {
    let small = takeover().client_max_window_bits(WindowBits::new(10).unwrap());
    let rows = [
        (OFFER, None),
        ("permessage-deflate; server_max_window_bits=9", None),
        (
            "permessage-deflate, permessage-deflate; client_max_window_bits",
            Some("permessage-deflate; client_max_window_bits=10"),
        ),
    ];
    expect_answers(stage, small, &rows).await;
}

async fn unknown_parameters_are_passed_over(stage: &Stage) {
    let unknown = ["x", "x=1", "client_no_context", "max_window_bits=12", "server_no_context_takeover; x"];
    expect_passed_over(stage, &unknown).await;
}

async fn repeated_parameters_are_passed_over(stage: &Stage) {
    let repeated = [
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits=10; client_max_window_bits",
    ];
    expect_passed_over(stage, &repeated).await;
}

async fn malformed_parameters_are_passed_over(stage: &Stage) {
    let malformed = [
        "server_max_window_bits",
        "server_max_window_bits=",
        "server_max_window_bits=\"\"",
        "server_max_window_bits=ten",
        "server_max_window_bits=+9",
        "server_max_window_bits=-9",
        "server_max_window_bits=9.0",
        "client_max_window_bits=",
        "client_max_window_bits=1O",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "=10",
    ];
    expect_passed_over(stage, &malformed).await;
}

async fn windows_of_less_than_8_and_more_than_15_bits_are_passed_over(stage: &Stage) {
    let windows = ["0", "1", "7", "16", "99", "150", "4294967305", "18446744073709551625"]
        .map(|bits| ["server", "client"].map(|side| format!("{side}_max_window_bits={bits}")));
    expect_passed_over(stage, &windows.as_flattened().iter().map(String::as_str).collect::<Vec<_>>()).await;
}

async fn numbers_with_leading_zeros_are_passed_over(stage: &Stage) {
    let zeros = ["server_max_window_bits=09", "server_max_window_bits=010", "client_max_window_bits=\"012\""];
    expect_passed_over(stage, &zeros).await;
}

async fn values_may_be_quoted(stage: &Stage) {
    let rows = [
        (
            "permessage-deflate; server_max_window_bits=\"12\"",
            Some("permessage-deflate; server_max_window_bits=12"),
        ),
        (
            "permessage-deflate; client_max_window_bits=\"1\\0\"",
            Some("permessage-deflate; client_max_window_bits=10"),
        ),
        (
            "x; y=\"\\\", \", permessage-deflate; client_max_window_bits=\"9\"",
            Some("permessage-deflate; client_max_window_bits=9"),
        ),
        ("permessage-deflate; server_max_window_bits=\"12\\\"", None),
        ("permessage-deflate; server_max_window_bits=\"12", None),
    ];
    expect_answers(stage, takeover(), &rows).await;
}

async fn spaces_around_parameters_do_not_matter(stage: &Stage) {
    let rows = [
        (
            "permessage-deflate;server_max_window_bits=12",
            Some("permessage-deflate; server_max_window_bits=12"),
        ),
        (
            " \tpermessage-deflate  ;\tclient_max_window_bits ; server_no_context_takeover  ",
            Some("permessage-deflate; server_no_context_takeover; client_max_window_bits=15"),
        ),
        (",, permessage-deflate ,", Some(OFFER)),
    ];
    expect_answers(stage, takeover(), &rows).await;
}

async fn a_server_window_of_8_bits_is_passed_over(stage: &Stage) {
    expect_passed_over(stage, &["server_max_window_bits=8", "server_max_window_bits=\"8\""]).await;
}

/// Such a client uses what window it likes: here the largest.
async fn a_client_window_of_8_bits_is_accepted_and_not_named(stage: &Stage) {
    let server = stage.start(echo(takeover())).await;
    let mut client = Client::offering(server.addr, "permessage-deflate; client_max_window_bits=8").await;
    assert_eq!(client.agreed.as_deref(), Some(OFFER));
    super::receiving::refer_far_back(&mut client).await;
}

async fn the_first_acceptable_offer_wins(stage: &Stage) {
    let rows = [
        (
            "permessage-deflate; client_max_window_bits=10, permessage-deflate",
            Some("permessage-deflate; client_max_window_bits=10"),
        ),
        ("permessage-deflate, permessage-deflate; client_max_window_bits=10", Some(OFFER)),
        (
            "permessage-deflate; server_max_window_bits=99, permessage-deflate; x, \
             permessage-deflate; client_max_window_bits, permessage-deflate",
            Some("permessage-deflate; client_max_window_bits=15"),
        ),
    ];
    expect_answers(stage, takeover(), &rows).await;
}

async fn offers_may_stand_in_several_fields(stage: &Stage) {
    let server = stage.start(echo(takeover())).await;
    let request = offering(server.addr, "x-unknown")
        .and("Sec-WebSocket-Extensions", "permessage-deflate; x")
        .and("sec-websocket-extensions", "y, permessage-deflate; server_max_window_bits=9")
        .and("Sec-WebSocket-Extensions", "permessage-deflate");
    let mut client = Client::sending(server.addr, &request.bytes()).await;
    assert_eq!(client.agreed.as_deref(), Some("permessage-deflate; server_max_window_bits=9"));
    let message = noise(2000);
    client.send(raw_frame(FIN | RSV1 | BINARY, stored(&message, 1000))).await;
    assert_eq!(client.compressed().await.0, Frame::new(BINARY, message));
}

async fn other_extensions_are_not_accepted_beside_it(stage: &Stage) {
    let rows = [
        ("x-webkit-deflate-frame, permessage-deflate, x-unknown; a=1", Some(OFFER)),
        (
            "permessage-bzip2, permessage-deflate; server_max_window_bits=9, permessage-deflate",
            Some("permessage-deflate; server_max_window_bits=9"),
        ),
    ];
    expect_answers(stage, takeover(), &rows).await;
}

async fn a_refused_upgrade_accepts_no_offer(stage: &Stage) {
    let mut server = stage.start(echo(takeover())).await;
    let response = ask(server.addr, &offering(server.addr, OFFER).with("Sec-WebSocket-Version", "8")).await;
    assert_eq!((response.status, response.field("sec-websocket-extensions")), (426, None));
    server.dropped().await;
}
