//! The chat, by the in-memory client: what the members of a room get, and what they do not.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::sync::Arc;

use serde_json::{Value, json};
use websock_core::testing::{Client, Received};
use websock_core::{CloseCode, CloseFrame};
use websock_examples::chat::{Chat, Rooms, options};

/// A page, without the page.
struct Page(Client);

impl Page {
    fn open(rooms: &Arc<Rooms>) -> Self {
        Page(Client::connect(Chat::new(rooms.clone()), &options()))
    }

    /// A member of the room, who has read the welcome.
    async fn joined(rooms: &Arc<Rooms>, room: &str, nick: &str) -> Self {
        let mut page = Page::open(rooms);
        page.join(room, nick, "").await;
        page.expect("welcome", &[("room", json!(room)), ("nick", json!(nick))]).await;
        page
    }

    async fn send(&mut self, request: &Value) {
        self.0.send(request.to_string()).await;
    }

    async fn join(&mut self, room: &str, nick: &str, token: &str) {
        self.send(&json!({ "type": "join", "room": room, "nick": nick, "token": token })).await;
    }

    async fn say(&mut self, text: &str, id: &str) {
        self.send(&json!({ "type": "say", "text": text, "id": id })).await;
    }

    async fn next(&mut self) -> Value {
        match self.0.receive().await {
            Received::Frame(frame) => serde_json::from_slice(frame.payload()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The next event is of this kind and has these fields.
    async fn expect(&mut self, kind: &str, fields: &[(&str, Value)]) -> Value {
        let event = self.next().await;
        assert_eq!(event["type"], kind, "{event}");
        for (name, value) in fields {
            assert_eq!(event[*name], *value, "{event}");
        }
        event
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_in_the_room_gets_each_message_once_and_a_newcomer_the_last_ones() {
    let rooms = Arc::<Rooms>::default();
    let mut ann = Page::joined(&rooms, "hall", "Ann").await;
    let mut bob = Page::joined(&rooms, "hall", "Bob").await;
    let mut elsewhere = Page::joined(&rooms, "garden", "Cid").await;
    ann.expect("joined", &[("nick", json!("Bob"))]).await;
    for number in 0..60 {
        ann.say(&format!("  {number} "), &format!("id{number}")).await;
    }
    for number in 0..60 {
        for page in [&mut ann, &mut bob] {
            let text = ("text", json!(number.to_string()));
            page.expect("said", &[("nick", json!("Ann")), text, ("id", json!(format!("id{number}")))]).await;
        }
    }
    let mut newcomer = Page::open(&rooms);
    newcomer.join("hall", "Dan", "").await;
    let welcome = newcomer.expect("welcome", &[("members", json!(["Ann", "Bob", "Dan"]))]).await;
    let history: Vec<_> =
        welcome["history"].as_array().unwrap().iter().map(|said| said["text"].clone()).collect();
    assert_eq!(history, (10..60).map(|number| json!(number.to_string())).collect::<Vec<_>>());
    drop(newcomer);
    bob.expect("joined", &[("nick", json!("Dan"))]).await;
    bob.expect("left", &[("nick", json!("Dan"))]).await;
    elsewhere.say("alone", "x").await;
    elsewhere.expect("said", &[("text", json!("alone"))]).await;
}

#[tokio::test(start_paused = true)]
async fn a_room_keeps_no_more_than_64_kib_of_text() {
    let rooms = Arc::<Rooms>::default();
    let mut page = Page::joined(&rooms, "hall", "Ann").await;
    for _ in 0..50 {
        page.say(&"\u{1f980}".repeat(2000), "").await;
        page.expect("said", &[]).await;
    }
    page.join("hall", "Ann", "").await;
    assert_eq!(page.expect("welcome", &[]).await["history"].as_array().unwrap().len(), 64 * 1024 / 8000);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_told_with_its_id() {
    let rooms = Arc::<Rooms>::default();
    let mut page = Page::open(&rooms);
    page.say("too early", "1").await;
    page.expect("error", &[("code", json!("not_joined")), ("id", json!("1"))]).await;
    page.join("", "Ann", "").await;
    page.expect("error", &[("code", json!("bad_name")), ("id", Value::Null)]).await;
    page.join("hall", "Ann", "").await;
    page.expect("welcome", &[]).await;
    page.say("good", "2").await;
    page.say(&"x".repeat(2001), "3").await;
    page.say(" \u{85}", "4").await;
    let mut told = [page.next().await, page.next().await, page.next().await];
    told.sort_by_key(|event| event["id"].as_str().unwrap().to_owned());
    assert_eq!(told.map(|event| event["type"].clone()), ["said", "error", "error"]);
    page.0.send("no json").await;
    page.expect("error", &[("code", json!("bad_message")), ("id", Value::Null)]).await;
    page.0.send(vec![1, 2]).await;
    let unsupported = CloseFrame::new(CloseCode::UNSUPPORTED, "the chat speaks text");
    assert_eq!(page.0.receive().await, Received::Close(Some(unsupported)));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_over_with_its_token_only() {
    let rooms = Arc::<Rooms>::default();
    let mut first = Page::open(&rooms);
    first.join("hall", "Ann", "secret").await;
    first.expect("welcome", &[]).await;
    for token in ["", "guess"] {
        let mut thief = Page::open(&rooms);
        thief.join("hall", "Ann", token).await;
        thief.expect("error", &[("code", json!("nick_taken"))]).await;
    }
    let mut second = Page::open(&rooms);
    second.join("hall", "Ann", "secret").await;
    second.expect("welcome", &[("members", json!(["Ann"]))]).await;
    let Received::Close(Some(close)) = first.0.receive().await else { panic!("the first stays") };
    assert_eq!(close.code().get(), 4000);
    first.0.close(None).await;
    second.say("still here", "1").await;
    second.expect("said", &[]).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_room_that_was_left_follows_the_welcome_of_the_next() {
    let rooms = Arc::<Rooms>::default();
    let mut loud = Page::joined(&rooms, "hall", "Ann").await;
    let mut mover = Page::joined(&rooms, "hall", "Bob").await;
    // All of these requests are there before either connection goes on.
    for number in 0..40 {
        loud.say("to the hall", &number.to_string()).await;
    }
    mover.join("garden", "Bob", "").await;
    mover.say("to the garden", "x").await;
    let mut welcomed = false;
    loop {
        let event = mover.next().await;
        match event["type"].as_str().unwrap() {
            "welcome" => welcomed = true,
            "said" if event["text"] == "to the garden" => break,
            _ => assert!(!welcomed, "{event}"),
        }
    }
    // The hall's members are told, and a move within a room loses nothing.
    while loud.next().await["type"] != "left" {}
    loud.say("before", "b").await;
    loud.join("hall", "Anne", "").await;
    let mut told = Vec::new();
    while !(told.contains(&json!("welcome")) && told.contains(&json!("said"))) {
        told.push(loud.next().await["type"].clone());
    }
}
