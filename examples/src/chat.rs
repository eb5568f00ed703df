//! The chat: rooms, nicknames, who is here, and the last messages for a newcomer.
//!
//! A connection's handler is a [`Chat`]; all of them share the [`Rooms`]. What happens in a room reaches its members
//! as [`News`] through their mailboxes: a [`Prepared`] frame, encoded once and sent to everybody.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use websock_core::{
    CloseCode, CloseReason, HandleResult, Keepalive, Mailbox, Message, Options, Outcome, Prepared, Shutdown,
    Socket, TrySendError, WebSock,
};

/// The page of the chat, which reconnects by itself.
pub const PAGE: &str = include_str!("../assets/chat.html");

/// The same user has come back on another connection; the page does not reconnect then.
const REPLACED: CloseCode = CloseCode::new(4000).unwrap();

const MAX_NICK: usize = 24;
const MAX_ROOM: usize = 32;
const MAX_TEXT: usize = 2000;
const MAX_ROOMS: usize = 1000;
const HISTORY: usize = 50;
const HISTORY_BYTES: usize = 64 * 1024;

/// How its connections behave: browsers cannot ping, so the server does; no message is large; and a member may be some
/// hundred messages behind before it counts as too slow. Compressing gives away nothing: there are no secrets in a chat.
pub fn options() -> Options {
    const MESSAGE: NonZeroUsize = NonZeroUsize::new(16 * 1024).unwrap();
    const BEHIND: NonZeroUsize = NonZeroUsize::new(256).unwrap();
    Options::default()
        .keepalive(Keepalive::default())
        .max_message_size(MESSAGE)
        .mailbox_capacity(BEHIND)
        .compress(true)
}

/// How they are closed when the server goes down: with the code that tells the pages to come back (they wait for a
/// random time first), and none keeps it up for longer than ten seconds.
pub fn shutdown() -> Shutdown {
    Shutdown::within(Duration::from_secs(9)).code(CloseCode::RESTART)
}

/// One connection to the chat.
#[derive(Debug)]
pub struct Chat {
    rooms: Arc<Rooms>,
    mailbox: Option<Mailbox<News>>,
    seat: Option<Seat>,
}

/// What happened in a room, for one who is there.
#[derive(Clone, Debug)]
pub struct News {
    visit: u64,
    event: Prepared,
}

/// Where a connection takes part.
#[derive(Debug)]
struct Seat {
    room: String,
    nick: String,
    member: u64,
    /// The same for as long as the connection stays in the room, under whatever name.
    visit: u64,
}

/// What the page sends.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Request {
    Join {
        room: String,
        nick: String,
        #[serde(default)]
        token: String,
    },
    Say {
        text: String,
        id: Option<String>,
    },
}

/// What the page gets.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    Welcome {
        room: &'a str,
        nick: &'a str,
        members: Vec<&'a str>,
        history: &'a VecDeque<Said>,
    },
    Joined {
        nick: &'a str,
        at: u64,
    },
    Left {
        nick: &'a str,
        at: u64,
    },
    Said(&'a Said),
    Error {
        code: Refusal,
        message: &'static str,
        /// Of the message that was refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    },
}

/// A message of the past.
#[derive(Debug, Serialize)]
struct Said {
    nick: String,
    text: String,
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

/// Why a request is not granted.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Refusal {
    NickTaken,
    BadName,
    BadMessage,
    TooManyRooms,
    NotJoined,
}

impl Chat {
    /// A connection that has not joined a room yet.
    pub fn new(rooms: Arc<Rooms>) -> Self {
        Chat { rooms, mailbox: None, seat: None }
    }

    fn handle(&mut self, request: &str) -> Outcome {
        let (done, id) = match serde_json::from_str(request) {
            Ok(Request::Join { room, nick, token }) => (self.join(room.trim(), nick.trim(), token), None),
            Ok(Request::Say { text, id }) => (self.say(text.trim(), id.clone()), id),
            Err(_) => (Err(Refusal::BadMessage), None),
        };
        done.unwrap_or_else(|refusal| Outcome::push(refusal.event(id.as_deref())))
    }

    fn join(&mut self, room: &str, nick: &str, token: String) -> Result<Outcome, Refusal> {
        let mailbox = self.mailbox.clone().ok_or(Refusal::NotJoined)?;
        if !is_name(room, MAX_ROOM) || !is_name(nick, MAX_NICK) {
            return Err(Refusal::BadName);
        }
        let mut rooms = self.rooms.lock();
        let seat = rooms.seat(room, nick, Member { id: 0, visit: 0, token, mailbox }, self.seat.as_ref())?;
        if let Some(left) = self.seat.replace(seat) {
            rooms.leave(&left);
        }
        Ok(Outcome::push(rooms.welcome(room, nick)))
    }

    fn say(&mut self, text: &str, id: Option<String>) -> Result<Outcome, Refusal> {
        let seat = self.seat.as_ref().ok_or(Refusal::NotJoined)?;
        if !(1..=MAX_TEXT).contains(&text.chars().count()) || id.as_ref().is_some_and(|id| id.len() > 64) {
            return Err(Refusal::BadMessage);
        }
        self.rooms.lock().say(seat, text.to_owned(), id);
        Ok(Outcome::none())
    }
}

impl WebSock for Chat {
    type Info = News;

    async fn init(&mut self, socket: Socket<News>) -> HandleResult {
        self.mailbox = Some(socket.mailbox().clone());
        Ok(Outcome::none())
    }

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        let Message::Text(request) = message else {
            return Ok(Outcome::stop().close(CloseCode::UNSUPPORTED, "the chat speaks text"));
        };
        let outcome = self.handle(&request);
        // Who says much at once lets those who get it go on in between, or else fills their mailboxes.
        tokio::task::yield_now().await;
        Ok(outcome)
    }

    async fn handle_info(&mut self, news: News) -> HandleResult {
        // What was still on its way from a room that was left would be taken for the new one's.
        let is_here = self.seat.as_ref().is_some_and(|seat| seat.visit == news.visit);
        Ok(if is_here { Outcome::push(news.event) } else { Outcome::none() })
    }

    async fn terminate(mut self, _: CloseReason) {
        if let Some(seat) = self.seat.take() {
            self.rooms.lock().leave(&seat);
        }
    }
}

/// All rooms, shared by all connections. The lock is never held across an `.await`.
#[derive(Debug, Default)]
pub struct Rooms(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rooms: HashMap<String, Room>,
    last_member: u64,
}

#[derive(Debug, Default)]
struct Room {
    members: BTreeMap<String, Member>,
    history: VecDeque<Said>,
}

#[derive(Debug)]
struct Member {
    id: u64,
    visit: u64,
    /// What proves that another connection is the same user: after a lost one, it takes over its name.
    token: String,
    mailbox: Mailbox<News>,
}

impl Rooms {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a seat in a room under a name that is free, or that the same user holds.
    fn seat(
        &mut self,
        room: &str,
        nick: &str,
        mut member: Member,
        own: Option<&Seat>,
    ) -> Result<Seat, Refusal> {
        self.make_room(room)?;
        let state = self.rooms.entry(room.to_owned()).or_default();
        self.last_member += 1;
        member.id = self.last_member;
        member.visit = own.filter(|own| own.room == room).map_or(member.id, |own| own.visit);
        let (id, visit) = (member.id, member.visit);
        let seat = Seat { room: room.to_owned(), nick: nick.to_owned(), member: id, visit };
        match state.members.get(nick) {
            None => {
                state.broadcast(&Event::Joined { nick, at: now() });
                state.members.insert(nick.to_owned(), member);
            }
            Some(held) if own.is_some_and(|own| own.member == held.id) => {
                state.members.insert(nick.to_owned(), member);
            }
            Some(held) if !held.token.is_empty() && held.token == member.token => {
                held.mailbox.close(REPLACED, "continued on another connection");
                state.members.insert(nick.to_owned(), member);
            }
            Some(_) => return Err(Refusal::NickTaken),
        }
        Ok(seat)
    }

    /// Sees that one more room may be there: one that nobody is in gives way.
    fn make_room(&mut self, room: &str) -> Result<(), Refusal> {
        if self.rooms.len() < MAX_ROOMS || self.rooms.contains_key(room) {
            return Ok(());
        }
        let empty = self.rooms.iter().find(|(_, room)| room.members.is_empty()).map(|(name, _)| name.clone());
        self.rooms.remove(&empty.ok_or(Refusal::TooManyRooms)?);
        Ok(())
    }

    fn welcome(&self, room: &str, nick: &str) -> Prepared {
        let state = &self.rooms[room];
        let members = state.members.keys().map(String::as_str).collect();
        Event::Welcome { room, nick, members, history: &state.history }.prepare()
    }

    fn say(&mut self, seat: &Seat, text: String, id: Option<String>) {
        let Some(room) = self.rooms.get_mut(&seat.room) else { return };
        let said = Said { nick: seat.nick.clone(), text, at: now(), id };
        room.broadcast(&Event::Said(&said));
        room.history.push_back(said);
        let bytes = |room: &Room| room.history.iter().map(|said| said.text.len()).sum::<usize>();
        while room.history.len() > HISTORY || bytes(room) > HISTORY_BYTES {
            room.history.pop_front();
        }
    }

    /// Gives up a seat, unless another connection has taken it over.
    fn leave(&mut self, seat: &Seat) {
        let Some(room) = self.rooms.get_mut(&seat.room) else { return };
        if room.members.get(&seat.nick).is_some_and(|member| member.id == seat.member) {
            room.members.remove(&seat.nick);
            room.broadcast(&Event::Left { nick: &seat.nick, at: now() });
        }
    }
}

impl Room {
    /// Encodes an event once and sends it to everybody. Nobody waits for a member that is too slow: its connection is
    /// closed, so that its page comes back and starts from the history.
    fn broadcast(&self, event: &Event<'_>) {
        let event = event.prepare();
        for member in self.members.values() {
            let news = News { visit: member.visit, event: event.clone() };
            if let Err(TrySendError::Full(_)) = member.mailbox.try_send(news) {
                member.mailbox.close(CloseCode::TRY_AGAIN, "too slow for this room");
            }
        }
    }
}

impl Event<'_> {
    fn prepare(&self) -> Prepared {
        Prepared::text(serde_json::to_string(self).unwrap_or_default())
    }
}

impl Refusal {
    fn event(self, id: Option<&str>) -> Prepared {
        let message = match self {
            Refusal::NickTaken => "Somebody in this room has that name.",
            Refusal::BadName => "A name has 1 to 24 characters, a room 1 to 32.",
            Refusal::BadMessage => "A message has 1 to 2000 characters.",
            Refusal::TooManyRooms => "There are too many rooms; join one that exists.",
            Refusal::NotJoined => "Join a room first.",
        };
        Event::Error { code: self, message, id }.prepare()
    }
}

fn is_name(name: &str, limit: usize) -> bool {
    (1..=limit).contains(&name.chars().count()) && !name.chars().any(char::is_control)
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
