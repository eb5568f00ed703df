//! Frames as a client writes and reads them, made by hand.

/// A frame as a client sends it: `first` is its first byte.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    const KEY: [u8; 4] = [0xa5, 0x01, 0xfe, 0x5a];
    let payload = payload.as_ref();
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
        length @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ KEY[at % 4]));
    frame
}

pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload)
}

pub(crate) fn ping(payload: &str) -> Vec<u8> {
    frame(0x89, payload)
}

pub(crate) fn pong(payload: &str) -> Vec<u8> {
    frame(0x8a, payload)
}

pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

/// What a frame or a callback is called in these tests: `text hello`, `ping`, `binary of 1000 bytes`.
pub(super) fn named(kind: &str, payload: &[u8]) -> String {
    if payload.len() > 130 {
        return format!("{kind} of {} bytes", payload.len());
    }
    format!("{kind} {}", String::from_utf8_lossy(payload)).trim_end().into()
}

/// The name of a frame that a server may send.
pub(super) fn name_of_sent((first, payload): (u8, Vec<u8>)) -> String {
    match (first, &payload[..]) {
        (0x81, _) => named("text", &payload),
        (0x82, _) => named("binary", &payload),
        (0x89, _) => named("ping", &payload),
        (0x8a, _) => named("pong", &payload),
        (0x88, []) => "close".into(),
        (0x88, [high, low, reason @ ..]) => {
            named(&format!("close {}", u16::from_be_bytes([*high, *low])), reason)
        }
        _ => panic!("no server sends a frame that begins with {first:#x} and has {} bytes", payload.len()),
    }
}

/// Takes the first frame off `bytes`, if it is there whole: its first byte, and its payload.
pub(super) fn take_sent(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (head, length) = match bytes[..] {
        [_, length, ..] if length < 126 => (2, u64::from(length)),
        [_, 126, a, b, ..] => (4, u16::from_be_bytes([a, b]).into()),
        [_, 127, a, b, c, d, e, f, g, h, ..] => (10, u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        [_, 128..=255, ..] => panic!("a server masks nothing"),
        _ => return None,
    };
    let shortest = [(0..126, 2), (126..0x1_0000, 4), (0x1_0000..u64::MAX, 10)];
    assert!(shortest.iter().any(|(lengths, size)| lengths.contains(&length) && *size == head), "{length}");
    let end = head + usize::try_from(length).unwrap();
    if bytes.len() < end {
        return None;
    }
    let frame = (bytes[0], bytes[head..end].to_vec());
    bytes.drain(..end);
    Some(frame)
}

/// The names of the frames in `bytes`, which hold whole frames only.
pub(crate) fn names_of_sent(bytes: &[u8]) -> Vec<String> {
    let frames = ends_of_sent(bytes);
    assert_eq!(frames.last().map_or(0, |(end, _)| *end), bytes.len(), "cut off after {frames:?}");
    frames.into_iter().map(|(_, name)| name).collect()
}

/// The names of the frames that are whole in `bytes`, and where each ends.
pub(super) fn ends_of_sent(bytes: &[u8]) -> Vec<(usize, String)> {
    let mut rest = bytes.to_vec();
    let mut next = || take_sent(&mut rest).map(|frame| (bytes.len() - rest.len(), name_of_sent(frame)));
    std::iter::from_fn(&mut next).collect()
}
