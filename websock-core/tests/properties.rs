//! Properties of the engine: what it makes of any messages, cut anywhere, in any reads; and that tungstenite, which
//! shares no code with it, understands the same.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by it, and makes bytes by hand"
)]

use std::io::{self, Cursor, IoSlice, Read, Write};
use std::iter::from_fn;
use std::time::Instant;

use bytes::BufMut;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use websock_core::protocol::{Event, Protocol};
use websock_core::{Bytes, CloseFrame, Control, ControlPayload, Frame, Message, Options, Prepared};

/// Something that a client sends.
#[derive(Clone, Debug)]
enum Item {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

/// How an item is sent: where its payload is cut into fragments, and the masking keys.
#[derive(Clone, Debug)]
struct Sending {
    item: Item,
    cuts: Vec<Index>,
    mask: [u8; 4],
    /// A ping behind each fragment but the last.
    pings: bool,
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => prop::sample::select(vec![0, 1, 7, 125, 126, 127, 65_535, 65_536]),
        4 => 0..300_usize,
        1 => 0..70_000_usize,
    ]
}

fn items() -> impl Strategy<Value = Item> {
    let binary = (sizes(), any::<u8>()).prop_map(|(size, seed)| {
        Item::Binary((0..size).map(|i| seed.wrapping_mul(31).wrapping_add(i as u8)).collect())
    });
    prop_oneof![
        3 => "\\PC{0,40}".prop_map(Item::Text),
        1 => sizes().prop_map(|size| Item::Text("aß€𝄞".chars().cycle().take(size / 3).collect())),
        3 => binary,
        1 => vec(any::<u8>(), 0..=125).prop_map(Item::Ping),
        1 => vec(any::<u8>(), 0..=125).prop_map(Item::Pong),
    ]
}

fn sendings() -> impl Strategy<Value = Sending> {
    (items(), vec(any::<Index>(), 0..4), any::<[u8; 4]>(), any::<bool>())
        .prop_map(|(item, cuts, mask, pings)| Sending { item, cuts, mask, pings })
}

/// A client's frame, made by hand.
fn encode(fin: bool, opcode: u8, mask: [u8; 4], payload: &[u8], out: &mut Vec<u8>) {
    out.push(u8::from(fin) << 7 | opcode);
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        medium @ 126..=65_535 => {
            out.push(0x80 | 126);
            out.extend((medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().zip(mask.into_iter().cycle()).map(|(byte, key)| byte ^ key));
}

fn ping(payload: &[u8]) -> Event {
    Event::Control(Control::Ping(ControlPayload::try_from(payload).unwrap()))
}

impl Sending {
    /// What goes on the wire, and what comes of it.
    fn encode(&self, out: &mut Vec<u8>, events: &mut Vec<Event>) {
        let (opcode, payload) = match &self.item {
            Item::Text(text) => (1, text.as_bytes()),
            Item::Binary(bytes) => (2, &bytes[..]),
            Item::Ping(payload) => {
                events.push(ping(payload));
                return encode(true, 9, self.mask, payload, out);
            }
            Item::Pong(payload) => {
                events.push(Event::Control(Control::Pong(ControlPayload::try_from(&payload[..]).unwrap())));
                return encode(true, 10, self.mask, payload, out);
            }
        };
        let mut cuts: Vec<usize> = self.cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(payload.len());
        let mut start = 0;
        for (number, end) in cuts.iter().copied().enumerate() {
            let last = number + 1 == cuts.len();
            encode(last, if number == 0 { opcode } else { 0 }, self.mask, &payload[start..end], out);
            if !last && self.pings {
                encode(true, 9, self.mask, b"between", out);
                events.push(ping(b"between"));
            }
            start = end;
        }
        events.push(Event::Message(match &self.item {
            Item::Text(text) => Message::Text(text.into()),
            _ => Message::Binary(payload.to_vec().into()),
        }));
    }
}

fn engine() -> Protocol {
    Protocol::new(&Options::default(), Instant::now())
}

/// How a payload comes into the engine wherever that offers more than one way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Buffer,
    Direct,
    Shared,
}

fn ways() -> impl Strategy<Value = Way> {
    select(vec![Way::Buffer, Way::Direct, Way::Shared])
}

/// The events of these bytes in reads of these sizes, over and over. The buffer is taken back after every second read.
fn events(bytes: &[u8], reads: &[usize], way: Way) -> Vec<Event> {
    let mut engine = engine();
    let mut all = Vec::new();
    let (mut at, mut buffer) = (0, Vec::new());
    for (number, size) in reads.iter().cycle().enumerate() {
        if at == bytes.len() {
            break;
        }
        let next = &bytes[at..bytes.len().min(at + size)];
        let directly = engine.direct_buffer().filter(|_| way == Way::Direct).map(|mut room| {
            let count = next.len().min(room.remaining_mut());
            room.put_slice(&next[..count]);
            count
        });
        if let Some(count) = directly {
            engine.receive_direct(count, Instant::now());
            at += count;
        } else if way == Way::Shared {
            let mut shared = Bytes::copy_from_slice(next);
            while !shared.is_empty() {
                engine.receive_shared(&mut shared, &mut buffer, Instant::now());
                all.extend(from_fn(|| engine.poll_event().or_else(|| engine.poll_shared(&mut shared))));
            }
            at += next.len();
        } else {
            buffer.clear();
            buffer.extend_from_slice(next);
            engine.receive(&mut buffer, Instant::now());
            at += next.len();
        }
        all.extend(from_fn(|| engine.poll_event()));
        if number % 2 == 1 {
            engine.reclaim(&mut buffer);
        }
    }
    all
}

fn written(engine: &mut Protocol, most: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while engine.unsent() > 0 {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = engine.poll_transmit(&mut slices);
        let mut chunk: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
        chunk.truncate(most);
        engine.transmitted(chunk.len());
        all.extend(chunk);
    }
    all
}

/// A stream to read from, and one to write to.
struct Wire(Cursor<Vec<u8>>, Vec<u8>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn client(bytes: Vec<u8>) -> tungstenite::WebSocket<Wire> {
    let wire = Wire(Cursor::new(bytes), Vec::new());
    tungstenite::WebSocket::from_raw_socket(wire, tungstenite::protocol::Role::Client, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_messages_cut_anywhere_give_the_same_events(
        sendings in vec(sendings(), 1..8),
        reads in vec(prop_oneof![1..40_usize, 1..70_000_usize], 1..6),
        way in ways(),
        close in prop::option::of("[a-z]{0,20}"),
    ) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for sending in &sendings {
            sending.encode(&mut bytes, &mut expected);
        }
        if let Some(reason) = &close {
            encode(true, 8, [1, 2, 3, 4], &[&[0x0f, 0xa1], reason.as_bytes()].concat(), &mut bytes);
            expected.push(Event::Close(Some(CloseFrame::new(4001.try_into().unwrap(), reason.as_str()))));
            encode(true, 1, [0; 4], b"late", &mut bytes);
        }
        prop_assert_eq!(&events(&bytes, &[bytes.len()], Way::Buffer), &expected);
        prop_assert_eq!(&events(&bytes, &reads, way), &expected);
    }

    #[test]
    fn any_garbage_gives_the_same_events_however_it_is_cut(
        sending in sendings(),
        garbage in vec(any::<u8>(), 0..200),
        reads in vec(1..50_usize, 1..6),
        way in ways(),
        position: Index,
    ) {
        let mut bytes = Vec::new();
        sending.encode(&mut bytes, &mut Vec::new());
        bytes.truncate(2000);
        let at = position.index(bytes.len() + 1);
        bytes.splice(at..at, garbage);
        let whole = events(&bytes, &[bytes.len().max(1)], Way::Buffer);
        prop_assert_eq!(events(&bytes, &reads, way), whole);
    }

    #[test]
    fn tungstenite_reads_what_the_engine_writes(
        items in vec(items(), 1..8), most in prop_oneof![Just(usize::MAX), 1..5000_usize], prepared: bool,
    ) {
        use tungstenite::Message as Theirs;
        let mut engine = engine();
        for item in &items {
            engine.send(match item {
                Item::Text(text) if prepared => Prepared::text(text).into(),
                Item::Text(text) => Frame::text(text),
                Item::Binary(bytes) if prepared => Prepared::binary(bytes).into(),
                Item::Binary(bytes) => Frame::binary(bytes.clone()),
                Item::Ping(payload) => Frame::ping(payload.clone().try_into().unwrap()),
                Item::Pong(payload) => Frame::pong(payload.clone().try_into().unwrap()),
            });
        }
        engine.close(None);
        let mut client = client(written(&mut engine, most));
        for item in &items {
            let expected = match item {
                Item::Text(text) => Theirs::text(text),
                Item::Binary(bytes) => Theirs::binary(bytes.clone()),
                Item::Ping(payload) => Theirs::Ping(payload.clone().into()),
                Item::Pong(payload) => Theirs::Pong(payload.clone().into()),
            };
            prop_assert_eq!(client.read().unwrap(), expected);
        }
        prop_assert_eq!(client.read().unwrap(), Theirs::Close(None));
    }

    #[test]
    fn the_engine_reads_what_tungstenite_writes(
        items in vec(items(), 1..8), reads in vec(1..9000_usize, 1..6), way in ways(),
    ) {
        use tungstenite::Message as Theirs;
        let mut client = client(Vec::new());
        let mut expected = Vec::new();
        for item in &items {
            item_event(item, &mut expected);
            client.write(match item {
                Item::Text(text) => Theirs::text(text),
                Item::Binary(bytes) => Theirs::binary(bytes.clone()),
                Item::Ping(payload) => Theirs::Ping(payload.clone().into()),
                Item::Pong(payload) => Theirs::Pong(payload.clone().into()),
            }).unwrap();
        }
        client.flush().unwrap();
        prop_assert_eq!(events(&client.get_ref().1, &reads, way), expected);
    }
}

fn item_event(item: &Item, events: &mut Vec<Event>) {
    let sending = Sending { item: item.clone(), cuts: Vec::new(), mask: [0; 4], pings: false };
    sending.encode(&mut Vec::new(), events);
}
