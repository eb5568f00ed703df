//! Several servers in turns, for what each turn costs beside the others' of the same moment.

use std::time::Duration;

use crate::Result;
use crate::meter::{Speed, Timing};
use crate::process::Process;

/// How long a server has its turn: long enough to be in full swing, and short beside what changes the machine's speed.
const TURN: Duration = Duration::from_millis(20);

/// A server with its load, which rests between its turns.
pub(crate) trait Session: Sized {
    /// Works for so long, and measures it.
    fn turn(&mut self, time: Duration) -> Result<()>;

    /// What came out; nothing, when nothing came back.
    fn end(self) -> Result<Option<Speed>>;
}

/// One server alone.
pub(crate) fn alone(mut session: impl Session, timing: Timing) -> Result<Option<Speed>> {
    session.turn(timing.measure)?;
    session.end()
}

/// All of these, each warmed up first.
pub(crate) fn run<'a, S: Session>(
    processes: &'a [Result<Process>],
    timing: Timing,
    warm: impl Fn(&'a Process) -> Result<S>,
) -> Vec<Result<Option<Speed>>> {
    let mut sessions = Vec::new();
    for process in processes {
        let process = process.as_ref().map_err(|error| error.to_string().into());
        sessions.push(process.and_then(&warm));
    }
    let turns = timing.measure.as_nanos().div_ceil(TURN.as_nanos());
    for _ in 0..turns {
        for session in &mut sessions {
            if let Ok(working) = session
                && let Err(error) = working.turn(TURN)
            {
                *session = Err(error);
            }
        }
    }
    sessions.into_iter().map(|session| session?.end()).collect()
}
