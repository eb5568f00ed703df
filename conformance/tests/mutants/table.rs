//! The mutants: a good server, and one thing that is wrong with it. What each fails stands in `MUTANTS.md`.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use websock_conformance::{Host, Running, Site, async_trait};
use websock_hyper::{Deflate, Drain, Origins};

use crate::handler::Callbacks;
use crate::proxy::Proxy;
use crate::server::{Inside, Route};
use crate::wire::{BINARY, CLOSE, Frame, Head, PING, PONG, Place, Seen, Wire};

/// A server that is wrong in one way.
pub(crate) struct Mutant {
    /// What it does.
    pub(crate) name: &'static str,
    inside: Inside,
    wire: Wire,
}

/// The server as it is, and the proxy as it is.
pub(crate) static GOOD: Mutant = Mutant { name: "good", inside: Inside::TRUE, wire: Wire::TRUE };

#[async_trait]
impl Host for Mutant {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn start(&self, site: Arc<Site>) -> Box<dyn Running> {
        Proxy::start(self.inside.start(site), self.wire)
    }

    fn cannot(&self) -> &'static [(&'static str, &'static str)] {
        const REPLACED: &str = "hyper 1.12 hands over although the response was no 101";
        &[
            ("lifecycle::a_101_that_was_replaced_drops_the_handler_when_the_connection_ends", REPLACED),
            ("lifecycle::a_101_that_was_replaced_never_becomes_a_connection", REPLACED),
        ]
    }
}

const fn wire(name: &'static str, wire: Wire) -> Mutant {
    Mutant { name, inside: Inside::TRUE, wire }
}

const fn request(name: &'static str, request: fn(&mut Head)) -> Mutant {
    wire(name, Wire { request: Some(request), ..Wire::TRUE })
}

const fn response(name: &'static str, response: fn(&Head, &mut Head)) -> Mutant {
    wire(name, Wire { response: Some(response), ..Wire::TRUE })
}

const fn extensions(
    name: &'static str,
    request: Option<fn(&mut Head)>,
    response: fn(&Head, &mut Head),
) -> Mutant {
    wire(name, Wire { request, response: Some(response), ..Wire::TRUE })
}

const fn first_byte(name: &'static str, first_byte: fn(u8) -> u8) -> Mutant {
    wire(name, Wire { first_byte: Some(first_byte), ..Wire::TRUE })
}

const fn control(name: &'static str, control: fn(&Seen, Frame) -> Place) -> Mutant {
    wire(name, Wire { control: Some(control), ..Wire::TRUE })
}

const fn frame(name: &'static str, frame: fn(&mut Seen, Frame) -> Vec<u8>) -> Mutant {
    wire(name, Wire { frame: Some(frame), ..Wire::TRUE })
}

const fn options(
    name: &'static str,
    options: fn(websock_hyper::Options, usize) -> websock_hyper::Options,
) -> Mutant {
    Mutant { name, inside: Inside { options: Some(options), ..Inside::TRUE }, wire: Wire::TRUE }
}

const fn route(name: &'static str, route: Route) -> Mutant {
    Mutant { name, inside: Inside { route, ..Inside::TRUE }, wire: Wire::TRUE }
}

const fn callbacks(name: &'static str, callbacks: Callbacks) -> Mutant {
    Mutant { name, inside: Inside { callbacks, ..Inside::TRUE }, wire: Wire::TRUE }
}

const HUGE: NonZeroUsize = NonZeroUsize::new(1 << 40).unwrap();
const HOUR: Duration = Duration::from_secs(3600);

/// The answer to a ping of the client, and not a pong that the handler pushes.
fn is_answer(seen: &mut Seen, frame: &Frame) -> bool {
    let is_answer = frame.first == PONG && seen.pings.front() == Some(&frame.payload);
    if is_answer {
        seen.pings.pop_front();
    }
    is_answer
}

fn with_code(mut frame: Frame, from: u16, to: u16) -> Vec<u8> {
    if frame.first == CLOSE && frame.code() == from {
        frame.payload[..2].copy_from_slice(&to.to_be_bytes());
    }
    frame.bytes()
}

const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const DEFLATE: &str = "permessage-deflate";

/// Whether a site wants compression. Options do not tell that otherwise.
fn compresses(options: &websock_hyper::Options) -> bool {
    format!("{options:?}").contains("deflate: Some(")
}

/// All offers of a request.
fn offer(head: &Head) -> String {
    let fields = head.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(EXTENSIONS));
    fields.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
}

fn ask_for_it(head: &mut Head) {
    if !offer(head).contains(DEFLATE) {
        head.set(EXTENSIONS, DEFLATE);
    }
}

/// Takes a parameter out of the offers.
fn forget(head: &mut Head, parameter: &str) {
    let offer = offer(head);
    if offer.contains(DEFLATE) {
        head.set(EXTENSIONS, offer.replace(&format!("; {parameter}"), ""));
    }
}

/// Says to the client what it asked for, and was forgotten.
fn promise(request: &Head, head: &mut Head, parameter: &str) {
    if let Some(agreed) = head.field(EXTENSIONS)
        && offer(request).contains(parameter)
        && !agreed.contains(parameter)
    {
        head.set(EXTENSIONS, format!("{agreed}; {parameter}"));
    }
}

pub(crate) static MUTANTS: [Mutant; 114] = [
    // L
    callbacks("calls terminate twice where the peer closes", Callbacks::TerminateTwice),
    callbacks("calls terminate never where the peer is gone", Callbacks::TerminateNever),
    callbacks("calls handle_in after terminate where the handler stops", Callbacks::CallbackAfterTerminate),
    callbacks("calls handle_control for a Close", Callbacks::CloseIsAControl),
    callbacks("shows the handler no pongs", Callbacks::PongsUnseen),
    callbacks("shows the handler no empty pings and pongs", Callbacks::EmptyPayloadsUnseen),
    Mutant {
        name: "answers a ping behind what its callback pushes",
        inside: Inside { callbacks: Callbacks::PongsBehindTheCallback, ..Inside::TRUE },
        wire: Wire {
            // The engine's answer is the first of two.
            frame: Some(|seen, frame| match is_answer(seen, &frame) {
                true => Vec::new(),
                false => frame.bytes(),
            }),
            ..Wire::TRUE
        },
    },
    frame("does not answer pings", |seen, frame| match is_answer(seen, &frame) {
        true => Vec::new(),
        false => frame.bytes(),
    }),
    frame("answers pings with nothing in the pong", |seen, frame| match is_answer(seen, &frame) {
        true => Frame::new(PONG, "").bytes(),
        false => frame.bytes(),
    }),
    frame("answers pings twice", |seen, frame| match is_answer(seen, &frame) {
        true => frame.bytes().repeat(2),
        false => frame.bytes(),
    }),
    callbacks("does not handle empty messages", Callbacks::EmptyMessagesUnseen),
    callbacks("handles messages over 64 KiB twice", Callbacks::LargeMessagesTwice),
    callbacks("loses every hundredth message of a connection", Callbacks::EveryHundredthMessageLost),
    callbacks("keeps a buffer: a shorter message ends as the one before it", Callbacks::RestOfTheLastMessage),
    callbacks("takes bytes that are UTF-8 for text", Callbacks::BinaryIsText),
    callbacks("handles mailbox messages in another order", Callbacks::InfosSwapped),
    callbacks("loses every hundredth mailbox message of a connection", Callbacks::EveryHundredthInfoLost),
    callbacks("does nothing of what init answers", Callbacks::InitUnanswered),
    options("gives no callback up", |options, _| options.callback_timeout(None)),
    route("terminates handlers whose upgrade is refused", Route::TerminatesTheRefused),
    // O
    callbacks("sends the pushes of an outcome in reverse", Callbacks::PushesReversed),
    callbacks("loses the last messages of a stop", Callbacks::LastMessagesLost),
    callbacks("stops a while after the handler says so", Callbacks::StopsLate),
    callbacks("stops with 1000 whatever the handler says", Callbacks::DetailsLost),
    callbacks("takes an error for a stop", Callbacks::ErrorsAreStops),
    frame("loses the reason of a Close", |_, mut frame| {
        if frame.first == CLOSE {
            frame.payload.truncate(2);
        }
        frame.bytes()
    }),
    frame("closes for restart with 1001", |_, frame| with_code(frame, 1012, 1001)),
    frame("closes after an error with 1006", |_, frame| with_code(frame, 1011, 1006)),
    // X
    frame("loses the code of a Close", |_, mut frame| {
        if frame.first == CLOSE {
            frame.payload.clear();
        }
        frame.bytes()
    }),
    frame("answers a Close with 1000", |seen, mut frame| {
        if frame.first == CLOSE && seen.client_closed {
            frame.payload = 1000_u16.to_be_bytes().to_vec();
        }
        frame.bytes()
    }),
    frame("answers a Close twice", |seen, frame| {
        frame.bytes().repeat(if frame.first == CLOSE && seen.client_closed { 2 } else { 1 })
    }),
    frame("does not answer a Close", |seen, frame| match frame.first {
        CLOSE if seen.client_closed => Vec::new(),
        _ => frame.bytes(),
    }),
    frame("sends something behind its Close", |_, frame| match frame.first {
        CLOSE => [frame.bytes(), Frame::new(PONG, "").bytes()].concat(),
        _ => frame.bytes(),
    }),
    frame("resets the connection behind its Close", |seen, frame| {
        seen.reset |= frame.first == CLOSE;
        frame.bytes()
    }),
    wire(
        "sends 1006 to a peer that ends without a Close",
        Wire {
            last_words: Some(|seen| match seen.server_closed {
                true => Vec::new(),
                false => Frame::new(CLOSE, 1006_u16.to_be_bytes()).bytes(),
            }),
            ..Wire::TRUE
        },
    ),
    control("takes any code of a Close", |_, frame| {
        let legal = matches!(frame.code(), 1000..=1003 | 1007..=1014 | 3000..=4999);
        Place::Here(match frame.first {
            CLOSE if frame.payload.len() > 1 && !legal => Frame::new(CLOSE, 1000_u16.to_be_bytes()).masked(),
            _ => frame.masked(),
        })
    }),
    control("takes a Close of one byte", |_, frame| {
        Place::Here(match frame.first {
            CLOSE if frame.payload.len() == 1 => Frame::new(CLOSE, "").masked(),
            _ => frame.masked(),
        })
    }),
    control("takes any reason of a Close", |_, mut frame| {
        if frame.first == CLOSE && frame.payload.len() > 2 {
            let reason = String::from_utf8_lossy(&frame.payload[2..]).into_owned();
            frame.payload.splice(2.., reason.into_bytes());
        }
        Place::Here(frame.masked())
    }),
    control("handles half a message at a Close", |seen, frame| {
        Place::Here(match frame.first {
            CLOSE if seen.in_message => [Frame::new(0x80, "").masked(), frame.masked()].concat(),
            _ => frame.masked(),
        })
    }),
    control("reads on behind a Close", |_, frame| match frame.first {
        CLOSE => Place::Last(frame.masked()),
        _ => Place::Here(frame.masked()),
    }),
    control("takes a Close before what precedes it", |_, frame| match frame.first {
        CLOSE => Place::First(frame.masked()),
        _ => Place::Here(frame.masked()),
    }),
    callbacks("tells terminate no reason of the peer's Close", Callbacks::ReasonsOfThePeerLost),
    callbacks("tells terminate of every timeout as of silence", Callbacks::TimeoutsAreIdle),
    callbacks("tells terminate of what is too big as of a lost connection", Callbacks::TooBigIsProtocol),
    callbacks("tells terminate of a shutdown as of a stop", Callbacks::ShutdownIsNormal),
    options("does not wait for the peer's Close", |options, _| options.close_timeout(Duration::ZERO)),
    options("waits for the peer's Close without end", |options, _| options.close_timeout(HOUR)),
    // F
    wire("takes frames without a mask", Wire { masks: true, ..Wire::TRUE }),
    first_byte("takes RSV1", |first| first & !0x40),
    first_byte("takes RSV2 and RSV3", |first| first & !0x30),
    first_byte("takes unknown opcodes", |first| match first & 0x0f {
        3..=7 | 11..=15 => first & 0xf0 | 0x2,
        _ => first,
    }),
    first_byte(
        "takes control frames in fragments",
        |first| if first & 0x08 == 0 { first } else { first | 0x80 },
    ),
    wire("takes lengths in any form", Wire { shortens: true, ..Wire::TRUE }),
    Mutant {
        name: "does not check UTF-8",
        inside: Inside {
            options: Some(|options, _| options.validate_utf8(false)),
            callbacks: Callbacks::TextUnchecked,
            ..Inside::TRUE
        },
        wire: Wire::TRUE,
    },
    options("checks UTF-8 where that is turned off", |options, _| options.validate_utf8(true)),
    options("does not limit frames", |options, _| options.max_frame_size(None)),
    options("does not limit messages", |options, _| options.max_message_size(HUGE)),
    options("does not limit fragments", |options, _| options.max_fragments(HUGE)),
    wire("loses what comes with the request", Wire { early_bytes_lost: true, ..Wire::TRUE }),
    frame("masks pings and pongs", |_, frame| match frame.first {
        PING | PONG => frame.masked(),
        _ => frame.bytes(),
    }),
    frame("writes lengths under 126 in 16 bits", |_, frame| match frame.first {
        BINARY => frame.with_length_of(2),
        _ => frame.bytes(),
    }),
    frame("writes lengths under 65536 in 64 bits", |_, frame| match frame.payload.len() {
        126.. => frame.with_length_of(8),
        _ => frame.bytes(),
    }),
    // C
    options("is always ready to compress", |options, _| match compresses(&options) {
        true => options,
        false => options.compress(true),
    }),
    extensions("compresses for those who do not offer it", Some(ask_for_it), |request, head| {
        if !offer(request).contains(DEFLATE) {
            head.without(EXTENSIONS);
        }
    }),
    extensions("answers no parameters", None, |_, head| {
        if head.field(EXTENSIONS).is_some() {
            head.set(EXTENSIONS, DEFLATE);
        }
    }),
    request("looks at no parameters", |head| {
        if offer(head).contains(DEFLATE) {
            head.set(EXTENSIONS, DEFLATE);
        }
    }),
    request("takes the last offer", |head| {
        let reversed: Vec<_> = offer(head).rsplit(',').map(str::to_owned).collect();
        head.set(EXTENSIONS, reversed.join(","));
    }),
    extensions(
        "takes a window of 8 bits",
        Some(|head| {
            head.set(EXTENSIONS, offer(head).replace("server_max_window_bits=8", "server_max_window_bits=9"))
        }),
        |request, head| {
            if let (true, Some(agreed)) = (offer(request).contains("bits=8"), head.field(EXTENSIONS)) {
                head.set(EXTENSIONS, agreed.replace("bits=9", "bits=8"));
            }
        },
    ),
    extensions(
        "refers further back than its window",
        Some(|head| forget(head, "server_max_window_bits=9")),
        |request, head| {
            promise(request, head, "server_max_window_bits=9");
        },
    ),
    extensions(
        "refers to its messages before though the client refuses it",
        Some(|head| forget(head, "server_no_context_takeover")),
        |request, head| promise(request, head, "server_no_context_takeover"),
    ),
    extensions(
        "keeps the client's messages though the client refuses it",
        Some(|head| forget(head, "client_no_context_takeover")),
        |request, head| promise(request, head, "client_no_context_takeover"),
    ),
    extensions(
        "forgets the client's messages and does not say so",
        Some(|head| {
            if offer(head).trim() == DEFLATE {
                head.set(EXTENSIONS, "permessage-deflate; client_no_context_takeover");
            }
        }),
        |request, head| {
            if let (DEFLATE, Some(agreed)) = (offer(request).trim(), head.field(EXTENSIONS)) {
                head.set(EXTENSIONS, agreed.replace("; client_no_context_takeover", ""));
            }
        },
    ),
    frame("does not mark what it compresses", |_, frame| {
        Frame { first: frame.first & !0x40, ..frame }.bytes()
    }),
    frame("marks its pongs as compressed", |seen, mut frame| {
        if frame.first == PONG && offer(&seen.request).contains(DEFLATE) {
            frame.first |= 0x40;
        }
        frame.bytes()
    }),
    first_byte("takes RSV1 where no message begins", |first| match first & 0x0f {
        1 | 2 => first,
        _ => first & !0x40,
    }),
    frame("closes after bad data with 1002", |_, frame| with_code(frame, 1007, 1002)),
    options("compresses the shortest messages", |options, _| match compresses(&options) {
        true if !format!("{options:?}").contains("threshold: 0") => {
            options.deflate(Deflate::default().threshold(0))
        }
        _ => options,
    }),
    callbacks("compresses what asks not to be", Callbacks::WishesForgotten),
    options("does not limit what it inflates", |options, _| match compresses(&options) {
        true => options.max_message_size(HUGE),
        false => options,
    }),
    // T
    options("does not end silence", |options, _| options.timeout(None)),
    options("does not ping", |options, _| options.keepalive(None)),
    options("does not end slow messages", |options, _| options.message_timeout(None)),
    options("waits for slow readers without end", |options, _| options.write_timeout(None)),
    // B
    options("has more room in its mailbox", |options, _| {
        options.mailbox_capacity(NonZeroUsize::new(1024).unwrap())
    }),
    wire("waits for acknowledgements", Wire { delays: true, ..Wire::TRUE }),
    wire("takes more than its handler does", Wire { hoards: true, ..Wire::TRUE }),
    // S
    options("leaves the drain out", |options, _| options.drain(Drain::new())),
    options("forgets one connection in the drain", |options, number| match number {
        1 => options.drain(Drain::new()),
        _ => options,
    }),
    route("accepts while it drains", Route::AcceptsWhileDraining),
    // E
    callbacks("swallows panics", Callbacks::PanicsSwallowed),
    callbacks("swallows panics in terminate", Callbacks::PanicsInTerminateSwallowed),
    callbacks("makes text of an error", Callbacks::ErrorsAreText),
    callbacks("tells of an end twice", Callbacks::EndsToldTwice),
    // U
    response("sends a wrong accept key", |_, head| {
        if head.status() == 101 {
            head.set("Sec-WebSocket-Accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        }
    }),
    response("sends a type with the 101", |_, head| {
        if head.status() == 101 {
            head.set("Content-Type", "text/plain");
        }
    }),
    response("accepts the extensions that it is offered", |request, head| {
        if let (101, Some(offer)) = (head.status(), request.field("sec-websocket-extensions")) {
            head.set("Sec-WebSocket-Extensions", offer);
        }
    }),
    request("finds tokens within others", |head| {
        for (name, token) in [("Connection", "upgrade"), ("Upgrade", "websocket")] {
            if head.field(name).is_some_and(|value| value.to_ascii_lowercase().contains(token)) {
                head.set(name, token);
            }
        }
    }),
    request("looks at the first Upgrade field only", |head| {
        if let Some(first) = head.field("upgrade").map(str::to_owned) {
            head.set("Upgrade", first);
        }
    }),
    request("knows no list of protocols in Upgrade", |head| {
        head.fields.retain(|(name, value)| !(name.eq_ignore_ascii_case("upgrade") && value.contains(',')));
    }),
    request("passes over fields that are not ASCII", |head| {
        head.fields.retain(|(_, value)| value.is_ascii())
    }),
    request("takes every version", |head| {
        if head.field("sec-websocket-key").is_some() {
            head.set("Sec-WebSocket-Version", "13");
        }
    }),
    request("takes every key", |head| {
        if head.field("sec-websocket-key").is_some() {
            head.set("Sec-WebSocket-Key", websock_conformance::peer::KEY);
        }
    }),
    request("trusts X-Forwarded-Host", |head| {
        if let Some(host) = head.field("x-forwarded-host").map(str::to_owned) {
            head.set("Host", host);
        }
    }),
    request("chooses the first subprotocol of the client", |head| {
        let first = head.field("sec-websocket-protocol").and_then(|offer| offer.split(',').next());
        if let Some(first) = first.map(str::to_owned) {
            head.set("Sec-WebSocket-Protocol", first);
        }
    }),
    options("lets every origin in", |options, _| options.origins(Origins::InsecureAny)),
    route("finds every request acceptable that is only asked about", Route::LooksAtNothing),
    route("lets guests in", Route::LetsGuestsIn),
    route("adds to a refusal what belongs to a 101", Route::AddsToRefusals),
    route("takes away what the route adds to a 101", Route::AddsNothing),
    route("compares targets without case", Route::ForgetsCase),
    response("does not say which methods are allowed", |_, head| head.without("allow")),
    response("refuses another version with 400", |_, head| {
        if head.field("sec-websocket-version").is_some() {
            head.line = "HTTP/1.1 400 Bad Request".to_owned();
        }
    }),
    response("does not say when to come back", |_, head| head.without("retry-after")),
    response("refuses without a word", |_, head| {
        if head.status() >= 400 {
            head.set("content-length", "0");
        }
    }),
];
