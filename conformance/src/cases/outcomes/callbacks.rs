//! Every outcome, from every callback: O1-O8. The rows of one table, each of which is a case for each callback.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use websock_core::{
    CloseCode, CloseReason, ControlPayload, Error, Frame as Push, HandleResult, Message, Outcome,
};

use crate::case::Case;
use crate::peer::{BINARY, Frame, PING, PONG, Peer, TEXT, frame, soon};
use crate::server::{Server, Stage};
use crate::site::{Report, Site};

/// The callback that answers with the outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Callback {
    Init,
    HandleIn,
    HandleControl,
    HandleInfo,
}

const CALLBACKS: [Callback; 4] =
    [Callback::Init, Callback::HandleIn, Callback::HandleControl, Callback::HandleInfo];

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Callback::Init => "init",
            Callback::HandleIn => "handle_in",
            Callback::HandleControl => "handle_control",
            Callback::HandleInfo => "handle_info",
        })
    }
}

/// An outcome, and what comes of it whichever callback answers it.
#[derive(Clone, Copy)]
struct Row {
    /// The case's name behind the callback's.
    name: &'static str,
    rules: &'static [&'static str],
    outcome: fn() -> HandleResult,
    /// The frames that are sent.
    sent: &'static [(u8, &'static str)],
    ends: Ends,
}

/// Whether the connection ends, and how.
#[derive(Clone, Copy)]
enum Ends {
    No,
    /// With this code and reason; `terminate` gets `Normal`.
    Normally(u16, &'static str),
    /// With this code and reason; `terminate` gets the handler's error.
    WithTheError(u16, &'static str),
}

const PAYLOAD: &str = "payload";
const ERROR: &str = "out of cheese";

fn payload() -> ControlPayload {
    ControlPayload::try_from(PAYLOAD).unwrap()
}

const OWN_CODE: CloseCode = CloseCode::new(4555).unwrap();

const ROWS: [Row; 18] = [
    Row { name: "may_go_on", rules: &["O1"], outcome: || Ok(Outcome::none()), sent: &[], ends: Ends::No },
    Row {
        name: "may_push_text",
        rules: &["O2"],
        outcome: || Ok(Outcome::push(PAYLOAD)),
        sent: &[(TEXT, PAYLOAD)],
        ends: Ends::No,
    },
    Row {
        name: "may_push_bytes",
        rules: &["O2"],
        outcome: || Ok(Outcome::push(PAYLOAD.as_bytes().to_vec())),
        sent: &[(BINARY, PAYLOAD)],
        ends: Ends::No,
    },
    Row {
        name: "may_push_a_ping",
        rules: &["O2"],
        outcome: || Ok(Outcome::push(Push::ping(payload()))),
        sent: &[(PING, PAYLOAD)],
        ends: Ends::No,
    },
    Row {
        name: "may_push_a_pong",
        rules: &["O2"],
        outcome: || Ok(Outcome::push(Push::pong(payload()))),
        sent: &[(PONG, PAYLOAD)],
        ends: Ends::No,
    },
    Row {
        name: "may_push_several_in_order",
        rules: &["O2"],
        outcome: || Ok(Outcome::push([Push::pong(payload()), Push::text("a"), Push::text("b")])),
        sent: &[(PONG, PAYLOAD), (TEXT, "a"), (TEXT, "b")],
        ends: Ends::No,
    },
    Row {
        name: "may_push_an_empty_list",
        rules: &["O2"],
        outcome: || Ok(Outcome::push(Vec::<Push>::new())),
        sent: &[],
        ends: Ends::No,
    },
    Row {
        name: "may_reply_which_is_a_push",
        rules: &["O3"],
        outcome: || Ok(Outcome::reply([Push::text(PAYLOAD), Push::binary("b")])),
        sent: &[(TEXT, PAYLOAD), (BINARY, "b")],
        ends: Ends::No,
    },
    Row {
        name: "may_stop",
        rules: &["O4"],
        outcome: || Ok(Outcome::stop()),
        sent: &[],
        ends: Ends::Normally(1000, ""),
    },
    Row {
        name: "may_stop_with_a_code",
        rules: &["O5"],
        outcome: || Ok(Outcome::stop().close(OWN_CODE, "")),
        sent: &[],
        ends: Ends::Normally(4555, ""),
    },
    Row {
        name: "may_stop_with_a_code_and_a_reason",
        rules: &["O5"],
        outcome: || Ok(Outcome::stop().close(OWN_CODE, "BOOM")),
        sent: &[],
        ends: Ends::Normally(4555, "BOOM"),
    },
    Row {
        name: "may_stop_with_messages",
        rules: &["O6"],
        outcome: || Ok(Outcome::stop().with([Push::text("first"), Push::binary("second")])),
        sent: &[(TEXT, "first"), (BINARY, "second")],
        ends: Ends::Normally(1000, ""),
    },
    Row {
        name: "may_stop_with_messages_and_a_code",
        rules: &["O5", "O6"],
        outcome: || Ok(Outcome::stop().close(OWN_CODE, "").with(["first", "second"])),
        sent: &[(TEXT, "first"), (TEXT, "second")],
        ends: Ends::Normally(4555, ""),
    },
    Row {
        name: "may_stop_with_messages_and_a_code_and_a_reason",
        rules: &["O5", "O6"],
        outcome: || Ok(Outcome::push("first").with("second").close(OWN_CODE, "BOOM")),
        sent: &[(TEXT, "first"), (TEXT, "second")],
        ends: Ends::Normally(4555, "BOOM"),
    },
    Row {
        name: "may_stop_for_restart",
        rules: &["O7"],
        outcome: || Ok(Outcome::restart()),
        sent: &[],
        ends: Ends::Normally(1012, ""),
    },
    Row {
        name: "may_return_an_error",
        rules: &["O8"],
        outcome: || Err(ERROR.into()),
        sent: &[],
        ends: Ends::WithTheError(1011, ""),
    },
    Row {
        name: "may_fail_with_messages",
        rules: &["O8", "O6"],
        outcome: || Ok(Outcome::fail(ERROR).with(["first", "second"])),
        sent: &[(TEXT, "first"), (TEXT, "second")],
        ends: Ends::WithTheError(1011, ""),
    },
    Row {
        name: "may_fail_with_messages_and_a_code_and_a_reason",
        rules: &["O8", "O6"],
        outcome: || Ok(Outcome::fail(ERROR).close(OWN_CODE, "BOOM").with(["first"])),
        sent: &[(TEXT, "first")],
        ends: Ends::WithTheError(4555, "BOOM"),
    },
];

pub(super) fn cases() -> Vec<Case> {
    let rows = CALLBACKS.into_iter().flat_map(|callback| {
        ROWS.into_iter().map(move |row| {
            let name = format!("{callback}_{}", row.name);
            Case::new(module_path!(), name, row.rules, move |stage| Box::pin(answer(stage, callback, row)))
        })
    });
    let states = CALLBACKS.into_iter().flat_map(|callback| {
        [
            ("goes_on", (|| Ok(Outcome::none())) as fn() -> HandleResult),
            ("pushes", || Ok(Outcome::push(PAYLOAD))),
            ("replies", || Ok(Outcome::reply(PAYLOAD))),
        ]
        .into_iter()
        .map(move |(what, outcome)| {
            let name = format!("what_{callback}_has_changed_is_there_after_it_{what}");
            Case::new(module_path!(), name, &["L2", "O1", "O2", "O3"][..], move |stage| {
                Box::pin(keep_state(stage, callback, outcome))
            })
        })
    });
    rows.chain(states).collect()
}

/// A site whose callback answers so the first time, and whose other messages are sent back. It tells when
/// `handle_info` is called, which nothing else tells.
fn site(callback: Callback, outcome: fn() -> HandleResult, informed: &Arc<Semaphore>) -> Site {
    let asked = Arc::new(AtomicBool::new(false));
    let site = Site::new(move |message| {
        let first = callback == Callback::HandleIn && !asked.swap(true, Ordering::Relaxed);
        async move { if first { outcome() } else { Ok(Outcome::push(message)) } }
    });
    match callback {
        Callback::HandleIn => site,
        Callback::Init => site.on_init(move |_| async move { outcome() }),
        Callback::HandleControl => site.on_control(move |_| async move { outcome() }),
        Callback::HandleInfo => {
            let informed = informed.clone();
            site.on_info(move |_| {
                informed.add_permits(1);
                async move { outcome() }
            })
        }
    }
}

/// Has the callback called, and sees that it was.
async fn call(callback: Callback, server: &mut Server, peer: &mut Peer, informed: &Semaphore) {
    let socket = server.init().await;
    match callback {
        Callback::Init => {}
        Callback::HandleIn => {
            peer.send(frame(TEXT, "now")).await;
            assert_eq!(server.message().await, Message::Text("now".into()));
        }
        Callback::HandleControl => {
            peer.send(frame(PING, "now")).await;
            server.control().await;
            // The pong was queued before the callback ran (L5).
            assert_eq!(peer.frame().await, Frame::new(PONG, "now"));
        }
        Callback::HandleInfo => {
            socket.mailbox().send(Outcome::none()).await.unwrap();
            soon("handle_info", informed.acquire()).await.unwrap().forget();
        }
    }
}

async fn answer(stage: &Stage, callback: Callback, row: Row) {
    let informed = Arc::new(Semaphore::new(0));
    let mut server = stage.start(site(callback, row.outcome, &informed)).await;
    let mut peer = Peer::upgraded(server.addr).await;
    call(callback, &mut server, &mut peer, &informed).await;
    for (opcode, payload) in row.sent {
        assert_eq!(peer.frame().await, Frame::new(*opcode, payload));
    }
    match row.ends {
        Ends::No => {
            // Were there anything else it would come before this one's answer.
            peer.send(frame(TEXT, "next")).await;
            assert_eq!(peer.frame().await, Frame::new(TEXT, "next"));
            assert_eq!(server.message().await, Message::Text("next".into()));
        }
        Ends::Normally(code, reason) => {
            assert_eq!(peer.close_frame().await, (Some(code), reason.into()));
            peer.end().await;
            let reason = server.terminated().await;
            assert!(matches!(reason, CloseReason::Normal), "{reason:?}");
            server.expect_nothing_more().await;
        }
        Ends::WithTheError(code, reason) => {
            assert_eq!(peer.close_frame().await, (Some(code), reason.into()));
            peer.end().await;
            let reason = server.terminated().await;
            let CloseReason::Error(Error::Handler(error)) = reason else { panic!("{reason:?}") };
            assert_eq!(error.to_string(), ERROR);
            server.expect_nothing_more().await;
        }
    }
}

/// The handler itself counts its calls, and tells how many there were as an answer to a message.
async fn keep_state(stage: &Stage, callback: Callback, outcome: fn() -> HandleResult) {
    let first = if callback == Callback::Init { 1 } else { 2 };
    let informed = Arc::new(Semaphore::new(0));
    let site = site(callback, outcome, &informed).counted(move |calls, outcome| {
        if calls > first { Outcome::push(format!("call {calls}")) } else { outcome }
    });
    let mut server = stage.start(site).await;
    let mut peer = Peer::upgraded(server.addr).await;
    call(callback, &mut server, &mut peer, &informed).await;
    if outcome().is_ok_and(|outcome| !outcome.frames().is_empty()) {
        assert_eq!(peer.frame().await, Frame::new(TEXT, PAYLOAD));
    }
    for call in [first + 1, first + 2] {
        peer.send(frame(TEXT, "how many?")).await;
        assert_eq!(peer.frame().await, Frame::new(TEXT, format!("call {call}")));
        assert!(matches!(server.numbered_report().await.1, Report::In(_)));
    }
}
