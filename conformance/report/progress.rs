//! [`Progress`]: what the user sees while it runs.

use std::io::{IsTerminal, Write, stderr};

/// Lines that stay, and on a terminal one that is rewritten.
pub(crate) struct Progress {
    terminal: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Progress { terminal: stderr().is_terminal() }
    }

    /// Writes a line that stays.
    pub(crate) fn say(&mut self, line: &str) {
        self.write(line, "\n");
    }

    /// Writes a line that the next one replaces. Where that cannot be, nothing.
    pub(crate) fn show(&mut self, line: &str) {
        if self.terminal {
            self.write(line, "");
        }
    }

    fn write(&self, line: &str, end: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        // Nobody to tell is no reason to stop.
        let _ = write!(stderr(), "{clear}{line}{end}");
    }
}
