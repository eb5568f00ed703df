//! What the peer's silence means: the idle timeout, the keepalive and the slow message (SPEC T1, T2, T6).
//!
//! The clock is an argument, and stands still while we do not read: [`Liveness::pause`].

use std::time::{Duration, Instant};

use crate::close::Timeout;
use crate::options::Options;

/// When the peer was last heard of, and what is expected of it.
#[derive(Debug)]
pub(super) struct Liveness {
    /// All delays are those of the options.
    options: Options,
    /// What silence alone leads to first comes after this.
    patience: Option<Duration>,
    /// When the last byte came.
    heard: Instant,
    /// When a ping went out that nothing has answered.
    pinged: Option<Instant>,
    /// When the first byte came of the message that is arriving.
    message_began: Option<Instant>,
    /// Since when we do not read.
    paused: Option<Instant>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A ping is to be sent.
    Ping,
    /// The peer is given up.
    Expired(Timeout),
}

impl Liveness {
    pub(super) fn new(options: &Options, now: Instant) -> Self {
        let (idle, keepalive) = (options.get_timeout(), options.get_keepalive());
        Liveness {
            options: options.clone(),
            patience: idle.into_iter().chain(keepalive.map(|keepalive| keepalive.interval())).min(),
            heard: now,
            pinged: None,
            message_began: None,
            paused: None,
        }
    }

    /// Bytes came: the peer lives, and any byte answers a ping.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = None;
    }

    /// A message is complete.
    #[inline]
    pub(super) fn message_ended(&mut self) {
        self.message_began = None;
    }

    /// A message has arrived in part, the last of it just now.
    pub(super) fn message_goes_on(&mut self) {
        self.message_began.get_or_insert(self.heard);
    }

    /// From now on nothing is read, so silence means nothing.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused.get_or_insert(now);
    }

    /// Reading goes on: the time since the pause does not count.
    pub(super) fn resume(&mut self, now: Instant) {
        let Some(paused) = self.paused.take() else { return };
        let gap = now.saturating_duration_since(paused);
        self.heard += gap;
        for instant in [&mut self.pinged, &mut self.message_began].into_iter().flatten() {
            *instant += gap;
        }
    }

    /// What happens next if the peer stays silent, and when. The earliest wins; of two at the same moment the end
    /// wins over another ping.
    fn next(&self) -> Option<(Instant, Due)> {
        if self.paused.is_some() {
            return None;
        }
        let mut next = None;
        let mut consider = |start: Option<Instant>, delay: Option<Duration>, due| {
            if let (Some(start), Some(delay)) = (start, delay)
                && let Some(at) = start.checked_add(delay)
                && next.is_none_or(|(earliest, _)| at < earliest)
            {
                next = Some((at, due));
            }
        };
        consider(Some(self.heard), self.options.get_timeout(), Due::Expired(Timeout::Idle));
        consider(self.message_began, self.options.get_message_timeout(), Due::Expired(Timeout::Message));
        if let Some(keepalive) = self.options.get_keepalive() {
            match self.pinged {
                Some(_) => consider(self.pinged, Some(keepalive.answer()), Due::Expired(Timeout::Keepalive)),
                None => consider(Some(self.heard), Some(keepalive.interval()), Due::Ping),
            }
        }
        next
    }

    /// Whether the message that has begun took too long by the time when something was heard last.
    #[inline]
    pub(super) fn is_message_late(&self) -> bool {
        self.message_began.is_some_and(|began| self.took_too_long(began))
    }

    #[cold]
    fn took_too_long(&self, began: Instant) -> bool {
        let end = self.options.get_message_timeout().and_then(|limit| began.checked_add(limit));
        end.is_some_and(|end| end <= self.heard)
    }

    /// When something will be due.
    #[inline]
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.pinged.is_none() && self.message_began.is_none() && self.paused.is_none() {
            self.heard.checked_add(self.patience?)
        } else {
            self.earliest_deadline()
        }
    }

    #[cold]
    fn earliest_deadline(&self) -> Option<Instant> {
        self.next().map(|(at, _)| at)
    }

    /// What is due by now. A ping that is due counts as sent.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let (_, due) = self.next().filter(|(at, _)| *at <= now)?;
        if due == Due::Ping {
            self.pinged = Some(now);
        }
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Keepalive;

    const SECOND: Duration = Duration::from_secs(1);

    fn liveness(options: Options) -> (Liveness, Instant) {
        let start = Instant::now();
        (Liveness::new(&options, start), start)
    }

    #[test]
    fn silence_ends_after_the_timeout_and_any_byte_restarts_it() {
        let (mut liveness, start) = liveness(Options::default().timeout(10 * SECOND));
        assert_eq!(liveness.deadline(), Some(start + 10 * SECOND));
        liveness.heard(start + 9 * SECOND);
        assert_eq!(liveness.due(start + 18 * SECOND), None);
        assert_eq!(liveness.due(start + 19 * SECOND), Some(Due::Expired(Timeout::Idle)));
    }

    #[test]
    fn what_is_off_is_never_due() {
        let (liveness, _) = liveness(Options::default().timeout(None).message_timeout(None));
        assert_eq!(liveness.deadline(), None);
    }

    #[test]
    fn a_ping_is_left_out_while_bytes_come_and_must_be_answered_by_any_byte() {
        let keepalive = Keepalive::new(5 * SECOND, 3 * SECOND).unwrap();
        let (mut liveness, start) = liveness(Options::default().keepalive(keepalive));
        liveness.heard(start + 4 * SECOND);
        assert_eq!(liveness.due(start + 8 * SECOND), None);
        assert_eq!(liveness.due(start + 9 * SECOND), Some(Due::Ping));
        assert_eq!(liveness.due(start + 9 * SECOND), None);
        liveness.heard(start + 11 * SECOND);
        assert_eq!(liveness.due(start + 15 * SECOND), None);
        assert_eq!(liveness.due(start + 16 * SECOND), Some(Due::Ping));
        assert_eq!(liveness.due(start + 19 * SECOND), Some(Due::Expired(Timeout::Keepalive)));
    }

    #[test]
    fn a_message_is_timed_from_its_first_byte_whatever_else_comes() {
        let (mut liveness, start) = liveness(Options::default().message_timeout(10 * SECOND));
        for second in 1..=10 {
            liveness.heard(start + second * SECOND);
            liveness.message_goes_on();
        }
        assert_eq!(liveness.due(start + 10 * SECOND), None);
        assert_eq!(liveness.due(start + 11 * SECOND), Some(Due::Expired(Timeout::Message)));
        liveness.message_ended();
        assert_eq!(liveness.due(start + 11 * SECOND), None);
    }

    #[test]
    fn a_message_is_late_when_its_last_bytes_came_too_late() {
        let (mut liveness, start) = liveness(Options::default().message_timeout(10 * SECOND));
        liveness.heard(start + 20 * SECOND);
        assert!(!liveness.is_message_late());
        liveness.message_goes_on();
        liveness.heard(start + 29 * SECOND);
        assert!(!liveness.is_message_late());
        liveness.heard(start + 30 * SECOND);
        assert!(liveness.is_message_late());
        liveness.message_ended();
        assert!(!liveness.is_message_late());
    }

    #[test]
    fn the_clock_stands_still_while_we_do_not_read() {
        let keepalive = Keepalive::new(5 * SECOND, 3 * SECOND).unwrap();
        let options =
            Options::default().timeout(20 * SECOND).message_timeout(9 * SECOND).keepalive(keepalive);
        let (mut liveness, start) = liveness(options);
        liveness.message_goes_on();
        assert_eq!(liveness.due(start + 5 * SECOND), Some(Due::Ping));
        liveness.pause(start + 6 * SECOND);
        liveness.pause(start + 50 * SECOND);
        assert_eq!(liveness.due(start + 100 * SECOND), None);
        liveness.resume(start + 106 * SECOND);
        assert_eq!(liveness.deadline(), Some(start + 108 * SECOND));
        liveness.heard(start + 107 * SECOND);
        assert_eq!(liveness.due(start + 109 * SECOND), Some(Due::Expired(Timeout::Message)));
    }

    #[test]
    fn a_duration_beyond_all_time_is_never_due() {
        let (liveness, _) = liveness(Options::default().timeout(Duration::MAX).message_timeout(None));
        assert_eq!(liveness.deadline(), None);
    }
}
