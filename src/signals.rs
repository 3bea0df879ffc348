//! What signals ask of a running elbow.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// `TERM`, `INT`, `QUIT`: a graceful stop. The name of the signal.
    Stop(&'static str),
    /// `HUP`: read the file again.
    Reload,
    /// `USR1`: open log files again.
    ReopenLogs,
    /// `USR2`: upgrade the binary.
    Upgrade,
}

/// The signals of this process.
#[derive(Debug)]
pub struct Signals {
    terminate: Stream,
    interrupt: Stream,
    quit: Stream,
    hangup: Stream,
    user_1: Stream,
    user_2: Stream,
}

impl Signals {
    /// Takes them over from now on. Call it on a runtime.
    ///
    /// # Errors
    /// What the system says.
    pub fn take_over() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            Some(()) = self.terminate.recv() => Asked::Stop("TERM"),
            Some(()) = self.interrupt.recv() => Asked::Stop("INT"),
            Some(()) = self.quit.recv() => Asked::Stop("QUIT"),
            Some(()) = self.hangup.recv() => Asked::Reload,
            Some(()) = self.user_1.recv() => Asked::ReopenLogs,
            Some(()) = self.user_2.recv() => Asked::Upgrade,
            else => std::future::pending().await,
        }
    }

    /// Returns at the next `INT`: whoever presses Ctrl-C again has no patience left.
    pub async fn interrupted(&mut self) {
        if self.interrupt.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
