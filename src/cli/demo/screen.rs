//! What the demo shows: lines that stay, and on a terminal one line at the bottom that is drawn again and again.

use std::io::{IsTerminal, Write};

/// Standard output as the demo uses it.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
    status: String,
}

impl Screen {
    /// An empty screen.
    pub(super) fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), status: String::new() }
    }

    /// Writes lines that stay, above the status.
    pub(super) fn say(&self, text: &str) {
        if self.terminal {
            self.write(&format!("\r\x1b[2K{text}\n{}", self.status));
        } else {
            self.write(&format!("{text}\n"));
        }
    }

    /// Writes what happened, with the time.
    pub(super) fn happened(&self, what: &str) {
        let time = time::OffsetDateTime::now_utc().time();
        self.say(&format!("{:02}:{:02}:{:02}  {what}", time.hour(), time.minute(), time.second()));
    }

    /// Draws another status; an empty one takes it away. Where there is no terminal it is a line like any other.
    pub(super) fn status(&mut self, status: String) {
        self.status = status;
        if self.terminal {
            self.write(&format!("\r\x1b[2K{}", self.status));
        } else if !self.status.is_empty() {
            self.write(&format!("{}\n", self.status));
        }
    }

    /// A demo that nobody watches any more goes on: its end is a signal or the clock.
    #[expect(clippy::unused_self, reason = "only a screen writes")]
    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
